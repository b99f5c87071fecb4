"""``--set``: a set-up is changed by kind, and numbers beside a prediction are of the same h."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from gancore_lab import running
from gancore_lab.dirac import EXPERIMENT as DIRAC
from gancore_lab.dirac import Case, measure
from gancore_lab.experiment import Check, Experiment, Outcome
from gancore_lab.lgq import EXPERIMENT as LGQ
from gancore_lab.settings import changed
from matplotlib.figure import Figure
from refusals import refused

from gancore import ConfigError
from gancore.cli import main

SETUP = {"rate": 0.2, "rounds": 5, "window": (1, 2), "cases": {"a": ("b",)}, "loss": "hinge"}
FEW = {"cases": {"NS-GAN": ("simultaneous",), "GAN": ("consensus 1",)}, "unequal_rates": ()}


def test_values_become_what_the_set_up_holds():
    words = ["rate=1", "rounds=7", "window=[3, 4]", "cases={c: [d, e]}", "loss=minimax"]
    made = changed("x", SETUP, words)
    assert made == {
        "rate": 1.0,
        "rounds": 7,
        "window": (3, 4),
        "cases": {"c": ("d", "e")},
        "loss": "minimax",
    }
    assert isinstance(made["rate"], float) and changed("x", SETUP, []) == SETUP


@pytest.mark.parametrize(
    ("word", "named", "fix"),
    [
        ("rate", "rate", "rate=0.1"),
        ("rat=1", "rat", "rate"),
        ("rate=much", "much", "number"),
        ("rate=.nan", "rate", "number"),
        ("rate=-1", "rate", "0"),
        ("rounds=1.5", "rounds", "whole"),
        ("window=3", "window", "list"),
        ("cases=[1]", "cases", "mapping"),
        ("loss=3", "loss", "text"),
    ],
)
def test_a_change_that_cannot_be_is_one_line(word, named, fix):
    with refused(ConfigError, "--set", named, fix=fix):
        changed("x", SETUP, [word])


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.1, 0.2])
def test_dirac_has_rounds_enough_at_any_rate(rate):
    outcome = measure({**DIRAC.setup, **FEW, "rate": rate, "trap_time": 12.0}, 0)
    assert outcome.reproduced, [check for check in outcome.judged if not check.holds]
    beside = [check for check in outcome.checks if check.relation == "beside" and check.predicted]
    assert bool(beside) == (rate == 0.2), "the other program played at h = 0.2"


@pytest.mark.slow
def test_the_limit_cycle_is_not_predicted_at_large_rates():
    outcome = measure({**DIRAC.setup, **FEW, "rate": 0.5, "trap_time": 12.0}, 0)
    (circle,) = [check for check in outcome.checks if "NS-GAN, simultaneous" in check.name][1:]
    assert circle.holds is None and "0.25" in circle.note


def test_lgq_is_predicted_at_its_own_rate():
    """tau gamma^2 > 2 lambda_{r+1}, and yet too large a rate: unstable."""
    small = {"eigenvalues": (5.0, 2.0, *[1.0] * 3), "rank": 2, "settings": ((1, 3),), "from_noise": ((1, 3),)}
    outcome = LGQ.measure({**LGQ.setup, **small, "rate": 0.2, "bare_time": 0.2}, 0)
    (least,) = [check for check in outcome.checks if check.name.startswith("least error: gamma 1")]
    assert least.relation == ">" and outcome.reproduced, outcome.checks


def tossed(setup, seed):
    if setup["throws"] == 0:
        raise ZeroDivisionError("no throw")
    checks = [Check("heads", 1.0, "=", 1.0, 0.1), Check("tails", 0.0, "beside", 0.1)]
    return Outcome(checks, remarks=[str(setup["throws"])])


def drawn(outcome):
    if outcome.remarks == ["1"]:
        raise IndexError("one throw is no curve")
    return Figure()


COIN = Experiment("?", "?", "?", {"throws": 10}, tossed, drawn)


def test_a_value_that_cannot_be_played_is_refused(tmp_path):
    content = running.run("coin", COIN, tmp_path, changes=["throws=3"]).content
    assert content["changed"] == ["throws=3"] and content["measurement"][1]["predicted"] == 0.1
    with refused(ConfigError, "coin", "throws=0", fix="coin"):
        running.run("coin", COIN, tmp_path, changes=["throws=0"])


def test_what_cannot_be_drawn_is_refused_and_what_was_measured_kept(tmp_path):
    running.run("coin", COIN, tmp_path)
    with refused(ConfigError, "coin", "throws=1", "result.json", fix="coin"):
        running.run("coin", COIN, tmp_path, changes=["throws=1"])
    told = json.loads((tmp_path / "coin/result.json").read_text())
    assert told["changed"] == ["throws=1"] and not (tmp_path / "coin/picture.png").exists()
    with pytest.raises(IndexError):  # no change is to blame
        running.run("coin", replace(COIN, setup={"throws": 1}), tmp_path)


def test_numbers_from_elsewhere_stand_beside_what_is_as_there(monkeypatch):
    """Whatever else of the set-up was changed: |z| after 500 rounds, however many there are."""
    monkeypatch.setattr(Case, "play", lambda case, rounds, start, seed: 1 / np.arange(1.0, rounds + 2))

    def beside(**changes):
        checks = measure({**DIRAC.setup, **FEW, **changes}, 0).checks
        return [check for check in checks if check.relation == "beside" and check.predicted is not None]

    (found,) = beside(circle_time=30.0, tolerance=0.5, trap_near=0.1)
    assert found.measured == 1 / 501 and "NS-GAN, simultaneous" in found.name
    assert not any(beside(**change) for change in ({"rate": 0.3}, {"start": 0.3}, {"time": 30.0}))


def test_the_command_shows_the_set_up_and_changes_it(capsys):
    assert main(["lab", "dirac", "--settings", "--set", "rate=0.1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dirac"]["rate"] == 0.1
    assert main(["lab", "dirac", "lgq", "--set", "rate=0.1"]) == 2


@pytest.mark.parametrize("words", [["--settings"], ["--set", "rate=1"]])
def test_a_set_up_is_of_an_experiment_that_is_named(words, capsys):
    assert main(["lab", *words]) == 2
    told = capsys.readouterr()
    assert words[0] in told.err and not told.out
