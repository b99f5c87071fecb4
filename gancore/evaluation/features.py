"""Feature extractors: the base class, those of the core, and the extraction and caching of features.

A feature extractor is a fixed function from canonical samples to vectors, with a name and a hash. All metrics
of an evaluation share one. Features are extracted in chunks on the device of the evaluation; features of real
rows are cached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

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
"""The number of rows that an extractor processes at a time."""


class RecipeTrainer(Protocol):
    """A function that trains a recipe of the domain with changed settings, or loads it from the cache.

    It is :meth:`gancore.evaluation.classifier.ClassifierCache.__call__`.
    """

    def __call__(self, recipe: str, changes: Mapping[str, Any], data: Data | None = None) -> Model: ...


@dataclass(frozen=True)
class FeatureContext:
    """The arguments of :meth:`FeatureExtractor.prepare`: the data, a cache folder, and a training function.

    ``train_recipe(recipe, changes)`` trains a recipe of the domain on the same source, or loads the model
    from the cache. A third argument is the data to train on instead. ``announce`` prints a line to the user.
    """

    data: Data
    cache_folder: Path
    train_recipe: RecipeTrainer
    announce: Callable[[str], None] = field(default=lambda line: None)


class FeatureExtractor:
    """Base class of feature extractors, which a :class:`gancore.FeatureExtractorEntry` names.

    ``prepare`` is called once, before all other methods: it fits, trains or reads what the extractor needs,
    and never downloads. ``embed`` and ``log_posteriors`` get a few hundred rows at a time, on the device of
    the evaluation; models from ``FeatureContext.train_recipe`` are on the same device.
    """

    name: ClassVar[str]
    trained_on_train: ClassVar[bool] = False
    """Whether it was trained on rows of train, which it may then distinguish from other rows."""
    frechet_name: ClassVar[str] = ""
    """The name of the Frechet distance of these features in the literature; empty if it has none."""

    def prepare(self, context: FeatureContext) -> None:
        """Prepare the extractor. By default it does nothing.

        Raises:
            ConfigError: a required file is missing; the message says where to get it.
        """

    @property
    def digest(self) -> str:
        """The sha256, in hexadecimal, of everything on which the features depend."""
        raise TypeError(f"{type(self).__name__} must define digest")

    def embed(self, samples: Tree, spec: Spec) -> Tensor:
        """Map n canonical samples to features (n, d) float32, which are finite for finite samples."""
        raise TypeError(f"{type(self).__name__} must define embed(samples, spec)")

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes of :meth:`log_posteriors`; empty if the extractor is not a classifier."""
        return ()

    def log_posteriors(self, samples: Tree, spec: Spec) -> Tensor:
        """log p(class | sample), (n, classes); called only if ``classes`` is not empty."""
        raise TypeError(f"{type(self).__name__} must define log_posteriors(samples, spec)")

    def embed_and_classify(self, samples: Tree, spec: Spec) -> tuple[Tensor, Tensor]:
        """What :meth:`embed` and :meth:`log_posteriors` give; override it if both share work."""
        return self.embed(samples, spec), self.log_posteriors(samples, spec)


@runtime_checkable
class ClassifierOfFeatures(Protocol):
    """A classifier whose posteriors are a function of its features."""

    def log_posteriors_of(self, features: Tensor) -> Tensor: ...


