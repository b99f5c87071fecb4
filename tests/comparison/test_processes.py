"""Comparisons in processes of their own, as users have them; and a recipe from someone else's plugin."""

from __future__ import annotations

import json
import pickle
import random
import signal
import sys
import time
from importlib.metadata import version
from textwrap import dedent

import pytest
from test_runs import SMALL, finished, readings, weights
from tiny_runs import finish, start

import gancore
from gancore.errors import BusyError, ConfigError
from gancore.jobs import JobError, JobResult, failure_message, forward_output
from gancore.plugins import registry

PLUGIN = """
    from gancore import RecipeEntry, hookimpl

    @hookimpl
    def gancore_recipes():
        entry = RecipeEntry("blob", "blob_recipe:Blob", "one Gaussian", domain="synthetic",
                            capabilities=frozenset({"likelihood"}))
        return [entry]
"""
RECIPE = """
    import torch
    from torch import nn
    from gancore import Recipe
    from gancore.games import fitted_game

    class Gaussian(nn.Module):
        def __init__(self, size):
            super().__init__()
            self.register_buffer("mean", torch.zeros(size))
            self.register_buffer("std", torch.ones(size))

        def fit(self, views, key):
            view = next(iter(views.values()))
            rows = view.get_batch(torch.arange(len(view)), key).data
            self.mean.copy_(rows.mean(0))
            self.std.copy_(rows.std(0))
            return True

        def sample(self, n, key):
            return self.mean + self.std * key.normal(n, len(self.mean))

        def log_prob(self, data):
            return torch.distributions.Normal(self.mean, self.std).log_prob(data).sum(1)

    class Blob(Recipe):
        def build(self, config, spec):
            return fitted_game(Gaussian(spec["shape"][0]))
"""
INFO = {
    "METADATA": "Metadata-Version: 2.1\nName: somebody-elses\nVersion: 3.1\n",
    "entry_points.txt": "[gancore]\nblob = blob_plugin\n",
}
WORDS = ["compare", "--domain", "synthetic", "--recipes", "mlpgan,realnvp", "--steps", "40"]
WORDS += ["--metrics", "density_error,reverse_kl", "-n", "64", "--device", "cpu"]
WORDS += [word for text in [*SMALL, "model.batch_size=32"] for word in ("--set", text)]


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """A distribution by others, installed in a folder that stands on the path."""
    site = tmp_path / "site"
    (site / "somebody_elses-3.1.dist-info").mkdir(parents=True)
    (site / "blob_plugin.py").write_text(dedent(PLUGIN))
    (site / "blob_recipe.py").write_text(dedent(RECIPE))
    for name, text in INFO.items():
        (site / "somebody_elses-3.1.dist-info" / name).write_text(text)
    monkeypatch.syspath_prepend(str(site))
    registry.plugins.cache_clear()
    yield
    registry.plugins.cache_clear()
    for name in ("blob_plugin", "blob_recipe"):
        sys.modules.pop(name, None)


@pytest.mark.slow
def test_a_recipe_of_somebody_else_takes_part_with_no_change_to_the_core(stranger, tmp_path):
    said = []
    made = gancore.compare(
        "synthetic",
        recipes=["blob"],
        steps=1,
        overrides=SMALL,
        n=64,
        metrics=["density_error"],
        device="cpu",
        out=tmp_path / "comparison",
        announce=said.append,
    )
    assert made.failures == ()
    (run,) = made.report["runs"]
    assert (run["recipe"], run["state"], run["steps"]) == ("blob", "done", 1)
    assert run["plugins"] == {"gancore-synthetic": version("gancore-synthetic"), "somebody-elses": "3.1"}
    assert made.report["environment"]["versions"]["somebody-elses"] == "3.1"
    tradeoffs = made.report["tradeoffs"]["blob"]
    assert (tradeoffs["kind"], tradeoffs["likelihood"]["kind"]) == ("likelihood model", "exact")
    assert made.report["metrics"][0]["recipes"]["blob"]["value"] > 0
    assert said[0] == "training blob-seed0 (1 of 1)" and "blob-seed0: done" in said


@pytest.mark.parametrize(
    ("code", "last", "expected"),
    [
        (0, "done", ""),
        (2, "error: no such file; give another", "no such file; give another"),
        (1, "internal error: KeyError: 3; report it", "KeyError: 3; report it"),
        (-9, "anything", "it was ended by SIGKILL"),
        (1, "", "it ended with exit code 1"),
    ],
)
def test_why_a_process_failed_is_its_last_line(code, last, expected):
    assert failure_message(code, last) == expected
    assert JobResult(code, last).message == expected


@pytest.mark.parametrize(
    ("kind", "code", "raised"),
    [
        ("ConfigError", 2, ConfigError),
        ("BusyError", 75, BusyError),
        ("KeyError", 1, JobError),
        ("SomebodyElsesError", 4, JobError),
        ("ConfigError", 1, JobError),
        ("ExitCode", 1, JobError),
    ],
)
def test_an_error_in_json_is_raised_again(kind, code, raised):
    details = {"kind": kind, "message": "what is wrong", "fix": "how to fix it", "code": code}
    job_result = JobResult(code, json.dumps({"error": details}))
    error = job_result.error()
    assert type(error) is raised and error.exit_code == code
    assert (error.message, error.fix) == ("what is wrong", "how to fix it")
    assert job_result.message == "what is wrong; how to fix it"
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is raised and again.exit_code == code


def test_lines_of_a_job_are_announced_but_not_the_error_in_json():
    said = []
    last = forward_output(["a\n", "\n", "error: b\n", '{"error": {}}\n'], "job", said.append)
    assert said == ["job: a", "job: error: b"] and last == '{"error": {}}'


def wait_for(there, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.long
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_the_same_line_goes_on(number, code, tmp_path):
    words = [*WORDS, "--out", "comparison"]
    folder = tmp_path / "comparison"
    process = start(*words, folder=tmp_path)
    wait_for(lambda: list(folder.glob("runs/mlpgan-seed0/checkpoints/step-*")))
    process.send_signal(number)
    answer = finish(process)
    assert answer.code == code and "Traceback" not in answer.err
    assert json.loads((folder / "runs/mlpgan-seed0/run.json").read_text())["status"] in ("stopped", "done")
    assert finish(start(*words, folder=tmp_path), 300).code == 0
    assert finish(start(*WORDS, "--out", "whole", folder=tmp_path), 300).code == 0
    assert weights(folder) == weights(tmp_path / "whole")


@pytest.mark.long
def test_ten_kills_at_random_moments_cost_nothing_that_was_finished(tmp_path):
    """The command alone is killed: its processes notice, and let go of the comparison."""
    words, folder, chance = [*WORDS, "--out", "comparison"], tmp_path / "comparison", random.Random(1)
    assert finish(start(*WORDS, "--out", "whole", folder=tmp_path), 300).code == 0
    kept: dict[str, tuple[int, int]] = {}
    kills = 0
    while kills < 10:
        process = start(*words, folder=tmp_path)
        time.sleep(chance.uniform(0.2, 25))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.communicate()
        time.sleep(1)
        now = finished(folder) if folder.exists() else {}
        assert kept.items() <= now.items()
        kept, kills = now, kills + 1
    assert finish(start(*words, folder=tmp_path), 300).code == 0
    assert kept.items() <= finished(folder).items()
    assert weights(folder) == weights(tmp_path / "whole")
    assert readings(folder) == readings(tmp_path / "whole")
    print(f"{kills} kills")
    assert kills >= 3
