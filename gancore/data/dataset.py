"""Data sets: batches, views of splits, the spec that models are built from, and its schema."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, ValidationError, model_validator
from torch import Tensor

from gancore.errors import CheckpointError
from gancore.random import Key
from gancore.text import short_repr
from gancore.trees import Tree, tree_batch_size, tree_map, tree_slice


@dataclass(frozen=True)
class Batch:
    """Examples with their condition; axis 0 of every leaf is the batch axis.

    ``data`` is a tree of tensors (ragged data are padded and masked); ``condition`` is a label, text,
    mask, or None. A condition is never interpolated, penalised or augmented.
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


class View(Protocol):
    """One split of the data, as keyed batches.

    ``get_batch`` crops, augments, draws: a pure function of its arguments. ``indices`` (int64, on the CPU)
    and the draws of ``key`` (first axis: ``len(indices)``) belong to the same rows: each row depends only on
    its own index and draw. The batch is on ``key.device``.

    A view may also have ``get_conditions(indices)``, the conditions of a batch without its data;
    ``get_origins(indices, key)``, a text such as a file name for each row of the batch (:func:`get_origins`);
    and ``size_mb`` with ``to(device)`` (:func:`to_if_small`).
    """

    def __len__(self) -> int: ...

    def get_batch(self, indices: Tensor, key: Key) -> Batch: ...


def get_origins(view: View, indices: Tensor, key: Key) -> list[str]:
    """Where each row of ``view.get_batch(indices, key)`` comes from; empty if the view does not say."""
    own = getattr(view, "get_origins", None)
    return list(own(indices, key)) if own else []


def to_if_small(view: View, device: torch.device, limit_mb: float) -> View:
    """The view with all of its data on ``device`` if its ``size_mb`` is within the limit; else unchanged.

    A view without ``size_mb`` stays memory-mapped.
    """
    if getattr(view, "size_mb", float("inf")) > limit_mb:
        return view
    resident: View = view.to(device)  # type: ignore[attr-defined]
    return resident


@dataclass(frozen=True)
class Spec(Mapping[str, Any]):
    """What building models and writing samples needs without the data: rate, channels, classes, ...

    JSON values plus named tensors, stored in checkpoints and model folders. If ``classes`` (a list of names)
    is there, the domain is conditional on labels; ``class_shares`` (a list of floats): their shares in train.
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


@dataclass(frozen=True)
class Data:
    """What ``Domain.open`` returns.

    Each split is a View, or several by name (unpaired sets). ``summary``: lines about what was found, kept
    and skipped. ``fingerprint`` changes when the data, their settings or their splits do. ``splits`` (names
    by split) is stored with the run.
    """

    train: View | Mapping[str, View]
    valid: View | Mapping[str, View]
    test: View | Mapping[str, View]
    spec: Spec
    summary: Sequence[str] = ()
    fingerprint: str = ""
    splits: Mapping[str, Sequence[str]] = field(default_factory=dict)


BoundedText = Annotated[str, Field(max_length=1 << 20)]


class SpecSchema(BaseModel):
    """The fields of a spec that the core reads; a domain adds those that its recipes and writers read.

    A field of the wrong type or out of range is refused; fields that are not declared may have any value.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False, strict=True)

    classes: list[BoundedText] | None = Field(default=None, description="names of the labels")
    class_shares: list[NonNegativeFloat] | None = Field(
        default=None, description="how often each label occurs in train"
    )
    source: BoundedText = Field(default="", description="the data set that it was trained on")
    licence: BoundedText = Field(default="", description="of the data")

    @model_validator(mode="after")
    def _check_class_shares(self) -> Self:
        if self.class_shares is None:
            return self
        if len(self.class_shares) != len(self.classes or ()):
            raise ValueError("class_shares must hold one share for each of classes")
        if self.class_shares and not 0 < math.fsum(self.class_shares) < 2:
            raise ValueError("class_shares must be shares of a whole")
        return self


def validate_spec(schema: type[SpecSchema], fields: Mapping[str, Any], where: str) -> None:
    """Raises CheckpointError, naming the field, if ``fields`` do not match a domain's schema."""
    try:
        schema.model_validate(dict(fields))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        name = ".".join(map(str, ("spec", *first["loc"])))
        raise CheckpointError(
            f"{where}: {name}: {first['msg']}, not {short_repr(first['input'])}"[:400],
            "restore config.json as it was written, or download the model again",
        ) from error