class ClassifierFeatureExtractor(FeatureExtractor):
    """Penultimate layer and posteriors of the recipe `classifier`, trained on the same source.

    ``spec`` is that of the source. Override ``check`` if samples may differ in kind from the training data.
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
        """Raise ConfigError if samples differ in kind from the training data. By default it does nothing."""

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

    @torch.no_grad()
    def embed_and_classify(self, samples: Tree, spec: Spec) -> tuple[Tensor, Tensor]:
        features = self.embed(samples, spec)
        if isinstance(self.classifier, ClassifierOfFeatures):
            return features, self.classifier.log_posteriors_of(features)
        return features, self.log_posteriors(samples, spec)


def flatten_rows(samples: Tree) -> Tensor:
    """Concatenate all values of each row: (n, coordinates) float32."""
    columns = [leaf.reshape(len(leaf), -1).float() for leaf in tree_leaves(samples)]
    return torch.cat(columns, dim=1)


class Coordinates(FeatureExtractor):
    """The values of a sample, unchanged: z = x. Distances are Euclidean distances between the values."""

    name = "coordinates"

    @property
    def digest(self) -> str:
        return digest_json("coordinates", 1)

    def embed(self, samples: Tree, spec: Spec) -> Tensor:
        return flatten_rows(samples)


# Standardised principal components of train, for data without other features.

PRINCIPAL_VERSION = 1
MAX_COMPONENTS = 64
ROWS_PER_COMPONENT = 10
MIN_RELATIVE_VARIANCE = 1e-6
"""A variance below this, relative to the largest variance, is a rounding error."""
MAX_COVARIANCE_SIZE, MANY_ROWS, FEW_ROWS = 1024, 10_000, 1_000
"""Up to this number of coordinates, the covariance of many rows is decomposed; above, the Gram matrix of few.
"""


class PrincipalComponents(FeatureExtractor):
    """z = W (x - m): standardised principal components, each with variance 1 on train.

    The rows of W are the leading eigenvectors v of the covariance of train, divided by the square roots of
    their eigenvalues. Components without variance are left out; there are at most 64, and at most a tenth of
    the number of rows. The entry of v with the largest absolute value is positive. All components have equal
    weight, whatever their variance is.
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
    """The rows of train to which the components are fitted, (rows, coordinates)."""
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
    deviations[deviations == 0] = 1  # if all rows are equal
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    weights = (vectors * largest.sign())[:, :keep] / deviations
    return {"mean": mean.float(), "weights": weights.float()}


