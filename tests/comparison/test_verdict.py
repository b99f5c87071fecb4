"""The verdict and its summary in eight lines, on results whose answer is known."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from recorded import evaluations, reading
from scipy import stats

from gancore.comparison.analysis import (
    Analysis,
    MetricComparison,
    RecipeResult,
    analyse,
    seed_difference_interval,
)
from gancore.comparison.report import TEMPLATES
from gancore.comparison.verdict import RULES, VerdictInputs, summarise, write_verdict
from gancore.evaluation.report import MAX_LINES, MAX_WIDTH
from gancore.evaluation.result import EvaluationResult

BLIND = {"real": 0.9, "noise": 0.0, "collapse": 0.95}
"""The anchors of a measure that cannot see collapse, as precision."""


def around(*values: float, half: float = 0.01) -> list[tuple[float, float, float]]:
    return [(value, value - half, value + half) for value in values]


def verdict(values, case=(), **facts) -> dict[str, str]:
    """Statements by rule."""
    found = analyse(evaluations(values, **facts))
    statements = write_verdict(VerdictInputs(found, "10 minutes", **dict(case)))
    by_rule: dict[str, str] = {}
    for statement in statements:
        by_rule[statement.rule] = f"{by_rule.get(statement.rule, '')} {statement.text}".strip()
    return {"first": statements[0].text, **by_rule}


def test_intervals_that_are_apart_make_one_better():
    statements = verdict({"frechet": {"a": around(0.2), "b": around(0.4)}})
    assert statements["first"] == "On frechet, a is better than b."
    assert "frechet, in nats, lower is better: a 0.200 (0.190 to 0.210); b 0.400" in statements["better"]


def test_intervals_that_overlap_separate_nothing():
    statements = verdict({"frechet": {"a": around(0.2), "b": around(0.215)}})
    assert statements["first"] == "On frechet, nothing separates the best, a, from b."
    assert "is better than" not in statements["first"]


def test_where_higher_is_better_the_higher_is():
    facts = {"recall": {"higher_is_better": True, "anchors": {"real": 0.9, "noise": 0.0, "collapse": 0.1}}}
    assert verdict({"recall": {"a": around(0.2), "b": around(0.4)}}, **facts)["first"].endswith(
        "b is better than a."
    )


def test_one_seed_out_of_line_is_enough_to_separate_nothing():
    statements = verdict({"frechet": {"a": around(0.2, 0.41), "b": around(0.4, 0.4)}})
    assert "nothing separates" in statements["first"]


def test_those_between_share_the_lead_and_the_rest_is_behind():
    statements = verdict({"frechet": {"a": around(0.2), "b": around(0.21), "c": around(0.5)}})
    assert statements["first"] == (
        "On frechet, a has the best value and nothing separates it from b; it is better than c."
    )


def test_where_the_best_is_blurred_those_that_are_apart_further_down_are_named():
    values = {"frechet": {"a": [(0.2, 0.0, 0.9)], "b": around(0.3), "c": around(0.5)}}
    statements = verdict(values)
    assert statements["first"] == "On frechet, nothing separates the best, a, from b and c."
    assert "b is better than c." in statements["better"]


def test_one_seed_says_nothing_of_another():
    statements = verdict({"frechet": {"a": around(0.2), "b": around(0.4)}})
    assert statements["seeds"] == "Each recipe was trained once: the effect of the seed is unknown."


def test_a_wide_spread_over_seeds_does_not_speak_for_the_recipes():
    statements = verdict({"frechet": {"a": around(0.20, 0.30), "b": around(0.33, 0.45)}})
    assert statements["first"] == "On frechet, a is better than b."
    assert "the variation over 2 seeds is too large" in statements["seeds"]


def test_a_narrow_one_does():
    statements = verdict({"frechet": {"a": around(0.20, 0.21, 0.205), "b": around(0.80, 0.81, 0.79)}})
    assert statements["seeds"] == "a is better than b: the difference also exceeds the variation over seeds."


def test_a_gan_that_loses_is_said_to_lose():
    kinds = {"kinds": {"a": "GAN", "b": "likelihood model", "c": "GAN"}}
    statements = verdict({"frechet": {"a": around(0.6), "b": around(0.2), "c": around(0.9)}}, kinds)
    assert statements["gan"] == (
        "Is a GAN worth it here? By frechet, no: the best GAN, a (0.600),"
        " is worse than the likelihood model b (0.200)."
    )


def test_one_that_wins_to_win_and_one_that_does_neither_to_do_neither():
    kinds = {"kinds": {"a": "GAN", "b": "likelihood model"}}
    won = verdict({"frechet": {"a": around(0.2), "b": around(0.6)}}, kinds)
    drawn = verdict({"frechet": {"a": around(0.2), "b": around(0.21)}}, kinds)
    assert "yes: the best GAN, a (0.200), is better than the likelihood model b" in won["gan"]
    assert "this is undecided: nothing separates the best GAN, a" in drawn["gan"]


@pytest.mark.parametrize("kinds", [{"a": "GAN", "b": "GAN"}, {"a": "fitted model", "b": "likelihood model"}])
def test_of_one_kind_alone_the_question_is_not_asked(kinds):
    assert "gan" not in verdict({"frechet": {"a": around(0.2), "b": around(0.6)}}, {"kinds": kinds})


def test_a_measure_that_is_not_trusted_decides_nothing_and_is_named():
    facts = {"frechet": {"trust": "no: noise no worse than real"}}
    values = {
        "frechet": {"a": around(0.2), "b": around(0.4)},
        "kid": {"a": around(0.4), "b": around(0.2)},
    }
    statements = verdict(values, **facts)
    assert statements["first"] == "On kid, b is better than a."
    assert (
        statements["trust"] == "Not trusted on these data, and left out: frechet (noise no worse than real)."
    )


UNTRAINED = "no: noise not distinguished from real"


def with_own_controls(
    values: Mapping[str, Sequence[tuple[float, float, float]]], distrusted: Collection[str]
) -> Analysis:
    """By a score of each model's own: its controls differ from those of all others."""
    found: dict[str, dict[int, EvaluationResult]] = {}
    for number, (name, seeds) in enumerate(values.items()):
        facts = {"anchors": {**FAR["anchors"], "noise": 1000.0 + number}}
        facts |= {"trust": UNTRAINED} if name in distrusted else {}
        found[name] = {
            seed: EvaluationResult(name, [reading("nll", bounds, **facts)], {})
            for seed, bounds in enumerate(seeds)
        }
    return analyse(found)


