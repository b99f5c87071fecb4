"""One split of the pictures as keyed batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gancore.data.packed import Packed
from gancore.domain import Batch
from gancore.runtime.randomness import Key


@dataclass(frozen=True)
class PictureView:
    """Pictures (batch, channels, side, side) in [-1, 1], with their labels, if any.

    They stay bytes where they are kept: level v becomes v / 127.5 - 1 as a batch is taken.
    """

    packed: Packed
    items: Tensor
    """Of each row its picture in ``packed``, int64, on the CPU."""
    labels: Tensor | None
    channels: int
    side: int
    names: Sequence[str] = ()
    """Of each row the file that it is of."""

    def __len__(self) -> int:
        return len(self.items)

    @property
    def megabytes(self) -> float:
        """What :meth:`on` would put on a device, which the splits of one source share."""
        return self.packed.megabytes

    def on(self, device: torch.device | str) -> PictureView:
        """The view with its pictures on ``device`` whole; else they are streamed from the mapped cache."""
        return replace(self, packed=self.packed.on(device))

    def conditions(self, indices: Tensor) -> Tensor | None:
        return None if self.labels is None else self.labels[indices]

    def origins(self, indices: Tensor, key: Key) -> list[str]:
        """The files of the rows, empty where they have none."""
        return [self.names[row] for row in indices.tolist()] if self.names else []

    def take(self, indices: Tensor, key: Key) -> Batch:
        pictures = self.packed.values.view(-1, self.channels, self.side, self.side)
        rows = pictures.index_select(0, self.items[indices].to(pictures.device, non_blocking=True))
        labels = self.conditions(indices)
        return Batch(
            rows.to(key.device, non_blocking=True).float().div_(127.5).sub_(1.0),
            None if labels is None else labels.to(key.device, non_blocking=True),
        )
