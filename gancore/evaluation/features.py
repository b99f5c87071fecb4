"""Feature extractors: their contract, the core's own, and the extraction of cached features.

A feature extractor is a fixed function from canonical samples to vectors, with a name and a hash; all metrics
of an evaluation share one. Features are extracted chunk by chunk on the evaluation's device; those of real
rows are cached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch import Tensor

import gancore
from gancore.data.dataset import Batch, Data, Spec
from gancore.digests import digest_code, digest_json, digest_tensors
from gancore.entries import FeatureExtractorEntry
from gancore.errors import ConfigError, GancoreError, PluginError
from gancore.evaluation.cache import DiskCache
from gancore.evaluation.reference import digest_data, read_rows
from gancore.metrics.metric import Metric, SampleSet, count_invalid_rows
from gancore.plugins import plugins
from gancore.random import evaluation_key
from gancore.text import suggestion
from gancore.trees import Tree, tree_leaves, tree_map, tree_slice

if TYPE_CHECKING:
    from gancore.models.model import Model

CHUNK_ROWS = 256
"""Rows that an extractor processes at once."""


class RecipeTrainer(Protocol):
    """A function that trains a recipe of the domain with these changed settings, or loads it from the cache.

    See :meth:`gancore.evaluation.classifier.ClassifierCache.__call__`.
    """

    def __call__(self, recipe: str, changes: Mapping[str, Any], data: Data | None = None) -> Model: ...


@dataclass(frozen=True)
class FeatureContext:
    """What a feature extractor may use to prepare itself: the data, a cache folder, and a training function.

    ``train_recipe(recipe, changes)`` trains a recipe of the domain on the same source, once; afterwards the
    model comes from the cache. With a third argument it is trained on those data. ``announce`` reports to the
    user, line by line.
    """

    data: Data
    cache_folder: Path
    train_recipe: RecipeTrainer
    announce: Callable[[str], None] = field(default=lambda line: None)


class FeatureExtractor:
    """Base class of what a domain or a plugin defines; :class:`gancore.FeatureExtractorEntry` names it.

    ``prepare`` is called once, before anything else: it fits, trains or reads what the extractor needs, and
    never downloads. ``embed`` and ``log_posteriors`` get a few hundred rows at a time, on the device of the
    evaluation; models from ``FeatureContext.train_recipe`` are on that device too.
    """

    name: ClassVar[str]
    trained_on_train: ClassVar[bool] = False
    """Whether it was trained on rows of train; it then distinguishes them from other rows."""
    frechet_name: ClassVar[str] = ""
    """The literature's name of the Frechet distance on these features; empty: it has none."""

    def prepare(self, context: FeatureContext) -> None:
        """Raises ConfigError if a required file is missing; the message says where to get it."""

    @property
    def digest(self) -> str:
        """sha256, hexadecimal, of everything that the features depend on."""
        raise TypeError(f"{type(self).__name__} must define digest")

    def embed(self, samples: Tree, spec: Spec) -> Tensor:
        """Canonical samples to (n, d), float32, finite for finite samples."""
        raise TypeError(f"{type(self).__name__} must define embed(samples, spec)")

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes of :meth:`log_posteriors`; empty: this is no classifier."""
        return ()

    def log_posteriors(self, samples: Tree, spec: Spec) -> Tensor:
        """log p(class | sample), (n, classes); only called if ``classes`` is not empty."""
        raise TypeError(f"{type(self).__name__} must define log_posteriors(samples, spec)")


class ClassifierFeatureExtractor(FeatureExtractor):
    """The penultimate layer of the recipe `classifier`, trained on the same source, and its posteriors.

    ``spec`` is that of the source. Override ``check`` if samples may be of a kind that it was not trained on.
    """

    name = "classifier"
    trained_on_train = True

    def prepare(self, context: FeatureContext) -> None:
        sampler = context.train_recipe(self.name, {}).sampler
        self.classifier, self.spec = sampler, context.data.spec
        self._digest = digest_json(
            digest_tensors(list(sampler.state_dict().values())), dict(self.spec.fields)
        )

    def check(self, samples: Tree, spec: Spec) -> None:
        """Raises ConfigError if samples differ in kind from those of the source; by default none do."""

    @property
    def digest(self) -> str:
        return self._digest

    @property
    def classes(self) -> Sequence[str]:
        return list(self.spec["classes"])

    @torch.no_grad()
    def embed(self, samples: Tree, spec: Spec) -> Tensor:
        self.check(samples, spec)
        return self.classifier.embed(samples)

    @torch.no_grad()
    def log_posteriors(self, samples: Tree, spec: Spec) -> Tensor:
        self.check(samples, spec)
        return self.classifier.log_posteriors(samples)


def flatten_rows(samples: Tree) -> Tensor:
    """All coordinates of a row side by side: (n, coordinates), float32."""
    columns = [leaf.reshape(len(leaf), -1).float() for leaf in tree_leaves(samples)]
    return torch.cat(columns, dim=1)


class Coordinates(FeatureExtractor):
    """The values of a sample, unchanged: z = x. Distances are Euclidean distances of the values."""

    name = "coordinates"

    @property
    def digest(self) -> str:
        return digest_json("coordinates", 1)

    def embed(self, samples: Tree, spec: Spec) -> Tensor:
        return flatten_rows(samples)


# Standardised principal components of train, for data without better features.

PRINCIPAL_VERSION = 1
MAX_COMPONENTS = 64
ROWS_PER_COMPONENT = 10
MIN_RELATIVE_VARIANCE = 1e-6
"""A variance below this, relative to the largest one, is rounding."""
MAX_COVARIANCE_SIZE, MANY_ROWS, FEW_ROWS = 1024, 10_000, 1_000
"""Up to this many coordinates the covariance of many rows is decomposed; above, the products of a few rows.
"""


class PrincipalComponents(FeatureExtractor):
    """z = W (x - m): standardised principal components, each with variance 1 on train.

    The rows of W are the leading eigenvectors v of train's covariance, divided by the square roots of their
    eigenvalues. Components without variance are left out; there are at most 64, and at most a tenth of the
    number of rows. The largest entry of each v is positive. All components have equal weight, so a
    component that varies little counts as much as one that varies much.
    """

    name = "principal"

    def prepare(self, context: FeatureContext) -> None:
        cache = DiskCache(context.cache_folder / "principal", context.announce)
        x = _fitting_rows(context.data)
        key = digest_json("principal", PRINCIPAL_VERSION, digest_tensors(x))
        fitted = cache.tensors(key, lambda: _fit(x))
        self.mean, self.weights = (
            fitted["mean"],
            fitted["weights"],
        )  # (coordinates), (coordinates, components)

    @property
    def digest(self) -> str:
        return digest_tensors([self.mean, self.weights])

    def embed(self, samples: Tree, spec: Spec) -> Tensor:
        x = flatten_rows(samples)
        return (x - self.mean.to(x.device)) @ self.weights.to(x.device)


def _fitting_rows(data: Data) -> Tensor:
    """Rows of train that the components are fitted to, (rows, coordinates)."""
    train, key = data.view("train"), evaluation_key("principal")
    order = key.permutation(len(train))
    x = flatten_rows(read_rows(train, order[:FEW_ROWS], key / "few").data)
    if x.shape[1] > MAX_COVARIANCE_SIZE:
        return x
    return flatten_rows(read_rows(train, order[:MANY_ROWS], key / "many").data)


def _fit(x: Tensor) -> dict[str, Tensor]:
    mean = x.double().mean(0)
    x = x.double() - mean
    values, vectors = _leading_eigenvectors(x)
    limit = max(1, min(MAX_COMPONENTS, len(x) // ROWS_PER_COMPONENT))
    keep = int((values > MIN_RELATIVE_VARIANCE * values[0]).sum().clamp(1, limit))
    deviations = values[:keep].clamp_min(0).sqrt()
    deviations[deviations == 0] = 1  # all rows are equal
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    weights = (vectors * largest.sign())[:, :keep] / deviations
    return {"mean": mean.float(), "weights": weights.float()}


def _leading_eigenvectors(x: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, largest first, and eigenvectors (coordinates, ...) of x^T x / n; x (n, ...) is centred.

    With more coordinates than rows, from the eigenvectors u of x x^T / n: v = x^T u / |x^T u|.
    """
    n, coordinates = x.shape
    if coordinates <= n:
        values, vectors = torch.linalg.eigh(x.T @ x / n)
        return values.flip(0), vectors.flip(1)
    values, u = torch.linalg.eigh(x @ x.T / n)
    values, u = values.flip(0)[:MAX_COMPONENTS], u.flip(1)[:, :MAX_COMPONENTS]
    vectors = x.T @ u
    return values, vectors / vectors.norm(dim=0).clamp_min(1e-300)


