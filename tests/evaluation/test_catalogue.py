"""Which measures and features there are: the core's, under names of their own, each explained on its page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from refusals import refused

from gancore.data.dataset import Spec
from gancore.domain import Domain
from gancore.entries import FeatureExtractorEntry, MetricEntry
from gancore.errors import ConfigError, PluginError
from gancore.evaluation.catalogue import (
    ALL,
    CORE_METRICS,
    available_extractors,
    available_metrics,
    load_metrics,
)
from gancore.evaluation.features import FeatureExtractor
from gancore.metrics.metric import Metric
from gancore.plugins import plugins

PAGE = "\n".join(
    (Path(__file__).parents[2] / "docs" / name).read_text()
    for name in ("measures.md", "measures-classifier.md")
)


class Bare(Domain):
    """A domain without anything of its own."""

    name = "bare"


class Rich(Domain):
    name = "rich"
    metrics = {
        "kid": MetricEntry("kid", "rich:kid", "takes a name of the core's"),
        "gone": MetricEntry("gone", "nowhere_at_all:gone", "cannot be imported"),
        "text": MetricEntry("text", "gancore:__version__", "is no measure"),
    }
    feature_extractors = {"own": FeatureExtractorEntry("own", "rich:Own", "first")}


def known(domain: Domain, lines: list[str]) -> dict[str, MetricEntry]:
    return available_metrics(domain, Spec({}), lines.append)


@pytest.mark.parametrize("entry", CORE_METRICS, ids=lambda entry: entry.name)
def test_every_measure_of_the_core_is_one_and_is_explained(entry):
    measure = plugins().load_metric(entry)
    assert isinstance(measure, Metric)
    assert measure.interval is not None
    assert entry.summary and not entry.summary.endswith(".")
    assert len(re.findall(rf"^\| `{entry.name}` \| ", PAGE, re.MULTILINE)) == 1


def test_no_measure_is_explained_that_is_not_there_and_none_twice():
    names = [entry.name for entry in CORE_METRICS]
    assert sorted(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == sorted(names)
    assert len(set(names)) == len(names)


def test_the_first_keeps_a_name_and_the_other_is_told_of():
    messages: list[str] = []
    found = known(Rich(), messages)
    assert found["kid"].target == "gancore.metrics.kernel:kid"
    assert messages == ["metric 'kid' of rich:kid is left out: gancore.metrics.kernel:kid has this name"]


def test_what_cannot_be_imported_costs_itself_alone_unless_it_was_asked_for():
    messages: list[str] = []
    found = load_metrics(known(Rich(), []), [ALL], messages.append)
    assert {entry.name for entry in CORE_METRICS} <= found.keys()
    assert [line.partition(" is left out")[0] for line in messages] == ["metric 'gone'", "metric 'text'"]
    with refused(PluginError, "gone", "nowhere_at_all"):
        load_metrics(known(Rich(), []), ["gone"], print)
    with refused(PluginError, "text", "gancore.Metric"):
        load_metrics(known(Rich(), []), ["text"], print)


def test_measures_come_in_the_order_that_was_asked_for():
    names = ["recall", "frechet", "recall"]
    assert list(load_metrics(known(Bare(), []), names, print)) == ["recall", "frechet"]
    with refused(ConfigError, "recal", fix="recall"):
        load_metrics(known(Bare(), []), ["recal"], print)


def test_features_begin_with_the_domains_and_principal_components_are_always_there():
    assert next(iter(available_extractors(Bare(), Spec({}), print))) == "principal"
    assert list(available_extractors(Rich(), Spec({}), print))[:2] == ["own", "principal"]
    assert isinstance(
        plugins().load(available_extractors(Bare(), Spec({}), print)["principal"], FeatureExtractor),
        FeatureExtractor,
    )
    with refused(PluginError, "own", "rich:Own"):
        plugins().load(Rich.feature_extractors["own"], FeatureExtractor)


def test_a_domain_whose_samples_are_no_points_has_no_metric_of_distances():
    class Graphs(Bare):
        samples_are_points = False

    found = available_metrics(Graphs(), Spec({}), print)
    assert set(found) == {
        "inception_score", "modified_inception_score", "am_score", "posterior_entropy", "class_coverage",
        "scarcest_class", "label_accuracy", "classification_accuracy", "nll",
    }  # fmt: skip
    assert set(available_metrics(Bare(), Spec({}), print)) > set(found)
    for name in found:
        assert "features" not in load_metrics(found, [name], print)[name].requires
