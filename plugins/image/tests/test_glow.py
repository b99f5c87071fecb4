"""Flows of images: densities by brute force, there and back, told by labels; and with an opponent."""

import math

import pytest
import torch
from gancore_image.glow import (
    LAST_CELL_EDGE,
    CouplingNetwork,
    Glow,
    GlowConfig,
    ImageFlowGAN,
    ImageFlowGANConfig,
    build_image_flow,
)
from gancore_image.levels import CELL_WIDTH, LEVELS, from_levels
from refusals import refused

from gancore import Batch, ConfigError, Spec
from gancore.data.dataset import TensorView
from gancore.games import Move, PenaltyMove
from gancore.nn import AffineCoupling, Flow, Logit, Split, steps_of_flow
from gancore.random import Key, RowRange
from gancore.training.loop import play
from gancore.training.setup import set_up

SMALL = {"couplings": 2, "width": 4}
PLAIN = Spec({"image_size": 8, "channels": 1})
LABELLED = Spec({**PLAIN.fields, "classes": ["a", "b"], "class_shares": [0.5, 0.5]})


def stirred(flow, std=0.1):
    """Every parameter somewhere else than where it begins, matrices of mixing apart."""
    torch.manual_seed(0)
    for parameter in flow.parameters():
        if parameter.dim() != 2:
            torch.nn.init.normal_(parameter, std=std)
    return flow


