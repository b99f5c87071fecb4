"""Curves over temperatures in a comparison: whole, grown, resumed, refused, and what they say."""

from __future__ import annotations

import os
import sys
from textwrap import dedent

import pytest
from forked import ForkedProcesses, import_all
from recorded import reading
from refusals import refused
from test_processes import INFO, PLUGIN, RECIPE
from test_runs import SMALL

import gancore
from gancore.cli import main
from gancore.comparison import runner
from gancore.comparison.charts import Point, PointLine, points_chart
from gancore.comparison.folder import ComparisonFolder
from gancore.comparison.temperature_curves import curve_chart, curve_statements, temperature_curves
from gancore.domain import Domain
from gancore.errors import ConfigError
from gancore.evaluation.result import read_evaluations
from gancore.evaluation.temperatures import CurvePoint
from gancore.plugins import registry

WARM = RECIPE.replace("sample(self, n, key):", "sample(self, n, key, temperature=1.0):").replace(
    "+ self.std *", "+ temperature * self.std *"
)
TINY = {
    "domain": "synthetic",
    "recipes": ["blob", "kde"],
    "steps": 1,
    "overrides": SMALL,
    "n": 64,
    "metrics": ["precision", "recall"],
    "device": "cpu",
}


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """A Gaussian of which a temperature multiplies the standard deviation, in a plugin of its own."""
    site = tmp_path_factory.mktemp("site")
    (site / "somebody_elses-3.1.dist-info").mkdir(parents=True)
    (site / "blob_plugin.py").write_text(dedent(PLUGIN))
    (site / "blob_recipe.py").write_text(dedent(WARM))
    for name, text in INFO.items():
        (site / "somebody_elses-3.1.dist-info" / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        registry.plugins.cache_clear()
        yield
    registry.plugins.cache_clear()
    for name in ("blob_plugin", "blob_recipe"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def whole(warm, tmp_path_factory):
    """A comparison of a model with a temperature and one without, which tests do not change."""
    import_all()
    folder = tmp_path_factory.mktemp("whole") / "comparison"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "JobPool", ForkedProcesses)
        return gancore.compare(**TINY, temperatures=[2, 0.5], out=folder)


@pytest.fixture
def started(monkeypatch):
    jobs = []

    class Noting(ForkedProcesses):
        def __init__(self, module, lock, announce):
            super().__init__(module, lock, announce, jobs)

    monkeypatch.setattr(runner, "JobPool", Noting)
    return jobs


@pytest.fixture
def copy(whole, tmp_path):
    os.system(f"cp -a {whole.folder} {tmp_path / 'copy'}")
    return tmp_path / "copy"


def points(report, name):
    (curve,) = report["temperature_curves"]["recipes"][name]["seeds"].values()
    return {point["temperature"]: point for point in curve["points"]}


def lines(folder, trial="blob-seed0"):
    """Of each evaluation by temperature, without the seconds."""
    found = read_evaluations(folder / "temperatures" / f"{trial}.jsonl")
    return {one.metadata["temperature"]: one.lines()[:-1] for one in found}


def test_every_model_is_a_curve_or_a_point_and_none_fails(whole):
    assert whole.failures == ()
    assert list(points(whole.report, "blob")) == [0.5, 1.0, 2.0]
    assert list(points(whole.report, "kde")) == [None]
    assert whole.report["config"]["temperatures"] == [0.5, 1.0, 2.0]
    curves = whole.report["temperature_curves"]
    assert (curves["quality"]["metric"], curves["diversity"]["metric"]) == ("precision", "recall")
    assert any(line.startswith("kde has no temperature") for line in curves["statements"]) or any(
        "not trusted" in line for line in curves["statements"]
    )


def test_the_models_own_point_is_that_of_the_main_evaluation(whole):
    """At temperature 1, and of a model without one: it is not computed again."""
    table = {metric["metric"]: metric["recipes"] for metric in whole.report["metrics"]}
    for name, temperature in (("blob", 1.0), ("kde", None)):
        own = points(whole.report, name)[temperature]
        assert own["quality"]["value"] == table["precision"][name]["value"]
        assert own["diversity"]["value"] == table["recall"][name]["value"]
    stored = read_evaluations(whole.folder / "runs/blob-seed0/evaluations.jsonl")
    assert [one.metadata.get("temperature") for one in stored] == [None, 0.5, 2.0]


def test_cold_samples_are_less_diverse(whole):
    found = points(whole.report, "blob")
    assert found[0.5]["diversity"]["value"] < found[2.0]["diversity"]["value"]


def test_the_page_shows_the_curve_and_every_value(whole):
    text = whole.report_html.read_text()
    assert 'id="temperatures"' in text and 'class="whisker"' in text
    assert "diversity: recall" in text and "Dominated area" in text


def test_the_same_again_and_a_part_of_the_temperatures_make_nothing_again(whole, started):
    again = gancore.compare(**TINY, temperatures=[2], out=whole.folder)
    assert started == [] and again.report == whole.report
    assert gancore.compare(**TINY, out=whole.folder).report == whole.report


def test_more_temperatures_are_added_and_nothing_is_computed_again(whole, copy, started):
    made = gancore.compare(resume=copy, temperatures=[0.25])
    assert [(job.trial, job.stages) for job in started] == [(0, ("sweep",))]
    assert list(points(made.report, "blob")) == [0.25, 0.5, 1.0, 2.0]
    grown = lines(copy)
    assert {key: grown[key] for key in lines(whole.folder)} == lines(whole.folder)
    stored = read_evaluations(copy / "runs/blob-seed0/evaluations.jsonl")
    assert [one.metadata.get("temperature") for one in stored] == [None, 0.5, 2.0, 0.25]
    (copy / "temperatures/blob-seed0.jsonl").unlink()
    gancore.compare(resume=copy)
    assert lines(copy) == grown, "grown is what all at once gives"


def test_a_sweep_that_is_interrupted_keeps_its_points(whole, copy, started, monkeypatch):
    from gancore.comparison import job as job_module

    (copy / "temperatures/blob-seed0.jsonl").unlink()
    evaluate = job_module._evaluate_with

    def stop_at_two(context, metrics, temperature=None):
        if temperature == 2.0:
            raise KeyboardInterrupt
        return evaluate(context, metrics, temperature)

    monkeypatch.setattr(job_module, "_evaluate_with", stop_at_two)
    partial = gancore.compare(resume=copy)
    assert list(points(partial.report, "blob")) == [0.5, 1.0] and partial.failures == ()
    before = lines(copy)
    monkeypatch.setattr(job_module, "_evaluate_with", evaluate)
    gancore.compare(resume=copy)
    assert lines(copy) == lines(whole.folder) == before | {2.0: lines(copy)[2.0]}


def test_points_of_other_weights_do_not_count(copy):
    folder = ComparisonFolder(copy)
    (first, _) = runner.make_trials(runner.read_comparison_config(folder.config_file))
    assert folder.is_finished(first, "sweep")
    os.system(
        f"rm -r {copy}/runs/blob-seed0/model; cp -a {copy}/runs/kde-seed0/model {copy}/runs/blob-seed0/"
    )
    assert folder.temperature_evaluations(first) == [] and not folder.is_finished(first, "sweep")


@pytest.mark.parametrize(
    ("temperatures", "named"),
    [([0], "temperature 0"), ([1, -2], "temperature -2"), (["warm"], "temperatures is a list")],
)
def test_what_is_no_temperature_is_refused_before_anything_is_written(started, tmp_path, temperatures, named):
    with pytest.raises(ConfigError) as refusal:
        gancore.compare(**TINY, temperatures=temperatures, out=tmp_path / "comparison")
    assert named in str(refusal.value) and refusal.value.fix
    assert not (tmp_path / "comparison").exists() and started == []


def test_the_command_refuses_them_alike(tmp_path, capsys):
    words = ["compare", "--domain", "synthetic", "--steps", "1", "--out", str(tmp_path / "comparison")]
    assert main([*words, "--temperatures", "0.5,0"]) == 2
    assert capsys.readouterr().err == "error: temperature 0; give numbers above 0; 1 is the model's own\n"


def test_data_without_the_metrics_of_a_curve_are_refused(warm, started, tmp_path, monkeypatch):
    monkeypatch.setattr(Domain, "quality_diversity_metrics", ("beauty", "recall"))
    with refused(ConfigError, "--temperatures", "beauty", fix="leave"):
        gancore.compare(**TINY, temperatures=[0.5], out=tmp_path / "comparison")
    assert not (tmp_path / "comparison").exists()


def test_evaluate_gives_a_row_and_an_area_for_each_temperature(whole, capsys, tmp_path):
    run = str(whole.folder / "runs/blob-seed0")
    words = ["evaluate", run, "-n", "64", "--device", "cpu", "--quiet", "--temperatures", "2,0.5"]
    assert main([*words, "--out", str(tmp_path / "curve.jsonl")]) == 0
    text = capsys.readouterr().out
    assert text.index("0.5") < text.index("2 ") and "dominates an area of" in text
    stored = read_evaluations(tmp_path / "curve.jsonl")
    assert [one.metadata["temperature"] for one in stored] == [0.5, 2.0]
    wanted = points(whole.report, "blob")
    assert [one["recall"].value for one in stored] == [wanted[t]["diversity"]["value"] for t in (0.5, 2.0)]


def test_evaluate_refuses_a_model_without_temperature_and_a_card(whole, capsys):
    words = ["evaluate", str(whole.folder / "runs/kde-seed0"), "--temperatures", "0.5", "--device", "cpu"]
    assert main(words) == 2
    assert "have no temperature" in capsys.readouterr().err
    assert main([*words, "--update-card"]) == 2
    assert "--update-card" in capsys.readouterr().err


def test_the_likelihood_is_that_of_temperature_one_only(whole):
    run = whole.folder / "runs/blob-seed0"
    warm, own = (
        gancore.evaluate(run, metrics=["nll"], n=64, device="cpu", temperature=value)["nll"]
        for value in (2.0, 1.0)
    )
    assert warm.skipped == "the likelihood is that of temperature 1" and own.value is not None


def curve(*values, half=0.01, temperature=True):
    return [
        CurvePoint(
            0.5 + number if temperature else None,
            reading("precision", (q, q - half, q + half), higher_is_better=True),
            reading("recall", (d, d - half, d + half), higher_is_better=True),
        )
        for number, (q, d) in enumerate(values)
    ]


BEST = curve((0.9, 0.5), (0.6, 0.8))


def test_a_recipe_is_dominated_only_if_every_point_of_every_seed_is_and_by_every_seed():
    below = curve((0.5, 0.7), (0.8, 0.4))
    assert "b is dominated by a at every temperature." in curve_statements({"a": {0: BEST}, "b": {0: below}})
    beside = curve((0.5, 0.7), (0.95, 0.4))
    assert curve_statements({"a": {0: BEST}, "b": {0: beside}}) == [
        "b is dominated by a at 1 of its 2 points."
    ]
    two = curve_statements({"a": {0: BEST}, "b": {0: below, 1: beside}})
    assert two == ["b is dominated by a at 3 of its 4 points."]
    weak = curve_statements({"a": {0: BEST, 1: curve((0.1, 0.1))}, "b": {0: below}})
    assert weak == ["a is dominated by b at 1 of its 3 points."]


def test_within_the_intervals_nothing_is_said():
    near = curve((0.89, 0.49), (0.59, 0.79), half=0.02)
    said = curve_statements({"a": {0: BEST}, "b": {0: near}})
    assert said == ["No point of a recipe is dominated by another recipe beyond the intervals."]


def test_a_point_is_dominated_and_named_as_having_no_temperature():
    said = curve_statements({"lm": {0: BEST}, "gan": {0: curve((0.5, 0.5), temperature=False)}})
    assert said[0] == "gan is dominated by lm."
    assert said[1].startswith("gan has no temperature and one point")


def test_metrics_that_are_not_trusted_say_nothing():
    wrong = [
        CurvePoint(1.0, reading("p", (0.5, 0.4, 0.6), trust="no: noise better than real"), BEST[0].diversity)
    ]
    assert curve_statements({"a": {0: BEST}, "b": {0: wrong}}) == [
        "No statement from the curves: not trusted on these data: p: noise better than real."
    ]


def test_areas_over_seeds_have_a_mean_and_a_spread():
    facts = temperature_curves({"a": {0: curve((1.1, 1.2)), 1: curve((1.3, 1.2))}})
    (recipe,) = facts["recipes"].values()
    areas = [seed["area"] for seed in recipe["seeds"].values()]
    assert facts["reference"] == {"quality": 0.9, "diversity": 0.9, "origin": "controls"}
    assert areas == pytest.approx([0.2 * 0.3, 0.4 * 0.3])
    assert recipe["area"] == pytest.approx(0.09) and recipe["std_over_seeds"] == pytest.approx(0.06 / 2**0.5)
    assert 'aria-label="quality: precision (nats, higher is better) against' in curve_chart(facts, {"a": 0})
    assert temperature_curves({}) == {}


def test_better_is_right_and_above_also_where_lower_is_better():
    def places(reversed_axes):
        lines = [
            PointLine(
                "a", 0, [Point((1.0, None, None), (1.0, None, None)), Point((2.0, 1.9, 2.1), (3.0, 2, 4))]
            )
        ]
        text = points_chart(lines, {"real": (1.5, 2.5), "noise": (900.0, 2.0)}, ("x", "y"), reversed_axes)
        assert ">real<" in text and ">noise<" not in text
        pairs = text.partition('class="line" points="')[2].partition('"')[0].split()
        return [tuple(map(float, pair.split(","))) for pair in pairs]

    (a, b), (c, d) = places((False, False)), places((True, True))
    assert a[0] < b[0] and a[1] > b[1] and c[0] > d[0] and c[1] < d[1]
    assert (
        points_chart(
            [PointLine("a", 0, [Point((float("nan"), None, None), (1.0, None, None))])],
            {},
            ("", ""),
            (False, False),
        )
        == ""
    )
