"""Feature extractors of sounds: log-mel statistics, CREPE, and VGGish with weights of the user.

VGGish (Hershey et al. 2017) is the network of FAD. Front end and layers are those of its release: 16 kHz, 25
ms windows every 10 ms, 64 mel bands from 125 to 7,500 Hz, log(magnitude + 0.01), patches of 96 frames, 128
numbers before any activation. A Frechet distance is named after its features: only with VGGish is it what
papers call FAD.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torchaudio.compliance.kaldi import get_mel_banks

from gancore import FeatureContext, FeatureExtractor, Spec
from gancore.data import digest_json
from gancore.metrics import PretrainedWeights, weights_path
from gancore_audio.mel import resample
from gancore_audio.mel_metrics import FLOOR_DB, MOMENT_BANDS, log_mel_moments
from gancore_audio.pitch import HOP as CREPE_HOP
from gancore_audio.pitch import SHA256 as CREPE_SHA256
from gancore_audio.pitch import load_crepe, run_crepe

RATE_HZ, WINDOW, HOP, FFT = 16_000, 400, 160, 512
BANDS, MIN_HZ, MAX_HZ, OFFSET = 64, 125.0, 7_500.0, 0.01
FRAMES = 96
"""Frames of a patch, 0.96 s; patches do not overlap."""
WEIGHTS_VARIABLE = "GANCORE_VGGISH"
EXPECTED = "give VGGish's weights as a state_dict with features.0.weight ... embeddings.4.bias"
LAYERS = (1, "pool", 2, "pool", 4, 4, "pool", 8, 8, "pool")
"""Convolutions by their width over that of the first one, and poolings."""


class VGGish(nn.Module):
    """Patches (n, 96, 64) to (n, 128). Names are those of the published weights for PyTorch."""

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


@cache
def mel_filters() -> Tensor:
    """Triangles that are linear in mel, of height 1, without DC and without the highest bin: (257, 64)."""
    filters, _ = get_mel_banks(
        BANDS, FFT, RATE_HZ, MIN_HZ, MAX_HZ, vtln_low=0.0, vtln_high=0.0, vtln_warp_factor=1.0
    )
    return pad(filters, (0, 1)).T


def log_mel_patches(waveforms: Tensor, sample_rate_hz: int) -> Tensor:
    """(n, 1, time) to (n, patches, 96, 64). Shorter sounds are padded with zeros to one patch."""
    sounds = resample(waveforms[:, 0].float(), sample_rate_hz, RATE_HZ)
    shortest = WINDOW + (FRAMES - 1) * HOP
    frames = pad(sounds, (0, max(0, shortest - sounds.shape[1]))).unfold(1, WINDOW, HOP)
    hann = torch.hann_window(WINDOW, device=sounds.device)
    magnitude = torch.fft.rfft(frames * hann, FFT).abs()  # (n, frames, 257)
    mel = torch.log(magnitude @ mel_filters().to(sounds.device) + OFFSET)
    count = mel.shape[1] // FRAMES
    result: Tensor = torch.unflatten(mel[:, : count * FRAMES], 1, (count, FRAMES))
    return result


@torch.no_grad()
def embed(net: VGGish, waveforms: Tensor, sample_rate_hz: int) -> Tensor:
    """(n, 1, time) to (n, 128): the mean over the patches of a sound."""
    patches = log_mel_patches(waveforms, sample_rate_hz)
    return torch.stack([net(part) for part in patches.unbind(1)]).mean(0)


def load_vggish(path: Path) -> tuple[VGGish, str]:
    """The network with the weights of a file (PyTorch's, or safetensors), and the file's sha256.

    Raises:
        ConfigError: there is no such file, or it has other weights.
    """
    given = PretrainedWeights.read(WEIGHTS_VARIABLE, path, EXPECTED)
    with torch.device("meta"):
        net = VGGish()
    given.fill(net)
    return net.eval(), given.sha256


class LogMelFeatures(FeatureExtractor):
    """Mean and standard deviation over time of 32 log-mel bands, in dB: (n, 64)."""

    name = "log-mel"

    @property
    def digest(self) -> str:
        return digest_json(self.name, 1, MOMENT_BANDS, FLOOR_DB)

    def embed(self, samples: Tensor, spec: Spec) -> Tensor:
        return log_mel_moments(samples, spec["sample_rate_hz"]).float()


class CrepeFeatures(FeatureExtractor):
    """The embedding of CREPE, averaged over the frames of a sound by power: (n, 256)."""

    name = "crepe"

    def prepare(self, context: FeatureContext) -> None:
        load_crepe("cpu")

    @property
    def digest(self) -> str:
        return digest_json(self.name, 1, CREPE_SHA256, CREPE_HOP)

    def embed(self, samples: Tensor, spec: Spec) -> Tensor:
        return run_crepe(samples, spec["sample_rate_hz"])[0]


class VGGishFeatures(FeatureExtractor):
    """VGGish's 128 numbers, averaged over the patches of a sound, with weights of the user."""

    name = "vggish"
    frechet_name = "FAD"

    def prepare(self, context: FeatureContext) -> None:
        path = weights_path(WEIGHTS_VARIABLE, self.name, "classifier or log-mel")
        self.net, self.sha256 = load_vggish(path)
        context.announce(f"vggish: weights of {path.name}, sha256 {self.sha256}")

    @property
    def digest(self) -> str:
        return digest_json(self.name, 2, self.sha256)

    def embed(self, samples: Tensor, spec: Spec) -> Tensor:
        return embed(self.net.to(samples.device), samples, spec["sample_rate_hz"])
