"""SpecGAN's representation: log magnitudes of the spectrum, bin by bin on one scale."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import pad

from gancore import Batch, View
from gancore.games import Representation
from gancore.runtime.randomness import Key
from gancore_audio.frames import Frames, grid, griffin_lim

PEEK, CHUNK = 4096, 128
"""Rows of train by which a representation is fitted, and how many are held at a time."""
DEVIATIONS = 3
"""Standard deviations that are laid between 0 and 1; what is further out is cut off."""


class LogMagnitude(Representation):
    """Waveforms (n, 1, time) to images (n, 1, frames, window / 2) in [-1, 1], and back by Griffin-Lim.

    (log(|X| + floor) - m) / 3 s of each bin but the highest, m and s over train (Donahue et al. 2019, section
    3.2). The floor, in dB of a full-scale sine, is what silence is; it is taken off again. Phases are
    lost, so decode does not undo encode: see :func:`gancore_audio.frames.griffin_lim`.
    """

    many_to_one = True

    def __init__(self, length: int, window: int, hop: int, floor_db: float, iterations: int) -> None:
        super().__init__()
        self.grid = grid(length, window, hop)
        self.length, self.frames = length, Frames(window, hop, self.grid[0])
        self.floor, self.iterations = 10 ** (floor_db / 20), iterations
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros(self.grid[1]))
        self.register_buffer("scale", torch.ones(self.grid[1]))

    def fit(self, train: View) -> None:
        count, total, squares = 0, torch.zeros_like(self.mean), torch.zeros_like(self.mean)
        for waveforms in rows_of(train, self.mean.device):
            logs = self._log(waveforms).double()
            count += logs.shape[0] * logs.shape[1]
            total = total + logs.sum((0, 1))
            squares = squares + logs.square().sum((0, 1))
        mean = total / count
        self.mean.copy_(mean)
        self.scale.copy_(DEVIATIONS * (squares / count - mean.square()).clamp_min(1e-6).sqrt())

    def encode(self, batch: Batch) -> Batch:
        image = ((self._log(batch.data[:, 0]) - self.mean) / self.scale).clamp(-1, 1)
        return Batch(image[:, None], batch.condition)

    def decode(self, outputs: Tensor) -> Tensor:
        with torch.autocast(outputs.device.type, enabled=False):
            log = outputs[:, 0].float() * self.scale + self.mean
            magnitudes = pad((log.exp() - self.floor).clamp_min(0), (0, 1))
            waveforms = griffin_lim(magnitudes, self.frames, self.iterations)
            return unclipped(waveforms[:, : self.length])[:, None]

    def _log(self, waveforms: Tensor) -> Tensor:
        return torch.log(self.frames(waveforms)[:, :, :-1].abs() + self.floor)


def unclipped(waveforms: Tensor) -> Tensor:
    """(n, time), each sound that passes full scale brought down to it as a whole.

    Without phases levels are fitted only roughly; cut off at full scale, loud sounds would be distorted.
    """
    return waveforms / waveforms.abs().amax(1, keepdim=True).clamp_min(1)


def rows_of(train: View, device: torch.device) -> Iterator[Tensor]:
    """Waveforms (n, time) of rows spread evenly over train, a chunk at a time."""
    rows = torch.linspace(0, len(train) - 1, min(len(train), PEEK), dtype=torch.float64).round().long()
    for number, part in enumerate(rows.split(CHUNK)):
        yield train.take(part, Key.of("fit", number, device=device)).data[:, 0]