@dataclass
class FeaturePipeline:
    """Computes features and posteriors of all sets with the same feature extractor and classifier.

    Each of the two is used only if a metric needs it. ``provenance``: for each requirement a digest of the
    code, plugin versions and data that its extractor depends on.
    """

    spec: Spec
    device: torch.device
    cache: DiskCache
    features: FeatureExtractor | None = None
    classifier: FeatureExtractor | None = None
    provenance: dict[str, str] = field(default_factory=dict)

    def extract(self, batch: Batch, cache: bool) -> SampleSet:
        """The rows with their features and posteriors.

        ``cache``: store the result; use it for real rows, which later evaluations need again.

        Raises:
            PluginError: an extractor gives another shape than (rows, d), or cached values are not finite.
        """
        content = digest_tensors(batch.data) if cache else ""

        def extract_one(requirement: str, extractor: FeatureExtractor | None) -> Tensor | None:
            if extractor is None:
                return None
            call = extractor.embed if requirement == "features" else extractor.log_posteriors
            if not content:
                return self._extract_in_chunks(call, extractor, batch.data)
            key = digest_json(requirement, content, self.cache_key(requirement), digest_spec(self.spec))
            values = self.cache.tensors(
                key, lambda: {requirement: self._extract_in_chunks(call, extractor, batch.data)}
            )[requirement]
            if invalid := count_invalid_rows(values, requirement):
                raise PluginError(
                    f"features {extractor.name!r} give values that are not finite for {invalid:,} of "
                    f"{len(values):,} real rows",
                    "choose others with --feature-extractor",
                )
            return values

        return SampleSet(
            batch.data,
            batch.condition,
            extract_one("features", self.features),
            extract_one("log_posteriors", self.classifier),
        )

    @torch.no_grad()
    def _extract_in_chunks(
        self, call: Callable[[Tree, Spec], Tensor], extractor: FeatureExtractor, samples: Tree
    ) -> Tensor:
        rows = len(Batch(samples))
        parts = []
        for start in range(0, rows, CHUNK_ROWS):
            chunk = tree_map(
                lambda leaf: leaf.to(self.device), tree_slice(samples, start, start + CHUNK_ROWS)
            )
            parts.append(call(chunk, self.spec).float().cpu())
        values = torch.cat(parts)
        if values.dim() != 2 or len(values) != rows:
            raise PluginError(
                f"features {extractor.name!r} give shape {tuple(values.shape)} for {rows} samples",
                "choose others with --feature-extractor",
            )
        return values

    def cache_key(self, requirement: str) -> list[str]:
        """JSON value that identifies the extractor of a requirement."""
        return [self.by_requirement[requirement].digest, self.provenance.get(requirement, "")]

    @property
    def by_requirement(self) -> dict[str, FeatureExtractor]:
        """The extractor that meets each requirement of a metric."""
        extractors = {"features": self.features, "log_posteriors": self.classifier}
        return {name: extractor for name, extractor in extractors.items() if extractor is not None}


