"""``--set``: a set-up is changed by kind, and numbers beside a prediction are of the same h."""

from __future__ import annotations

import json

import pytest
from gancore_lab import running
from gancore_lab.dirac import EXPERIMENT as DIRAC
from gancore_lab.dirac import measure
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


@pytest.mark.parametrize("rate", [0.1, 0.2])
def test_dirac_has_rounds_enough_at_any_rate(rate):
    outcome = measure({**DIRAC.setup, **FEW, "rate": rate, "trap_time": 12.0}, 0)
    assert outcome.reproduced, [check for check in outcome.judged if not check.holds]
    beside = [check for check in outcome.checks if check.relation == "beside" and check.predicted]
    assert bool(beside) == (rate == 0.2), "the other program played at h = 0.2"


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


def test_numbers_from_elsewhere_stand_beside_the_set_up_of_then_alone(tmp_path):
    coin = Experiment("?", "?", "?", {"throws": 10}, tossed, lambda outcome: Figure())
    for changes, beside in (((), 0.1), (("throws=3",), None)):
        content = running.run("coin", coin, tmp_path, changes=changes).content
        assert content["measurement"][1]["predicted"] == beside and content["changed"] == list(changes)
    with refused(ConfigError, "coin", "throws=0", fix="gancore"):
        running.run("coin", coin, tmp_path, changes=["throws=0"])


def test_the_command_shows_the_set_up_and_changes_it(capsys):
    assert main(["lab", "dirac", "--settings", "--set", "rate=0.1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dirac"]["rate"] == 0.1
    assert main(["lab", "dirac", "lgq", "--set", "rate=0.1"]) == 2