def test_distrust_of_one_model_s_own_scores_is_confined_to_it():
    values = {"a": around(0.2), "untrained": around(5.0), "b": around(0.4)}
    found = VerdictInputs(with_own_controls(values, ["untrained"]), "10 minutes")
    statements = {statement.rule: statement.text for statement in write_verdict(found)}
    assert statements["lead"] == "On nll, a is better than b."
    assert "untrained (noise not distinguished from real)" in statements["left out"]
    assert statements["trust"] == "Not used for these recipes alone: nll for untrained."
    assert "  left out: untrained" in summarise(found)


def test_a_model_is_not_as_good_as_real_rows_because_it_scores_all_of_them_alike():
    found = {}
    for name, value in (("a", 0.2), ("b", 0.9)):
        own = {**FAR["anchors"], "real": value}
        found[name] = {0: EvaluationResult(name, [reading("nll", around(value)[0], anchors=own)], {})}
    comparison = analyse(found).comparisons[0]
    assert comparison.is_better("a", "b") and all(reading.own_scored for reading in comparison.readings)


def test_own_scores_say_nothing_of_real_rows_in_a_comparison_either():
    """Where two models score their controls equally by chance, too: as an evaluation says (test_report)."""
    found = {
        name: {0: EvaluationResult(name, [reading("auc", around(0.2)[0], own_scored=True)], {})}
        for name in ("a", "b")
    }
    comparison = analyse(found).comparisons[0]
    assert not comparison.shares_controls and comparison.anchors == {}
    assert not comparison.matches_real("a") and comparison.gap_closed("a") is None
    assert not comparison.worse_than_real("a", 1)


