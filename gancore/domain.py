"""The contract between the core and a domain: how data are opened, and how samples are written and shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from gancore.config import DataConfig
from gancore.data.dataset import Data, Spec, SpecSchema
from gancore.data.sources import Source
from gancore.entries import FeatureExtractorEntry, MetricEntry, RecipeEntry, SourceEntry
from gancore.errors import ConfigError
from gancore.random import Key, shuffle_coordinates
from gancore.samples import Samples
from gancore.text import clean_label, escape_unprintable, short_repr, suggestion, truncate
from gancore.trees import Tree

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch.utils.tensorboard import SummaryWriter


MAX_LINE = 600
"""Characters of a sample on one line."""


@dataclass(frozen=True)
class Diagnostic:
    """A problem found in samples or training, and how to fix it: alternatives between commas.

    An alternative that needs a key of the recipe ends with its names, ``[model.pack|model.packed]``; it is
    shown only if the recipe has one of them (:func:`gancore.diagnostics.applicable_fixes`).
    """

    name: str
    message: str
    fix: str


class Domain:
    """A kind of data, provided by a plugin.

    Define ``open``, ``recipes`` and ``write``; the rest has defaults.
    """

    name: ClassVar[str]
    Config: ClassVar[type[DataConfig]] = DataConfig
    """The ``data`` section of the configuration: how a source is read."""
    Schema: ClassVar[type[SpecSchema]] = SpecSchema
    """What the spec of a model must hold; validated when a model is loaded, before anything is built."""
    sources: ClassVar[Mapping[str, SourceEntry]] = {}
    """Named data sets; the first one without files is the built-in default."""
    recipes: ClassVar[Mapping[str, RecipeEntry]] = {}
    """Ways to train a model; the default one first."""
    metrics: ClassVar[Mapping[str, MetricEntry]] = {}
    """The domain's own metrics; each factory names a :class:`gancore.Metric`."""
    feature_extractors: ClassVar[Mapping[str, FeatureExtractorEntry]] = {}
    """Maps to vectors, the default one first. The core adds principal components of train."""

    samples_are_points: ClassVar[bool] = True
    """Whether the distance of two samples says how alike they are. If False, the core's metrics that are made
    of distances between features are not offered."""

    selection_metric: ClassVar[str] = ""
    """Metric that selects a run's model on valid; empty, or not available for these data: the last model."""
    primary_metric: ClassVar[str] = ""
    """Metric of a comparison's verdict; if empty or not trusted, the first trusted one."""
    quality_diversity_metrics: ClassVar[tuple[str, str]] = ("precision", "recall")
    """A metric of quality and one of diversity: the axes of the curve over temperatures."""
    comparison_temperatures: ClassVar[tuple[float, ...]] = ()
    """At which a comparison evaluates models that have a temperature, unless it is given others."""
    neighbour_features: ClassVar[str] = "coordinates"
    """Feature extractor for nearest-neighbour search over all rows of train; should be fast."""

    def metrics_for(self, spec: Spec) -> Mapping[str, MetricEntry]:
        """The metrics that are meaningful for such data; by default all of ``metrics``."""
        return self.metrics

    def feature_extractors_for(self, spec: Spec) -> Mapping[str, FeatureExtractorEntry]:
        """The feature extractors that such data allow, the default one first; by default all."""
        return self.feature_extractors

    def scale_spec(self, spec: Spec, factor: float) -> Spec | None:
        """The spec of data ``factor`` times as large (longer, wider), to measure how sampling time grows.

        None: data of this domain have no size, or not this one.
        """
        return None

    def report_sample_count(self, spec: Spec) -> int:
        """How many samples of each model a comparison shows side by side."""
        return 8

    def open(self, source: Source, config: Any) -> Data:
        """Read a source. Raises :class:`gancore.errors.DataError` on what cannot be used."""
        raise TypeError(f"{type(self).__name__} must define open(source, config)")

    def write(self, samples: Samples, folder: Path) -> list[Path]:
        """Write samples as files that users open; returns the path of every file."""
        raise TypeError(f"{type(self).__name__} must define write(samples, folder)")

    def preview(self, samples: Samples) -> Image | None:
        """One picture of a few samples, for progress, TensorBoard and the report."""
        return None

    def texts(self, samples: Samples) -> list[str] | None:
        """Each sample as text; None: samples are no text. Progress, report, model card and TensorBoard then
        show text.
        """
        return None

    def text_lines(self, samples: Samples, most: int = 16) -> list[str]:
        """A few of :meth:`texts`, each on one printable line, its title before it; []: there are none."""
        texts = self.texts(samples)
        if texts is None:
            return []
        shown = texts[: samples.overview_count(most, most)]
        single = (escape_unprintable(" ".join(text.split())) for text in shown)
        lines = [truncate(line, MAX_LINE) or "(empty)" for line in single]
        titled = zip(samples.titles(), lines, strict=False)
        return [f"[{title}] {line}" if title else line for title, line in titled]

    def log_to_tensorboard(self, samples: Samples, writer: SummaryWriter, step: int) -> None:
        """Write samples to TensorBoard; by default as text, as Markdown shows code, else the preview."""
        import numpy as np

        if lines := self.text_lines(samples):
            writer.add_text("samples", "\n".join(f"    {line}" for line in lines), step)
            return

        picture = self.preview(samples)
        if picture is not None:
            writer.add_image("samples", np.asarray(picture.convert("RGB")), step, dataformats="HWC")

    def noise(self, samples: Tree, key: Key) -> Tree:
        """Samples that no model should be praised for, a control of metrics and of the final model.

        By default each coordinate of the real ``samples``, permuted over the rows. Define it where that gives
        no samples, or the same ones: a random graph of as many edges, random tokens.
        """
        return shuffle_coordinates(samples, key)

    def diagnose(self, samples: Samples) -> list[Diagnostic]:
        """Problems in generated samples that are specific to this domain."""
        return []

    def tiny_config(self) -> Mapping[str, Any]:
        """A configuration, by section, with which a recipe trains in seconds on a CPU."""
        return {}

    def make_condition(self, label: str | None, n: int, spec: Spec, key: Key) -> Tree:
        """The conditions of ``n`` samples: all of one label, or drawn with the shares of train.

        Raises:
            ConfigError: no such label, or the data have none.
        """
        classes = spec.get("classes") or []
        if label is None:
            if not classes:
                return None
            shares = torch.tensor(spec.get("class_shares") or [1.0] * len(classes))
            edges = (shares.cumsum(0) / shares.sum()).to(key.device)
            return torch.bucketize(key.uniform(n), edges).clamp_(max=len(classes) - 1)
        if not classes:
            raise ConfigError(f"label {label!r}: this model has no labels", "leave out --label")
        known = label if label in classes else clean_label(label)
        if known not in classes:
            raise ConfigError(
                f"label {short_repr(label)} is not one of the model's {len(classes)}",
                suggestion(known, classes),
            )
        return torch.full((n,), classes.index(known), dtype=torch.int64, device=key.device)
