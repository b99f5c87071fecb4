"""The available metrics and feature extractors of the core, the domain and other plugins; known failures.

Entries are light: a metric is imported when it is needed. Imports no torch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, TypeVar, cast

from gancore.entries import FeatureExtractorEntry, MetricEntry
from gancore.errors import ConfigError, PluginError
from gancore.plugins import plugins
from gancore.text import suggestion

if TYPE_CHECKING:
    from gancore.data.dataset import Spec
    from gancore.domain import Domain
    from gancore.metrics.metric import Metric

ALL = "all"
"""The name that stands for every available metric, also those outside the default set."""

EntryT = TypeVar("EntryT", MetricEntry, FeatureExtractorEntry)


def _core(name: str, target: str, summary: str) -> MetricEntry:
    return MetricEntry(name, f"gancore.metrics.{target}", summary)


CORE_METRICS: tuple[MetricEntry, ...] = (
    _core(
        "frechet", "frechet:frechet_metric", "Frechet distance of Gaussians with the moments of the features"
    ),
    _core("frechet_infinity", "frechet:frechet_infinity_metric", "frechet, extrapolated to infinite samples"),
    _core("kid", "kernel:kid", "squared MMD with a cubic kernel, unbiased"),
    _core(
        "mmd_gaussian", "kernel:mmd_gaussian", "squared MMD with a Gaussian kernel of the reference's width"
    ),
    _core(
        "precision",
        "precision_recall:precision_metric",
        "share of samples inside the k-NN ball of a real row",
    ),
    _core("recall", "precision_recall:recall_metric", "share of real rows inside the k-NN ball of a sample"),
    _core("density", "precision_recall:density_metric", "number of real k-NN balls around a sample, over k"),
    _core("coverage", "precision_recall:coverage_metric", "share of real k-NN balls that contain a sample"),
    _core("prd_recall", "precision_recall:prd_recall", "F_8 of the precision-recall curve of distributions"),
    _core(
        "prd_precision",
        "precision_recall:prd_precision",
        "F_1/8 of the precision-recall curve of distributions",
    ),
    _core(
        "sliced_wasserstein",
        "sliced_wasserstein:sliced_wasserstein_metric",
        "Wasserstein-2 distance, averaged over random directions",
    ),
    _core("c2st_neighbour", "two_sample:c2st_neighbour", "accuracy of nearest neighbours: sample or real"),
    _core("c2st_trained", "two_sample:c2st_trained", "accuracy of a small trained network: sample or real"),
    _core(
        "jensen_shannon",
        "jensen_shannon:jensen_shannon",
        "a lower bound on the distance of the distributions, 0 to 1",
    ),
    _core("peeling", "peeling:peeling", "separability of samples along successive directions"),
    _core("ndb", "bins:ndb", "share of bins of the data with too many or too few samples"),
    _core("copies", "memorization:copies", "share of samples that are copies of train rows"),
    _core(
        "authenticity",
        "memorization:authenticity",
        "share of samples farther from train than rows of train",
    ),
    _core(
        "nearest_train", "memorization:nearest_train", "distance to train, relative to that of unseen rows"
    ),
    _core("birthday", "birthday:birthday", "size of the support, from the number of coinciding samples"),
    _core("inception_score", "scores:inception_score", "exp of the mutual information of sample and class"),
    _core(
        "modified_inception_score", "scores:modified_inception_score", "exp of the mean KL between posteriors"
    ),
    _core(
        "am_score",
        "scores:am_score_metric",
        "KL from train's class shares to those of samples, plus mean posterior entropy",
    ),
    _core("posterior_entropy", "scores:posterior_entropy", "mean entropy of the posteriors"),
    _core(
        "class_coverage", "scores:class_coverage", "number of classes with a sufficient share of the samples"
    ),
    _core(
        "scarcest_class", "scores:scarcest_class", "share of the scarcest class, relative to the reference"
    ),
    _core("label_accuracy", "scores:label_accuracy", "share of samples of the requested class"),
    _core(
        "classification_accuracy",
        "scores:classification_accuracy",
        "accuracy on real rows of a classifier that is trained on samples only",
    ),
    _core("nll", "scores:nll", "-log p of the reference rows under the model"),
)
"""Metrics of the core, in the order of the table."""

WITHOUT_DISTANCES = frozenset(
    {
        "inception_score",
        "modified_inception_score",
        "am_score",
        "posterior_entropy",
        "class_coverage",
        "scarcest_class",
        "label_accuracy",
        "classification_accuracy",
        "nll",
    }
)
"""Metrics of the core without a distance between samples: scores of a classifier, and the likelihood."""

PRINCIPAL_COMPONENTS = FeatureExtractorEntry(
    "principal",
    "gancore.evaluation.features:PrincipalComponents",
    "standardised principal components of train",
)
"""Added to those of every domain; the default if the domain has none."""
COORDINATES = FeatureExtractorEntry(
    "coordinates", "gancore.evaluation.features:Coordinates", "the values of a sample, unchanged"
)
"""Feature extractors for any data."""


def available_metrics(domain: Domain, spec: Spec, announce: Callable[[str], None]) -> dict[str, MetricEntry]:
    """Metrics by name: those of the core that the domain accepts, of the domain, and of other plugins.

    If two have the same name, the first is used. The domain's primary metric comes first.
    """
    from_plugins = _from_plugins("gancore_metrics", MetricEntry, domain)
    core = [e for e in CORE_METRICS if domain.samples_are_points or e.name in WITHOUT_DISTANCES]
    found = _by_name([*core, *domain.metrics_for(spec).values(), *from_plugins], "metric", announce)
    first = [domain.primary_metric] if domain.primary_metric in found else []
    return {name: found[name] for name in dict.fromkeys([*first, *found])}


def available_extractors(
    domain: Domain, spec: Spec, announce: Callable[[str], None]
) -> dict[str, FeatureExtractorEntry]:
    """Feature extractors by name: those of the domain (the first is the default), the core, other plugins."""
    from_plugins = _from_plugins("gancore_feature_extractors", FeatureExtractorEntry, domain)
    return _by_name(
        [*domain.feature_extractors_for(spec).values(), PRINCIPAL_COMPONENTS, COORDINATES, *from_plugins],
        "features",
        announce,
    )


def _from_plugins(hook: str, kind: type[EntryT], domain: Domain) -> list[EntryT]:
    entries = [entry for entry in plugins().entries(hook) if isinstance(entry, kind)]
    return [entry for entry in entries if not entry.domains or domain.name in entry.domains]


def _by_name(entries: Sequence[EntryT], what: str, announce: Callable[[str], None]) -> dict[str, EntryT]:
    found: dict[str, EntryT] = {}
    for entry in entries:
        first = found.setdefault(entry.name, entry)
        if first is not entry:
            announce(f"{what} {entry.name!r} of {entry.target} is left out: {first.target} has this name")
    return found


def load_metrics(
    entries: Mapping[str, MetricEntry], names: Sequence[str] | None, announce: Callable[[str], None]
) -> dict[str, Metric]:
    """Load the metrics with these names, in the given order; None loads the default set.

    A metric of the default set that cannot be imported is left out with a message.

    Raises:
        ConfigError: there is no such metric; the message suggests a similar name.
        PluginError: a named metric cannot be imported.
    """
    if names is not None and not names:
        raise ConfigError("no metric is named", suggestion("", entries))
    if names is not None and list(names) != [ALL]:
        for name in names:
            if name not in entries:
                raise ConfigError(f"no metric {name!r} for these data", suggestion(name, entries))
        return {name: plugins().load_metric(entries[name]) for name in names}
    found = {}
    for name, entry in entries.items():
        try:
            found[name] = plugins().load_metric(entry)
        except PluginError as error:
            announce(f"metric {name!r} is left out: {error}")
    return {name: metric for name, metric in found.items() if metric.quick or names is not None}


# Known failures of metrics with trust "yes". The experiment ``gancore lab measures`` found them on
# distributions whose true values are known.

FAILURES_FILE = Path(__file__).with_name("known_failures.json")
"""Where ``make measures`` writes them."""
MISSED = "S"
"""The outcome with trust "yes" of a metric that does not detect a fault."""
FALSE_ALARM = "F"
"""The outcome of a metric that reports a fault that does not exist."""
DEPENDS = "D"
"""The outcome of a metric that depends on something that it must not depend on."""
ALL_FAILURES = MISSED + FALSE_ALARM + DEPENDS
"""The outcomes that are failures."""
CASES_SHOWN = 2
"""The number of cases that a note lists; ``docs/measures-checked.md`` lists all."""
VERBS = {MISSED: "does not detect", FALSE_ALARM: "reports as a fault", DEPENDS: "depends on"}


class OutcomeTable(TypedDict):
    """The outcomes of ``gancore lab measures``.

    ``rows`` and ``dimensions`` are the values that were tried, with ``draws`` repetitions; ``cases`` are
    descriptions by name; ``outcomes`` has, by metric and case, a letter for each number of rows and each
    dimension, in that order.
    """

    rows: list[int]
    dimensions: list[int]
    draws: int
    cases: dict[str, str]
    outcomes: dict[str, dict[str, str]]


@cache
def failure_table() -> OutcomeTable:
    """The table that is part of this version of gancore."""
    return cast(OutcomeTable, json.loads(FAILURES_FILE.read_text()))


def outcomes_for(metric: str, d: int, n: int) -> Mapping[str, str]:
    """The outcome of a metric of the core on ``n`` rows of ``d`` features, a letter for each case.

    It is that of the nearest tried numbers of rows and dimensions, on a logarithmic scale. Empty if the
    metric was not tried.
    """
    table = failure_table()
    row, column = _nearest_index(table["rows"], n), _nearest_index(table["dimensions"], d)
    position = row * len(table["dimensions"]) + column
    return {case: letters[position] for case, letters in table["outcomes"].get(metric, {}).items()}


def known_failures(metric: str, d: int, n: int) -> str:
    """The known failures of a metric with trust "yes" on such data, as text; empty if there are none."""
    table, letters = failure_table(), outcomes_for(metric, d, n)
    parts = []
    for letter, verb in VERBS.items():
        if cases := [table["cases"][case] for case, outcome in letters.items() if outcome == letter]:
            more = f" and {len(cases) - CASES_SHOWN} more" if len(cases) > CASES_SHOWN else ""
            parts.append(f"{verb} {', '.join(cases[:CASES_SHOWN])}{more}")
    tried = table["dimensions"][_nearest_index(table["dimensions"], d)]
    return f"{'; '.join(parts)} at d = {tried}" if parts else ""


def _nearest_index(values: Sequence[int], target: int) -> int:
    return min(range(len(values)), key=lambda i: abs(math.log(values[i] / max(target, 1))))