def test_a_recipe_without_a_score_is_left_out_if_nothing_else_decides():
    own = with_own_controls({"a": around(0.2), "b": around(0.4)}, [])
    skipped = reading("nll", None)
    results = {**own.comparisons[0].results, "c": RecipeResult("c", {0: skipped})}
    found = Analysis([MetricComparison("nll", results)], [*own.names, "c"])
    statements = {s.rule: s.text for s in write_verdict(VerdictInputs(found, "10 minutes"))}
    assert statements["lead"] == "On nll, a is better than b."
    assert "c (this model has no likelihood)" in statements["left out"]
    assert summarise(VerdictInputs(found, "10 minutes"))[1].startswith(
        "  a: 0.200, not compared with real rows"
    )


def test_what_leaves_one_recipe_decides_nothing_and_says_what_to_do():
    found = VerdictInputs(with_own_controls({"a": around(0.2), "b": around(5.0)}, ["b"]), "10 minutes")
    first, *_, last = write_verdict(found)
    assert first.text.startswith("No verdict") and last.text.startswith("next: train b longer")
    assert summarise(found)[-1].startswith("next: train b longer")
    shared = verdict({"frechet": {"a": around(0.2), "b": around(0.4)}}, frechet={"trust": UNTRAINED})
    assert shared["next"].startswith("next: add data") and "1,000 held-out rows" in shared["next"]


def test_the_measure_that_the_domain_prefers_may_leave_a_recipe_out():
    own = with_own_controls({"a": around(0.2), "b": around(0.4), "c": around(9.0)}, ["c"])
    others = analyse(evaluations({"kid": {"a": around(0.4), "b": around(0.2), "c": around(9.0)}}))
    for preferred, expected in (("nll", "nll"), ("kid", "kid"), ("", "kid")):
        both = Analysis([*own.comparisons, *others.comparisons], own.names, preferred)
        assert both.headline.metric == expected


def test_a_measure_that_cannot_see_collapse_is_no_headline():
    facts = {
        "precision": {
            "higher_is_better": True,
            "anchors": BLIND,
            "trust": "yes, blind to collapse by definition",
        }
    }
    values = {
        "precision": {"a": around(0.99), "b": around(0.5)},
        "frechet": {"a": around(0.8), "b": around(0.2)},
    }
    statements = verdict(values, **facts)
    assert statements["first"] == "On frechet, b is better than a."
    assert statements["others"] == "By the other trusted metrics, b is behind on precision (a)."


@pytest.mark.parametrize(
    "bounds",
    [(0.2, None, None), (math.nan, 0.1, 0.3), (0.2, 0.1, math.inf)],
    ids=["without an interval", "not a number", "without an end"],
)
def test_what_has_no_bounds_decides_nothing(bounds):
    statements = verdict({"frechet": {"a": [bounds], "b": around(0.4)}})
    assert statements["first"].startswith("No verdict")


def test_a_measure_that_one_of_them_lacks_decides_nothing():
    statements = verdict({"nll": {"a": [None], "b": around(0.4)}})
    assert statements["first"].startswith("No verdict")


def test_measures_without_a_better_end_decide_nothing():
    statements = verdict(
        {"entropy": {"a": around(0.2), "b": around(0.4)}}, entropy={"higher_is_better": None}
    )
    assert statements["first"].startswith("No verdict")


def test_what_cannot_be_told_from_real_rows_is_said_to_be_so():
    statements = verdict({"frechet": {"a": [(0.11, 0.09, 0.13)], "b": around(0.5)}})
    assert (
        statements["real"]
        == "By frechet, at this n, a is not distinguishable from held-out real rows (0.100)."
    )