def images(n, *shape, seed=0):
    return from_levels(torch.randint(0, LEVELS, (n, *shape), generator=torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize(("side", "channels", "scales"), [(4, 1, 1), (4, 3, 2), (8, 1, 3)])
def test_a_density_of_images_is_that_of_brute_force(side, channels, scales):
    """log det by the Jacobian of the whole flow, in float64, at several scales and with labels."""
    flow = stirred(build_image_flow(side, channels, scales, 2, 4, 1e-2, classes=2), 0.3).double()
    size, labels = channels * side**2, torch.tensor([0, 1])
    x = images(2, channels, side, side).double()
    flow.initialize(1.5 * torch.randn(64, channels, side, side).double(), torch.arange(64) % 2)
    z, log_det = flow.encode(x, labels)
    for row in range(2):
        jacobian = torch.autograd.functional.jacobian(
            lambda image, row=row: flow.encode(image[None], labels[row : row + 1])[0][0], x[row]
        ).view(size, size)
        assert log_det[row].item() == pytest.approx(torch.linalg.slogdet(jacobian).logabsdet.item())
    torch.testing.assert_close(flow.decode(z, labels), x)


@pytest.mark.slow
def test_a_flow_of_two_pixels_integrates_to_one_over_all_cells():
    """Probabilities of the 256 x 256 cells and of what lies beyond them; each cell's bound is below it."""
    torch.manual_seed(0)
    steps = steps_of_flow(2, 3, lambda inputs, outputs: CouplingNetwork(inputs, outputs, 6, classes=0))
    flow = Flow((2, 1, 1), [Logit(-LAST_CELL_EDGE, LAST_CELL_EDGE, 1e-2), *steps]).double()
    for name, parameter in flow.named_parameters():
        if "triangles" not in name:
            torch.nn.init.normal_(parameter, std=0.4)
    for norm in (b for b in flow.bijections if hasattr(b, "log_deviation")):
        norm.log_deviation.fill_(0.5)
    fine = 2  # points an edge of a cell, at the middles of equal parts
    parts = (torch.arange(fine, dtype=torch.float64) + 0.5) / fine
    points = ((torch.arange(LEVELS)[:, None] + parts) * CELL_WIDTH - LAST_CELL_EDGE).flatten()
    with torch.no_grad():
        rows = [torch.cartesian_prod(some, points)[:, :, None, None] for some in points.split(64)]
        density = torch.cat([flow.log_prob(some) for some in rows])
    by_cell = density.view(LEVELS, fine, LEVELS, fine).transpose(1, 2).flatten(2)
    probability = by_cell.exp().mean(2) * CELL_WIDTH**2
    beyond = flow.decode(Key.of(0).normal(100_000, 2).double()).abs().amax((1, 2, 3)) > LAST_CELL_EDGE
    assert 1 - probability.sum().item() == pytest.approx(beyond.double().mean().item(), abs=0.004)
    assert (by_cell.mean(2) + 2 * math.log(CELL_WIDTH) <= probability.log() + 1e-12).all()
    assert probability.max() > 8 / LEVELS**2  # far from even


@pytest.mark.parametrize(("side", "channels"), [(28, 1), (32, 3)])
def test_images_come_back(side, channels):
    """Through the default flow, far from where it begins, in 32 bits, within 1e-4."""
    spec = Spec({"image_size": side, "channels": channels})
    sampler = Glow().build(GlowConfig(ema_halflife=0.0), spec).sampler().eval()
    stirred(sampler.model, 0.05)
    x = images(16, channels, side, side)
    sampler.model.initialize(x + 0.01 * Key.of(1).normal(*x.shape))
    assert sampler.invert(Batch(x)).std() > 0.3
    assert (sampler.render(sampler.invert(Batch(x))) - x).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("side", "latent_shapes"), [(28, [(4, 14, 14)]), (32, [(4, 16, 16), (8, 8, 8)]), (6, [])]
)
def test_scales_are_as_many_as_the_side_can_be_halved(side, latent_shapes):
    chain, found = build_image_flow(side, 1, 3, 1, 4, 1e-3, 0).bijections, []
    while isinstance(chain[-1], Split):
        found.append(chain[-1].shape)
        assert isinstance(chain[-2], AffineCoupling) and chain[-2].num_kept == chain[-1].num_kept
        chain = chain[-1].bijections
    assert found == latent_shapes


def test_odd_sides_are_refused_in_one_line():
    with refused(ConfigError, 7, fix="data.image_size"):
        build_image_flow(7, 1, 3, 1, 4, 1e-3, 0)


def test_a_couplings_network_is_glows_and_says_nothing_at_first():
    network = CouplingNetwork(2, 4, 8, classes=3)
    kernels = [network.first.kernel_size, network.middle.kernel_size, network.last.kernel_size]
    assert kernels == [(3, 3), (1, 1), (3, 3)]
    x, labels = torch.randn(3, 2, 6, 6), torch.arange(3)
    assert torch.equal(network(x, labels), torch.zeros(3, 4, 6, 6))
    torch.nn.init.normal_(network.last.weight)
    assert not torch.allclose(network(x, labels), network(x, labels.flip(0)))


def test_the_likelihood_told_is_the_same_each_time_and_row_by_row():
    sampler = Glow().build(GlowConfig(**SMALL), PLAIN).sampler().eval()
    x = images(6, 1, 8, 8)
    log_probs = sampler.log_prob(Batch(x))
    assert sampler.lower_bound and torch.equal(log_probs, sampler.log_prob(Batch(x)))
    torch.testing.assert_close(log_probs[2:4], sampler.log_prob(Batch(x[2:4])))


@pytest.mark.slow
def test_one_image_for_ever_has_no_more_than_its_cells_density():
    """Of a flow that knows nothing else the bound is below log 127.5 nats a pixel: 0 bits."""
    torch.manual_seed(0)
    game = Glow().build(GlowConfig(**SMALL, lr=1e-2, ema_halflife=0.0), PLAIN)
    x = torch.full((64, 1, 8, 8), -1.0)
    play(set_up(game, x, batch_size=16), 100)
    log_probs = game.sampler().eval().log_prob(Batch(x)).mean().item() / 64
    most = -math.log(CELL_WIDTH)
    assert most - 0.3 < log_probs < most


@pytest.mark.parametrize("recipe", [Glow, ImageFlowGAN])
def test_a_flow_is_told_labels_when_asked(recipe):
    config = recipe.Config(**SMALL, conditional=True)
    sampler = recipe().build(config, LABELLED).sampler().eval()
    stirred(sampler.model, 0.3)
    x = images(3, 1, 8, 8)
    log_probs = [sampler.log_prob(Batch(x, torch.full((3,), label))) for label in (0, 1)]
    assert sampler.conditional and not torch.allclose(*log_probs)
    assert sampler.sample(5, Key.of(0), torch.zeros(5).long()).shape == (5, 1, 8, 8)
    with refused(ConfigError, "model.conditional", fix="data.labels"):
        recipe().build(config, PLAIN)


def test_the_flow_gan_is_that_flow_and_dcgan_lites_discriminator():
    game = ImageFlowGAN().build(
        ImageFlowGANConfig(**SMALL, discriminator_width=2, likelihood_weight=0.01), PLAIN
    )
    (phase,) = game.phases
    lazy = [PenaltyMove.of("discriminator", penalty) for penalty in game.penalties]
    assert [(move.cost, move.every) for move in lazy] == [("r1", 16), ("r2", 16)]
    assert phase.moves == [Move("discriminator"), *lazy, Move("generator")]
    alone = Glow().build(GlowConfig(**SMALL), PLAIN).model
    assert [p.shape for p in game.generator.parameters()] == [p.shape for p in alone.parameters()]
    assert game.likelihood_weight == 0.01 and game.prior.size == 64
    assert game.discriminator(torch.randn(3, 1, 8, 8)).shape == (3,)


def test_both_players_of_the_flow_gan_see_dequantised_pixels():
    game = ImageFlowGAN().build(ImageFlowGANConfig(**SMALL, discriminator_width=2), PLAIN)
    table = set_up(game, TensorView(torch.full((8, 1, 8, 8), -1.0)), batch_size=4)
    game.train()
    real = table.batches.draw(0, 0, RowRange.all(4), 0, 0.0).real().data
    assert (real + 1).abs().max() <= CELL_WIDTH / 2 + 1e-6 and real.unique().numel() > 200
