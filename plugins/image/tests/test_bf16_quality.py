"""Equal steps in bf16 and in fp32 lead to images of equal quality."""

from __future__ import annotations

import statistics

import pytest
import torch
from gancore_image.config import ImageConfig
from gancore_image.dcgan_lite import DCGANLite, DCGANLiteConfig
from gancore_image.domain import ImageDomain
from gancore_image.metrics import wavelet_frechet
from gancore_image.sources import SOURCES
from scipy.stats import t as student

from gancore import MetricInputs
from gancore.data.sources import resolve_source
from gancore.models.model import build_game
from gancore.random import Key
from gancore.training.loop import play
from gancore.training.setup import set_up

SEEDS, STEPS = range(6), 250


@pytest.mark.long
def test_bf16_leaves_quality_as_it_is_at_equal_steps(tmp_path, monkeypatch):
    """Digits, width 12: the seeds' mean difference of distances has 0 in its 99 % interval (Student's).

    The interval is narrow enough to say something: under a tenth of the distance itself.
    """
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path))
    data = ImageDomain().open(resolve_source(None, SOURCES, None, print), ImageConfig())
    real = data.view("test").get_batch(torch.arange(len(data.view("test"))), Key.of(0)).data

    def distance(seed: int, bf16: bool) -> float:
        game = build_game(DCGANLite(), DCGANLiteConfig(width=12, ema_halflife=500), data.spec, seed)
        play(set_up(game, data.view("train"), batch_size=32, seed=seed, bf16=bf16), STEPS)
        with torch.no_grad():
            fake = game.sampler().eval().sample(500, Key.of("samples"))
        return wavelet_frechet.compute(MetricInputs.from_samples(fake, real, data.spec))

    full, half = ([distance(seed, bf16) for seed in SEEDS] for bf16 in (False, True))
    differences = [b - a for a, b in zip(full, half, strict=True)]
    error = statistics.stdev(differences) / len(SEEDS) ** 0.5
    mean, reach = statistics.fmean(differences), error * float(student.ppf(0.995, len(SEEDS) - 1))
    print(f"fp32 {full}\nbf16 {half}\nbf16 - fp32: {mean:.4f} +/- {reach:.4f}")
    assert max(map(abs, differences)) > 0  # bf16 was really played in
    assert abs(mean) <= reach
    assert reach < statistics.fmean(full) / 10
