"""A comparison in eight lines, on readings whose answer is known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import evaluations

from gancore.comparison.brief import brief
from gancore.comparison.findings import find
from gancore.comparison.verdict import Case
from gancore.evaluation.summary import MOST, WIDTH


def around(value: float, half: float = 0.01) -> list[tuple[float, float, float]]:
    return [(value, value - half, value + half)]


def lines(values, facts=(), **case) -> list[str]:
    return brief(Case(find(evaluations(values, **dict(facts))), "10 minutes", **case))


def test_the_lead_each_recipe_and_the_question_of_the_house():
    told = lines(
        {"frechet": {"a": around(0.4), "b": around(0.2)}}, kinds={"a": "GAN", "b": "likelihood model"}
    )
    assert told == [
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
        ({"a": around(1.2), "b": around(1.5)}, "nobody leads: none is better than noise"),
        ({"a": around(0.95), "b": around(1.5)}, "nobody leads: none is better than noise or a collapse"),
        ({"a": around(0.02), "b": around(0.06)}, "nothing separates the best, a, from the others"),
        ({"a": around(0.2), "b": around(0.205), "c": around(0.5)}, "a (level with b) is better than c."),
        ({"a": around(0.2)}, "a alone was measured"),
    ],
    ids=["level", "behind noise", "behind a collapse", "beyond real rows", "two lead", "one"],
)
def test_who_leads(values, lead):
    assert lead in lines({"frechet": values})[0]


def test_faults_stand_beside_the_recipe():
    high = {"better": "higher", "kind": "diversity"}
    anchors = {"real": 0.9, "noise": 0.5, "collapse": 0.1}
    told = lines(
        {"frechet": {"a": around(0.4), "b": around(1.2)}, "recall": {"a": around(0.09), "b": around(0.8)}},
        {"recall": {**high, "anchors": anchors}},
    )
    assert told[1].endswith("; collapsed")
    assert told[2].endswith("; no better than noise")


def test_without_a_trusted_measure_there_is_no_verdict():
    told = lines({"frechet": {"a": around(0.4)}}, {"frechet": {"trust": "no: shrunk better than real"}})
    assert told == [
        "No verdict: no measure is bounded and trusted for all of them.",
        "do not trust here: frechet",
    ]


@given(st.lists(st.tuples(st.text("abc ", min_size=1, max_size=90), st.floats(-1, 2)), max_size=12))
def test_it_is_eight_lines_of_eighty_columns(found):
    values = {name: around(value) for name, value in found}
    told = lines({"frechet": values}) if values else []
    assert len(told) <= MOST and all(len(line) <= WIDTH for line in told)
