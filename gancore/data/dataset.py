"""Data sets: batches, views of splits, the spec that models are built from, and its schema."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, ValidationError, model_validator
from torch import Tensor

from gancore.data.splits import SPLITS
from gancore.errors import CheckpointError, ConfigError, DataError
from gancore.random import Key, evaluation_key
from gancore.text import short_repr, suggestion
from gancore.trees import Tree, tree_batch_size, tree_map, tree_slice


@dataclass(frozen=True)
class Batch:
    """Examples with their conditions; axis 0 of every leaf is the batch axis.

    ``data`` is a tree of tensors (ragged data are padded and masked). ``condition`` is a tree of labels, text
    or masks, or None; it is never interpolated, penalised or augmented.
    """

    data: Tree
    condition: Tree = None

    def __len__(self) -> int:
        return tree_batch_size(self.data)

    def to(self, device: torch.device | str) -> Batch:
        return Batch(
            *(tree_map(lambda x: x.to(device, non_blocking=True), t) for t in (self.data, self.condition))
        )

    def slice(self, start: int, stop: int) -> Batch:
        return Batch(tree_slice(self.data, start, stop), tree_slice(self.condition, start, stop))

    def select(self, indices: Tensor) -> Batch:
        """The rows with these indices, in this order."""
        return Batch(*(tree_map(lambda x: x[indices], t) for t in (self.data, self.condition)))


class View:
    """One split of the data. Subclasses define ``__len__`` and ``get_batch``; other methods have defaults.

    ``get_batch(indices, key)`` crops and augments. It is a pure function of its arguments: ``indices`` is
    (n,) int64 on the CPU, and row i of the batch depends only on ``indices[i]`` and on row i of the random
    numbers of ``key``. The batch is on ``key.device``.
    """

    def __len__(self) -> int:
        raise TypeError(f"{type(self).__name__} must define __len__()")

    def get_batch(self, indices: Tensor, key: Key) -> Batch:
        raise TypeError(f"{type(self).__name__} must define get_batch(indices, key)")

    def get_conditions(self, indices: Tensor) -> Tree:
        """The conditions of these rows, for any key. Define it if they are known without reading the data."""
        return self.get_batch(indices, evaluation_key("conditions")).condition

    @property
    def has_cheap_conditions(self) -> bool:
        """Whether the view defines ``get_conditions``, which then reads no data."""
        return type(self).get_conditions is not View.get_conditions

    def get_origins(self, indices: Tensor, key: Key) -> Sequence[str]:
        """The origin of each row of ``get_batch(indices, key)``, such as a file name; empty if unknown."""
        return []

    @property
    def size_mb(self) -> float:
        """Memory in MB that :meth:`to` takes on a device. By default infinite: the data are not moved."""
        return math.inf

    def to(self, device: torch.device | str) -> View:
        """The view with all its data on ``device``. Define it together with ``size_mb``."""
        return self


class TensorView(View):
    """A view of tensors in memory; axis 0 of every leaf of data and condition is the axis of rows."""

    def __init__(self, data: Tree, condition: Tree = None) -> None:
        self.data, self.condition = data, condition

    def __len__(self) -> int:
        return tree_batch_size(self.data)

    def get_batch(self, indices: Tensor, key: Key) -> Batch:
        rows = tree_map(lambda x: x[indices], self.data)
        return Batch(rows, tree_map(lambda x: x[indices], self.condition)).to(key.device)


def to_if_small(view: View, device: torch.device, limit_mb: float) -> View:
    """The view with all its data on ``device`` if ``size_mb`` is within the limit; otherwise the view."""
    return view if view.size_mb > limit_mb else view.to(device)


@dataclass(frozen=True)
class Spec(Mapping[str, Any]):
    """Values for building models and writing samples without the data: rate, channels, classes, ...

    ``fields`` are JSON values, ``tensors`` are named tensors; both are stored in checkpoints and model
    folders. If ``classes`` (a list of names) is present, data have labels; ``class_shares`` (a list of
    floats) are the shares of the labels in train.
    """

    fields: Mapping[str, Any]
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.tensors[name] if name in self.tensors else self.fields[name]

    def __iter__(self) -> Iterator[str]:
        yield from self.fields
        yield from self.tensors

    def __len__(self) -> int:
        return len(self.fields) + len(self.tensors)


@dataclass(frozen=True, init=False)
class Data:
    """Opened data, as ``Domain.open`` returns them.

    Args:
        train: the view of a split, or a mapping of views by name (unpaired sets). A single view is stored in
            a mapping under the name of its split.
        valid: as ``train``.
        test: as ``train``.
        spec: the spec of the data.
        summary: lines about what was found, kept and skipped.
        fingerprint: a hash that changes with the data, their settings and their splits.
        splits: names of the items of each split, which are stored with the run.

    Raises:
        DataError: a split is not a view or a mapping of views.
    """

    train: Mapping[str, View]
    valid: Mapping[str, View]
    test: Mapping[str, View]
    spec: Spec
    summary: Sequence[str] = ()
    fingerprint: str = ""
    splits: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __init__(
        self,
        train: View | Mapping[str, View],
        valid: View | Mapping[str, View],
        test: View | Mapping[str, View],
        spec: Spec,
        summary: Sequence[str] = (),
        fingerprint: str = "",
        splits: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        values = {
            "train": _named_views("train", train),
            "valid": _named_views("valid", valid),
            "test": _named_views("test", test),
            "spec": spec,
            "summary": summary,
            "fingerprint": fingerprint,
            "splits": splits or {},
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def views(self, split: str) -> Mapping[str, View]:
        """The views of a split, by name. Raises ConfigError if there is no such split."""
        if split not in SPLITS:
            raise ConfigError(f"no split {split!r}", suggestion(split, SPLITS))
        views: Mapping[str, View] = getattr(self, split)
        return views

    def view(self, split: str) -> View:
        """The view of a split, the first one of several. Raises ConfigError if there is no such split."""
        for view in self.views(split).values():
            return view
        raise ConfigError(f"the data have no view in {split}", "give a view, which may be empty")


def _named_views(split: str, given: View | Mapping[str, View]) -> Mapping[str, View]:
    """Views by name. A single view has the name of its split, which is part of the key of every draw."""
    views = given if isinstance(given, Mapping) else {split: given}
    for name, view in views.items():
        if not isinstance(view, View):
            raise DataError(
                f"{name} of the data is {type(view).__name__}, not a gancore.View",
                "subclass gancore.View, or wrap tensors in gancore.TensorView",
            )
    return views


BoundedText = Annotated[str, Field(max_length=1 << 20)]
"""Text of a spec, of at most a million characters: a spec may come from a stranger."""


class SpecSchema(BaseModel):
    """The fields of a spec that the core reads. A domain adds the fields that its recipes and writers read.

    A field of the wrong type or out of range is refused. Fields that are not declared may have any value.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False, strict=True)

    classes: list[BoundedText] | None = Field(default=None, description="names of the labels")
    class_shares: list[NonNegativeFloat] | None = Field(
        default=None, description="share of each label in train"
    )
    source: BoundedText = Field(default="", description="name of the data set")
    licence: BoundedText = Field(default="", description="licence of the data")

    @model_validator(mode="after")
    def _check_class_shares(self) -> Self:
        if self.class_shares is None:
            return self
        if len(self.class_shares) != len(self.classes or ()):
            raise ValueError("class_shares must have one share for each of classes")
        if self.class_shares and not 0 < math.fsum(self.class_shares) < 2:
            raise ValueError("class_shares must be positive and add up to 1")
        return self


def validate_spec(schema: type[SpecSchema], fields: Mapping[str, Any], where: str) -> None:
    """Raise CheckpointError that names the field if ``fields`` do not match the schema of a domain."""
    try:
        schema.model_validate(dict(fields))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        name = ".".join(map(str, ("spec", *first["loc"])))
        raise CheckpointError(
            f"{where}: {name}: {first['msg']}, not {short_repr(first['input'])}"[:400],
            "restore config.json as it was written, or download the model again",
        ) from error
