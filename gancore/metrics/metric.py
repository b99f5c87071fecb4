"""The contract of a metric: a number about samples, its inputs, and an interval that is valid for it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, wraps
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from gancore.data.dataset import Batch, Data, Spec
from gancore.errors import ConfigError
from gancore.random import CPU, Key, evaluation_key
from gancore.trees import Tree, tree_batch_size, tree_leaves, tree_map

Requirement = Literal[
    "features", "log_posteriors", "condition", "train", "log_prob", "likelihood", "classifier"
]
"""What a metric needs besides samples; ``classifier`` is ``MetricInputs.train_classifier``. A metric whose
requirement is not available is skipped with a reason.
"""
MODEL_REQUIREMENTS = frozenset({"log_prob", "likelihood"})
"""Metrics with one of these measure the model itself, not its samples."""

Control = Literal["noise", "collapse", "shrunk", "widened", "points"]
"""Negative controls. ``noise`` keeps only the marginal of each coordinate, ``collapse`` repeats a few real
rows; ``shrunk`` has features halfway to their mean, ``widened`` twice as far from it, ``points`` close to
those of a few real rows.
"""

MetricKind = Literal["distance", "fidelity", "diversity", "memory"]
"""What a metric measures: the distance of the two distributions, whether samples look real, whether they are
as diverse as real rows, whether they are copies of train rows.
"""

LEADING_COLUMNS = 8

T = TypeVar("T")


class Interval(NamedTuple):
    """A 95 % interval over samples, and the method that computed it."""

    low: float
    high: float
    method: str


class SampleClassifier(Protocol):
    """The sampler of a recipe that classifies: in evaluation mode, on the evaluation's device."""

    def embed(self, data: Tree) -> Tensor: ...

    def log_posteriors(self, data: Tree) -> Tensor: ...


@dataclass(frozen=True)
class SampleSet:
    """Canonical samples on the CPU with their features and posteriors; rows are on axis 0 of everything.

    ``features`` (n, d) float32 and ``log_posteriors`` (n, classes) come from fixed extractors that all sets
    share. ``condition``: what generated rows were requested to be, or the labels of real rows. None: not
    available.
    """

    samples: Tree
    condition: Tree = None
    features: Tensor | None = None
    log_posteriors: Tensor | None = None

    def __len__(self) -> int:
        return tree_batch_size(self.samples)

    def select(self, indices: Tensor) -> SampleSet:
        """The rows of these numbers, in this order."""

        def cut(tree: Tree) -> Tree:
            return tree_map(lambda leaf: leaf[indices], tree)

        return SampleSet(*map(cut, (self.samples, self.condition, self.features, self.log_posteriors)))

    def require_features(self) -> Tensor:
        """The features (n, d). Raises ConfigError: none were extracted."""
        if self.features is None:
            raise ConfigError(
                "this metric needs features, and none were extracted", "choose --feature-extractor"
            )
        return self.features

    def content_order(self) -> Tensor:
        """Row numbers (n) in the order of the features, else of the posteriors, else of the samples."""
        return self._content_order

    @cached_property
    def _content_order(self) -> Tensor:
        available = (self.features, self.log_posteriors, *tree_leaves(self.samples))
        return content_order(next(rows for rows in available if rows is not None))

    def sorted_features(self, device: torch.device = CPU) -> Tensor:
        """The features (n, d) in the order of their content. Raises ConfigError: none were extracted."""
        return self.require_features()[self.content_order()].to(device)


