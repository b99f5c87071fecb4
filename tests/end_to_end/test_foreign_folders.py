"""Folders of strangers: whatever stands in them, a verb works or refuses in one line, and never waits."""

from __future__ import annotations

import copy
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from refusals import refused
from safetensors.torch import load_file, save_file
from tiny_runs import Child, checkpoints

import gancore
from gancore.errors import CheckpointError, GancoreError
from gancore.summaries import list_runs

Path_ = tuple[Any, ...]


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


WRONG = ["wrong", -1, 10**400, 2**40, math.nan, 1e300, None, True, [], {}, [[1]], {"a": [1]}, nested(300)]
"""What each place of a document is replaced by."""


def places(value: Any, at: Path_ = ()) -> Iterator[Path_]:
    """Every place in a document; of a list the first two."""
    yield at
    inner = (
        value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    )
    for name, part in inner:
        yield from places(part, (*at, name))


def mutations(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The document with one place replaced or removed, and the words that say which."""
    for at in places(document):
        for value in WRONG:
            yield f"{at} = {str(value)[:20]}", replaced(document, at, value)
        if at:
            yield f"{at} is gone", replaced(document, at, None, gone=True)


def replaced(document: Any, at: Path_, value: Any, gone: bool = False) -> Any:
    if not at:
        return value
    made = copy.deepcopy(document)
    room = made
    for name in at[:-1]:
        room = room[name]
    if gone:
        del room[at[-1]]
    else:
        room[at[-1]] = value
    return made


def works_or_refuses(action: Callable[[], object]) -> str:
    """Empty; or what else came of it."""
    try:
        action()
    except GancoreError as error:
        return "" if "\n" not in str(error) else f"several lines: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


@pytest.fixture
def copied(conditional_run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(conditional_run, tmp_path / "foreign")


@pytest.mark.slow
@pytest.mark.parametrize("section", ["spec", "model", None])
def test_any_config_of_a_model_generates_or_is_refused(copied: Path, section: str | None):
    file = copied / "model" / "config.json"
    document = json.loads(file.read_text())
    mutated = (
        document[section] if section else {k: v for k, v in document.items() if k not in ("spec", "model")}
    )

    def look() -> None:
        model = gancore.load(copied)
        made = model.sample(1)
        if section == "spec":
            model.domain.write(made, copied / "samples")

    failed = []
    for name, made in mutations(mutated):
        content = {**document, section: made} if section else made
        if section is None and isinstance(made, dict):
            content = {**made, "spec": document["spec"], "model": document["model"]}
        file.write_text(json.dumps(content))
        if result := works_or_refuses(look):
            failed.append(f"{section} {name}: {result}")
    assert failed == []


def test_wrong_facts_are_named(copied: Path):
    file = copied / "model" / "config.json"
    document = json.loads(file.read_text())
    for at, value in (
        (("classes",), 5),
        (("sample_rate_hz",), "8000"),
        (("length",), 10**9),
        (("class_shares", 0), -1),
    ):
        file.write_text(json.dumps(replaced(document, ("spec", *at), value)))
        with refused(CheckpointError, "config.json", ".".join(map(str, ("spec", *at))), fix="config.json"):
            gancore.load(copied)


@pytest.mark.slow
def test_any_status_of_a_run_is_listed_and_filmed_or_refused(copied: Path):
    file = copied / "run.json"
    document = json.loads(file.read_text())
    failed = []
    for name, made in mutations(document):
        file.write_text(json.dumps(made))
        for verb in (lambda: list_runs(copied.parent), lambda: gancore.animate(copied)):
            if result := works_or_refuses(verb):
                failed.append(f"{name}: {result}")
    assert failed == []


def test_any_metrics_are_listed(copied: Path):
    for line in (
        "[" * 100_000,
        "5",
        '{"step": [1], "a/loss": {}}',
        '{"step": 1, "a/loss": 1e999}',
        "\0" * 100,
    ):
        (copied / "metrics.jsonl").write_text(f"{line}\n")
        assert works_or_refuses(lambda: list_runs(copied.parent)) == ""


def test_an_evaluation_of_any_data_settings_is_made_or_refused(copied: Path):
    (copied / "config.yaml").unlink()
    file = copied / "model" / "config.json"
    document = json.loads(file.read_text())
    settings = {"labels": document["data"]["labels"], "valid_fraction": 0.1}
    failed = []
    for name, made in mutations(settings):
        data = {**document["data"], **made} if isinstance(made, dict) else made
        file.write_text(json.dumps({**document, "data": data}))
        if result := works_or_refuses(lambda: gancore.evaluate(copied, n=16, metrics=["nowhere"])):
            failed.append(f"{name}: {result}")
    assert failed == []


def broken_weights(tensors: dict[str, torch.Tensor], first: str) -> Iterator[dict[str, torch.Tensor]]:
    for spoiled in (
        torch.full_like(tensors[first], math.nan),
        torch.full_like(tensors[first], -math.inf),
        tensors[first].to(torch.int64),
        tensors[first].to(torch.complex64),
    ):
        yield {**tensors, first: spoiled}


def without_digests(run: Path) -> None:
    """As a stranger leaves it who changed the weights and knows the format."""
    file = run / "model" / "config.json"
    document = json.loads(file.read_text())
    file.write_text(json.dumps({**document, "files": {}}))


def test_weights_that_are_no_finite_floats_are_refused(copied: Path):
    without_digests(copied)
    file = copied / "model" / "model.safetensors"
    tensors = load_file(file)
    first = min(name for name, tensor in tensors.items() if tensor.is_floating_point())
    for made in broken_weights(tensors, first):
        save_file(made, file)
        with refused(CheckpointError, first):
            gancore.load(copied)


def test_weights_of_half_precision_load(copied: Path):
    without_digests(copied)
    file = copied / "model" / "model.safetensors"
    halves = {n: t.half() if t.is_floating_point() else t for n, t in load_file(file).items()}
    save_file(halves, file)
    assert gancore.load(copied).sample(2).data.isfinite().all()


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_link_to_endless_bytes(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_huge_file(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 38)


NAMES = [
    "run.json",
    "run.lock",
    "config.yaml",
    "data.json",
    "metrics.jsonl",
    "evaluations.jsonl",
    "model/config.json",
    "model/model.safetensors",
    "model/README.md",
]
VERBS = [
    ("runs", "."),
    ("models",),
    ("generate", "foreign", "--out", "made", "--overwrite"),
    ("animate", "foreign"),
    ("evaluate", "foreign", "-n", 16, "--update-card", "--metrics", "mel_distance"),
    ("train", "--resume", "foreign"),
]


CASES = [(name, a_pipe) for name in NAMES]
CASES += [("model/model.safetensors", a_link_to_endless_bytes), ("model/model.safetensors", a_huge_file)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "replace"), CASES, ids=lambda case: getattr(case, "__name__", case))
def test_no_verb_waits_for_what_is_no_file(
    run: Path, tmp_path: Path, name: str, replace: Callable[[Path], None]
):
    foreign = shutil.copytree(run, tmp_path / "foreign")
    (foreign / name).unlink(missing_ok=True)
    replace(foreign / name)
    answers = [(words, Child(tmp_path, *words).wait()) for words in VERBS]
    assert [(words, result.err) for words, result in answers if result.code not in (0, 2)] == []


def test_no_checkpoint_waits_for_a_pipe(run: Path, tmp_path: Path):
    foreign = shutil.copytree(run, tmp_path / "foreign")
    for folder in checkpoints(foreign):
        (folder / "manifest.json").unlink()
        os.mkfifo(folder / "manifest.json")
    assert Child(tmp_path, "train", "--resume", "foreign").wait().code == 2


def test_a_film_passes_over_a_bomb_a_pipe_and_a_link(copied: Path, tmp_path: Path):
    good = copied / "samples" / "step-000000900"
    good.mkdir()
    Image.new("L", (20, 20)).save(good / "overview.png")
    for number, spoil in enumerate((bomb, a_pipe, a_link_to_endless_bytes)):
        folder = copied / "samples" / f"step-00000100{number}"
        folder.mkdir()
        spoil(folder / "overview.png")
    made = gancore.animate(copied, out=tmp_path / "film.gif")
    assert 900 in made.steps and made.skipped == [1000, 1001, 1002]


def bomb(path: Path) -> None:
    """A picture of a few kilobytes and of 400 million dots."""
    Image.new("1", (20_000, 20_000)).save(path)