def _leading_eigenvectors(x: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (k,), largest first, and eigenvectors (coordinates, k) of x^T x / n for centred x (n, d).

    With more coordinates than rows, they are computed from the eigenvectors u of x x^T / n as
    v = x^T u / |x^T u|.
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
    """Computes features and posteriors of all sets with one feature extractor and one classifier.

    Each of the two is used only if a metric needs it. ``provenance`` has, for each requirement, a digest of
    the code, plugin versions and data on which its extractor depends.
    """

    spec: Spec
    device: torch.device
    cache: DiskCache
    features: FeatureExtractor | None = None
    classifier: FeatureExtractor | None = None
    provenance: dict[str, str] = field(default_factory=dict)

    def extract(self, batch: Batch, cache: bool) -> SampleSet:
        """Compute features and posteriors of the rows.

        ``cache`` stores them, for real rows, which later evaluations use again.

        Raises:
            PluginError: an extractor gives a shape other than (rows, d), or values to store are not finite.
        """
        content = digest_tensors(batch.data) if cache else ""

        computed: dict[str, Tensor] = {}

        def compute(requirement: str, extractor: FeatureExtractor) -> Tensor:
            if requirement not in computed:
                computed.update(self._extract_in_chunks(extractor, batch.data))
            return computed[requirement]

        def extract_one(requirement: str, extractor: FeatureExtractor | None) -> Tensor | None:
            if extractor is None:
                return None
            if not content:
                return compute(requirement, extractor)
            key = digest_json(requirement, content, self.cache_key(requirement), digest_spec(self.spec))
            values = self.cache.tensors(key, lambda: {requirement: compute(requirement, extractor)})[
                requirement
            ]
            if invalid := count_invalid_rows(values, requirement):
                raise PluginError(
                    f"the feature extractor {extractor.name!r} gives values that are not finite for "
                    f"{invalid:,} of {len(values):,} real rows",
                    "choose another with --feature-extractor",
                )
            return values

        return SampleSet(
            batch.data,
            batch.condition,
            extract_one("features", self.features),
            extract_one("log_posteriors", self.classifier),
        )

    @torch.no_grad()
    def _extract_in_chunks(self, extractor: FeatureExtractor, samples: Tree) -> dict[str, Tensor]:
        """All that this extractor meets, by requirement; each (rows, d) float32 on the CPU."""
        names = [name for name, other in self.by_requirement.items() if other is extractor]
        rows = len(Batch(samples))
        parts: dict[str, list[Tensor]] = {name: [] for name in names}
        for start in range(0, rows, CHUNK_ROWS):
            chunk = tree_map(
                lambda leaf: leaf.to(self.device), tree_slice(samples, start, start + CHUNK_ROWS)
            )
            for name, part in zip(names, self._call(extractor, names, chunk), strict=True):
                parts[name].append(part.float().cpu())
        values = {name: torch.cat(part) for name, part in parts.items()}
        for value in values.values():
            if value.dim() != 2 or len(value) != rows:
                raise PluginError(
                    f"the feature extractor {extractor.name!r} gives shape {tuple(value.shape)} for"
                    f" {rows} rows",
                    "choose another with --feature-extractor",
                )
        return values

    def _call(self, extractor: FeatureExtractor, names: Sequence[str], chunk: Tree) -> tuple[Tensor, ...]:
        if len(names) == 2:
            return extractor.embed_and_classify(chunk, self.spec)
        call = extractor.embed if names == ["features"] else extractor.log_posteriors
        return (call(chunk, self.spec),)

    def cache_key(self, requirement: str) -> list[str]:
        """A JSON value that identifies the extractor of a requirement."""
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
    """Prepares each extractor once. ``no_classifier_reason`` is the reason if there is no classifier."""

    entries: Mapping[str, FeatureExtractorEntry]
    context: FeatureContext
    no_classifier_reason: str = ""
    loaded: dict[str, FeatureExtractor] = field(default_factory=dict)

    def choose(self, name: str | None) -> str:
        """The name of the extractor, by default the first. Raises ConfigError if it does not exist."""
        if name is not None and name not in self.entries:
            raise ConfigError(f"no feature extractor {name!r} for these data", suggestion(name, self.entries))
        return name or next(iter(self.entries))

    def load(self, pipeline: FeaturePipeline, name: str, metrics: Iterable[Metric]) -> None:
        """Load the extractors that the metrics require into ``pipeline``.

        Raises:
            GancoreError: an extractor is not available; the message says where to get what it needs.
        """
        requirements = frozenset[str]().union(*(metric.all_requirements for metric in metrics))
        if "features" in requirements:
            self.load_extractor(pipeline, name)
        if "log_posteriors" in requirements:
            self._load_classifier(pipeline, name)

    def load_extractor(self, pipeline: FeaturePipeline, name: str) -> None:
        """Load the feature extractor only. Raises GancoreError if it is not available."""
        pipeline.features, pipeline.provenance["features"] = self._load_one(name), self._provenance(name)

    def _load_one(self, name: str) -> FeatureExtractor:
        if name not in self.loaded:
            extractor = plugins().load(self.entries[name], FeatureExtractor)
            extractor.prepare(self.context)
            self.loaded[name] = extractor
        return self.loaded[name]

    def _provenance(self, name: str) -> str:
        """A digest of what the extractor's own digest may omit.

        It is of the code of the extractor, the versions of its plugin and of gancore, and the data to which
        it may be fitted.
        """
        entry = self.entries[name]
        plugin = plugins().plugin_of(entry)
        versions = [gancore.__version__, *((plugin.distribution, plugin.version) if plugin else ())]
        return digest_json(versions, digest_code(entry.target), self._data_digest)

    @cached_property
    def _data_digest(self) -> str:
        return digest_data(self.context.data)

    def _load_classifier(self, pipeline: FeaturePipeline, chosen: str) -> None:
        """Load a classifier: the chosen extractor if it classifies, otherwise the first one that does."""
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
        """Return the extractor.

        Raises PluginError if its classes are not those of the data in their order.
        """
        classes = list(self.context.data.spec.get("classes") or [])
        if classes and classes != list(extractor.classes):
            raise PluginError(
                f"the feature extractor {extractor.name!r} has other classes than the data",
                "choose or train another one",
            )
        return extractor
