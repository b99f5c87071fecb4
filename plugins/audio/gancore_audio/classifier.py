"""A judge of sounds, of any rate and length: which label? A small CNN on log-mel spectra."""

from __future__ import annotations

import itertools
import math

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, leaky_relu

from gancore import Recipe, RecipeSection, Spec
from gancore.data.classes import classes_judged
from gancore.games import AdamW, Classifier, Game, classifier, cosine, noise, warmup
from gancore_audio.spectral import window_samples
from gancore_audio.spectrogram import log_mel

LAYERS, COLUMNS, GROUPS = 3, 4, 4
WARMUP = 0.05
"""Share of the training over which the rate rises; at once at its highest it may kill features for good."""
QUIETEST_DB = -80.0
"""The noise that is added in training has levels between this and ``noise_db``, evenly in dB."""


class ClassifierConfig(RecipeSection):
    """A minute on a CPU core for short sounds. The rate rises over a twentieth, then falls along a cosine."""

    batch_size: PositiveInt = Field(64, description="rows of the joined batch")
    steps: PositiveInt = Field(1_000, description="rounds, when the command names no budget")
    width: PositiveInt = Field(16, description="channels of the first layer; doubled at each of the next two")
    bands: PositiveInt = Field(40, ge=8, le=128, description="mel bands of the spectra")
    features: PositiveInt = Field(64, description="numbers that the last layer sees: what measures compare")
    lr: PositiveFloat = Field(3e-3, description="AdamW's highest rate")
    weight_decay: NonNegativeFloat = Field(1e-2, description="of AdamW")
    shift_ms: NonNegativeFloat = Field(
        25.0, le=1000, description="training sounds come earlier or later by up to this, at most length / 8"
    )
    gain_db: NonNegativeFloat = Field(12.0, le=60, description="training sounds are softer by up to this")
    noise_db: float = Field(
        -30.0, ge=-80, le=0, description="training sounds get white noise of -80 dB to this, re full scale"
    )


class SoundClassifier(Classifier):
    """Waveforms (batch, 1, length) to logits by log-mel spectra, three convolutions, and a mean over all."""

    def __init__(self, config: ClassifierConfig, rate_hz: int, length: int, classes: int) -> None:
        super().__init__()
        self.config, self.rate_hz = config, rate_hz
        self.most = min(round(config.shift_ms / 1000 * rate_hz), length // 8)
        self.window = window_samples(rate_hz, length)
        widths = [1, *(config.width * 2**layer for layer in range(LAYERS))]
        self.layers = nn.Sequential(*(_layer(*pair) for pair in itertools.pairwise(widths)))
        rows = -(-config.bands // 2**LAYERS)
        self.dense = nn.Linear(widths[-1] * rows * COLUMNS, config.features)
        self.head = nn.Linear(config.features, classes)

    def embed(self, data: Tensor) -> Tensor:
        """(batch, features)."""
        with torch.autocast(data.device.type, enabled=False):
            sounds = self._varied(data.float()) if self.training else data.float()
            spectra = log_mel(sounds[:, 0], self.rate_hz, self.config.bands, self.window, self.window // 2)
        maps = self.layers(spectra[:, None] / 40 + 1)  # (batch, 4 width, bands / 8, frames / 8)
        return leaky_relu(self.dense(adaptive_avg_pool2d(maps, (None, COLUMNS)).flatten(1)), 0.1)

    def classify(self, embedded: Tensor) -> Tensor:
        return self.head(embedded)

    def _varied(self, sounds: Tensor) -> Tensor:
        """Moved, softer and over noise, each row by itself: neither place nor level nor hiss is a label."""
        n, draws = len(sounds), noise(len(sounds), sounds.device)
        moved = moved_by(sounds, draws.integers(-self.most, self.most + 1, n))
        gain_db = -self.config.gain_db * draws.uniform(n, 1, 1)
        level_db = QUIETEST_DB + (self.config.noise_db - QUIETEST_DB) * draws.uniform(n, 1, 1)
        hiss = draws.normal(n, *sounds.shape[1:])
        return 10 ** (gain_db / 20) * moved + 10 ** (level_db / 20) * hiss


def _layer(before: int, after: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.GroupNorm(
            math.gcd(GROUPS, after), after
        ),  # and not over the batch: each sound is judged by itself
        nn.ReLU(),
        nn.MaxPool2d(2, ceil_mode=True),
    )


def moved_by(sounds: Tensor, shifts: Tensor) -> Tensor:
    """Row b of (batch, 1, length) ``shifts[b]`` samples later (earlier, where negative); silence moves in."""
    length = sounds.shape[-1]
    source = torch.arange(length, device=sounds.device) - shifts[:, None, None]  # (batch, 1, length)
    return sounds.gather(2, source.clamp(0, length - 1)) * ((source >= 0) & (source < length))


class SoundJudge(Recipe):
    """Cross-entropy by AdamW, on sounds that are moved, softened and put over noise."""

    Config = ClassifierConfig

    def build(self, config: ClassifierConfig, spec: Spec) -> Game:
        classes = classes_judged(spec)
        rate = warmup(cosine(config.lr, config.lr / 100), WARMUP)
        rule = AdamW(rate, weight_decay=config.weight_decay)
        return classifier(
            lambda: SoundClassifier(config, spec["rate_hz"], spec["length"], classes), rule=rule
        )
