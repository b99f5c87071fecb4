"""Which model a run leaves where a measure on valid chooses it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tiny_runs import TINY, checkpoints, press_ctrl_c, weights

from gancore.run_folder import read_metrics
from gancore.training.checkpoint import load_checkpoint
from gancore.training.validation import Validator


def best_of(run: Path) -> dict:
    return load_checkpoint(checkpoints(run)[-1]).state["state"]["best"]


def measured(run: Path) -> dict[int, float]:
    lines = read_metrics(run / "metrics.jsonl")
    return {line["step"]: line["valid/mel_distance"] for line in lines if "valid/mel_distance" in line}


@pytest.fixture
def set_validation_values(monkeypatch):
    """``set_validation_values(9, 7, 8)``: mel_distance at the evaluations of a run, in turn."""

    def install(*values):
        left = iter(values)
        monkeypatch.setattr(Validator, "validate", lambda *given: {"mel_distance": next(left)})

    return install


SELECT = ("--set", "validation.select=mel_distance", "--set", "validation.every=2")


def test_the_model_is_the_one_that_valid_found_best(train, after_step, tmp_path, set_validation_values):
    set_validation_values(9.0, 7.0, 8.0, 7.5, 0.0)
    assert train("--out", "run", "--steps", 8, *SELECT).code == 0
    assert measured(tmp_path / "run") == {2: 9.0, 4: 7.0, 6: 8.0, 8: 7.5}
    assert best_of(tmp_path / "run") == {"metric": "mel_distance", "step": 4, "value": 7.0, "since": 2}
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert config["training"]["step"] == 4
    assert "mel_distance" in (tmp_path / "run" / "model" / "README.md").read_text()
    after_step(4, press_ctrl_c)
    train("--out", "four", "--steps", 8)
    assert weights(tmp_path / "run") == weights(tmp_path / "four")


@pytest.mark.slow
def test_a_real_measure_chooses_its_own_minimum(train, tmp_path):
    words = ("--set", "validation.select=mel_distance", "--set", "validation.every=5")
    assert train("--out", "run", "--steps", 40, "--set", "model.lr=0.01", *words).code == 0
    values = measured(tmp_path / "run")
    best = best_of(tmp_path / "run")
    assert sorted(values) == list(range(5, 41, 5))
    assert (best["step"], best["value"]) == min(values.items(), key=lambda item: item[1])


def test_patience_ends_a_run_that_no_longer_improves(train, gancore, tmp_path, set_validation_values):
    set_validation_values(9.0, 7.0, 8.0, 7.5)
    words = (*SELECT, "--set", "validation.patience=2")
    answer = train("--out", "run", "--steps", 100, *words)
    assert answer.code == 0
    assert "mel_distance on valid has not improved since step 4: done" in answer.err
    status = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (status["status"], status["step"], status["total"]) == ("done", 8, 8)
    assert "is finished: step 8 of 8" in gancore("train", "--resume", "run").err


def test_where_higher_is_better_the_highest_is_chosen(train, tmp_path, monkeypatch):
    values = iter([0.3, 0.5, 0.4, 0.2])
    monkeypatch.setattr(Validator, "validate", lambda *given: {"mel_diversity": next(values)})
    words = ("--set", "validation.select=mel_diversity", "--set", "validation.every=2")
    assert train("--out", "run", "--steps", 8, *words).code == 0
    assert best_of(tmp_path / "run")["step"] == 4


def test_a_value_that_is_no_number_is_never_the_best(train, tmp_path, set_validation_values):
    set_validation_values(float("nan"), 7.0, float("nan"), 8.0)
    answer = train("--out", "run", "--steps", 8, *SELECT)
    assert "mel_distance on valid is nan at step 2" in answer.err
    assert best_of(tmp_path / "run")["step"] == 4


def test_without_any_number_the_last_model_stands(train, run, tmp_path, set_validation_values):
    set_validation_values(*[float("nan")] * 4)
    assert train("--out", "run", "--steps", 8, *SELECT).code == 0
    assert weights(tmp_path / "run") == weights(run)


def test_another_measure_chosen_later_starts_its_own_search(
    train, gancore, tmp_path, set_validation_values, monkeypatch
):
    set_validation_values(1.0, 1.0)
    train("--out", "run", "--steps", 4, *SELECT)
    monkeypatch.setattr(Validator, "validate", lambda *given: {"mel_frechet": 500.0})
    words = ("--steps", 8, "--force", "--set", "validation.select=mel_frechet")
    assert gancore("train", "--resume", "run", *words).code == 0
    assert best_of(tmp_path / "run")["metric"] == "mel_frechet"


@pytest.mark.slow
def test_a_killed_search_finds_the_same_model(train, gancore, tmp_path):
    words = (*SELECT, "--set", "model.lr=0.01", "--set", "checkpoint.seconds=0.000001")
    train("--out", "whole", "--steps", 12, *words)
    train("--out", "part", "--steps", 12, *words, "--set", "checkpoint.keep=12")
    for path in checkpoints(tmp_path / "part"):
        if int(path.name[5:]) > 5:
            shutil.rmtree(path)
    assert gancore("train", "--resume", "part").code == 0
    assert weights(tmp_path / "part") == weights(tmp_path / "whole")
    assert best_of(tmp_path / "part") == best_of(tmp_path / "whole")
    assert measured(tmp_path / "part") == measured(tmp_path / "whole")


def test_an_unknown_measure_is_refused_before_anything_is_made(gancore, tmp_path):
    error = gancore("train", *TINY, "--out", "run", "--set", "validation.select=mel_distanc").error
    assert "did you mean 'mel_distance'?" in error
    assert not (tmp_path / "run").exists()


def test_a_phase_that_does_not_select_leaves_the_choice_to_the_others(
    train, tmp_path, set_validation_values, monkeypatch
):
    """Pretraining may be better on valid than anything after it, and is not what the run is for."""
    from gancore.games import Phase
    from gancore.training import setup

    def in_two_phases(*given):
        game = build(*given)
        (phase,) = game.phases
        game.phases = [
            Phase(phase.moves, steps=4, name="first", selects=False), Phase(phase.moves, name="second"),
        ]  # fmt: skip
        return game

    build = setup.build_game
    monkeypatch.setattr(setup, "build_game", in_two_phases)
    set_validation_values(1.0, 0.5, 8.0, 7.5, 0.0)
    assert train("--out", "run", "--steps", 8, *SELECT).code == 0
    assert measured(tmp_path / "run") == {2: 1.0, 4: 0.5, 6: 8.0, 8: 7.5}
    assert best_of(tmp_path / "run")["step"] == 8


def test_the_end_of_a_phase_is_evaluated_and_stands_in_run_json(
    train, tmp_path, set_validation_values, monkeypatch
):
    """So that what a phase changed is known from its first step on."""
    from gancore.games import Phase
    from gancore.training import setup

    def in_three_phases(*given):
        game = build(*given)
        (phase,) = game.phases
        parts = (("first", 3), ("none", 0), ("second", None))
        game.phases = [Phase(phase.moves, steps=steps, name=name) for name, steps in parts]
        return game

    build = setup.build_game
    monkeypatch.setattr(setup, "build_game", in_three_phases)
    set_validation_values(1.0, 0.5, 8.0, 7.5, 6.0)
    assert train("--out", "run", "--steps", 8, *SELECT).code == 0
    assert measured(tmp_path / "run") == {2: 1.0, 3: 0.5, 4: 8.0, 6: 7.5, 8: 6.0}
    assert best_of(tmp_path / "run")["step"] == 3
    phases = json.loads((tmp_path / "run" / "run.json").read_text())["phases"]
    assert [(phase["name"], phase["steps"]) for phase in phases] == [("first", 3), ("none", 0), ("second", 5)]
