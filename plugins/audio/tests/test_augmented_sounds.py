"""Gain, shift and filter of what a discriminator of sounds is shown."""

import math

import numpy as np
import pytest
import torch
from gancore_audio.wavegan import (
    AUGMENTATIONS,
    WaveGANLite,
    WaveGANLiteConfig,
    random_filter,
    random_gain,
    random_shift,
)

from gancore import Spec
from gancore.games import AugmentedDiscriminator
from gancore.random import Key, RowRange, noise, noise_scope
from gancore.training.loop import play
from gancore.training.setup import set_up


def apply(change, x):
    with noise_scope(Key.of("augmentation"), RowRange.all(len(x))):
        return change(x, noise(len(x), x.device))


def sounds(rows=6, length=256):
    return Key.of("sounds").normal(rows, 1, length).double()


def test_a_gain_is_of_at_most_6_db_and_evenly_in_db():
    x = sounds(2000, 16)
    ratio = apply(random_gain, x) / x
    torch.testing.assert_close(ratio, ratio[..., :1].expand_as(x))
    db = 20 * ratio[:, 0, 0].log10()
    assert db.abs().max() <= 6
    assert abs(float(db.mean())) < 0.3 and float(db.std()) == pytest.approx(12 / math.sqrt(12), rel=0.05)


def test_a_shift_is_of_whole_samples_up_to_an_eighth():
    x = torch.arange(64.0).expand(500, 1, 64)
    starts = apply(random_shift, x)[:, 0, 32] - 32
    assert set(starts.tolist()) == set(range(-8, 9))


def test_a_filter_has_the_drawn_gains_at_its_points_and_no_delay():
    x = torch.zeros(300, 1, 512, dtype=torch.float64)
    x[..., 256] = 1
    response = apply(random_filter, x)
    spectrum = np.fft.rfft(np.roll(response[:, 0].numpy(), -256, axis=1))
    assert np.abs(spectrum.imag).max() < 1e-9  # symmetric about its middle: no phase
    db = 20 * np.log10(spectrum.real)
    assert np.abs(db).max() <= 6 + 1e-9
    bins = np.linspace(0, 256, 8)
    for row in db[:20]:
        points = np.interp(bins, np.arange(257), row)
        np.testing.assert_allclose(np.interp(np.arange(257), bins, points), row, atol=0.15)
    assert float((response[..., 240:273] ** 2).sum() / (response**2).sum()) > 0.99


@pytest.mark.parametrize("change", AUGMENTATIONS)
def test_first_and_second_derivatives_are_exact(change):
    x = sounds(2, 16).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: apply(change, x), x)
    assert torch.autograd.gradgradcheck(lambda x: apply(change, x).square(), x)


def test_wavegan_lite_trains_on_augmented_sounds():
    config = WaveGANLiteConfig(width=2, latent_dim=4, augmentation="adaptive", penalty_every=2)
    game = WaveGANLite().build(config, Spec({"length": 256, "sample_rate_hz": 8000}))
    table = set_up(game, sounds().float(), batch_size=4)
    play(table, 5)
    assert isinstance(game.discriminator, AugmentedDiscriminator) and -1 <= table.scalars.read()["r_t"] <= 1
    assert all(p.isfinite().all() for p in game.parameters())