def test_and_by_which_measures_it_can():
    """A distance of moments sees nothing where nearest neighbours see all."""
    values = {
        "frechet": {"a": [(0.11, 0.09, 0.13)], "b": around(0.5)},
        "c2st": {"a": around(0.95), "b": around(0.97)},
        "kid": {"a": [(0.0, -0.2, 0.2)], "b": around(0.5)},
    }
    statements = verdict(values, c2st={"anchors": {"real": 0.5, "noise": 1.0, "collapse": 0.96}})
    assert statements["real"].endswith("held-out real rows (0.100); by c2st it is.")


def test_the_way_to_real_rows_is_counted_from_noise():
    """Noise 1.0, real 0.1: 0.4 is two thirds of the way."""
    statements = verdict({"frechet": {"a": around(0.4), "b": around(0.6)}})
    assert "a has gone 66.7 % of the way there from noise (1)" in statements["real"]


def test_a_model_worse_than_noise_has_gone_less_than_nothing():
    found = analyse(evaluations({"frechet": {"a": around(1.9), "b": around(3.0)}}))
    assert found.headline.gap_closed("a") == pytest.approx(-1.0)


def test_other_measures_are_asked_whether_they_agree():
    high = {"higher_is_better": True, "anchors": {"real": 0.9, "noise": 0.0, "collapse": 0.1}}
    values = {
        "frechet": {"a": around(0.2), "b": around(0.4)},
        "kid": {"a": around(0.2), "b": around(0.4)},
        "coverage": {"a": around(0.50), "b": around(0.51)},
        "recall": {"a": around(0.3), "b": around(0.8)},
    }
    statements = verdict(values, coverage=high, recall=high)
    assert statements["others"] == (
        "By the other trusted metrics, a leads alone on kid; a is behind on recall (b);"
        " nothing separates them on coverage."
    )


def test_failures_and_unfinished_trainings_and_the_limits_are_told():
    case = {
        "still_improving": ["a"],
        "failures": {"c-seed0": "out of memory (train)"},
        "machine": "CPU, 2 threads",
    }
    statements = verdict({"frechet": {"a": around(0.2), "b": around(0.4)}}, case)
    assert statements["failed"] == "c-seed0 failed: out of memory (train)."
    assert statements["unfinished"].startswith("a was still improving")
    assert statements["limits"] == (
        "This holds only for these data and 10 minutes of training each on CPU, 2 threads."
    )


@pytest.mark.parametrize(
    ("training_seconds", "expected"),
    [
        ({"a": 360.0, "b": 380.0}, None),
        (
            {"a": 279.4, "b": 360.0, "c": 442.6},
            "a 279 s, c 443 s (means over seeds).",
        ),
        ({}, None),
    ],
)
def test_budgets_that_were_not_one_are_named(training_seconds, expected):
    found = verdict({"frechet": {"a": around(0.2), "b": around(0.4)}}, {"training_seconds": training_seconds})
    assert found.get("spent") == (expected and f"Training times differ: {expected}")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "No verdict: no trial has been trained and evaluated."),
        ({"frechet": {"a": around(0.2)}}, "No verdict: only a was evaluated."),
    ],
)
def test_without_two_there_is_no_verdict(values, expected):
    found = analyse(evaluations(values)) if values else Analysis()
    assert write_verdict(VerdictInputs(found, "10 minutes"))[0].text == expected


def test_every_rule_is_explained():
    case = VerdictInputs(
        analyse(evaluations({"m": {"a": around(0.2), "b": around(0.4)}})), "1 hour", kinds={"a": "GAN"}
    )
    explained = {*RULES, "costs", "failed", "limits"}
    assert {statement.rule for statement in write_verdict(case)} <= explained
    template = (TEMPLATES / "report.html").read_text()
    assert all(f"'{rule}': '" in template for rule in explained)


def results(values: torch.Tensor, half: float) -> list[RecipeResult]:
    """A row of values is a recipe's, one a seed."""
    read = [[reading("m", (v, v - half, v + half)) for v in row] for row in values.tolist()]
    return [RecipeResult(str(number), dict(enumerate(row))) for number, row in enumerate(read)]


