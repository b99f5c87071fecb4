"""DCGAN, SNGAN and R3GAN: sizes and beginnings as published, known faults of other code absent."""

from itertools import pairwise

import pytest
import torch
from gancore_image.dcgan import DCGAN, DCGANConfig, DCGANDiscriminator, DCGANGenerator
from gancore_image.r3 import R3, SIZES, R3Block, R3Config, R3Discriminator, R3Generator
from gancore_image.sngan import (
    SNGAN,
    DownBlock,
    SNGANConfig,
    SNGANDiscriminator,
    SNGANGenerator,
    UpBlock,
    discriminator_blocks,
    generator_widths,
)
from torch import nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, leaky_relu, relu

from gancore import Spec
from gancore.data.dataset import TensorView
from gancore.nn import spectral_norm, spectral_norm_layers
from gancore.random import Key
from gancore.training.loop import play
from gancore.training.setup import set_up

RGB32, RGB64 = Spec({"image_size": 32, "channels": 3}), Spec({"image_size": 64, "channels": 3})


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [part for part in module.modules() if isinstance(part, nn.Conv2d | nn.ConvTranspose2d)]


def test_dcgan_has_the_parameters_of_its_best_known_port():
    # width 64 and kernel 4 at 64 x 64 x 3: 3,576,704 and 2,765,568 in the tutorial of PyTorch
    assert count(DCGANGenerator(RGB64, 64, 100, kernel=4)) == 3_576_704
    assert count(DCGANDiscriminator(RGB64, 64, kernel=4)) == 2_765_568


def test_dcgan_has_the_layers_of_the_paper():
    # figure 1: 100 -> 4 x 4 x 1024 -> 512 -> 256 -> 128 -> 3, kernel 5
    layers = 25 * (1024 * 512 + 512 * 256 + 256 * 128 + 128 * 3)
    norms = 2 * (1024 + 512 + 256 + 128)
    assert count(DCGANGenerator(RGB64, 128, 100)) == 100 * 16 * 1024 + layers + norms
    assert count(DCGANDiscriminator(RGB64, 128)) == 16 * 1024 + layers + norms - 2 * 128


def test_dcgan_begins_with_weights_of_deviation_a_fiftieth():
    torch.manual_seed(0)
    for net in (DCGANGenerator(RGB32, 64, 100), DCGANDiscriminator(RGB32, 64)):
        for layer in convolutions(net):
            assert abs(layer.weight.detach().mean()) < 0.002 and float(
                layer.weight.detach().std()
            ) == pytest.approx(0.02, rel=0.05)
        gains = torch.cat(
            [part.weight.detach() for part in net.modules() if isinstance(part, nn.BatchNorm2d)]
        )
        assert float(gains.mean()) == pytest.approx(1, abs=0.01)
        assert float(gains.std()) == pytest.approx(0.02, rel=0.2)


def test_dcgan_is_trained_as_published():
    game = DCGAN().build(DCGANConfig(), RGB32)
    for player in game.players.values():
        assert (player.optimizer.lr, player.optimizer.betas) == (2e-4, (0.5, 0.999))
    assert not game.penalties and game.ema is None
    assert 0.9 < game.prior.sample(Key.of(1), 50).abs().max() <= 1


def test_neither_end_of_dcgan_is_normalised():
    generator, discriminator = DCGANGenerator(RGB32, 4, 8), DCGANDiscriminator(RGB32, 4)
    assert [norm.plain.num_features for norm in generator.norms] == [16, 8, 4]  # before each convolution
    assert [norm.num_features for norm in discriminator.norms] == [8, 16]  # after each but the first


def test_sngan_has_the_published_widths():
    # Miyato et al. 2018, table 4 (CIFAR-10), and the 64-pixel networks of the official code
    assert generator_widths(32, 256) == [256, 256, 256, 256]
    assert generator_widths(64, 64) == [1024, 512, 256, 128, 64]
    assert generator_widths(128, 64) == [1024, 1024, 512, 256, 128, 64]
    halves, stays = (128, True), (128, False)
    assert discriminator_blocks(32, 128) == [halves, halves, stays, stays]
    assert discriminator_blocks(64, 64) == [(64 * 2**n, True) for n in range(5)]
    assert discriminator_blocks(128, 64) == [*((64 * 2**n, True) for n in range(5)), (1024, False)]


