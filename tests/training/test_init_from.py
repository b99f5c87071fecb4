"""A training that starts from other weights says what it kept, what is new, and how its data differ."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import gancore

SMALL = ["model.width=4", "data.train_examples=200", "model.conditional=true"]


def train(out: Path, *settings: str, **options: object) -> Path:
    overrides = [*SMALL, *settings]
    gancore.train(
        "synthetic", recipe="mlpgan", steps=1, out=out, overrides=overrides, device="cpu", **options
    )
    return out


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return train(tmp_path_factory.mktemp("origin") / "run", progress="none")


def note(capsys: pytest.CaptureFixture[str]) -> str:
    [line] = [line for line in capsys.readouterr().err.splitlines() if "loaded " in line]
    return line


def test_the_same_recipe_and_data_keep_everything(run, tmp_path, capsys):
    train(tmp_path / "same", init_from=run)
    said = note(capsys)
    [(kept, given)] = re.findall(r"loaded (\d+) of the (\d+) tensors", said)
    assert kept == given and "new" not in said and "other data" not in said


def test_of_a_model_the_discriminator_is_new(run, tmp_path, capsys):
    train(tmp_path / "tuned", init_from=run / "model")
    assert re.search(r"; new: .*\bdiscriminator \(\d+ tensors\)", note(capsys))


def test_other_classes_are_said_and_their_tensors_are_new(run, tmp_path, capsys):
    train(tmp_path / "tuned", "data.components=5", init_from=run / "model")
    said = note(capsys)
    assert re.search(r"new, as their shapes differ: generator\.\S+ \(.*5.*\), there \(.*8.*\)", said)
    assert re.search(r"other data: .*\bclasses\b", said)


def test_another_width_is_named_with_both_shapes(run, tmp_path, capsys):
    train(tmp_path / "wide", "model.width=6", init_from=run / "model")
    assert re.search(r"shapes differ: \S+ \(\d.*6.*\), there \(.*4.*\)", note(capsys))