def digest_spec(spec: Spec) -> str:
    return digest_json(dict(spec.fields), {name: digest_tensors(t) for name, t in spec.tensors.items()})


@dataclass
class ExtractorLoader:
    """Prepares each extractor once. ``no_classifier_reason``: why there is no classifier."""

    entries: Mapping[str, FeatureExtractorEntry]
    context: FeatureContext
    no_classifier_reason: str = ""
    loaded: dict[str, FeatureExtractor] = field(default_factory=dict)

    def choose(self, name: str | None) -> str:
        """The name of the features; by default the first. Raises ConfigError: no such features."""
        if name is not None and name not in self.entries:
            raise ConfigError(f"no features {name!r} for these data", suggestion(name, self.entries))
        return name or next(iter(self.entries))

    def load(self, pipeline: FeaturePipeline, name: str, metrics: Iterable[Metric]) -> None:
        """Puts into ``pipeline`` what the metrics require, or use.

        Raises:
            GancoreError: the features are not available; the message says where to get what they need.
        """
        requirements = frozenset[str]().union(*(metric.all_requirements for metric in metrics))
        if "features" in requirements:
            self.load_extractor(pipeline, name)
        if "log_posteriors" in requirements:
            self._load_classifier(pipeline, name)

    def load_extractor(self, pipeline: FeaturePipeline, name: str) -> None:
        """Features alone. Raises GancoreError: they are not available."""
        pipeline.features, pipeline.provenance["features"] = self._load_one(name), self._provenance(name)

    def _load_one(self, name: str) -> FeatureExtractor:
        if name not in self.loaded:
            extractor = plugins().load(self.entries[name], FeatureExtractor)
            extractor.prepare(self.context)
            self.loaded[name] = extractor
        return self.loaded[name]

    def _provenance(self, name: str) -> str:
        """A digest of the extractor's code, of the versions of its plugin and of gancore, and of the data
        that it may be fitted to: its own digest may omit each.
        """
        entry = self.entries[name]
        plugin = plugins().plugin_of(entry)
        versions = [gancore.__version__, *((plugin.distribution, plugin.version) if plugin else ())]
        return digest_json(versions, digest_code(entry.target), self._data_digest)

    @cached_property
    def _data_digest(self) -> str:
        return digest_data(self.context.data)

    def _load_classifier(self, pipeline: FeaturePipeline, chosen: str) -> None:
        """The chosen features, if they classify, else the first available extractor that does."""
        classifiers = [name for name, entry in self.entries.items() if entry.classifier]
        reasons = []
        for name in sorted(classifiers, key=lambda name: name != chosen):
            try:
                pipeline.classifier = self._check_classes(self._load_one(name))
                pipeline.provenance["log_posteriors"] = self._provenance(name)
                return
            except GancoreError as error:
                reasons.append(f"{name}: {error.message}")
        self.no_classifier_reason = "; ".join(reasons) or "there is no classifier for these data"

    def _check_classes(self, extractor: FeatureExtractor) -> FeatureExtractor:
        """Raises PluginError: its classes are not those of the data, in the same order."""
        classes = list(self.context.data.spec.get("classes") or [])
        if classes and classes != list(extractor.classes):
            raise PluginError(
                f"features {extractor.name!r} know other classes than the data's", "train others"
            )
        return extractor
