"""Flows of waveforms: densities in the waveform's own units, bounded by the cells of 8-bit mu-law."""

import math

import pytest
import torch
from gancore_audio.flow import (
    AudioFlow,
    AudioFlowConfig,
    AudioFlowGAN,
    AudioFlowGANConfig,
    DilatedNetwork,
    MuLawCompanding,
    build_waveform_flow,
    dequantised_waveforms,
)
from gancore_audio.mu_law import LEVELS, cell_edges, compand, encode, expand, quantisation_cells
from refusals import refused

from gancore import Batch, ConfigError, Spec
from gancore.data.dataset import TensorView
from gancore.games import Adam, Move, PenaltyMove
from gancore.random import Key, RowRange
from gancore.training.loop import play
from gancore.training.setup import set_up

PLAIN = Spec({"length": 256, "sample_rate_hz": 4000})
LABELLED = Spec({**PLAIN.fields, "classes": ["a", "b"], "class_shares": [0.75, 0.25]})
SMALL = {"squeeze": 8, "couplings": 2, "width": 4, "layers": 2}
INT16 = torch.arange(-32_768, 32_768) / 32_768


def stirred(module):
    """Every parameter somewhere else than where it begins, matrices of mixing apart."""
    for parameter in module.parameters():
        if parameter.dim() != 2:
            torch.nn.init.normal_(parameter, std=0.2)
    return module


def test_companding_is_g711s_law_and_its_inverse():
    """At 1 it is 1, at 1/255 it is log 2 / log 256 = 1/8; every 16-bit sample comes back."""
    x = torch.tensor([-1.0, -1 / 255, 0.0, 1 / 255, 1.0])
    torch.testing.assert_close(compand(x), torch.tensor([-1.0, -0.125, 0.0, 0.125, 1.0]))
    torch.testing.assert_close(expand(compand(INT16)), INT16, rtol=1e-6, atol=1e-7)


def test_every_16_bit_sample_stands_in_its_cell_and_the_cells_fill_the_line():
    low, width = quantisation_cells(INT16)
    assert (low <= INT16).all() and (low + width >= INT16).all()
    assert cell_edges()[0] == -1 and cell_edges()[-1] == 1 and (cell_edges().diff() > 0).all()
    assert encode(torch.tensor([-1.0, -1e-6, 0.0, 1.0])).tolist() == [0, 127, 128, 255]
    assert encode(INT16).unique().numel() == LEVELS
    assert 1 / quantisation_cells(torch.zeros(1))[1].item() == pytest.approx(5760, rel=1e-3)


