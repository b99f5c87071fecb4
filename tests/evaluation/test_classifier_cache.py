"""A judge is trained once for the same data, by whoever comes first, and goes on where it was killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from refusals import refused

from gancore.data.sources import resolve_source
from gancore.errors import ConfigError, GancoreError
from gancore.evaluation.classifier import ClassifierCache, steps_for
from gancore.evaluation.reference import ReferenceData
from gancore.models.model import Model
from gancore.plugins import plugins

QUICK = {"steps": 30}


@pytest.fixture
def judging(of_dots, empty_cache) -> ClassifierCache:
    domain = plugins().load_domain("dots")
    return ClassifierCache(domain, reference("trio"), empty_cache / "judges", torch.device("cpu"))


def reference(name: str, **settings: object) -> ReferenceData:
    domain = plugins().load_domain("dots")
    source = resolve_source(name, domain.sources, None, print)
    section = domain.Config(source=name, **settings)
    return ReferenceData(source, section, domain.open(source, section))


def listening(judging: ClassifierCache) -> tuple[ClassifierCache, list[str]]:
    messages: list[str] = []
    return replace(judging, announce=messages.append), messages


def weights(model: Model) -> list[torch.Tensor]:
    return list(model.sampler.state_dict().values())


def equal(one: Model, other: Model) -> bool:
    return all(map(torch.equal, weights(one), weights(other)))


def runs(judging: ClassifierCache) -> list[Path]:
    return sorted(path for path in judging.cache.iterdir() if path.is_dir())


def test_it_is_trained_once_and_judges(judging):
    judging, messages = listening(judging)
    one = judging("judge", {"steps": 60})
    other = judging("judge", {"steps": 60})
    (line,) = messages
    message = "training dots judge on trio once, for at most 60 steps; the model is cached in "
    assert line.startswith(message + str(judging.cache))
    assert equal(one, other)
    rows = judging.reference.data.view("test")
    right = one.sampler.log_posteriors(rows.rows).argmax(1) == rows.labels
    assert right.float().mean() > 0.95


@pytest.mark.parametrize(("points", "steps"), [(20, 100), (400, 500), (4000, 1000)])
def test_few_rows_are_not_passed_over_for_ever(judging, points, steps):
    """40 passes in batches of 32, a hundred steps at least, and never more than the recipe's own."""
    section = plugins().load_recipe(judging.domain, "judge")[1].Config(steps=1000, batch_size=32)
    assert steps_for(points, section) == steps


def test_the_default_budget_is_that_of_the_rows_at_hand(judging, monkeypatch):
    monkeypatch.setattr("gancore.evaluation.classifier.MIN_STEPS", 5)
    judging, messages = listening(replace(judging, reference=reference("trio", points=16)))
    judging("judge", {})
    assert "once, for at most 20 steps" in messages[0]


def test_other_settings_data_or_sizes_make_another(judging):
    judging("judge", QUICK)
    judging("judge", {"steps": 31})
    replace(judging, reference=reference("far"))("judge", QUICK)
    replace(judging, reference=reference("trio", points=300))("judge", QUICK)
    assert len(runs(judging)) == 4


def test_what_is_damaged_is_trained_again(judging):
    judging, messages = listening(judging)
    one = judging("judge", QUICK)
    (run,) = runs(judging)
    weights = run / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    assert equal(judging("judge", QUICK), one)
    assert ["trained again" in line for line in messages] == [False, True, False]


@pytest.mark.parametrize(
    ("recipe", "settings", "said"),
    [("juge", {}, "did you mean 'judge'?"), ("judge", {"witdh": 3}, "unknown key 'model.witdh'")],
)
def test_what_cannot_be_is_said(judging, recipe, settings, said):
    with pytest.raises(GancoreError) as caught:
        judging(recipe, settings)
    assert said in str(caught.value)


def test_a_cache_that_cannot_be_written_is_said(judging, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with refused(ConfigError, tmp_path / "file", fix="GANCORE_CACHE"):
        replace(judging, cache=tmp_path / "file")("judge", QUICK)


# Other processes.

LONG = {"steps": 300}


def in_a_process(action: Callable[[], object]) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            action()
            code = 0
        except SystemExit as ended:
            code = ended.code
        finally:
            os._exit(code)
    return pid


def wait_for(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.parametrize(
    ("number", "code"),
    [pytest.param(signal.SIGKILL, -9, marks=pytest.mark.long), (signal.SIGTERM, 143)],
)
def test_ended_in_the_middle_it_goes_on_and_is_the_same(judging, tmp_path, number, code):
    undisturbed = replace(judging, cache=tmp_path / "other")("judge", LONG)
    pid = in_a_process(lambda: judging("judge", LONG))
    wait_for(lambda: any(judging.cache.glob("*/metrics.jsonl")))
    os.kill(pid, number)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == code
    (run,) = runs(judging)
    assert any((run / "checkpoints").glob("step-*")) == (number is signal.SIGTERM)
    assert equal(judging("judge", LONG), undisturbed)
    assert runs(judging) == [run]


def test_two_processes_that_ask_at_once_train_one(judging, tmp_path):
    def ask(name: str) -> Callable[[], object]:
        log = (tmp_path / name).open("w", buffering=1)
        return lambda: replace(judging, announce=lambda line: print(line, file=log))("judge", LONG)

    pids = [in_a_process(ask(name)) for name in ("one", "two")]
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0, 0]
    text = "".join((tmp_path / name).read_text() for name in ("one", "two"))
    assert text.count("training dots judge") == 1
    assert text.count("Waiting for") == 1
