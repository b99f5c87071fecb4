"""Sets whose quality is known: what they keep of the data, who orders them, and that they are made once."""

from __future__ import annotations

import math
import os
from dataclasses import replace

import dots
import pytest
import torch

import gancore
from gancore.data.dataset import Batch, Spec
from gancore.digests import digest_code
from gancore.domain import Domain
from gancore.entries import MetricEntry
from gancore.evaluation.cache import DiskCache
from gancore.evaluation.controls import (
    Controls,
    ControlValues,
    assess_trust,
    collapse_indices,
    noise_is_distinguishable,
    shuffle_coordinates,
)
from gancore.evaluation.features import Coordinates, FeaturePipeline
from gancore.metrics.metric import Metric, MetricInputs, SampleSet
from gancore.random import Key

ENTRY = MetricEntry("any", f"{__name__}:any", "")


def test_noise_keeps_each_coordinates_values_and_nothing_of_what_ties_them():
    x = Key.of("x").normal(2000, 1).expand(2000, 6).clone()
    x[:, 1] = x[:, 1].exp()
    y = shuffle_coordinates(x, Key.of("noise"))
    assert torch.equal(y.sort(0).values, x.sort(0).values)
    correlations = torch.corrcoef(y.T) - torch.eye(6)
    assert correlations.abs().max() < 4 / 2000**0.5
    assert torch.equal(shuffle_coordinates(x, Key.of("noise")), y)


def test_noise_of_a_tree_permutes_each_leaf_in_its_own_type():
    tree = {"ids": torch.arange(700 * 3).reshape(700, 3, 1), "mask": torch.arange(700) % 2 == 0}
    made = shuffle_coordinates(tree, Key.of("noise"))
    assert made["ids"].dtype is torch.int64 and made["ids"].shape == (700, 3, 1)
    assert torch.equal(made["ids"].sort(0).values, tree["ids"])
    assert made["mask"].dtype is torch.bool and made["mask"].sum() == 350


def test_noise_of_many_coordinates_is_permuted_in_all_of_them():
    x = torch.arange(40.0)[:, None].expand(40, 1300)
    y = shuffle_coordinates(x, Key.of("noise"))
    assert torch.equal(y.sort(0).values, x)
    assert (y == x).all(0).sum() == 0
    assert len({tuple(column.tolist()) for column in y.T}) == 1300


@pytest.mark.parametrize(("n", "distinct"), [(2000, 100), (300, 15), (21, 2), (20, 1), (3, 1)])
def test_a_collapse_is_a_twentieth_of_the_rows_over_and_over(n, distinct):
    rows = collapse_indices(n)
    assert len(rows) == n
    assert rows.unique().tolist() == list(range(distinct))
    counts = rows.bincount()
    assert counts.max() - counts.min() <= 1


# Trust.


def measure(higher_is_better=False, insensitive_to=(), ideal=None):
    return Metric(
        lambda inputs: 0.0,
        unit="",
        higher_is_better=higher_is_better,
        insensitive_to=frozenset(insensitive_to),
        ideal=ideal,
    )


@pytest.mark.parametrize(
    ("measure", "real", "noise", "collapse", "said"),
    [
        (measure(), 1, 2, 3, "yes"),
        (measure(higher_is_better=True), 3, 1, 2, "yes"),
        (measure(), 1, math.inf, 2, "yes"),
        (measure(), 1, 2, 1, "no: collapse not distinguished from real"),
        (measure(), 3, 2, 1, "no: noise and collapse better than real"),
        (measure(), 3, 3, 1, "no: noise not distinguished from real, collapse better than real"),
        (measure(higher_is_better=True), 1, 2, 0, "no: noise better than real"),
        (measure(), 1, math.nan, 2, "no: noise not distinguished from real"),
        (measure(), math.nan, 1, 2, "no: noise and collapse not distinguished from real"),
        (measure(insensitive_to=["collapse"]), 1, 2, 0, "yes, blind to collapse by definition"),
        (measure(insensitive_to=["collapse"]), 3, 2, 0, "no: noise better than real"),
        (measure(ideal=0.5), 0.45, 0.6, 0.2, "yes"),
        (
            measure(ideal=0.5),
            0.6,
            0.6,
            0.45,
            "no: noise not distinguished from real, collapse better than real",
        ),
        (
            measure(insensitive_to=["collapse", "noise"]),
            1,
            0,
            0,
            "yes, blind to collapse and noise by definition",
        ),
        (measure(higher_is_better=None), 1, 2, 3, "unordered: no direction is better"),
    ],
)
def test_a_measure_is_trusted_that_puts_both_bad_anchors_behind_the_good_one(
    measure, real, noise, collapse, said
):
    assert assess_trust(measure, ControlValues({"real": real, "noise": noise, "collapse": collapse})) == said