@dataclass(frozen=True)
class MetricInputs:
    """Everything that a metric may use.

    ``fake``: the samples that are evaluated. ``real``: rows of the reference split. ``train``: rows of train,
    for memorization metrics; ``train_size``: the size of train (None: these rows are all of it).
    ``log_prob``: nats per row of ``real`` under the model that generated ``fake``, (n,);
    ``likelihood``: the same of any rows; ``log_prob_is_bound``: they are lower bounds. ``classes``: names of
    the posteriors' columns. ``key``: for the metric's own draws; the same key gives the same value.
    ``device``: where expensive parts are computed.
    ``train_classifier``: trains the domain's classifier recipe on these data with the ordinary training loop,
    once, and caches it; None: the domain has no such recipe.
    """

    fake: SampleSet
    real: SampleSet
    train: SampleSet
    spec: Spec
    key: Key = field(default_factory=lambda: evaluation_key("evaluate", 0))
    log_prob: Tensor | None = None
    log_prob_is_bound: bool = False
    classes: Sequence[str] = ()
    device: torch.device = CPU
    train_classifier: Callable[[Data], SampleClassifier] | None = None
    train_size: int | None = None
    likelihood: Callable[[Batch], Tensor | None] | None = None

    @property
    def train_fraction(self) -> float:
        """Share of the train rows that memorization metrics search."""
        return min(1.0, len(self.train) / (self.train_size or len(self.train)))

    def invalid_reason(self, requirement: str) -> str:
        """Why what a metric requires must not be used, in one line; empty if it is valid.

        An extractor may give non-finite values for finite samples, as the logarithm of silence.
        """
        if requirement not in ("features", "log_posteriors"):
            return ""
        for name, part in (("samples", self.fake), ("reference rows", self.real), ("train rows", self.train)):
            values: Tensor | None = getattr(part, requirement)
            if values is not None and (count := count_invalid_rows(values, requirement)):
                what = requirement.replace("_", " ")
                return f"the {what} of {count:,} of {len(values):,} {name} are not finite"
        return ""

    @classmethod
    def from_samples(cls, fake: Tree, real: Tree, spec: Spec) -> MetricInputs:
        """Samples and real rows without anything else: for metrics without requirements."""
        reference = SampleSet(real)
        return cls(SampleSet(fake), reference, reference, spec)

    def subsample_fake(self, n: int, key: Key) -> MetricInputs:
        """``n`` of the samples, drawn without replacement by ``key``, which the result takes over."""
        return replace(self, fake=self.fake.select(key.permutation(len(self.fake))[:n]), key=key)

    def subsample(self, n_fake: int, n_real: int, key: Key) -> MetricInputs:
        """Rows of both sets, drawn without replacement by ``key``, which the result takes over."""
        fake = (key / "fake").permutation(len(self.fake))[:n_fake]
        real = (key / "real").permutation(len(self.real))[:n_real]
        return self._select(fake, real, key)

    def reduced_to(self, name: Literal["features", "log_posteriors"]) -> MetricInputs:
        """With these in place of the samples and of the reference rows: subsets copy nothing else."""

        def reduced(part: SampleSet) -> SampleSet:
            return part if (rows := getattr(part, name)) is None else SampleSet(rows, **{name: rows})

        return replace(self, fake=reduced(self.fake), real=reduced(self.real))

    def sorted_by_content(self) -> MetricInputs:
        """With samples and reference rows in :meth:`SampleSet.content_order`; train keeps its order."""
        return self._select(self.fake.content_order(), self.real.content_order(), self.key)

    def _select(self, fake: Tensor, real: Tensor, key: Key) -> MetricInputs:
        return replace(
            self,
            fake=self.fake.select(fake),
            real=self.real.select(real),
            log_prob=None if self.log_prob is None else self.log_prob[real],
            key=key,
        )

    def feature_pair(self) -> tuple[Tensor, Tensor]:
        """Features (real, fake), in the order of their content, on the evaluation's device.

        A value thus does not depend on the order of the rows, nor on their numbers.
        """
        return self.real.sorted_features(self.device), self.fake.sorted_features(self.device)

    def shuffled_features(self) -> tuple[Tensor, Tensor]:
        """Features (real, fake) in an order drawn by the key, for blocks and parts."""
        real, fake = self.feature_pair()
        key = self.key / "order"
        return real[(key / "real").permutation(len(real))], fake[(key / "fake").permutation(len(fake))]


