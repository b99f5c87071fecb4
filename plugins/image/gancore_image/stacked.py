"""Stacked images: three labelled grey images as red, green and blue, so that modes can be counted.

Ten digits give 1,000 modes; with MNIST it is the stacked MNIST of Metz et al. 2017 (Unrolled GAN). The
numbers of examples, 128,000 to train and 26,000 to evaluate, are those of Srivastava et al. 2017 (VEEGAN).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor

from gancore import Batch, ConfigError, Data, Spec, View
from gancore.data import SPLITS, digest_json
from gancore.random import Key
from gancore_image.dataset import ImageView

N_STACKED = 3
ROWS = {"train": 128_000, "valid": 26_000, "test": 26_000}
VERSION = 1


@dataclass(frozen=True)
class StackedView(View):
    """Examples of three images of ``single``: the rows ``rows`` (n, 3), drawn once with replacement.

    The label of classes a, b and c of K is K^2 a + K b + c.
    """

    single: ImageView
    rows: Tensor
    classes: int

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def size_mb(self) -> float:
        return self.single.size_mb

    def to(self, device: torch.device | str) -> StackedView:
        return replace(self, single=self.single.to(device))

    def get_conditions(self, indices: Tensor) -> Tensor:
        labels = self.single.get_conditions(self.rows[indices].flatten())
        assert labels is not None
        powers = self.classes ** torch.arange(N_STACKED - 1, -1, -1)
        return (labels.view(-1, N_STACKED) * powers).sum(1)

    def get_origins(self, indices: Tensor, key: Key) -> list[str]:
        """The three files of each example."""
        names = self.single.get_origins(self.rows[indices].flatten(), key)
        return [" + ".join(names[at : at + N_STACKED]) for at in range(0, len(names), N_STACKED)]

    def get_batch(self, indices: Tensor, key: Key) -> Batch:
        images = self.single.get_batch(self.rows[indices].flatten(), key).data  # (3 batch, 1, side, side)
        stacked = images.view(-1, N_STACKED, *images.shape[2:])
        return Batch(stacked, self.get_conditions(indices).to(key.device, non_blocking=True))


def stack_images(data: Data) -> Data:
    """The data with each split made of triples of its images, a function of the data alone.

    Raises:
        ConfigError: the images are not grey, or have no labels.
    """
    classes, shares = list(data.spec.get("classes") or []), data.spec.get("class_shares") or []
    if data.spec["channels"] != 1 or not classes:
        raise ConfigError(
            f"data.stacked needs grey images with labels; {data.spec['source']} has "
            f"{data.spec['channels']} channels and {len(classes)} labels",
            "set data.channels=1 and data.labels, or leave out data.stacked",
        )
    spec = {
        **data.spec.fields,
        "channels": N_STACKED,
        "classes": _class_names(classes),
        "class_shares": [math.prod(triple) for triple in itertools.product(shares, repeat=N_STACKED)],
        "stacked": True,
        "stacked_classes": classes,
    }
    views: dict[str, StackedView] = {
        split: _view(cast(ImageView, data.view(split)), split, len(classes)) for split in SPLITS
    }
    return replace(
        data,
        train={"train": views["train"]},
        valid={"valid": views["valid"]},
        test={"test": views["test"]},
        spec=Spec(spec),
        summary=[*data.summary, _summary_line(views, len(classes))],
        fingerprint=digest_json("stacked", VERSION, data.fingerprint)[:32],
    )


def _view(single: ImageView, split: str, classes: int) -> StackedView:
    count = ROWS[split] if len(single) else 0
    rows = Key.of("stacked", split).integers(max(1, len(single)), count, N_STACKED)
    return StackedView(single, rows, classes)


def _class_names(classes: Sequence[str]) -> list[str]:
    """``012`` if each class name has one character, else ``Bag, Coat, Dress``."""
    between = "" if all(len(name) == 1 for name in classes) else ", "
    return [between.join(triple) for triple in itertools.product(classes, repeat=N_STACKED)]


def _summary_line(views: dict[str, StackedView], classes: int) -> str:
    counts = ", ".join(f"{len(view):,} {split}" for split, view in views.items())
    modes = f"{classes**N_STACKED:,} modes"
    return f"stacked: three images per example, as red, green and blue; {modes}; examples: {counts}"


def unstack(data: Data) -> Data:
    """The single images of stacked data, to train a classifier on."""
    views: dict[str, Any] = {split: cast(StackedView, data.view(split)).single for split in SPLITS}
    facts = {name: fact for name, fact in data.spec.items() if name not in ("stacked", "class_shares")}
    facts |= {"channels": 1, "classes": facts.pop("stacked_classes")}
    return Data(**views, spec=Spec(facts), fingerprint=digest_json("single", data.fingerprint)[:32])