def test_a_bad_anchor_within_the_interval_of_the_good_one_is_not_told_from_it():
    values = {"real": 1.0, "noise": 1.9, "collapse": 3.0}
    assert assess_trust(measure(), ControlValues(values)) == "yes"
    assert assess_trust(measure(), ControlValues(values, (0.5, 1.5))) == "yes"
    assert (
        assess_trust(measure(), ControlValues(values, (0.1, 2.0))) == "no: noise not distinguished from real"
    )
    assert (
        assess_trust(measure(higher_is_better=True), ControlValues({**values, "real": 4.0}, (2.0, 6.0)))
        == "no: collapse not distinguished from real"
    )
    assert assess_trust(measure(), ControlValues(values, (math.nan, math.nan))) == "yes"


def test_without_anchors_nothing_is_checked():
    assert assess_trust(measure(), ControlValues({})) == "unchecked: there are no controls"
    assert assess_trust(measure(), ControlValues({"real": 1.0})) == "unchecked: there are no controls"


# Values.


class Called:
    """A measure that counts how often it is taken: the distance of means."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, inputs: MetricInputs) -> float:
        self.times += 1
        return float((inputs.fake.samples.mean(0) - inputs.real.samples.mean(0)).norm())


@pytest.fixture
def anchors(tmp_path) -> Controls:
    rows = [dots._dots(60, 1.0, True, Key.of("anchors", split)).rows for split in ("held", "real", "train")]
    held, real, train = rows
    inputs = MetricInputs(SampleSet(torch.zeros(9, 3)), SampleSet(real), SampleSet(train), Spec({}))
    return Controls(Batch(held), inputs, FeaturePipeline(Spec({}), torch.device("cpu"), DiskCache(tmp_path)))


def sets(anchors: Controls) -> dict[str, SampleSet]:
    """What a measure of samples is shown."""
    return dict(anchors.sets_for(Metric(Called(), unit="")))


def test_values_are_those_of_the_sets_and_are_made_once_for_all_models(anchors):
    called = Called()
    values = anchors.evaluate(ENTRY, Metric(called, unit="")).values
    assert list(values) == ["real", "noise", "collapse"]
    real = anchors.inputs.real.samples
    for name, rows in sets(anchors).items():
        assert values[name] == pytest.approx(float((rows.samples.mean(0) - real.mean(0)).norm()))
    other = replace(anchors, inputs=replace(anchors.inputs, fake=SampleSet(torch.ones(5, 3))))
    assert other.evaluate(ENTRY, Metric(called, unit="")).values == values
    assert called.times == 3


@pytest.mark.parametrize(
    "other",
    [
        lambda a: replace(a, held_out=Batch(a.held_out.data + 1)),
        lambda a: replace(a, inputs=replace(a.inputs, real=a.inputs.train)),
        lambda a: replace(a, inputs=replace(a.inputs, key=Key.of("evaluate", 1))),
        lambda a: replace(a, inputs=replace(a.inputs, spec=Spec({"sample_rate_hz": 8}))),
        lambda a: replace(a, pipeline=replace(a.pipeline, features=dots.Doubled())),
    ],
)
def test_what_they_depend_on_makes_them_anew(anchors, other):
    called = Called()
    needy = Metric(called, unit="", requires=frozenset({"features"}))
    anchors = replace(anchors, pipeline=replace(anchors.pipeline, features=Coordinates()))
    anchors.evaluate(ENTRY, needy)
    other(anchors).evaluate(ENTRY, needy)
    assert called.times == 12


def test_what_fails_on_an_anchor_orders_nothing_and_is_tried_again(anchors):
    calls = []

    def fails(inputs: MetricInputs) -> float:
        calls.append(1)
        if len(inputs.fake.samples.unique(dim=0)) < 10:
            raise ValueError("all alike")
        return 1.0

    for _ in range(2):
        values = anchors.evaluate(ENTRY, Metric(fails, unit="")).values
        assert math.isnan(values["collapse"]) and values["real"] == 1.0
    assert len(calls) == 6


@pytest.mark.parametrize("d", [1, 2, 5])
def test_where_coordinates_are_independent_noise_is_no_bad_set_and_is_left_out(anchors, d):
    """At 1 % by chance; these are not among them."""
    independent = Key.of("independent", d).normal(400, d).exp()
    assert list(sets(replace(anchors, held_out=Batch(independent)))) == ["real", "collapse"]
    assert not noise_is_distinguishable(independent)


def test_where_they_depend_on_each_other_it_is_one(anchors):
    angle = 6.3 * Key.of("ring").uniform(400, 1)
    ring = torch.cat([angle.cos(), angle.sin()], 1)
    assert noise_is_distinguishable(ring)
    assert noise_is_distinguishable(torch.cat([ring, Key.of("more").normal(400, 1)], 1))
    assert list(sets(replace(anchors, held_out=Batch(ring)))) == ["real", "noise", "collapse"]
    assert noise_is_distinguishable(Key.of("many").normal(50, 65)), "of many coordinates nobody asks"


def test_a_collapse_keeps_the_labels_of_its_rows(anchors):
    labels = torch.arange(60)
    made = sets(replace(anchors, held_out=Batch(anchors.held_out.data, labels)))
    assert made["collapse"].condition.unique().tolist() == [0, 1, 2]
    assert torch.equal(made["noise"].condition, labels)


def test_the_code_is_that_of_files_whatever_an_editor_leaves_beside_them(tmp_path, monkeypatch):
    (tmp_path / "edited").mkdir()
    (tmp_path / "edited" / "__init__.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = digest_code("edited:x")
    (tmp_path / "edited" / ".#kernel.py").symlink_to("somebody@host.1234")
    os.mkfifo(tmp_path / "edited" / "pipe.py")
    digest_code.cache_clear()
    assert digest_code("edited:x") == before


def test_the_code_of_a_measure_is_that_of_its_whole_package():
    assert digest_code("gancore.metrics.anything:x") == digest_code("gancore.api:train")
    assert digest_code("gancore.api:train") != digest_code("dots:height")
    assert len(digest_code("dots:height")) == 64


def test_a_measure_that_reads_them_the_wrong_way_step_is_marked(train):
    """A share of samples that are repeated, which calls itself the better the more of them there are."""
    found = gancore.evaluate(train(), metrics=["wrong_way"], n=100, device="cpu")["wrong_way"]
    assert found.anchors == {"real": 0.0, "noise": 0.0, "collapse": 0.95}
    assert found.trust == "no: collapse better than real"


def test_a_domain_may_define_its_noise_and_its_name_is_part_of_what_is_cached(anchors):
    class Sparse(Domain):
        def noise(self, samples, key):
            return torch.zeros_like(samples)

    own = replace(anchors, noise=Sparse().noise)
    assert not bool(own.sets_for(Metric(Called(), unit=""))["noise"].samples.any())
    assert own.has_noise
    entry, metric = MetricEntry("called", "gancore:called", ""), Metric(Called(), unit="")
    assert own._cache_key(entry, metric) != anchors._cache_key(entry, metric)
    rows = torch.arange(6.0).view(3, 2)
    shuffled = Domain().noise(rows, Key.of("noise"))
    assert torch.equal(shuffled, shuffle_coordinates(rows, Key.of("noise")))


def test_one_row_has_no_collapse(anchors):
    """One row again and again is that row: it would be no worse than real."""
    held = anchors.held_out.slice(0, 1)
    assert "collapse" not in sets(replace(anchors, held_out=held))
    assert "collapse" in sets(anchors)