def test_over_seeds_it_is_welch_s_interval():
    """Beside scipy's, where the intervals over samples are negligible."""
    values = torch.tensor([[0.20, 0.26, 0.21], [0.50, 0.35, 0.41]], dtype=torch.float64)
    one, other = results(values, 1e-9)
    low, high = seed_difference_interval(one, other, pairs=1)
    expected = stats.ttest_ind(*values.tolist(), equal_var=False).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high), rel=1e-9)


def test_seeds_that_agree_by_chance_do_not_hide_the_error_over_samples():
    values = torch.tensor([[0.2, 0.2], [0.201, 0.201]], dtype=torch.float64)
    low, high = seed_difference_interval(*results(values, 0.05), pairs=1)
    assert low < 0 < high


FAR = {"anchors": {"real": -50.0, "noise": 1000.0, "collapse": 900.0}}


def test_equal_recipes_are_seldom_called_better():
    """Three recipes of one law, three seeds, 400 comparisons: seeds spread as much as samples do.

    Whatever stands in front, "better" over the recipes is to be said in at most 5 % + 3 sd of them.
    """
    generator = torch.Generator().manual_seed(0)
    n, wrong, wrong_models = 400, 0, 0
    for _ in range(n):
        drawn = torch.randn(3, 3, generator=generator, dtype=torch.float64)
        drawn = drawn + torch.randn(3, 3, generator=generator, dtype=torch.float64)
        trials = results(drawn, 1.96)
        values = {s.name: [(r.value, r.low, r.high) for r in s.readings.values()] for s in trials}
        statements = verdict({"frechet": values}, frechet=FAR)
        wrong += "exceeds the variation" in statements.get("seeds", "")
        wrong_models += "is better than" in statements["first"]
    assert wrong / n <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / n)
    assert wrong_models / n <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / n)


def test_equal_recipes_are_seldom_called_better_if_the_worst_scores_are_left_out():
    """As above, with four recipes of which the metric distrusts those whose first trial is a bad one."""
    generator = torch.Generator().manual_seed(1)
    n, wrong, wrong_models, compared = 300, 0, 0, 0
    for _ in range(n):
        drawn = torch.randn(4, 3, generator=generator, dtype=torch.float64)
        drawn = drawn + torch.randn(4, 3, generator=generator, dtype=torch.float64)
        trials = results(drawn, 1.96)
        values = {s.name: [(r.value, r.low, r.high) for r in s.readings.values()] for s in trials}
        found = with_own_controls(values, [name for name, seeds in values.items() if seeds[0][0] > 1])
        statements = {s.rule: s.text for s in write_verdict(VerdictInputs(found, "10 minutes"))}
        compared += "left out" in statements
        wrong += "exceeds the variation" in statements.get("seeds", "")
        wrong_models += "is better than" in statements.get("lead", "")
    assert compared > n / 3
    assert wrong / n <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / n)
    assert wrong_models / n <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / n)


def test_recipes_far_apart_are_called_so():
    generator = torch.Generator().manual_seed(1)
    drawn = torch.tensor([[0.0], [40.0]]) + torch.randn(2, 3, generator=generator)
    values = {s.name: [(r.value, r.low, r.high) for r in s.readings.values()] for s in results(drawn, 1.96)}
    assert "exceeds the variation" in verdict({"frechet": values}, frechet=FAR)["seeds"]


def test_the_measure_that_the_domain_prefers_heads_where_it_can():
    values = {m: {"a": around(0.2), "b": around(0.4)} for m in ("frechet", "truth")}
    assert analyse(evaluations(values), "truth").headline.metric == "truth"
    assert analyse(evaluations(values), "unknown").headline.metric == "frechet"
    distrusted = evaluations(values, truth={"trust": "no: noise not distinguished from real"})
    assert analyse(distrusted, "truth").headline.metric == "frechet"