@pytest.mark.parametrize("where", [1e-9, 0.3, -0.9, 1.0, 1.5, -7.0])
def test_companding_as_a_layer_knows_its_slope_and_goes_on_straight(where):
    layer = MuLawCompanding().double()
    x = torch.tensor([[[where]]], dtype=torch.float64, requires_grad=True)
    y, log_det = layer(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert log_det.item() == pytest.approx(slope.log().item(), abs=1e-12)
    assert layer.inverse(y).item() == pytest.approx(where, abs=1e-12)
    if abs(where) > 1:
        further = layer(x + x.sign())[0] - y
        assert further.abs().item() == pytest.approx(slope.item())


def test_a_density_of_waveforms_is_that_of_brute_force():
    """log det by the Jacobian of the whole flow, companding included, in float64."""
    torch.manual_seed(0)
    flow = stirred(build_waveform_flow(16, 4, 2, 4, 2, classes=2)).double()
    x = 1.2 * torch.rand(3, 1, 16, dtype=torch.float64) - 0.6
    labels = torch.tensor([0, 1, 1])
    z, log_det = flow.encode(x, labels)
    for row in range(3):
        jacobian = torch.autograd.functional.jacobian(
            lambda wave, row=row: flow.encode(wave[None], labels[row : row + 1])[0][0], x[row]
        ).view(16, 16)
        assert log_det[row].item() == pytest.approx(torch.linalg.slogdet(jacobian).logabsdet.item())
    torch.testing.assert_close(flow.decode(z, labels), x)


def test_a_two_sample_flow_integrates_to_one_over_all_cells():
    """Probabilities of the 256 x 256 cells by integration add up to 1, and the told bound is below each."""
    torch.manual_seed(0)
    flow = build_waveform_flow(2, 2, 2, 4, 1, classes=0).double()
    for name, parameter in flow.named_parameters():
        if "label" not in name and parameter.dim() == 1:
            torch.nn.init.normal_(parameter, std=0.3)
    fine = 3  # points an edge of a cell, at the middles of equal parts
    line = cell_edges(torch.float64)
    parts = (torch.arange(fine, dtype=torch.float64) + 0.5) / fine
    points = (line[:-1, None] + line.diff()[:, None] * parts).flatten()
    with torch.no_grad():
        density = torch.cat(
            [flow.log_prob(torch.cartesian_prod(some, points)[:, None]) for some in points.split(64)]
        )
    by_cell = density.view(LEVELS, fine, LEVELS, fine).transpose(1, 2).flatten(2)  # (256, 256, points)
    area = line.diff()[:, None] * line.diff()
    probability = by_cell.exp().mean(2) * area
    outside = 1 - probability.sum()
    samples = flow.decode(Key.of(0).normal(20_000, 2).double()).abs().amax((1, 2)) > 1
    assert outside.item() == pytest.approx(samples.double().mean().item(), abs=0.02)
    bound = by_cell.mean(2) + area.log()  # E_u log q + log w w
    assert (bound <= probability.log() + 1e-12).all()


def test_silence_has_no_more_than_its_cells_density():
    """Zeros recur for ever; of a flow that knows nothing else the likelihood is below log 5760 a sample."""
    torch.manual_seed(0)
    silence = torch.zeros(64, 1, 64)
    config = AudioFlowConfig(**SMALL, lr=1e-2, ema_halflife=0.0)
    game = AudioFlow().build(config, Spec({"length": 64, "sample_rate_hz": 4000}))
    play(set_up(game, silence, batch_size=32), 150)
    sampler = game.sampler().eval()
    log_probs = sampler.log_prob(Batch(silence)).mean().item() / 64
    most = -quantisation_cells(torch.zeros(1))[1].log().item()
    assert most - 0.5 < log_probs < most  # a Gaussian of that width has 0.18 less
    assert sampler.lower_bound is True


def test_the_likelihood_told_is_the_same_each_time_and_row_by_row():
    sampler = AudioFlow().build(AudioFlowConfig(**SMALL), PLAIN).sampler().eval()
    sounds = torch.rand(6, 1, 256) - 0.5
    log_probs = sampler.log_prob(Batch(sounds))
    assert torch.equal(log_probs, sampler.log_prob(Batch(sounds)))
    torch.testing.assert_close(log_probs[2:4], sampler.log_prob(Batch(sounds[2:4])))


def test_a_flow_gives_sounds_back():
    """Through 8 couplings in 32 bits, far from the identity: -60 dB of error at most."""
    torch.manual_seed(0)
    game = AudioFlow().build(AudioFlowConfig(width=8), Spec({"length": 1024, "sample_rate_hz": 4000}))
    stirred(game.model)
    sounds = torch.rand(4, 1, 1024) * 2 - 1
    game.model.initialize(sounds)
    sampler = game.sampler().eval()
    sampler.model.load_state_dict(game.model.state_dict())
    back = sampler.render(sampler.invert(Batch(sounds)))
    assert (back - sounds).abs().max() < 1e-3


def test_samples_are_sounds():
    sampler = AudioFlow().build(AudioFlowConfig(**SMALL), PLAIN).sampler().eval()
    samples = sampler.sample(20, Key.of(0))
    assert samples.shape == (20, 1, 256) and samples.abs().max() <= 1


def test_a_network_hears_both_ways_and_says_nothing_at_first():
    network = DilatedNetwork(3, 5, width=4, layers=3, classes=0)
    x = torch.randn(2, 3, 40)
    assert torch.equal(network(x), torch.zeros(2, 5, 40))
    stirred(network)
    torch.nn.init.normal_(network.last.weight)
    change = x.clone()
    change[:, :, 20] += 1
    moved = (network(change) != network(x)).any(0).any(0).nonzero().flatten()
    assert (moved[0], moved[-1]) == (20 - 7, 20 + 7)  # 1 + 2 + 4 on each side


def test_a_flow_is_told_labels_when_asked():
    for recipe, config, part in (
        (AudioFlow, AudioFlowConfig(**SMALL, conditional=True), "model"),
        (AudioFlowGAN, AudioFlowGANConfig(**SMALL, conditional=True), "generator"),
    ):
        game = recipe().build(config, LABELLED)
        sampler = game.sampler()
        stirred(sampler.model)
        for network in (b.network for b in sampler.model.bijections if hasattr(b, "network")):
            torch.nn.init.normal_(network.last.weight)
        sounds = torch.rand(3, 1, 256) - 0.5
        log_probs = [sampler.eval().log_prob(Batch(sounds, torch.full((3,), label))) for label in (0, 1)]
        assert sampler.conditional and not torch.allclose(*log_probs)
        with refused(ConfigError, "model.conditional", fix="data.labels"):
            recipe().build(config, PLAIN)
        assert hasattr(game, part)


def test_channels_must_divide_the_length():
    with refused(ConfigError, "model.squeeze", 24, "data.length", 256):
        AudioFlow().build(AudioFlowConfig(squeeze=24), PLAIN)


def test_the_flow_gan_is_that_flow_and_wavegan_lites_judges():
    config = AudioFlowGANConfig(**SMALL, discriminator_width=2, likelihood_weight=0.01)
    game = AudioFlowGAN().build(config, PLAIN)
    (phase,) = game.phases
    (penalty,) = game.penalties
    lazy = PenaltyMove.of("discriminator", penalty)
    assert (penalty.name, penalty.every) == ("r1", 16)
    assert phase.moves == [Move("discriminator"), lazy, Move("generator")]
    assert game.likelihood_weight == 0.01 and game.prior.size == 256
    alone = AudioFlow().build(AudioFlowConfig(**SMALL), PLAIN).model
    assert [p.shape for p in game.generator.parameters()] == [p.shape for p in alone.parameters()]
    assert game.discriminator(torch.randn(3, 1, 256)).shape == (3, 2)
    assert isinstance(game.players["generator"].optimizer, Adam)


def test_both_players_of_the_flow_gan_see_dequantised_sounds():
    game = AudioFlowGAN().build(AudioFlowGANConfig(**SMALL, discriminator_width=2), PLAIN)
    table = set_up(game, TensorView(torch.zeros(8, 1, 256)), batch_size=4)
    game.train()
    real = table.batches.draw(0, 0, RowRange.all(4), 0, 0.0).real().data
    assert real.min() >= 0 and real.max() < 1 / 5000 and real.unique().numel() > 1000


def test_dequantised_waveforms_are_clipped_where_they_are_heard():
    loud = dequantised_waveforms().decode(torch.tensor([[[-3.0, 0.5, 3.0]]]))
    assert loud.tolist() == [[[-1.0, 0.5, 1.0]]]
    assert math.isclose(
        MuLawCompanding().inverse(torch.tensor(2.0)).item(), 1 + 256 * math.log(256) / 255, rel_tol=1e-6
    )