@dataclass(frozen=True)
class Metric:
    """``compute`` gives the value; ``interval`` bounds it from the same inputs.

    ``higher_is_better`` None: neither end of the scale is better. ``ideal``: the best value, where it is not
    an end of the scale, as one half of a two-sample test; values nearer to it are better. ``caveat``: why
    this value, or its interval, is unreliable on these inputs, in a few words; empty if it is reliable.
    ``insensitive_to``: controls that the metric by its definition does not distinguish from real data, as
    precision does not see collapse. ``details``: what JSON and the report show besides the value (a curve,
    shares of classes). ``quick``: part of the default set. ``optional``: what it uses if available.
    """

    compute: Callable[[MetricInputs], float]
    unit: str
    higher_is_better: bool | None = False
    interval: Callable[[MetricInputs], Interval] | None = None
    details: Callable[[MetricInputs], Mapping[str, Any]] | None = None
    requires: frozenset[Requirement] = frozenset()
    insensitive_to: frozenset[Control] = frozenset()
    quick: bool = True
    optional: frozenset[Requirement] = frozenset()
    kind: MetricKind = "distance"
    equal_sizes: bool = False
    """It uses as many samples as real rows."""
    max_rows: int | None = None
    """It uses at most this many rows of each set."""
    ideal: float | None = None
    caveat: Callable[[MetricInputs], str] | None = None
    mean_over_samples: bool = False
    """Its value is a mean over samples: it does not depend on their number, beyond its interval."""

    @property
    def is_scored_by_model(self) -> bool:
        """Whether the model itself scores rows, as by its likelihood, those of the controls too."""
        return bool(self.requires & MODEL_REQUIREMENTS)

    def rows_used(self, fake: int, real: int) -> tuple[int, int]:
        """How many of these numbers of samples and real rows it uses."""
        if self.equal_sizes:
            fake = real = min(fake, real)
        limit = self.max_rows
        return (fake, real) if limit is None else (min(fake, limit), min(real, limit))

    @property
    def all_requirements(self) -> frozenset[Requirement]:
        """What is prepared for it."""
        return self.requires | self.optional


def count_invalid_rows(values: Tensor, requirement: str) -> int:
    """How many rows of (n, d) hold invalid values: features must be finite, log posteriors may be -inf."""
    valid = values < torch.inf if requirement == "log_posteriors" else values.isfinite()
    return int((~valid.all(1)).sum())


def content_order(rows: Tensor) -> Tensor:
    """Row numbers (n) of (n, ...) in an order that depends on the content of the rows alone: lexicographic.

    By the first :data:`LEADING_COLUMNS` columns, so that no scale matters; equal ones by their bytes.
    """
    flat = np.ascontiguousarray(rows.detach().cpu().reshape(len(rows), -1).numpy())
    if not flat.size:
        return torch.arange(len(rows))
    words = flat.view(np.dtype((np.void, flat.shape[1] * flat.itemsize)))
    by_bytes = np.empty(len(flat), dtype=np.int64)
    by_bytes[words.ravel().argsort(kind="stable")] = np.arange(len(flat))
    return torch.from_numpy(np.lexsort((by_bytes, *flat[:, :LEADING_COLUMNS].T[::-1])))


def random_order(rows: Tensor, key: Key) -> Tensor:
    """Row numbers (n) in an order drawn by ``key``; it depends on the content of the rows, not on their
    order.
    """
    return content_order(rows)[key.permutation(len(rows))]


def on_features(function: Callable[[Tensor, Tensor], float]) -> Callable[[MetricInputs], float]:
    """A function of features (real, fake) as one of :class:`MetricInputs`."""
    return lambda inputs: function(*inputs.feature_pair())


def once(
    function: Callable[[MetricInputs], T], part: Callable[[MetricInputs], object] = lambda inputs: inputs
) -> Callable[[MetricInputs], T]:
    """Caches the result for the last inputs, so that value, interval and details compute it once.

    Only as long as those inputs exist. ``part``: the part of the inputs on which the result depends.
    """
    last: list[tuple[weakref.ref[object], T]] = []

    @wraps(function)
    def cached(inputs: MetricInputs) -> T:
        known = part(inputs)
        for previous, result in last[-1:]:
            if previous() is known:
                return result
        result = function(inputs)
        last[:] = [(weakref.ref(known, lambda _: last.clear()), result)]
        return result

    return cached
