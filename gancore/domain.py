"""The base class of domains: opens data, writes and shows samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from gancore.config import DataConfig
from gancore.data.dataset import Data, Spec, SpecSchema, View
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

    from gancore.evaluation.result import MetricResult
    from gancore.evaluation.tables import Table
    from gancore.metrics.metric import MetricInputs

MAX_LINE = 600
"""Characters of a sample on one line."""


@dataclass(frozen=True)
class Diagnostic:
    """A problem of samples or of a training, with its fix: alternatives, separated by commas.

    An alternative that needs a key of the recipe ends with possible names of the key, such as
    ``[model.pack|model.packed]``; it is shown only if the recipe has one of them
    (:func:`gancore.diagnostics.applicable_fixes`).
    """

    name: str
    message: str
    fix: str


class Domain:
    """A kind of data, which a plugin provides. Subclasses define ``open``, ``recipes`` and ``write``."""

    name: ClassVar[str]
    Config: ClassVar[type[DataConfig]] = DataConfig
    """The class of the section ``data`` of the configuration."""
    Schema: ClassVar[type[SpecSchema]] = SpecSchema
    """The schema of the spec. A spec is validated when a model is loaded, before a network is built."""
    sources: ClassVar[Mapping[str, SourceEntry]] = {}
    """Named data sets; the first one without files is the built-in default."""
    reads_shards: ClassVar[bool] = False
    """Whether ``open`` reads sources with ``location`` or ``files``: patterns, URLs, data sets of the hub."""
    recipes: ClassVar[Mapping[str, RecipeEntry]] = {}
    """Recipes by name, the default one first."""
    metrics: ClassVar[Mapping[str, MetricEntry]] = {}
    """The domain's own metrics; each target names a :class:`gancore.Metric`."""
    feature_extractors: ClassVar[Mapping[str, FeatureExtractorEntry]] = {}
    """Feature extractors by name, the default one first. The core adds principal components of train."""

    formats: ClassVar[Mapping[str, str]] = {}
    """Formats of files that :meth:`write_formats` makes, if there is a choice: names and what they are."""

    samples_are_points: ClassVar[bool] = True
    """Whether a small distance between features of two samples means that they are similar.

    If False, metrics of the core that use distances between features are not available."""

    selection_metric: ClassVar[str] = ""
    """The metric on valid that selects the model of a run. The last model is kept if it is empty or not
    available for the data."""
    primary_metric: ClassVar[str] = ""
    """The metric that an evaluation lists first and a verdict of a comparison rests on, if it is trusted; if
    it is empty or not trusted, the first trusted distance."""
    quality_diversity_metrics: ClassVar[tuple[str, str]] = ("precision", "recall")
    """A metric of quality and one of diversity: the axes of the curve over temperatures."""
    comparison_temperatures: ClassVar[tuple[float, ...]] = ()
    """At which a comparison evaluates models that have a temperature, unless it is given others."""
    neighbour_features: ClassVar[str] = "coordinates"
    """The feature extractor for the search of nearest neighbours in all of train. It must be fast."""

    def metrics_for(self, spec: Spec) -> Mapping[str, MetricEntry]:
        """The metrics that apply to data with this spec; by default all of ``metrics``."""
        return self.metrics

    def feature_extractors_for(self, spec: Spec) -> Mapping[str, FeatureExtractorEntry]:
        """The feature extractors that apply to data with this spec, the default one first; by default all."""
        return self.feature_extractors

    def scale_spec(self, spec: Spec, factor: float) -> Spec | None:
        """The spec of data ``factor`` times as large (longer, wider), for measuring how sampling time scales.

        None if data of this domain have no size, or this size is not possible.
        """
        return None

    def report_sample_count(self, spec: Spec) -> int:
        """The number of samples of each model in the report of a comparison."""
        return 8

    def open(self, source: Source, config: Any) -> Data:
        """Open a source and split it. ``config`` is an instance of ``Config``.

        Raises:
            gancore.errors.DataError: the source cannot be read or used.
        """
        raise TypeError(f"{type(self).__name__} must define open(source, config)")

    def write(self, samples: Samples, folder: Path) -> list[Path]:
        """Write samples as files of a common format into ``folder``; return the path of every file."""
        raise TypeError(f"{type(self).__name__} must define write(samples, folder)")

    def write_formats(self, samples: Samples, folder: Path, formats: Sequence[str]) -> list[Path]:
        """As :meth:`write`, each sample in each of these ``formats``. Raises ConfigError: one is unknown."""
        self.require_formats(formats)
        raise TypeError(f"{type(self).__name__} has formats and must define write_formats")

    def require_formats(self, formats: Sequence[str]) -> None:
        """Raises ConfigError, which names those there are, if one is not in ``formats`` of the domain."""
        unknown = [name for name in formats if name not in self.formats]
        if unknown and not self.formats:
            raise ConfigError(f"the domain {self.name} has no choice of formats", "leave out --format")
        if unknown:
            listed = ", ".join(f"{name} ({text})" for name, text in self.formats.items())
            raise ConfigError(
                f"the domain {self.name} has no format {short_repr(unknown[0])}", f"give one of {listed}"
            )

    def preview(self, samples: Samples) -> Image | None:
        """A PIL image of a few samples, for previews, TensorBoard and reports; by default None."""
        return None

    def texts(self, samples: Samples) -> list[str] | None:
        """Each sample as text; None: samples are no text. Progress, report, model card and TensorBoard then
        show text.
        """
        return None

    def text_lines(self, samples: Samples, most: int = 16) -> list[str]:
        """A few of :meth:`texts`, each on one printable line after title and remark; [] if there are none."""
        texts = self.texts(samples)
        if texts is None:
            return []
        shown = texts[: samples.overview_count(most, most)]
        single = (escape_unprintable(" ".join(text.split())) for text in shown)
        lines = [truncate(line, MAX_LINE) or "(empty)" for line in single]
        titled = zip(samples.annotations(), lines, strict=False)
        return [f"[{title}] {line}" if title else line for title, line in titled]

    def log_to_tensorboard(self, samples: Samples, writer: SummaryWriter, step: int) -> None:
        """Write samples to TensorBoard; by default their texts, as Markdown code, else their preview."""
        import numpy as np

        if lines := self.text_lines(samples):
            writer.add_text("samples", "\n".join(f"    {line}" for line in lines), step)
            return

        picture = self.preview(samples)
        if picture is not None:
            writer.add_image("samples", np.asarray(picture.convert("RGB")), step, dataformats="HWC")

    def noise(self, samples: Tree, key: Key) -> Tree:
        """Make noise from real samples, a negative control of metrics and of the final model.

        By default, each coordinate is permuted over the rows. Override it if that gives invalid samples or
        the same samples; for example, with a random graph of as many edges, or with random tokens.
        """
        return shuffle_coordinates(samples, key)

    def diagnose(self, samples: Samples) -> list[Diagnostic]:
        """Find problems of generated samples that are specific to this domain; by default none."""
        return []

    def remarks(self, samples: Samples, train: View) -> list[str]:
        """What each sample repeats of ``train``, in a few words; empty: nothing is said.

        For previews and the report of a comparison; ``write`` and ``preview`` get it as
        ``Samples.remarks``.
        """
        return []

    def tables(self, inputs: MetricInputs, results: Sequence[MetricResult]) -> list[Table]:
        """Figures of an evaluation side by side, beside its metrics; by default none.

        They are printed, stored with the ``results``, and shown in the model card and in the report of a
        comparison, which joins those of all models.
        """
        return []

    def tiny_config(self) -> Mapping[str, Any]:
        """A configuration, by section, with which every recipe trains in seconds on a CPU."""
        return {}

    def parse_partial(self, prompt: str, spec: Spec) -> Tree:
        """A sample of which parts are missing, as samplers with the capability ``infill`` take it, from what
        a user writes. Raises ConfigError if it cannot be read.
        """
        raise ConfigError(f"the domain {self.name} has no prompts with gaps", "leave out --infill")

    def make_condition(self, label: str | None, n: int, spec: Spec, key: Key) -> Tree:
        """The conditions of ``n`` samples: one label for all, or labels drawn with their shares in train.

        Raises:
            ConfigError: there is no such label, or the data have no labels.
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
