"""Peers of ``image_throughput.py``: published networks in bare torch loops, and torchgan itself.

Layer lists: DCGAN as torchgan 0.1.0 documents it for 32 pixels (layers of 4x4 and stride 2, 64 channels next
to the picture, leaky ReLU 0.2, batch normalisation); SNGAN as in Miyato et al., 2018, tables 3 and 4, which
mimicry 0.1.16 follows. They are written from those lists, without code of these packages. mimicry does not
start with torch 2.11: it imports torch._six, which was removed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, relu, softplus
from torch.nn.utils.parametrizations import spectral_norm

Play = Callable[[], None]
"""A function that makes a step."""


@dataclass(frozen=True)
class Peer:
    """Published networks, latents and learning rates; ``moves`` are discriminator moves in a step."""

    generator: Callable[[], nn.Module]
    discriminator: Callable[[], nn.Module]
    latent_dim: int
    betas: tuple[float, float]
    moves: int
    hinge: bool


def halving(before: int, after: int, norm: bool) -> list[nn.Module]:
    layer = nn.Conv2d(before, after, 4, 2, 1, bias=not norm)
    return [layer, *([nn.BatchNorm2d(after)] if norm else []), nn.LeakyReLU(0.2)]


def doubling(before: int, after: int) -> list[nn.Module]:
    return [
        nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)
    ]  # fmt: skip


class DCGANGenerator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        first = [nn.ConvTranspose2d(100, 256, 4, bias=False), nn.BatchNorm2d(256), nn.LeakyReLU(0.2)]
        last = [nn.ConvTranspose2d(64, 3, 4, 2, 1), nn.Tanh()]
        self.layers = nn.Sequential(*first, *doubling(256, 128), *doubling(128, 64), *last)

    def forward(self, latents: Tensor) -> Tensor:
        return self.layers(latents[:, :, None, None])


class DCGANDiscriminator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *halving(3, 64, False), *halving(64, 128, True), *halving(128, 256, True),
            nn.Conv2d(256, 1, 4, bias=False),
        )  # fmt: skip

    def forward(self, pictures: Tensor) -> Tensor:
        return self.layers(pictures).flatten()


class Up(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(2))
        self.layers = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.short = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.layers[0](interpolate(relu(self.norms[0](x)), scale_factor=2))
        return self.layers[1](relu(self.norms[1](h))) + self.short(interpolate(x, scale_factor=2))


class Down(nn.Module):
    def __init__(self, before: int, after: int, halves: bool) -> None:
        super().__init__()
        self.halves, self.first = halves, before != after
        self.layers = nn.ModuleList(
            spectral_norm(nn.Conv2d(inner, after, 3, padding=1)) for inner in (before, after)
        )
        self.short = spectral_norm(nn.Conv2d(before, after, 1)) if halves else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.layers[1](relu(self.layers[0](x if self.first else relu(x))))
        if self.first:
            return avg_pool2d(h, 2) + self.short(avg_pool2d(x, 2))
        return avg_pool2d(h + self.short(x), 2) if self.halves else h + x


class SNGANGenerator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(128, 256 * 16)
        self.blocks = nn.Sequential(*(Up(256) for _ in range(3)), nn.BatchNorm2d(256), nn.ReLU())
        self.last = nn.Conv2d(256, 3, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        return self.last(self.blocks(self.dense(latents).view(-1, 256, 4, 4))).tanh()


class SNGANDiscriminator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        widths = pairwise([3, 128, 128, 128, 128])
        self.blocks = nn.Sequential(*(Down(*pair, halves=depth < 2) for depth, pair in enumerate(widths)))
        self.logit = spectral_norm(nn.Linear(128, 1))

    def forward(self, pictures: Tensor) -> Tensor:
        return self.logit(relu(self.blocks(pictures)).sum((2, 3))).flatten()


PEERS = {
    "dcgan": Peer(DCGANGenerator, DCGANDiscriminator, 100, (0.5, 0.999), 1, hinge=False),
    "sngan": Peer(SNGANGenerator, SNGANDiscriminator, 128, (0.0, 0.9), 5, hinge=True),
}


def bare(peer: Peer, pictures: Tensor, batch: int) -> Play:
    """A hand-written loop: fp32, fused Adam, all pictures as floats on the device."""
    device = pictures.device
    generator, discriminator = peer.generator().to(device), peer.discriminator().to(device)
    g_rule = torch.optim.Adam(generator.parameters(), 2e-4, peer.betas, fused=True)
    d_rule = torch.optim.Adam(discriminator.parameters(), 2e-4, peer.betas, fused=True)

    def latents() -> Tensor:
        return torch.randn(batch, peer.latent_dim, device=device)

    def discriminator_update() -> None:
        real = pictures[torch.randint(len(pictures), (batch,), device=device)]
        with torch.no_grad():
            fake = generator(latents())
        r, f = discriminator(real), discriminator(fake)
        loss = relu(1 - r) + relu(1 + f) if peer.hinge else softplus(-r) + softplus(f)
        d_rule.zero_grad()
        loss.mean().backward()
        d_rule.step()

    def generator_update() -> None:
        discriminator.requires_grad_(False)
        f = discriminator(generator(latents()))
        g_rule.zero_grad()
        (-f if peer.hinge else softplus(-f)).mean().backward()
        g_rule.step()
        discriminator.requires_grad_(True)

    def play() -> None:
        for _ in range(peer.moves):
            discriminator_update()
        generator_update()

    return play


def batches(pictures: Tensor, batch: int) -> Iterator[Tensor]:
    while True:
        yield pictures[torch.randint(len(pictures), (batch,), device=pictures.device)]


def torchgan(pictures: Tensor, batch: int) -> Play:
    """The networks, losses and steps of the package, with Adam as in its examples.

    Raises:
        ImportError: the package is not installed.
    """
    from torchgan.losses import MinimaxDiscriminatorLoss, MinimaxGeneratorLoss
    from torchgan.models import DCGANDiscriminator as Judge
    from torchgan.models import DCGANGenerator as Maker

    device, betas = pictures.device, PEERS["dcgan"].betas
    maker, judge = Maker(encoding_dims=100, out_size=32).to(device), Judge(in_size=32).to(device)
    g_rule = torch.optim.Adam(maker.parameters(), 2e-4, betas)
    d_rule = torch.optim.Adam(judge.parameters(), 2e-4, betas)
    g_loss, d_loss, reals = MinimaxGeneratorLoss(), MinimaxDiscriminatorLoss(), batches(pictures, batch)

    def play() -> None:
        d_loss.train_ops(maker, judge, d_rule, next(reals), device)
        g_loss.train_ops(maker, judge, g_rule, device, batch)

    return play
