"""A classifier of sounds of any rate and length: a small CNN on log-mel spectra."""

from __future__ import annotations

import itertools
import math

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, leaky_relu

from gancore import ClassifierFeatureExtractor, ConfigError, Recipe, RecipeConfig, Spec
from gancore.data import num_classifier_classes
from gancore.games import AdamW, Classifier, Game, classifier_game, cosine, noise, warmup
from gancore_audio.mel import default_win_length, log_mel

LAYERS, COLUMNS, GROUPS = 3, 4, 4
WARMUP_SHARE = 0.05
"""Share of training over which the learning rate rises; a high rate from the first step can kill units."""
MIN_NOISE_DB = -80.0
"""The noise that is added in training has a level from this to ``noise_db``, uniform in dB."""


class ClassifierConfig(RecipeConfig):
    """A minute on a CPU core for short sounds. The rate rises over a twentieth, then falls along a cosine."""

    batch_size: PositiveInt = Field(64, description="examples per global batch")
    steps: PositiveInt = Field(1_000, description="steps, when the command gives no budget")
    width: PositiveInt = Field(16, description="channels of the first layer; doubled at each of the next two")
    mel_bands: PositiveInt = Field(40, ge=8, le=128, description="mel bands of the spectra")
    feature_dim: PositiveInt = Field(
        64, description="size of the features that the last layer sees and metrics compare"
    )
    lr: PositiveFloat = Field(3e-3, description="AdamW's maximal learning rate")
    weight_decay: NonNegativeFloat = Field(1e-2, description="of AdamW")
    shift_ms: NonNegativeFloat = Field(
        25.0, le=1000, description="random shift of training sounds, up to this and length / 8"
    )
    gain_db: NonNegativeFloat = Field(
        12.0, le=60, description="random attenuation of training sounds, up to this"
    )
    noise_db: float = Field(
        -30.0,
        ge=-80,
        le=0,
        description="level of white noise on training sounds: from -80 dB to this, re full scale",
    )


class SoundClassifier(Classifier):
    """Waveforms (batch, 1, length) to logits by log-mel spectra, three convolutions, and means over time."""

    def __init__(self, config: ClassifierConfig, sample_rate_hz: int, length: int, classes: int) -> None:
        super().__init__()
        self.config, self.sample_rate_hz = config, sample_rate_hz
        self.max_shift = min(round(config.shift_ms / 1000 * sample_rate_hz), length // 8)
        self.window = default_win_length(sample_rate_hz, length)
        widths = [1, *(config.width * 2**layer for layer in range(LAYERS))]
        self.layers = nn.Sequential(*(_layer(*pair) for pair in itertools.pairwise(widths)))
        rows = -(-config.mel_bands // 2**LAYERS)
        self.dense = nn.Linear(widths[-1] * rows * COLUMNS, config.feature_dim)
        self.head = nn.Linear(config.feature_dim, classes)

    def embed(self, data: Tensor) -> Tensor:
        """(batch, features)."""
        with torch.autocast(data.device.type, enabled=False):
            sounds = self._augment(data.float()) if self.training else data.float()
            spectra = log_mel(
                sounds[:, 0], self.sample_rate_hz, self.config.mel_bands, self.window, self.window // 2
            )
        maps = self.layers(spectra[:, None] / 40 + 1)  # (batch, 4 width, bands / 8, frames / 8)
        return leaky_relu(self.dense(adaptive_avg_pool2d(maps, (None, COLUMNS)).flatten(1)), 0.1)

    def classify(self, embedded: Tensor) -> Tensor:
        result: Tensor = self.head(embedded)
        return result

    def _augment(self, sounds: Tensor) -> Tensor:
        """Random shift, gain and noise of each sound: none of them identifies a label."""
        n, draws = len(sounds), noise(len(sounds), sounds.device)
        moved = shift_with_silence(sounds, draws.integers(-self.max_shift, self.max_shift + 1, n))
        gain_db = -self.config.gain_db * draws.uniform(n, 1, 1)
        level_db = MIN_NOISE_DB + (self.config.noise_db - MIN_NOISE_DB) * draws.uniform(n, 1, 1)
        noise_floor = draws.normal(n, *sounds.shape[1:])
        return 10 ** (gain_db / 20) * moved + 10 ** (level_db / 20) * noise_floor


def _layer(before: int, after: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.GroupNorm(
            math.gcd(GROUPS, after), after
        ),  # not over the batch: a sound does not depend on the others
        nn.ReLU(),
        nn.MaxPool2d(2, ceil_mode=True),
    )


def shift_with_silence(sounds: Tensor, shifts: Tensor) -> Tensor:
    """Row b of (batch, 1, length) ``shifts[b]`` samples later (earlier if negative); the gap is silent."""
    length = sounds.shape[-1]
    source = torch.arange(length, device=sounds.device) - shifts[:, None, None]  # (batch, 1, length)
    return sounds.gather(2, source.clamp(0, length - 1)) * ((source >= 0) & (source < length))


class SoundClassifierRecipe(Recipe):
    """Cross-entropy by AdamW, on waveforms with random shift, gain and noise."""

    Config = ClassifierConfig

    def build(self, config: ClassifierConfig, spec: Spec) -> Game:
        classes = num_classifier_classes(spec)
        rate = warmup(cosine(config.lr, config.lr / 100), WARMUP_SHARE)
        optimizer = AdamW(rate, weight_decay=config.weight_decay)
        return classifier_game(
            lambda: SoundClassifier(config, spec["sample_rate_hz"], spec["length"], classes),
            optimizer=optimizer,
        )


class ClassifierFeatures(ClassifierFeatureExtractor):
    """Features of our classifier of sounds."""

    def check(self, samples: Tensor, spec: Spec) -> None:
        if spec["sample_rate_hz"] != self.spec["sample_rate_hz"]:
            raise ConfigError(
                f"the classifier was trained at {self.spec['sample_rate_hz']} Hz, samples have"
                f" {spec['sample_rate_hz']}",
                "evaluate against the source that the model was trained on",
            )
