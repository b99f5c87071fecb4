"""One split of the clips as keyed batches of windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gancore.data.packed import Packed
from gancore.domain import Batch
from gancore.runtime.randomness import Key
from gancore_audio.cache import FULL_SCALE
from gancore_audio.cutting import Cuts


@dataclass(frozen=True)
class Sources:
    """Of each clip the recording that it is of, and where it begins in there, in samples."""

    names: Sequence[str]
    begins: Tensor
    rate_hz: int

    def told(self, clip: int, start: int, length: int) -> str:
        """``kick.wav at 0.25-0.51 s``."""
        begin = int(self.begins[clip]) + start
        return f"{self.names[clip]} at {begin / self.rate_hz:.2f}-{(begin + length) / self.rate_hz:.2f} s"


@dataclass(frozen=True)
class ClipView:
    """Windows of ``length`` samples in [-1, 1], (batch, 1, length), with the clips' labels, if any.

    Each row is cut from one clip, between two starts: see :func:`gancore_audio.cutting.cut`. Shorter clips
    are filled up with zeros at the end. Ends that cut into a clip are faded.
    """

    packed: Packed
    cuts: Cuts
    """Of each row the clip, an item of ``packed``, its first and its last start."""
    labels: Tensor | None
    length: int
    fade: Tensor
    """Gains of the samples of a fade in."""
    sources: Sources | None = None
    """Which recordings the clips are of."""

    @classmethod
    def over(
        cls,
        packed: Packed,
        cuts: Cuts,
        labels: Tensor | None,
        length: int,
        fade_samples: int = 0,
        sources: Sources | None = None,
    ) -> ClipView:
        """The rows that ``cuts`` names, of clips of ``packed`` with a label each (n)."""
        samples = min(fade_samples, length // 4)
        fade = 0.5 - 0.5 * torch.cos(torch.pi * (torch.arange(samples) + 0.5) / max(samples, 1))
        labels = None if labels is None else labels[cuts.clips]
        return cls(packed, cuts, labels, length, fade, sources)

    def __len__(self) -> int:
        return len(self.cuts.clips)

    @property
    def megabytes(self) -> float:
        """What :meth:`on` would put on a device, which the splits of one source share."""
        return self.packed.megabytes

    def on(self, device: torch.device | str) -> ClipView:
        """The view with its clips on ``device`` whole; else they are streamed from the mapped cache."""
        return replace(self, packed=self.packed.on(device))

    def take(self, indices: Tensor, key: Key) -> Batch:
        clips, starts = self.cuts.clips[indices], self._starts(indices, key)
        data = self.packed.windows(clips, starts, self.length, key.device).float().div_(FULL_SCALE)
        self._fade(data, starts > 0, starts + self.length < self.packed.lengths[clips])
        labels = None if self.labels is None else self.labels[indices].to(key.device, non_blocking=True)
        return Batch(data[:, None], labels)

    def origins(self, indices: Tensor, key: Key) -> list[str]:
        """The recording and the place in it of each row, empty where the clips are of none."""
        if not self.sources:
            return []
        clips, starts = self.cuts.clips[indices], self._starts(indices, key)
        lengths = self.packed.lengths[clips].clamp(max=self.length)
        rows = zip(clips.tolist(), starts.tolist(), lengths.tolist(), strict=True)
        return [self.sources.told(*row) for row in rows]

    def _starts(self, indices: Tensor, key: Key) -> Tensor:
        """On the CPU, where the tables are: streamed and resident, CPU and accelerator cut alike."""
        share = (key / "window").to("cpu").uniform(len(indices)).double()
        low, high = self.cuts.lows[indices], self.cuts.highs[indices]
        return low + (share * (high - low + 1)).long().clamp_(max=high - low)

    def _fade(self, data: Tensor, cut_before: Tensor, cut_after: Tensor) -> None:
        """``data`` (batch, length), in place."""
        if not (samples := len(self.fade)):
            return
        gain, one = self.fade.to(data.device), torch.ones((), device=data.device)
        before, after = (cut.to(data.device, non_blocking=True)[:, None] for cut in (cut_before, cut_after))
        data[:, :samples] *= torch.where(before, gain, one)
        data[:, -samples:] *= torch.where(after, gain.flip(0), one)
