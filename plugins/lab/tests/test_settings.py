"""``--set``: a set-up is changed by kind, and numbers beside a prediction are of the same h."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml
from gancore_lab import runner, staleness
from gancore_lab.bilinear import EXPERIMENT as BILINEAR
from gancore_lab.dirac import EXPERIMENT as DIRAC
from gancore_lab.dirac import DiracCase, _trap_checks, run
from gancore_lab.experiment import Check, Experiment, ExperimentResult, override_settings
from gancore_lab.lgq import EXPERIMENT as LGQ
from gancore_lab.oscillation import EXPERIMENT as OSCILLATION
from gancore_lab.spectrum import EXPERIMENT as SPECTRUM
from gancore_lab.stale import Stale
from gancore_lab.staleness import EXPERIMENT as STALENESS
from gancore_lab.vanishing_gradient import EXPERIMENT as VANISHING
from matplotlib.figure import Figure
from refusals import refused

from gancore import ConfigError
from gancore.cli import main

SETUP = {"rate": 0.2, "steps": 5, "window": (1, 2), "cases": {"a": ("b",)}, "loss": "hinge"}
FEW = {"cases": {"NS-GAN": ("simultaneous",), "GAN": ("consensus 1",)}, "unequal_rates": ()}


def test_values_become_what_the_set_up_holds():
    words = ["rate=1", "steps=7", "window=[3, 4]", "cases={c: [d, e]}", "loss=minimax"]
    made = override_settings("x", SETUP, words)
    assert made == {
        "rate": 1.0,
        "steps": 7,
        "window": (3, 4),
        "cases": {"c": ("d", "e")},
        "loss": "minimax",
    }
    assert isinstance(made["rate"], float) and override_settings("x", SETUP, []) == SETUP


@pytest.mark.parametrize(
    ("word", "named", "fix"),
    [
        ("rate", "rate", "rate=0.1"),
        ("rat=1", "rat", "rate"),
        ("rate=much", "much", "number"),
        ("rate=.nan", "rate", "number"),
        ("rate=-1", "rate", "0"),
        ("steps=1.5", "steps", "whole"),
        ("window=3", "window", "list"),
        ("cases=[1]", "cases", "mapping"),
        ("loss=3", "loss", "text"),
    ],
)
def test_a_change_that_cannot_be_is_one_line(word, named, fix):
    with refused(ConfigError, "--set", named, fix=fix):
        override_settings("x", SETUP, [word])


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
def test_the_rate_of_the_trap_is_read_at_any_rate(rate):
    """The slope of log |z| would be off by 1.03e-3 at h = 0.3, on the linear orbit already."""
    (check, _) = _trap_checks({**DIRAC.settings, "rate": rate, "trap_time": 1.0}, 0, {})
    assert check.difference < 1e-9, check


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.1, 0.2])
def test_dirac_has_steps_enough_at_any_rate(rate):
    outcome = run({**DIRAC.settings, **FEW, "rate": rate, "trap_time": 12.0}, 0)
    assert outcome.reproduced, [check for check in outcome.decided if not check.holds]
    beside = [check for check in outcome.checks if check.relation == "beside" and check.predicted]
    assert bool(beside) == (rate == 0.2), "the other program played at h = 0.2"


@pytest.mark.slow
def test_the_limit_cycle_is_not_predicted_at_large_rates():
    outcome = run({**DIRAC.settings, **FEW, "rate": 0.5, "trap_time": 12.0}, 0)
    (circle,) = [check for check in outcome.checks if "NS-GAN, simultaneous" in check.name][1:]
    assert circle.holds is None and "0.25" in circle.note


def test_lgq_is_predicted_at_its_own_rate():
    """tau gamma^2 > 2 lambda_{r+1}, and yet too large a rate: unstable."""
    small = {"eigenvalues": (5.0, 2.0, *[1.0] * 3), "rank": 2, "settings": ((1, 3),), "from_noise": ((1, 3),)}
    outcome = LGQ.run({**LGQ.settings, **small, "rate": 0.2, "bare_time": 0.2}, 0)
    (least,) = [check for check in outcome.checks if check.name.startswith("least error: gamma 1")]
    assert least.relation == ">" and outcome.reproduced, outcome.checks


def tossed(settings, seed):
    if settings["throws"] == 0:
        raise ZeroDivisionError("no throw")
    checks = [Check("heads", 1.0, "=", 1.0, 0.1), Check("tails", 0.0, "beside", 0.1)]
    return ExperimentResult(checks, notes=[str(settings["throws"])])


def drawn(outcome):
    if outcome.notes == ["1"]:
        raise IndexError("one throw is no curve")
    return Figure()


COIN = Experiment("?", "?", "?", {"throws": 10}, tossed, drawn)


def test_a_value_that_cannot_be_played_is_refused(tmp_path):
    content = runner.run_experiment("coin", COIN, tmp_path, overrides=["throws=3"]).content
    assert content["changed"] == ["throws=3"] and content["measurement"][1]["predicted"] == 0.1
    with refused(ConfigError, "coin", "throws=0", fix="coin"):
        runner.run_experiment("coin", COIN, tmp_path, overrides=["throws=0"])


def test_what_cannot_be_drawn_is_refused_and_what_was_measured_kept(tmp_path):
    runner.run_experiment("coin", COIN, tmp_path)
    with refused(ConfigError, "coin", "throws=1", "result.json", fix="coin"):
        runner.run_experiment("coin", COIN, tmp_path, overrides=["throws=1"])
    content = json.loads((tmp_path / "coin/result.json").read_text())
    assert content["changed"] == ["throws=1"] and not (tmp_path / "coin/picture.png").exists()
    with pytest.raises(IndexError):  # no change is to blame
        runner.run_experiment("coin", replace(COIN, settings={"throws": 1}), tmp_path)


def test_numbers_from_elsewhere_stand_beside_what_is_as_there(monkeypatch):
    """Whatever else of the set-up was changed: |z| after 500 steps, however many there are."""
    monkeypatch.setattr(DiracCase, "play", lambda case, steps, start, seed: 1 / np.arange(1.0, steps + 2))

    def beside(**overrides):
        checks = run({**DIRAC.settings, **FEW, **overrides}, 0).checks
        return [check for check in checks if check.relation == "beside" and check.predicted is not None]

    (found,) = beside(circle_time=30.0, tolerance=0.5, trap_near=0.1)
    assert found.measured == 1 / 501 and "NS-GAN, simultaneous" in found.name
    assert not any(beside(**change) for change in ({"rate": 0.3}, {"start": 0.3}, {"time": 30.0}))


def test_the_command_shows_the_set_up_and_changes_it(capsys):
    assert main(["lab", "dirac", "--print-config", "--set", "rate=0.1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dirac"]["rate"] == 0.1
    assert main(["lab", "dirac", "lgq", "--set", "rate=0.1"]) == 2


def test_the_set_up_is_printed_as_yaml_with_the_description_of_every_setting(capsys):
    for entry in runner.experiment_entries().values():
        experiment = runner.load_experiment(entry)
        assert list(experiment.descriptions) == list(experiment.settings), entry.name
    assert main(["lab", "bilinear", "dirac", "--print-config"]) == 0
    printed = capsys.readouterr().out
    settings = {"bilinear": BILINEAR.settings, "dirac": DIRAC.settings}
    assert yaml.safe_load(printed) == json.loads(json.dumps(settings))
    assert "  # learning rate h of both players\n  rate: 0.2\n" in printed


@pytest.mark.parametrize("words", [["--print-config"], ["--set", "rate=1"]])
def test_a_set_up_is_of_an_experiment_that_is_named(words, capsys):
    assert main(["lab", *words]) == 2
    output = capsys.readouterr()
    assert words[0] in output.err and not output.out


SMALL_GAN = {"width": 4, "rows": 128, "batch_size": 16}
"""Of ``spectrum`` and ``oscillation``: a second, and none of the settings that anything was measured at."""


def slow(**overrides):
    return pytest.param(overrides, marks=pytest.mark.slow)


def failed(experiment, **overrides):
    """Names of checks that failed, and the number of those left out that have a note why."""
    settings = {**experiment.settings_for(True), **overrides}
    result = experiment.run(settings, 0)
    experiment.plot(result)
    left_out = [check.note for check in result.checks if check.holds is None and check.note]
    return [check.name for check in result.checks if check.holds is False], left_out


@pytest.mark.parametrize(
    "overrides",
    [
        {"rate": 1.0},
        slow(rate=50.0),
        slow(rate=0.01),
        {"steps": 100},
        {"steps": 4},
        slow(window_from=0.9),
        slow(start=(1.0, 1.0)),
        slow(delays=(0, 3), damped_delays=(0, 40)),
    ],
)
def test_staleness_predicts_for_its_settings_or_says_why_not(overrides):
    small = {"steps": 200, "delays": (1,), "damped_delays": (4,)}
    missed, left_out = failed(STALENESS, **(small | overrides))
    assert missed == []
    if overrides.keys() & {"steps", "start"}:
        assert left_out


def test_staleness_plots_the_prediction_of_its_settings():
    settings = {**STALENESS.settings_for(True), "rate": 0.2, "steps": 100, "delays": (1,)}
    figure = STALENESS.plot(STALENESS.run(settings, 0))
    assert figure.axes[0].get_title() == "min max xy, h = 0.2"
    (line, *_) = figure.axes[0].get_lines()
    assert line.get_ydata()[1] == pytest.approx(staleness.bilinear_growth(0.2, 1), abs=1e-9)


def test_another_game_under_a_prediction_that_is_valid_is_missed(monkeypatch):
    """What is left out depends on theory alone, and never on what was measured."""
    monkeypatch.setattr(staleness, "Stale", lambda delay, own: Stale(delay + 1, own))
    missed, _ = failed(STALENESS, steps=400, delays=(4,), damped_delays=(8,))
    assert "rate: bilinear, delay 4" in missed


TINY_OSCILLATION = {
    **SMALL_GAN,
    "steps": 700,
    "half_lives": (5.0,),
    "average_steps": 300,
    "average_tail": 100,
    "gan_steps": 30,
    "gan_from": 10,
}


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        slow(rate=0.5),
        slow(rate=1.5),
        slow(rate=0.02),
        {"steps": 40},
        {"steps": 3, "average_steps": 20},
        slow(half_lives=(5.0, 500.0)),
        slow(average_tail=3),
    ],
)
def test_oscillation_predicts_for_its_settings_or_says_why_not(overrides):
    missed, left_out = failed(OSCILLATION, **(TINY_OSCILLATION | overrides))
    assert missed == [] and "there is no prediction for other settings" in left_out


@pytest.mark.parametrize(
    "overrides",
    [{"dirac_gammas": (1.0001, 0.9999, 1.01)}, slow(loss="nonsaturating"), slow(gammas=(0.1, 100.0))],
)
def test_spectrum_predicts_for_its_settings_or_says_why_not(overrides):
    small = {**SMALL_GAN, "steps": 5, "jacobian_rows": 32}
    missed, left_out = failed(SPECTRUM, **(small | overrides))
    assert missed == [] and "there is no prediction for other settings" in left_out


def test_spectrum_refuses_a_consensus_of_no_weight():
    with refused(ConfigError, "gammas", fix="above 0"):
        SPECTRUM.run({**SPECTRUM.settings_for(True), "gammas": (1.0, 0.0)}, 0)


@pytest.mark.parametrize("overrides", [{"to": 40}, {"rate": 1e-5, "to": 60}, {"from": 1, "to": 5}])
def test_vanishing_gradient_predicts_for_the_given_settings_only(overrides):
    small = {"rows": 256, "batch_size": 16, "rows_measured": 32, "marks": ()}
    missed, left_out = failed(VANISHING, **(small | overrides))
    assert missed == [] and left_out == 3 * ["there is no prediction for these settings"]


@pytest.mark.parametrize("experiment", [STALENESS, OSCILLATION, SPECTRUM, VANISHING])
@pytest.mark.parametrize("quick", [True, False])
def test_settings_as_given_are_recognised(experiment, quick):
    settings = experiment.settings_for(quick)
    assert experiment.as_given(settings, settings)
    assert not experiment.as_given({**settings, "rate": 0.123}, settings)


def test_a_check_that_is_left_out_keeps_its_number_and_says_why():
    check = Check("x", 1.0, "=", 2.0, 0.5, "as given")
    assert check.only_if(True, "too few steps") is check
    left_out = check.only_if(False, "too few steps")
    assert (left_out.holds, left_out.measured, left_out.note) == (None, 1.0, "too few steps")
    assert left_out.predicted is None
