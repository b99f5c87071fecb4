"""VGGish (Hershey et al. 2017), the network of FAD, for weights that the user has: none is brought.

Front end and layers are those of its release: 16 kHz, 25 ms windows every 10 ms, 64 mel bands from 125 to
7,500 Hz, log(magnitude + 0.01), patches of 96 frames, 128 numbers before any activation.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from gancore.models.given import Given
from gancore_audio.crepe import resampled

RATE_HZ, WINDOW, HOP, FFT = 16_000, 400, 160, 512
BANDS, LOWEST_HZ, HIGHEST_HZ, OFFSET = 64, 125.0, 7_500.0, 0.01
FRAMES = 96
"""Frames of a patch, 0.96 s; patches do not overlap."""
SETTING = "GANCORE_VGGISH"
WANTED = "give VGGish's weights as a state_dict with features.0.weight ... embeddings.4.bias"
LAYERS = (1, "pool", 2, "pool", 4, 4, "pool", 8, 8, "pool")
"""Convolutions by their width over the first one's, and what halves time and frequency."""


class VGGish(nn.Module):
    """Patches (n, 96, 64) to (n, 128). Names are those of the weights as they are passed on for PyTorch."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for kind in LAYERS:
            if kind == "pool":
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(channels, int(kind) * width, 3, padding=1), nn.ReLU()]
                channels = int(kind) * width
        self.features = nn.Sequential(*layers)
        dense = 64 * width
        cells = channels * (FRAMES // 16) * (BANDS // 16)
        self.embeddings = nn.Sequential(
            nn.Linear(cells, dense),
            nn.ReLU(),
            nn.Linear(dense, dense),
            nn.ReLU(),
            nn.Linear(dense, 2 * width),
        )

    def forward(self, patches: Tensor) -> Tensor:
        maps = self.features(patches[:, None])  # (n, channels, 6, 4)
        embedded: Tensor = self.embeddings(maps.permute(0, 2, 3, 1).flatten(1))  # channels last, as published
        return embedded


def mel_hz(frequency_hz: Tensor) -> Tensor:
    """1127 ln(1 + f / 700)."""
    return 1127.0 * torch.log1p(frequency_hz / 700.0)


@cache
def mel_filters() -> Tensor:
    """Triangles that are straight in mel, of height 1: (257, 64); nothing of DC."""
    bins = mel_hz(torch.linspace(0, RATE_HZ / 2, FFT // 2 + 1, dtype=torch.float64))[:, None]
    ends = mel_hz(torch.tensor([LOWEST_HZ, HIGHEST_HZ], dtype=torch.float64))
    edges = torch.linspace(float(ends[0]), float(ends[1]), BANDS + 2, dtype=torch.float64)
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    filters = torch.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)).clamp_min(0)
    filters[0] = 0
    return filters.float()


def log_mel_patches(waveforms: Tensor, rate_hz: int) -> Tensor:
    """(n, 1, time) to (n, patches, 96, 64). What is shorter than a patch is filled up with silence."""
    sounds = resampled(waveforms[:, 0].float(), rate_hz, RATE_HZ)
    shortest = WINDOW + (FRAMES - 1) * HOP
    frames = pad(sounds, (0, max(0, shortest - sounds.shape[1]))).unfold(1, WINDOW, HOP)
    hann = torch.hann_window(WINDOW, device=sounds.device)
    magnitude = torch.fft.rfft(frames * hann, FFT).abs()  # (n, frames, 257)
    mel = torch.log(magnitude @ mel_filters().to(sounds.device) + OFFSET)
    count = mel.shape[1] // FRAMES
    return mel[:, : count * FRAMES].unflatten(1, (count, FRAMES))


@torch.no_grad()
def embed(net: VGGish, waveforms: Tensor, rate_hz: int) -> Tensor:
    """(n, 1, time) to (n, 128): the mean over a sound's patches."""
    patches = log_mel_patches(waveforms, rate_hz)
    return torch.stack([net(part) for part in patches.unbind(1)]).mean(0)


def load_vggish(path: Path) -> tuple[VGGish, str]:
    """The network with the weights of a file (PyTorch's, or safetensors), and the file's sha256.

    Raises:
        ConfigError: no such file, or it holds something else.
    """
    given = Given.read(SETTING, path, WANTED)
    with torch.device("meta"):
        net = VGGish()
    given.fill(net)
    return net.eval(), given.sha256
