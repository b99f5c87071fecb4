"""Stacked pictures: three labelled grey ones as red, green and blue, so that the modes can be counted.

Of ten digits this makes 1,000 modes; of MNIST it is the stacked MNIST of Metz et al. 2017 (Unrolled GAN). The
numbers of rows, 128,000 to train on and 26,000 to measure by, are those of Srivastava et al. 2017 (VEEGAN).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from gancore import Batch, ConfigError, Data, Spec
from gancore.data.splits import SPLITS
from gancore.evaluation.store import digest_of
from gancore.runtime.randomness import Key
from gancore_image.views import PictureView

STACKED = 3
ROWS = {"train": 128_000, "valid": 26_000, "test": 26_000}
VERSION = 1


@dataclass(frozen=True)
class StackedView:
    """Rows of three pictures of ``single``: those of ``rows`` (n, 3), drawn with replacement once for all.

    Of K classes the label of classes a, b and c is K^2 a + K b + c.
    """

    single: PictureView
    rows: Tensor
    classes: int

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def megabytes(self) -> float:
        return self.single.megabytes

    def on(self, device: torch.device | str) -> StackedView:
        return replace(self, single=self.single.on(device))

    def conditions(self, indices: Tensor) -> Tensor:
        labels = self.single.conditions(self.rows[indices].flatten())
        assert labels is not None
        place = self.classes ** torch.arange(STACKED - 1, -1, -1)
        return (labels.view(-1, STACKED) * place).sum(1)

    def origins(self, indices: Tensor, key: Key) -> list[str]:
        """The three files of each row."""
        names = self.single.origins(self.rows[indices].flatten(), key)
        return [" + ".join(names[at : at + STACKED]) for at in range(0, len(names), STACKED)]

    def take(self, indices: Tensor, key: Key) -> Batch:
        pictures = self.single.take(self.rows[indices].flatten(), key).data  # (3 batch, 1, side, side)
        stacked = pictures.view(-1, STACKED, *pictures.shape[2:])
        return Batch(stacked, self.conditions(indices).to(key.device, non_blocking=True))


def stack(data: Data) -> Data:
    """The data with each split made of triples of its own pictures: a function of the data alone.

    Raises:
        ConfigError: the pictures are not grey, or have no labels.
    """
    classes, shares = list(data.spec.get("classes") or []), data.spec.get("class_shares")
    if data.spec["channels"] != 1 or not classes:
        raise ConfigError(
            f"data.stacked needs grey pictures with labels; {data.spec['source']} has "
            f"{data.spec['channels']} channels and {len(classes)} labels",
            "set data.channels=1 and data.labels, or leave out data.stacked",
        )
    spec = {
        **data.spec.facts,
        "channels": STACKED,
        "classes": _names(classes),
        "class_shares": [math.prod(triple) for triple in itertools.product(shares, repeat=STACKED)],
        "stacked": True,
        "stacked_classes": classes,
    }
    views = {split: _view(getattr(data, split), split, len(classes)) for split in SPLITS}
    return replace(
        data,
        **views,
        spec=Spec(spec),
        contract=[*data.contract, _told(views, len(classes))],
        fingerprint=digest_of("stacked", VERSION, data.fingerprint)[:32],
    )


def _view(single: PictureView, split: str, classes: int) -> StackedView:
    count = ROWS[split] if len(single) else 0
    rows = Key.of("stacked", split).integers(max(1, len(single)), count, STACKED)
    return StackedView(single, rows, classes)


def _names(classes: Sequence[str]) -> list[str]:
    """``012`` where each class is named by one character, else ``Bag, Coat, Dress``."""
    between = "" if all(len(name) == 1 for name in classes) else ", "
    return [between.join(triple) for triple in itertools.product(classes, repeat=STACKED)]


def _told(views: dict[str, StackedView], classes: int) -> str:
    counts = ", ".join(f"{len(view):,} {split}" for split, view in views.items())
    return (
        f"stacked: three pictures a row, as red, green and blue; {classes**STACKED:,} modes; rows: {counts}"
    )


def singles(data: Data) -> Data:
    """What stacked data were made of, to train a judge on."""
    views: dict[str, Any] = {split: getattr(data, split).single for split in SPLITS}
    facts = {name: fact for name, fact in data.spec.items() if name not in ("stacked", "class_shares")}
    facts |= {"channels": 1, "classes": facts.pop("stacked_classes")}
    return Data(**views, spec=Spec(facts), fingerprint=digest_of("single", data.fingerprint)[:32])