def dense(before, after):
    return before * after + after


def conv(before, after, kernel):
    return before * after * kernel**2 + after


def published_generator(channels):
    """By its layers, with a bias in each: 4,276,739 for CIFAR-10."""
    pairs = list(pairwise(channels))
    blocks = sum(conv(a, b, 3) + conv(b, b, 3) + conv(a, b, 1) + 2 * (a + b) for a, b in pairs)
    return dense(128, 16 * channels[0]) + blocks + 2 * channels[-1] + conv(channels[-1], 3, 3)


def published_discriminator(channels, halved):
    """By its layers; a shortcut has a convolution where the side is halved."""
    pairs = list(enumerate(pairwise([3, *channels])))
    blocks = sum(conv(a, b, 3) + conv(b, b, 3) + (n < halved) * conv(a, b, 1) for n, (a, b) in pairs)
    return blocks + dense(channels[-1], 1)


def test_sngan_has_the_published_parameters_less_biases_that_do_nothing():
    assert published_generator([256] * 4) == 4_276_739
    for spec, width, channels in ((RGB32, 256, [256] * 4), (RGB64, 64, [1024, 512, 256, 128, 64])):
        net = SNGANGenerator(spec, width, 128)
        idle = sum(layer.out_channels for layer in convolutions(net.blocks))
        assert count(net) + idle == published_generator(channels)


def test_sngan_has_the_published_parameters_in_its_discriminator():
    nets = [spectral_norm(SNGANDiscriminator(spec, width)) for spec, width in ((RGB32, 128), (RGB64, 64))]
    wanted = published_discriminator([128] * 4, 2), published_discriminator([64, 128, 256, 512, 1024], 5)
    assert tuple(map(count, nets)) == wanted == (1_053_825, 19_542_721)


def test_sngan_is_trained_as_published():
    game = SNGAN().build(SNGANConfig(generator_width=4, discriminator_width=4), RGB32)
    assert [move.player for move in game.phases[0].moves] == ["discriminator"] * 5 + ["generator"]
    rule = game.players["generator"].optimizer
    assert [rule.lr(t) for t in (0.0, 0.5, 1.0)] == [2e-4, 1e-4, 0.0]
    assert rule.betas == (0.0, 0.9) and game.prior.size == 128
    r, f = torch.tensor([0.5, 2.0]), torch.tensor([-3.0, 0.25])
    assert game.loss.discriminator(r, f).tolist() == [0.5, 1.25]


def test_sngan_begins_as_glorot_and_bengio_say():
    torch.manual_seed(0)
    generator, discriminator = SNGANGenerator(RGB32, 32, 128), SNGANDiscriminator(RGB32, 32)
    for layer in convolutions(generator.blocks) + convolutions(discriminator.blocks):
        area = layer.kernel_size[0] ** 2
        bound = (6 / (area * (layer.in_channels + layer.out_channels))) ** 0.5 * (2**0.5 if area == 9 else 1)
        assert 0.9 * bound < layer.weight.abs().max() <= bound
        assert layer.bias is None or not layer.bias.any()


@pytest.mark.parametrize("classes", [0, 3])
def test_every_weight_of_the_discriminator_has_norm_one_and_the_generator_none(classes):
    config = SNGANConfig(
        generator_width=4, discriminator_width=8, latent_dim=8, conditional=bool(classes), lr=2e-3
    )
    torch.manual_seed(0)
    game = SNGAN().build(config, Spec({**RGB32.fields, "classes": ["0", "1", "2"]}))
    assert spectral_norm_layers(game.generator) == []
    normed = len(spectral_norm_layers(game.discriminator))
    assert normed == 8 + 2 + 1 + bool(classes)  # 3x3, 1x1, the logit, the labels
    labels = torch.arange(8) % 3
    table = set_up(game, TensorView(Key.of("x").uniform(8, 3, 32, 32), labels), batch_size=4)
    for steps in (0, 4):
        if steps:
            play(table, steps)
        for _ in range(100):
            for norm, weight in spectral_norm_layers(game.discriminator):
                norm.power_iterate(weight)
        for name, part in game.discriminator.named_modules():
            if hasattr(part, "parametrizations"):
                sigma = torch.linalg.matrix_norm(part.weight.detach().flatten(1), 2)
                assert float(sigma) == pytest.approx(1, abs=2e-3), name


