"""The recipes are what their papers and their documents say."""

import pytest
import torch
from gancore_audio.wavegan import WaveGAN, WaveGANConfig, WaveGANLite, WaveGANLiteConfig
from refusals import refused

from gancore import ConfigError, Spec
from gancore.games import Adam, Move, PenaltyMove
from gancore.random import Key

PLAIN = {"length": 256, "sample_rate_hz": 4000}


def test_wavegan_is_played_as_published():
    game = WaveGAN().build(WaveGANConfig(width=2), Spec(PLAIN))
    (phase,) = game.phases
    assert phase.moves == [Move("discriminator")] * 5 + [Move("generator")]
    assert (
        game.players["generator"].optimizer
        == game.players["discriminator"].optimizer
        == Adam(1e-4, (0.5, 0.9))
    )
    (penalty,) = game.penalties
    assert (penalty.name, penalty.weight, penalty.every) == ("wgan-gp", 10.0, 1)
    latents = game.prior.sample(Key.of(0), 1000)
    assert latents.shape == (1000, 100)
    assert -1 <= latents.min() < -0.99 and 0.99 < latents.max() <= 1
    assert abs(latents.var().item() - 1 / 3) < 0.01
    assert game.ema is None and game.generator.post_filter.kernel_size == (512,)


def test_wavegan_lite_makes_one_move_each_and_a_lazy_penalty():
    game = WaveGANLite().build(WaveGANLiteConfig(width=2), Spec(PLAIN))
    (phase,) = game.phases
    (penalty,) = game.penalties
    lazy = PenaltyMove.of("discriminator", penalty)
    assert (penalty.name, penalty.every) == ("r1", 16)
    assert phase.moves == [Move("discriminator"), lazy, Move("generator")]
    rate = game.players["generator"].optimizer.lr
    assert rate(0.0) == pytest.approx(6e-4) and rate(1.0) == pytest.approx(1.2e-4)
    assert game.ema is not None


@pytest.mark.parametrize("result", [True, False])
def test_networks_are_told_labels_when_asked(result):
    spec = Spec({**PLAIN, "classes": ["a", "b"], "class_shares": [0.75, 0.25]})
    game = WaveGANLite().build(WaveGANLiteConfig(width=2, conditional=result), spec)
    assert game.conditional is result
    assert (game.generator.label is not None) is result
    assert game.sampler().conditional is result


def test_a_label_changes_no_judgement_at_first():
    spec = Spec({**PLAIN, "classes": ["a", "b"], "class_shares": [0.75, 0.25]})
    judges = WaveGANLite().build(WaveGANLiteConfig(width=2, conditional=True), spec).discriminator.eval()
    sounds = torch.randn(3, 1, 256)
    assert torch.equal(judges(sounds, torch.zeros(3).long()), judges(sounds, torch.ones(3).long()))


def test_labels_that_the_data_do_not_have_are_refused():
    with refused(ConfigError, "model.conditional", fix="data.labels"):
        WaveGANLite().build(WaveGANLiteConfig(conditional=True), Spec(PLAIN))


def test_without_the_spectrum_one_judge_is_left():
    sounds = torch.randn(3, 1, 256)
    for spectrum, shape in ((True, (3, 2)), (False, (3,))):
        game = WaveGANLite().build(
            WaveGANLiteConfig(width=2, spectrogram_discriminator=spectrum), Spec(PLAIN)
        )
        assert game.discriminator(sounds).shape == shape
