"""Checks of metrics: their intervals, and whether they rank real data above data that are known to be bad.

Likelihoods and posteriors are simulated as those of a good model; nothing is trained.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from gancore.data.dataset import Batch, Data
from gancore.errors import ConfigError
from gancore.evaluation import controls
from gancore.evaluation.catalogue import CORE_METRICS
from gancore.evaluation.features import FeatureExtractor, flatten_rows
from gancore.evaluation.reference import read_rows
from gancore.evaluation.result import badness, encode_lossless
from gancore.metrics.metric import Metric, MetricInputs, SampleSet
from gancore.plugins import plugins
from gancore.random import Key, shuffle_coordinates
from gancore.samples import Samples
from gancore.testing.check import CheckFailure, SkipCheck, error_text, global_seed
from gancore.testing.feature_checks import ROWS, default_features, ready_features
from gancore.testing.fixtures import DomainFixture
from gancore.testing.part_fixtures import MetricFixture
from gancore.trees import Tree, tree_leaves, tree_map, tree_slice

PARTS_OF_A_SET = frozenset({"features", "log_posteriors", "condition"})


def intervals_contain_values(fixture: DomainFixture) -> None:
    """A metric uses only what it declares, is reproducible, and its interval contains its value."""
    measures = {name: plugins().load_metric(entry) for name, entry in _entries(fixture).items()}
    quick = {name: measure for name, measure in measures.items() if measure.quick}
    if not quick:
        raise SkipCheck("the domain has no measures for its tiny data")
    shown, unseen = real_evidence(fixture, quick.values()), []
    for name, measure in quick.items():
        try:
            check_value(name, measure, shown)
        except SkipCheck as reason:
            unseen.append(str(reason))
    if len(unseen) == len(quick):
        raise SkipCheck("; ".join(unseen))


def _entries(fixture: DomainFixture) -> Mapping[str, Any]:
    entries = fixture.domain.metrics_for(fixture.data.spec)
    for name in entries.keys() & {entry.name for entry in CORE_METRICS}:
        raise CheckFailure(f"the metric {name} has the name of a metric of the core", "rename it")
    return entries


def real_evidence(fixture: DomainFixture, measures: Iterable[Metric]) -> MetricInputs:
    """Inputs with rows of test in place of samples, and everything that these metrics use.

    Posteriors are simulated if rows have labels and no feature extractor classifies them.
    """
    wants = frozenset[str]().union(*(measure.all_requirements for measure in measures))
    known = ready_features(fixture) if "log_posteriors" in wants else ()
    judge = next((features for _, features in known if features.classes), None)

    def see(split: str) -> SampleSet:
        rows = fixture.samples(ROWS, split)
        embedded = said = None
        if "features" in wants:
            embedded = default_features(fixture).embed(rows.data, rows.spec)
        if "log_posteriors" in wants:
            said = judge.log_posteriors(rows.data, rows.spec) if judge else ideal_log_probs(rows)
        return SampleSet(rows.data, rows.condition, embedded, said)

    fake, real, train = map(see, ("test", "valid", "train"))
    made = MetricInputs(fake, real, train, fixture.data.spec, Key.of("kit", "evaluate"))
    return replace(
        made,
        log_prob=-Key.of("kit", "log_prob").uniform(len(real), low=1.0, high=2.0),
        classes=judge.classes if judge else fixture.data.spec.get("classes") or (),
        train_classifier=nearest_neighbour_classifier if has_labels(fixture.samples(ROWS, "train")) else None,
    )


def _needed(name: str, shown: MetricInputs, measure: Metric) -> MetricInputs:
    """Reduce the inputs to what the metric declares. Raises SkipCheck if something is missing."""
    wants: frozenset[str] = measure.all_requirements
    held = {
        **{part: getattr(shown.fake, part) for part in PARTS_OF_A_SET},
        "classifier": shown.train_classifier,
    }
    if missing := sorted(need for need in measure.requires if need in held and held[need] is None):
        raise SkipCheck(f"the tiny data lack what {name} needs: {', '.join(missing)}")

    def cut(sampled: SampleSet) -> SampleSet:
        kept = {name: getattr(sampled, name) if name in wants else None for name in PARTS_OF_A_SET}
        return replace(sampled, **kept)

    return replace(
        shown,
        fake=cut(shown.fake),
        real=cut(shown.real),
        train=cut(shown.train) if "train" in wants else SampleSet(shown.train.samples, shown.train.condition),
        log_prob=shown.log_prob if "log_prob" in wants else None,
        train_classifier=shown.train_classifier if "classifier" in wants else None,
    )


def check_value(name: str, measure: Metric, shown: MetricInputs) -> None:
    """Check one metric.

    Raises:
        CheckFailure: it uses more than it declares, is not reproducible, or is outside its interval.
        SkipCheck: it has no value for these data: an input is missing, or it needs more rows.
    """
    inputs = _needed(name, shown, measure)
    try:
        value = float(measure.compute(inputs))
    except ConfigError as error:
        raise SkipCheck(f"{name} has no value for the tiny data: {error.message}") from error
    except Exception as error:
        fix = f"fix it, or add what it needs to requires, which is {sorted(measure.requires)}"
        raise CheckFailure(f"{name} of real data raises {error_text(error)}", fix) from error
    with global_seed(1):
        again = float(measure.compute(inputs))
    if value != again and not (math.isnan(value) and math.isnan(again)):
        raise CheckFailure(f"{name} of the same samples differs from call to call", "draw from inputs.key")
    if measure.interval is not None:
        _check_interval(name, measure, inputs, value)
    if measure.details is not None:
        try:
            encode_lossless(measure.details(inputs))
        except TypeError as error:
            raise CheckFailure(
                f"the details of {name} are not JSON: {error}", "use numbers, strings and lists"
            ) from error


def _check_interval(name: str, measure: Metric, inputs: MetricInputs, value: float) -> None:
    assert measure.interval is not None
    try:
        low, high, method = measure.interval(inputs)
    except ConfigError:  # too few rows
        return
    if not low <= value <= high:
        raise CheckFailure(
            f"{name} is {value:.4g}, outside its interval {low:.4g} to {high:.4g}",
            "compute value and interval from the same inputs",
        )
    if not method.strip():
        raise CheckFailure(f"the interval of {name} has no method", "name the method")


MEASURED = 64
"""The number of rows that a metric gets, if there are so many."""
SUM_TOLERANCE = 1e-5
"""The relative difference of sums of the same numbers in another order."""
SURE = 0.9
"""Probability that the simulated classifier gives to the class of a real row."""
UNLIKELY = -1000.0
"""log p of a real row under a model that generates noise, in nats; under a good model it is -1 to -2."""
TAUGHT = 512
LABEL_GAIN = 0.2
"""The smallest difference between real rows and noise in the share whose nearest row has the same label."""
NOISE, REPEATED = "noise", "one sample, repeated,"


def metrics_rank_real_data_first(fixture: DomainFixture) -> None:
    """Every metric ranks real data no lower than noise, and above noise or one repeated sample.

    Metrics whose ``higher_is_better`` is None are not checked, nor controls in ``insensitive_to``. Slow
    metrics and metrics that need a model are checked with the posteriors and likelihoods of a good model.
    """
    measures = {
        name: plugins().load_metric(entry)
        for name, entry in fixture.domain.metrics_for(fixture.data.spec).items()
    }
    sets = ReferenceSets(fixture)
    if not measures:
        raise SkipCheck("the domain has no measures for its tiny data")
    if not any([require_order(name, measure, sets) for name, measure in measures.items()]):
        raise SkipCheck(f"the tiny data lack what the metrics need: {', '.join(measures)}")


@dataclass
class ReferenceSets:
    """Rows of test, noise, and one repeated sample, each with the inputs that a metric declares."""

    fixture: DomainFixture
    features: FeatureExtractor | None = None
    """Prepared when a metric first needs it."""

    @cached_property
    def tell_noise(self) -> bool:
        """Whether noise is worse than real rows: not if their coordinates are independent."""
        return controls.noise_is_distinguishable(self.fixture.samples(MEASURED, "test").data)

    def inputs(self, measure: Metric) -> Mapping[str, MetricInputs] | None:
        """The inputs of the metric for each kind of data; None if something that it declares is missing."""
        real, reference = (self.fixture.samples(MEASURED, split) for split in ("test", "valid"))
        if not measure.all_requirements:
            kinds = dict(_sets(real, self.fixture))
            return {
                kind: MetricInputs.from_samples(s.data, reference.data, real.spec)
                for kind, s in kinds.items()
            }
        labelled = has_labels(real)
        if measure.requires & {"condition", "log_posteriors", "classifier"} and not labelled:
            return None
        judge = (
            nearest_neighbour_classifier
            if "classifier" in measure.all_requirements and labelled and self._labels_are_predictable(real)
            else None
        )
        if "classifier" in measure.requires and judge is None:
            return None
        train = self._seen(self.fixture.samples(TAUGHT, "train"), "train", measure)
        beside = self._seen(reference, "real data", measure)
        key = Key.of("kit", "evaluate")
        made = {}
        for kind, samples in _sets(real, self.fixture):
            shown = self._seen(samples, kind, measure)
            inputs = MetricInputs(
                shown, beside, train, real.spec, key, classes=real.spec.get("classes") or ()
            )
            made[kind] = replace(inputs, train_classifier=judge, log_prob=self._log_prob(kind, measure))
        return made

    def _seen(self, samples: Samples, kind: str, measure: Metric) -> SampleSet:
        wants, condition = measure.all_requirements, samples.condition
        features = self._embedded(samples) if "features" in wants else None
        said = ideal_log_probs(samples, kind) if "log_posteriors" in wants else None
        return SampleSet(samples.data, condition if "condition" in wants else None, features, said)

    def _log_prob(self, kind: str, measure: Metric) -> Tensor | None:
        """log p of real rows under a model that generates this kind of data, (rows,)."""
        if "log_prob" not in measure.all_requirements:
            return None
        rows = len(self.fixture.samples(MEASURED, "valid"))
        log_prob = -Key.of("kit", "log_prob").uniform(rows, low=1.0, high=2.0)
        return log_prob + (UNLIKELY if kind == NOISE else 0.0)

    def _labels_are_predictable(self, real: Samples) -> bool:
        """Whether labels of nearest rows predict labels: otherwise the stand-in classifier is not good."""
        judge = nearest_neighbour_classifier(self.fixture.data)
        right = [
            float((judge.log_posteriors(data).argmax(1) == real.condition).double().mean())
            for data in (real.data, noise(real.data))
        ]
        return right[0] > right[1] + LABEL_GAIN

    def _embedded(self, samples: Samples) -> Tensor:
        self.features = self.features or default_features(self.fixture)
        return self.features.embed(samples.data, samples.spec)


def require_order(name: str, measure: Metric, sets: ReferenceSets) -> bool:
    """Whether the metric has values to compare. Raises CheckFailure if it does not rank real data first."""
    shown = sets.inputs(measure)
    if shown is None:
        return False
    try:
        values = {kind: float(measure.compute(inputs)) for kind, inputs in shown.items()}
        again = float(measure.compute(shown["real data"]))
    except ConfigError:  # more rows than the tiny data have, or a package that is not installed
        return False
    except Exception as error:
        fix = f"fix it, or add what it needs to requires, which is {sorted(measure.requires)}"
        raise CheckFailure(f"{name} raises {error_text(error)}", fix) from error
    own, noisy, alone = values.values()
    if not math.isfinite(own):
        raise CheckFailure(f"{name} of real data is {own}", "let it be finite for real data")
    if own != again:
        raise CheckFailure(f"{name} of the same samples differs from call to call", "draw from inputs.key")
    noises = (noisy,) if sets.tell_noise else (noisy, own)
    if not any(ranks_real_first(measure, own, each, alone) for each in noises):
        raise CheckFailure(
            f"{name} does not rank real data first: real data {own:.4g}, noise {noisy:.4g}, one repeated "
            f"sample {alone:.4g}, higher_is_better is {measure.higher_is_better}",
            "fix the metric, or its higher_is_better and insensitive_to",
        )
    return True


def ranks_real_first(measure: Metric, real: float, noise: float, repeated: float) -> bool:
    """Whether real data rank above noise, or equal to noise and above one repeated sample."""
    if measure.higher_is_better is None or {"noise", "collapse"} <= measure.insensitive_to:
        return True
    if math.isclose(real, noise, rel_tol=SUM_TOLERANCE):
        noise = real
    best, *bad = (
        badness(value, measure.higher_is_better, measure.ideal) for value in (real, noise, repeated)
    )
    below, alone = (math.isnan(each) or each > best for each in bad)
    return below or (
        (real == noise or "noise" in measure.insensitive_to)
        and alone
        and "collapse" not in measure.insensitive_to
    )


def _sets(real: Samples, fixture: DomainFixture) -> Iterator[tuple[str, Samples]]:
    yield "real data", real
    yield NOISE, replace(real, data=_noise_or_own(real.data, fixture))
    yield REPEATED, replace(real, data=repeated(real.data), condition=repeated(real.condition))


def _noise_or_own(data: Tree, fixture: DomainFixture) -> Tree:
    """Noise; that of the domain where it changes nothing, as where all rows are equal."""
    permuted = noise(data)
    pairs = zip(tree_leaves(permuted), tree_leaves(data), strict=True)
    is_same = all(torch.equal(one, other) for one, other in pairs)
    return fixture.domain.noise(data, Key.of("kit", "noise")) if is_same else permuted


def noise(data: Tree) -> Tree:
    """The noise control of evaluations: every coordinate is permuted over the rows and keeps its values."""
    return shuffle_coordinates(data, Key.of("kit", "noise"))


def repeated(data: Tree) -> Tree:
    """The first row in place of every row."""
    return tree_map(lambda leaf: tree_slice(leaf, 0, 1).expand_as(leaf).clone(), data)


def has_labels(samples: Samples) -> bool:
    """Whether each row has one of the classes that the spec names."""
    labels = samples.condition
    one_each = isinstance(labels, Tensor) and labels.dim() == 1 and not labels.is_floating_point()
    return one_each and bool(samples.spec.get("classes"))


def ideal_log_probs(samples: Samples, kind: str = "real data") -> Tensor | None:
    """Log posteriors of a good classifier for this kind of data, (rows, classes); None without labels."""
    labels = samples.condition
    if not isinstance(labels, Tensor) or not has_labels(samples):
        return None
    return _posteriors(labels, len(samples.spec["classes"]), kind)


def _posteriors(labels: Tensor, classes: int, kind: str) -> Tensor:
    """Log posteriors of a good classifier, (rows, classes): nearly uniform for noise."""
    flat_out = torch.full((len(labels), classes), 1.0 / classes)
    if kind != NOISE:
        flat_out = torch.full_like(flat_out, (1 - SURE) / max(1, classes - 1))
        flat_out[torch.arange(len(labels)), labels.long().clamp(min=0)] = SURE if classes > 1 else 1.0
    tilt = Key.of("kit", "posteriors", kind).uniform(*flat_out.shape, low=0.99, high=1.01)
    return (flat_out * tilt).log().log_softmax(1)


def nearest_neighbour_classifier(data: Data) -> StandInClassifier:
    """A stand-in for the classifier that :attr:`MetricInputs.train_classifier` trains."""
    train = data.view("train")
    rows = torch.arange(min(len(train), TAUGHT))
    return StandInClassifier(read_rows(train, rows, Key.of("kit", "judge")), len(data.spec["classes"]))


@dataclass(frozen=True)
class StandInClassifier:
    """A classifier without training: a row has the class of the nearest row of train."""

    taught: Batch
    classes: int

    def embed(self, data: Tree) -> Tensor:
        return flatten_rows(data)

    def log_posteriors(self, data: Tree) -> Tensor:
        nearest = torch.cdist(flatten_rows(data), flatten_rows(self.taught.data)).argmin(1)
        labels = self.taught.condition[nearest]
        device = tree_leaves(data)[0].device
        return _posteriors(labels, self.classes, "real data").to(device)


def ranks_real_data_first(fixture: MetricFixture) -> None:
    """The metric ranks real data no lower than noise, and above noise or one repeated sample.

    The data are the tiny data of a domain that it names, or labelled points of the plane.
    """
    if not require_order(fixture.entry.name, fixture.measure, ReferenceSets(fixture.domain_fixture)):
        raise SkipCheck(f"the data of {fixture.domain_fixture.subject} lack what the metric needs")


def interval_contains_value(fixture: MetricFixture) -> None:
    """The metric uses only what it declares, is reproducible, and its interval contains its value.

    It gets real rows with likelihoods and, if rows have labels, a classifier with its posteriors.
    """
    check_value(fixture.entry.name, fixture.measure, real_evidence(fixture.domain_fixture, [fixture.measure]))
