"""The contract between the core and a domain: what the data are and how people meet them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch import Tensor

from gancore.config import DataSection
from gancore.config_text import short
from gancore.errors import ConfigError, nearest
from gancore.facts import SpecFacts
from gancore.records import FeaturesEntry, MeasureEntry, RecipeEntry, SourceEntry
from gancore.runtime.randomness import Key
from gancore.texts import label_text
from gancore.trees import Tree, count_rows, cut_rows, map_tree

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch.utils.tensorboard import SummaryWriter


@dataclass(frozen=True)
class Batch:
    """Rows of data with their condition; every leaf has the rows on axis 0.

    ``data`` is a tree of tensors (ragged data are padded and masked), ``condition`` a label, text,
    mask, or None. A condition is never interpolated, penalised or augmented.
    """

    data: Tree
    condition: Tree = None

    def __len__(self) -> int:
        return count_rows(self.data)

    def to(self, device: torch.device | str) -> Batch:
        return Batch(
            *(map_tree(lambda x: x.to(device, non_blocking=True), t) for t in (self.data, self.condition))
        )

    def rows(self, start: int, stop: int) -> Batch:
        return Batch(cut_rows(self.data, start, stop), cut_rows(self.condition, start, stop))


class View(Protocol):
    """One split of the data, as keyed batches.

    ``take`` crops, augments, draws: a pure function of its arguments. ``indices`` (int64, on the
    CPU) and the draws of ``key`` (first axis: ``len(indices)``) belong to the same rows: a row's
    result depends on its own index and draw alone. The batch comes back on ``key.device``.

    A view may also say where rows come from: ``origins(indices, key)``, a text each for the rows that
    ``take`` gives for the same arguments, as a file's name; see :func:`origins`.
    """

    def __len__(self) -> int: ...

    def take(self, indices: Tensor, key: Key) -> Batch: ...


def origins(view: View, indices: Tensor, key: Key) -> list[str]:
    """Where the rows of ``view.take(indices, key)`` come from, a text each; empty if it cannot say."""
    told = getattr(view, "origins", None)
    return list(told(indices, key)) if told else []


def on_device(view: View, device: torch.device, most_megabytes: float) -> View:
    """The view with its data on ``device`` whole, where it offers that (``on``) and they are small enough.

    A view says by ``megabytes`` how large its data are; others stay where they are, memory-mapped.
    """
    if getattr(view, "megabytes", float("inf")) > most_megabytes:
        return view
    resident: View = view.on(device)  # type: ignore[attr-defined]
    return resident


@dataclass(frozen=True)
class Spec(Mapping[str, Any]):
    """What must be known to build and to write without the data: rate, channels, classes, ...

    JSON values plus named tensors; goes into checkpoints and model folders.
    ``classes`` (a list of names), where present, makes the domain conditional on labels;
    ``class_shares`` (a list of floats) says how often each occurs in train.
    """

    facts: Mapping[str, Any]
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.tensors[name] if name in self.tensors else self.facts[name]

    def __iter__(self) -> Iterator[str]:
        yield from self.facts
        yield from self.tensors

    def __len__(self) -> int:
        return len(self.facts) + len(self.tensors)


@dataclass(frozen=True)
class Data:
    """What ``Domain.open`` returns.

    Each split is a View, or several by name (unpaired sets). ``contract`` holds the lines that
    tell the user what was found, kept and skipped; ``fingerprint`` changes when the data, their
    settings or their splits do; ``splits`` (names by split) is stored with the run.
    """

    train: View | Mapping[str, View]
    valid: View | Mapping[str, View]
    test: View | Mapping[str, View]
    spec: Spec
    contract: Sequence[str] = ()
    fingerprint: str = ""
    splits: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """Where data come from: a name, and the file or folder (None: built in).

    ``announce`` tells the user, line by line, what reading it does.
    """

    name: str
    path: Path | None = None
    entry: SourceEntry | None = None
    announce: Callable[[str], None] = field(default=lambda line: None, compare=False)


@dataclass(frozen=True)
class Samples:
    """Canonical samples with what is needed to write and to show them.

    ``columns``: so many belong side by side (of one class; the way from one to another; a sample and its
    neighbours), then the next so many; 0: each stands alone. ``titles`` are shown in place of labels.
    """

    data: Tree
    spec: Spec
    condition: Tree = None
    columns: int = 0
    titles: Sequence[str] = ()

    def __len__(self) -> int:
        return count_rows(self.data)


@dataclass(frozen=True)
class Finding:
    """What a diagnosis saw, and the remedy it names: alternatives between commas.

    An alternative that needs a key of the recipe ends with its names, ``[model.pack|model.packed]``; it is
    shown only where the recipe has one of them (:func:`gancore.symptoms.applicable`).
    """

    name: str
    seen: str
    remedy: str


class Domain:
    """A kind of data, as a plugin brings it.

    Write ``open``, ``recipes`` and ``write``; the rest has defaults.
    """

    name: ClassVar[str]
    Config: ClassVar[type[DataSection]] = DataSection
    """The ``data`` section of the configuration: how a source is read."""
    Facts: ClassVar[type[SpecFacts]] = SpecFacts
    """What the spec of a model must hold; checked when one is loaded, before anything is built of it."""
    sources: ClassVar[Mapping[str, SourceEntry]] = {}
    """Named data sets; the first one without files is the built-in default."""
    recipes: ClassVar[Mapping[str, RecipeEntry]] = {}
    """Ways to train a model; the default one first."""
    measures: ClassVar[Mapping[str, MeasureEntry]] = {}
    """The domain's own measures; each factory names a :class:`gancore.Measure`."""
    features: ClassVar[Mapping[str, FeaturesEntry]] = {}
    """Maps to vectors, the default one first; the core adds principal components of train."""

    selection: ClassVar[str] = ""
    """The measure by which a comparison chooses models on valid; empty, or none of these data: the last."""
    headline: ClassVar[str] = ""
    """The measure that a comparison's verdict is about, where it is trusted; empty: the first that is."""
    closeness: ClassVar[str] = "coordinates"
    """The features in which the nearest rows of train are looked for. All are: these should be quick."""

    def measures_of(self, spec: Spec) -> Mapping[str, MeasureEntry]:
        """Those of ``measures`` that mean something for such data; by default all."""
        return self.measures

    def features_of(self, spec: Spec) -> Mapping[str, FeaturesEntry]:
        """Those of ``features`` that can be had for such data, the default one first; by default all."""
        return self.features

    def scaled(self, spec: Spec, factor: float) -> Spec | None:
        """The spec of data ``factor`` times as large (longer, wider): how sampling time grows is measured so.

        None: this domain's data have no size, or not this one.
        """
        return None

    def shown(self, spec: Spec) -> int:
        """How many samples of each model a comparison puts side by side."""
        return 8

    def open(self, source: Source, config: Any) -> Data:
        """Read a source. Raises :class:`gancore.errors.DataError` on what cannot be used."""
        raise TypeError(f"{type(self).__name__} must define open(source, config)")

    def write(self, samples: Samples, folder: Path) -> list[Path]:
        """Write samples as the files that people open; returns every file written."""
        raise TypeError(f"{type(self).__name__} must define write(samples, folder)")

    def preview(self, samples: Samples) -> Image | None:
        """One picture of a few samples, for progress, TensorBoard and the report."""
        return None

    def show(self, samples: Samples, writer: SummaryWriter, step: int) -> None:
        """Put samples into TensorBoard; by default the preview."""
        import numpy as np

        picture = self.preview(samples)
        if picture is not None:
            writer.add_image("samples", np.asarray(picture.convert("RGB")), step, dataformats="HWC")

    def diagnose(self, samples: Samples) -> list[Finding]:
        """Faults of this domain in generated samples."""
        return []

    def tiny(self) -> Mapping[str, Any]:
        """A configuration, by section, that trains in seconds on a CPU."""
        return {}

    def condition(self, label: str | None, n: int, spec: Spec, key: Key) -> Tree:
        """The condition of ``n`` samples: all of one label, or drawn as often as in train.

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
            raise ConfigError(f"label {label!r}: this model knows no labels", "leave out --label")
        known = label if label in classes else label_text(label)
        if known not in classes:
            raise ConfigError(
                f"label {short(label)} is not one of the model's {len(classes)}", nearest(known, classes)
            )
        return torch.full((n,), classes.index(known), dtype=torch.int64, device=key.device)