def test_an_up_block_is_the_published_one():
    torch.manual_seed(0)
    block, x = UpBlock(4, 6).double(), torch.randn(3, 4, 5, 5, dtype=torch.float64)

    def norm(h):
        return nn.functional.batch_norm(h, None, None, training=True)

    first, second = (layer.weight for layer in block.layers)
    h = conv2d(interpolate(relu(norm(x)), scale_factor=2), first, torch.randn(6).double(), padding=1)
    h = conv2d(relu(norm(h)), second, padding=1)  # whatever the bias of the first
    torch.testing.assert_close(block(x), h + conv2d(interpolate(x, scale_factor=2), block.short.weight))


@pytest.mark.parametrize("first", [True, False])
def test_a_down_block_is_the_published_one(first):
    torch.manual_seed(0)
    block, x = DownBlock(4, 6, True, first).double(), torch.randn(3, 4, 8, 8, dtype=torch.float64)
    one, two = block.layers
    h = conv2d(x if first else relu(x), one.weight, one.bias, padding=1)
    h = conv2d(relu(h), two.weight, two.bias, padding=1)
    shortcut = avg_pool2d(conv2d(x, block.short.weight, block.short.bias), 2)
    torch.testing.assert_close(block(x), avg_pool2d(h, 2) + shortcut)


def test_a_shortcut_is_the_input_itself_and_activations_leave_it_as_it_is():
    # an activation in place, in the branch, would rectify what the shortcut carries
    block, x = DownBlock(4, 4, halves=False, first=False), torch.randn(2, 4, 8, 8)
    nn.init.zeros_(block.layers[1].weight)
    assert block.short is None and torch.equal(block(x), x)


def test_the_discriminator_sums_over_the_image_and_does_not_average():
    net = SNGANDiscriminator(RGB32, 4)
    seen = []
    net.blocks[-1].register_forward_hook(lambda module, given, out: seen.append(out))
    net.logit.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    net(torch.randn(2, 3, 32, 32))
    torch.testing.assert_close(seen[1], relu(seen[0]).mean((2, 3)) * 64)


def test_r3_of_the_papers_size_has_about_its_parameters():
    # four stages of two blocks: 2 * 768 * 1536 + 1536 * 16 * 9 weights each
    weights = 8 * (2 * 768 * 1536 + 1536 * 16 * 9)
    with torch.device("meta"):
        generator, discriminator = (
            R3Generator(RGB32, SIZES["base"], 64),
            R3Discriminator(RGB32, SIZES["base"]),
        )
    for net in (generator, discriminator):
        assert weights < count(net) < 1.02 * weights
        assert {layer.groups for layer in convolutions(net.stages)} == {1, 96}
    assert sum(layer.weight.numel() for layer in convolutions(generator.stages)) == weights


def test_r3_has_no_normalisation_and_no_group_of_other_size():
    game = R3().build(R3Config(), RGB32)
    assert not [m for m in game.modules() if "Norm" in type(m).__name__ or hasattr(m, "parametrizations")]
    for layer in convolutions(game.generator.stages) + convolutions(game.discriminator.stages):
        assert layer.kernel_size == (1, 1) or layer.in_channels == 16 * layer.groups


@pytest.mark.parametrize("width", [2, 6, 20, 28, 100])
def test_r3_can_have_any_width(width):
    torch.manual_seed(0)
    assert R3Block(width, 3)(torch.randn(1, width, 4, 4)).shape == (1, width, 4, 4)


