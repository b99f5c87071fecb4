"""Metrics over the phases of a training: their ends, what a phase changed, and the sentence about it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from recorded import Recorded, reading
from test_report import points

from gancore.comparison.phases import metric_effect, phase_effects, phase_ends, phase_statements
from gancore.plugins import plugins
from gancore.run_folder import RunStatus

PLAN = [{"name": "pretraining", "steps": 400}, {"name": "adversarial", "steps": 600}]


def run(seed: int, values: list[float], steps: list[int] | None = None) -> dict:
    steps = steps or [200, 400, 700, 1000]
    return {
        "name": "a",
        "trial": f"a-seed{seed}",
        "seed": seed,
        "state": "done",
        "phases": phase_ends(RunStatus("done", phases=PLAN)),
        "curves": {"nll": [{"step": s, "value": v} for s, v in zip(steps, values, strict=True)]},
    }


def said(*runs: dict, higher: bool = False) -> str:
    effects = phase_effects(runs, {"nll": {"higher_is_better": higher}})
    (text,) = phase_statements(effects, "nll")
    return text


def test_phases_end_where_their_steps_end_and_a_single_one_has_no_borders():
    assert phase_ends(RunStatus("done", phases=PLAN)) == [
        {"name": "pretraining", "end": 400},
        {"name": "adversarial", "end": 1000},
    ]
    assert phase_ends(RunStatus("done", phases=PLAN[:1])) == phase_ends(None) == []
    assert phase_ends(RunStatus("done", phases=[PLAN[0], {"name": "never", "steps": 0}])) == []
    assert phase_ends(RunStatus("done", phases=["torn", {"name": 3, "steps": "x"}])) == []


def test_one_training_says_what_changed_and_that_the_seed_is_unknown():
    assert said(run(0, [3.0, 2.0, 1.8, 2.5])) == (
        "a: nll on valid (lower is better) was 2 at the end of pretraining and 2.50 at the end of"
        " adversarial: worse by 0.500 in the one training, so the effect of the seed is unknown."
        " The best value within it was 1.80, at step 700."
    )
    assert "better by 0.500" in said(run(0, [3.0, 2.0, 1.8, 2.5]), higher=True)
    assert "unchanged" in said(run(0, [3.0, 2.0, 1.8, 2.0]))


def test_the_interval_of_a_change_is_the_paired_t():
    """Differences 0.4, 0.5, 0.6: mean 0.5, t(2) = 4.3027, standard error 0.1 / sqrt 3."""
    runs = [run(seed, [3.0, 2.0 + 9 * seed, 5.0, 2.4 + 0.1 * seed + 9 * seed]) for seed in range(3)]
    (change,) = metric_effect(runs, "nll", False)["changes"]
    half = 4.302652729911275 * 0.1 / 3**0.5
    assert (change["mean"], change["low"], change["high"]) == pytest.approx((0.5, 0.5 - half, 0.5 + half))
    assert "the phase harmed, worse by 0.500 (0.252 to 0.748 over 3 seeds, 95 % (paired t))" in said(*runs)
    assert "the phase helped, better by 0.500 (0.252 to 0.748" in said(*runs, higher=True)
    spread = [run(seed, [3.0, 2.0, 1.9, 2.0 + delta]) for seed, delta in enumerate((-0.5, 0.4, 0.3))]
    assert "neither helped nor harmed beyond the spread" in said(*spread)


def test_the_end_of_a_phase_is_its_last_value_and_none_of_another_phase():
    late = run(0, [3.0, 2.5, 2.0], [300, 700, 1000])
    assert metric_effect([late], "nll", False)["ends"] == [3.0, 2.0]
    missing = run(0, [2.5, 2.0], [700, 1000])
    effect = metric_effect([missing], "nll", False)
    assert effect["ends"] == [None, 2.0] and effect["changes"][0]["mean"] is None
    assert phase_statements(phase_effects([missing], {"nll": {"higher_is_better": False}}), "nll") == []


def test_recipes_of_one_phase_or_unfinished_are_left_out():
    one, unfinished = run(0, [3, 2, 1, 1]) | {"phases": []}, run(0, [3, 2, 1, 1]) | {"state": "running"}
    assert phase_effects([one, unfinished], {"nll": {"higher_is_better": False}}) == {}


def test_the_page_marks_the_borders_and_says_the_sentence(tmp_path):
    domain = plugins().load_domain("synthetic")
    made = Recorded.of(tmp_path, domain, {"a": "mlpgan", "b": "realnvp"}, seeds=2)
    made.about(points(), select="density_error")
    for trial in made.trials:
        made.training(trial, curve=[1.0, 0.5 + 0.1 * trial.seed, 0.7, 0.9 + 0.1 * trial.seed, 0.8])
        made.evaluation(trial, [reading("made_up", (0.3, 0.2, 0.4))])
        if trial.name == "a":
            folder = made.folder.run_folder(trial)
            folder.write_status(replace(folder.read_status(), phases=PLAN))
    report = made.report()
    assert report["phases"].keys() == {"a"}
    effect = report["phases"]["a"]["metrics"]["density_error"]
    assert effect["seeds"] == {"0": [0.5, 0.8], "1": [0.6, 0.8]}
    text = made.folder.report_html.read_text()
    assert report["phase_statements"][0].startswith(
        "a: density_error on valid (lower is better) was 0.550 at"
    )
    assert report["phase_statements"][0] in text and 'href="#phases"' in text
    section = text[text.index('id="phases"') : text.index('id="settings"')]
    assert section.count('class="anchor"') == 2 and ">adversarial<" in section
    assert json.loads(made.folder.report_json.read_text())["phases"] == report["phases"]