def test_where_noise_is_no_anchor_the_way_is_counted_from_collapse():
    statements = verdict(
        {"m": {"a": around(0.4), "b": around(0.6)}}, m={"anchors": {"real": 0.1, "collapse": 0.7}}
    )
    assert "a has gone 50.0 % of the way there from collapse (0.700)" in statements["real"]


def test_a_measure_without_a_better_end_is_not_called_untrusted():
    facts = {"entropy": {"higher_is_better": None, "trust": "unordered: no direction is better"}}
    values = {m: {"a": around(0.2), "b": around(0.4)} for m in ("frechet", "entropy")}
    assert "trust" not in verdict(values, **facts)


def test_one_that_nothing_could_check_is_left_out_and_named():
    facts = {"m": {"trust": "unchecked: there are no controls"}}
    statements = verdict({"m": {"a": around(0.2), "b": around(0.4)}}, **facts)
    assert statements["first"].startswith("No verdict")
    assert statements["trust"].endswith("left out: m (unchecked: there are no controls).")


def test_measures_keep_the_order_of_the_evaluation():
    read = {"a": {0: EvaluationResult("a", [reading(m, (0.2, 0.1, 0.3)) for m in ("z", "b", "k")])}}
    assert [comparison.metric for comparison in analyse(read)] == ["z", "b", "k"]


def lines(values, facts=(), **case) -> list[str]:
    return summarise(VerdictInputs(analyse(evaluations(values, **dict(facts))), "10 minutes", **case))


def test_the_lead_each_recipe_and_the_question_of_the_house():
    summary = lines(
        {"frechet": {"a": around(0.4), "b": around(0.2)}}, kinds={"a": "GAN", "b": "likelihood model"}
    )
    assert summary == [
        "By frechet b is better than a.",
        "  b: 0.200, 89 % of the way from noise to real",
        "  a: 0.400, 67 % of the way from noise to real",
        "Is a GAN worth it here? No: b is better than a.",
    ]


@pytest.mark.parametrize(
    ("values", "lead"),
    [
        (
            {"a": around(0.2), "b": around(0.205)},
            "By frechet nothing separates the best, a, from the others.",
        ),
        ({"a": around(1.2), "b": around(1.5)}, "no recipe leads: none is better than noise"),
        ({"a": around(0.95), "b": around(1.5)}, "no recipe leads: none is better than noise or a collapse"),
        ({"a": around(0.02), "b": around(0.06)}, "nothing separates the best, a, from the others"),
        ({"a": around(0.2), "b": around(0.205), "c": around(0.5)}, "a (level with b) is better than c."),
        ({"a": around(0.2)}, "Only a was evaluated"),
    ],
    ids=["level", "behind noise", "behind a collapse", "beyond real rows", "two lead", "one"],
)
def test_who_leads(values, lead):
    assert lead in lines({"frechet": values})[0]


def test_faults_stand_beside_the_recipe():
    high = {"higher_is_better": True, "kind": "diversity"}
    anchors = {"real": 0.9, "noise": 0.5, "collapse": 0.1}
    summary = lines(
        {"frechet": {"a": around(0.4), "b": around(1.2)}, "recall": {"a": around(0.09), "b": around(0.8)}},
        {"recall": {**high, "anchors": anchors}},
    )
    assert summary[1].endswith("; collapsed")
    assert summary[2].endswith("; no better than noise")


def test_without_a_trusted_measure_there_is_no_verdict():
    summary = lines({"frechet": {"a": around(0.4)}}, {"frechet": {"trust": "no: shrunk better than real"}})
    assert summary == [
        "No verdict: no metric is trusted and has an interval for all recipes.",
        "not trusted here: frechet",
    ]


@given(st.lists(st.tuples(st.text("abc ", min_size=1, max_size=90), st.floats(-1, 2)), max_size=12))
def test_it_is_eight_lines_of_eighty_columns(found):
    values = {name: around(value) for name, value in found}
    summary = lines({"frechet": values}) if values else []
    assert len(summary) <= MAX_LINES and all(len(line) <= MAX_WIDTH for line in summary)
