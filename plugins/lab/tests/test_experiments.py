"""Every experiment's quick version reproduces, and leaves one picture and one JSON that say so."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from gancore_lab import EXPERIMENTS, bilinear, runner, spectrum
from gancore_lab.experiment import Check, Experiment, ExperimentResult
from gancore_lab.theory import METHODS
from matplotlib.figure import Figure
from PIL import Image

KEYS = {
    "name", "question", "setup", "prediction", "source", "measurement", "remarks", "verdict", "seed", "quick",
    "changed", "found", "versions", "seconds", "core_seconds", "picture",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_it_reproduces_and_says_so(name, tmp_path):
    threads = torch.get_num_threads()
    experiment = runner.load_experiment(runner.experiment_entries()[name])
    report = runner.run_experiment(name, experiment, tmp_path, quick=True, seed=0)
    assert report.reproduced, report.summary
    assert torch.get_num_threads() == threads
    content = json.loads((tmp_path / name / "result.json").read_text())
    assert content.keys() == KEYS
    assert content["verdict"] == {"reproduced": True, "figure": report.summary}
    assert content["setup"].items() >= json.loads(json.dumps(experiment.settings_for(True))).items()
    assert content["seed"] == 0 and content["quick"] is True and content["seconds"] > 0
    assert {"gancore", "gancore-lab", "torch", "numpy", "python"} <= content["versions"].keys()
    assert all(check["holds"] in (True, None) for check in content["measurement"])
    decided = [check for check in content["measurement"] if check["holds"]]
    assert len(decided) >= 3 and all(isinstance(check["predicted"], float | int) for check in decided)
    picture = Image.open(io.BytesIO((tmp_path / name / "picture.png").read_bytes())).convert("RGB")
    assert picture.width > 600 and picture.height > 300
    assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 50


def test_an_orbit_that_does_not_do_what_was_predicted_is_reported_as_such(monkeypatch, tmp_path):
    """Alternating play under the name of simultaneous play."""
    wrong = replace(METHODS["simultaneous"], dynamics=METHODS["alternating"].dynamics)
    monkeypatch.setitem(bilinear.METHODS, "simultaneous", wrong)
    small = {"rates": (0.5,), "methods": ("simultaneous",), "alias_steps": 20}
    experiment = replace(bilinear.EXPERIMENT, quick_settings=small)
    report = runner.run_experiment("bilinear", experiment, tmp_path, quick=True)
    assert not report.reproduced
    assert report.summary.startswith("2 of 3 predictions hold; not: rate: h 0.5, simultaneous: 0.9999")
    content = json.loads((tmp_path / "bilinear/result.json").read_text())
    assert content["verdict"]["reproduced"] is False
    assert [check["holds"] for check in content["measurement"]] == [False, True, True]


def test_consensus_moves_eigenvalues_as_its_bounds_say():
    """Any matrix: no network is needed for what follows from v* J v alone."""
    chance = np.random.default_rng(0)
    for _ in range(20):
        J = chance.normal(size=(30, 30))
        for gamma in (0.3, 3.0):
            values = spectrum.eigenvalues(J, gamma)
            assert values.real.max() <= 1 / (4 * gamma) + 1e-9
            assert (values.real[np.abs(values) > 2 / gamma] < 0).all()


@pytest.mark.parametrize(
    ("check", "holds"),
    [
        (Check("x", 1.0), None),
        (Check("x", 1.0, "beside", 2.0), None),
        (Check("x", 1.0, "=", 1.1, 0.2), True),
        (Check("x", 1.0, "=", 1.3, 0.2), False),
        (Check("x", float("nan"), "=", 1.0, 0.2), False),
        (Check("x", float("nan"), "<", 1.0), False),
        (Check("x", 0.9, "<", 1.0), True),
        (Check("x", 1.0, "<", 1.0), False),
        (Check("x", 1.1, ">", 1.0), True),
    ],
)
def test_a_check_holds_where_the_number_is_as_predicted(check, holds):
    assert check.holds is holds


def test_what_predicts_nothing_reproduces_nothing():
    assert not ExperimentResult([Check("x", 1.0)]).reproduced
    assert runner.summarise(ExperimentResult([Check("x", 1.0)])) == "there are no predictions"
    assert ExperimentResult([Check("x", 1.0), Check("y", 1.0, "<", 2.0)]).reproduced


def test_json_has_words_for_what_is_not_finite(tmp_path):
    experiment = Experiment(
        question="is it?",
        prediction="no",
        source="none",
        settings={"array": np.arange(2), "pair": (1, 2)},
        run=lambda settings, seed: ExperimentResult([Check("x", float("inf"), "<", 1.0)]),
        plot=lambda outcome: Figure(),
    )
    runner.run_experiment("odd", experiment, tmp_path)
    content = json.loads((tmp_path / "odd/result.json").read_text())
    assert content["measurement"][0]["measured"] == "inf" and content["setup"] == {
        "array": [0, 1],
        "pair": [1, 2],
    }
