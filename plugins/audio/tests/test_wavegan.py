"""WaveGAN's networks: sizes as published, layers that are the plain ones, phase shuffle as with_features."""

import pytest
import torch
from gancore_audio.discriminators import WaveGANDiscriminator
from gancore_audio.layers import (
    StridedConv1d,
    StridedConvTranspose1d,
    phase_shuffle,
    shift_with_reflection,
    upsampling_strides,
)
from gancore_audio.wavegan import WaveGANGenerator
from refusals import refused
from torch import nn
from torch.nn.functional import conv1d, conv_transpose1d

from gancore import ConfigError


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameter_counts_are_those_of_the_paper():
    # 100 -> 16 x 1024, then kernel 25 through 512, 256, 128, 64, 1; "19.1 M" in SaShiMi's table
    assert count(WaveGANGenerator(16384, width=64, latent_dim=100)) == 19_065_345
    assert count(WaveGANDiscriminator(16384, width=64)) == 17_427_969
    assert count(WaveGANGenerator(16384, 64, 100, post_filter=512)) == 19_065_345 + 512


@pytest.mark.parametrize("length", [256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536])
def test_generator_and_discriminator_have_exactly_the_length(length):
    sounds = WaveGANGenerator(length, width=2, latent_dim=4, post_filter=64)(torch.randn(3, 4))
    assert sounds.shape == (3, 1, length)
    assert WaveGANDiscriminator(length, width=2)(sounds).shape == (3,)


@pytest.mark.parametrize("length", [16, 100, 1000, 4097, 3 * 4096, 64])
def test_other_lengths_are_refused_in_one_line(length):
    with refused(ConfigError, "data.length", fix="data.length"):
        upsampling_strides(length)


@pytest.mark.parametrize("stride", [2, 4])
@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (1, 1), (2, 3)])
def test_layers_on_phases_are_the_plain_layers_and_their_derivatives(before, after, stride):
    x = torch.randn(2, before, 32, dtype=torch.float64, requires_grad=True)
    for layer, plain, options in [
        (StridedConv1d(before, after, 25, stride).double(), conv1d, {}),
        (StridedConvTranspose1d(before, after, 25, stride).double(), conv_transpose1d, {"output_padding": 1}),
    ]:
        given = layer(x)
        wanted = plain(x, layer.weight, layer.bias, stride=stride, padding=layer.padding, **options)
        torch.testing.assert_close(given, wanted, rtol=1e-12, atol=1e-12)
        for a, b in zip(
            torch.autograd.grad(given.square().sum(), [x, layer.weight, layer.bias]),
            torch.autograd.grad(wanted.square().sum(), [x, layer.weight, layer.bias]),
            strict=True,
        ):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_a_shift_moves_each_row_and_reflects_at_its_edges():
    x = torch.arange(6.0).expand(3, 1, 6)
    moved = shift_with_reflection(x, torch.tensor([0, 2, -1]), max_shift=2)
    assert moved[:, 0].tolist() == [
        [0, 1, 2, 3, 4, 5],
        [2, 1, 0, 1, 2, 3],
        [1, 2, 3, 4, 5, 4],
    ]


def test_a_shift_has_exact_first_and_second_derivatives():
    x = torch.randn(4, 2, 9, dtype=torch.float64, requires_grad=True)
    shifts = torch.tensor([-2, 0, 1, 2])
    assert torch.autograd.gradcheck(lambda x: shift_with_reflection(x, shifts, 2), x)
    assert torch.autograd.gradgradcheck(lambda x: shift_with_reflection(x, shifts, 2), x)


def test_phase_shuffle_does_shuffle_per_example_or_per_batch():
    # the inverted flag of a known port made it an identity
    x = torch.randn(1, 1, 64).expand(200, 1, 64)
    rows = phase_shuffle(x, 2)
    assert len(torch.unique(rows, dim=0)) == 5
    assert {len(torch.unique(phase_shuffle(x, 2, per_example=False), dim=0)) for _ in range(20)} == {1}
    assert len(torch.unique(torch.stack([phase_shuffle(x[:1], 2, False) for _ in range(60)]), dim=0)) == 5


def test_phase_shuffle_stands_after_all_but_the_last_layer_and_rests_outside_training():
    discriminator = WaveGANDiscriminator(1024, width=2, shuffle=2)
    x = torch.randn(5, 1, 1024)
    assert not torch.equal(discriminator(x), discriminator(x))
    discriminator.eval()
    assert torch.equal(discriminator(x), discriminator(x))


def test_labels_enter_both_networks():
    generator = WaveGANGenerator(256, width=2, latent_dim=4, classes=3)
    discriminator = WaveGANDiscriminator(256, width=2, shuffle=0, classes=3)
    latents = torch.randn(1, 4).expand(3, 4)
    sounds = generator(latents, torch.tensor([0, 1, 2]))
    assert len(torch.unique(sounds, dim=0)) == 3
    torch.nn.init.normal_(discriminator.label.weight)  # which begin at zero
    logits = discriminator(sounds[:1].expand(3, 1, 256), torch.tensor([0, 1, 2]))
    assert len(torch.unique(logits)) == 3