def test_residual_branches_begin_at_zero_and_small_by_the_number_of_blocks():
    torch.manual_seed(0)
    size, x = SIZES["small"], torch.randn(2, 3, 32, 32)
    net = R3Discriminator(RGB32, size)
    assert all(torch.equal(block(y), y) for block, y in [(net.stages[0][0], torch.randn(2, 24, 8, 8))])
    for block in (part for part in net.modules() if isinstance(part, R3Block)):
        for layer in (block.widen, block.mix):
            he = (2 / (1.04 * layer.weight[0].numel())) ** 0.5
            assert float(layer.weight.detach().std()) == pytest.approx(
                he * 4**-0.25, rel=0.1
            )  # four blocks in all
    plain = net.first(x)
    for change in net.transitions:
        plain = change(avg_pool2d(plain, 2))
    assert torch.equal(net(x), net.logit(net.filter(plain).flatten(1)))


def test_r3_resamples_by_interpolation():
    x, block = torch.randn(1, 4, 8, 8, dtype=torch.float64), nn.Conv2d(4, 2, 1, bias=False).double()
    torch.testing.assert_close(
        avg_pool2d(x, 2), interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=False)
    )
    torch.testing.assert_close(  # the order of a 1x1 convolution and of resampling does not matter
        interpolate(block(x), scale_factor=2, mode="bilinear"),
        block(interpolate(x, scale_factor=2, mode="bilinear")),
    )


def test_r3_residuals_are_as_described():
    torch.manual_seed(0)
    block, x = R3Block(16, 4).double(), torch.randn(2, 16, 6, 6, dtype=torch.float64)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
    h = leaky_relu(conv2d(x, block.widen.weight, block.widen.bias), 0.2)
    groups = [
        conv2d(h[:, 16 * g : 16 * g + 16], block.mix.weight[16 * g : 16 * g + 16], padding=1)
        for g in range(2)
    ]
    h = leaky_relu(torch.cat(groups, 1) + block.mix.bias[:, None, None], 0.2)
    torch.testing.assert_close(block(x), x + conv2d(h, block.narrow.weight))


def test_r3_is_played_by_pairs_with_both_penalties_on_falling_schedules():
    game = R3().build(R3Config(penalty_weight=1.0, penalty_weight_end=0.1, lr=4e-4), RGB32)
    assert game.loss.generator_needs_real and [p.name for p in game.penalties] == ["r1", "r2"]
    for penalty in game.penalties:
        assert [penalty.weight(t) for t in (0.0, 1.0)] == pytest.approx([1.0, 0.1])
    rule = game.players["discriminator"].optimizer
    assert [rule.lr(t) for t in (0.0, 1.0)] == pytest.approx([4e-4, 1e-4])
    assert game.discriminator.logit.dense.bias is None  # no pair would move it


def test_a_sample_of_r3_is_cut_off_at_black_and_white_but_its_discriminator_sees_all():
    game = R3().build(R3Config(width=4), RGB32)
    nn.init.constant_(game.generator.last.weight, 9.0)
    latents = torch.randn(4, 64)
    raw = game.generator(latents)
    assert raw.abs().max() > 2
    game.ema = None
    assert torch.equal(game.sampler().render(latents), raw.clamp(-1, 1))


def test_no_gradient_of_r3_is_mere_rounding_at_its_linear_beginning():
    # a bias of pixels moved no pair's difference: Adam made full updates of its rounding
    x, gradients = Key.of("x").uniform(8, 1, 16, 16, low=-1.0, high=1.0), []
    for precision in (torch.float32, torch.float64):
        torch.manual_seed(0)
        net = R3Discriminator(Spec({"image_size": 16, "channels": 1}), SIZES["small"]).to(precision)
        real, fake = x.to(precision), x.flip(2).to(precision).square()
        loss = nn.functional.softplus(net(fake) - net(real)).mean()
        gradients.append(torch.autograd.grad(loss, list(net.parameters())))
    for single, double in zip(*gradients, strict=True):
        assert (single.double() - double).norm() <= 1e-4 * double.norm()
