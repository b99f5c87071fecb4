"""SNGAN: residual networks under spectral normalisation, as published for 32 and 64 pixels.

Miyato et al. 2018, tables 3 to 6; with labels Miyato & Koyama 2018.
"""

from __future__ import annotations

from itertools import pairwise

from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, relu

from gancore import Recipe, Spec
from gancore.data import num_conditional_classes
from gancore.games import AdversarialConfig, Discriminator, Game, adversarial_game, normal, with_defaults
from gancore.nn import spectral_norm
from gancore_image.augmentation import AugmentedConfig, build_augmentation
from gancore_image.blocks import (
    START_SIZE,
    ConditionalBatchNorm2d,
    ProjectionHead,
    bias_of,
    channel_widths,
    channels_last,
    n_doublings,
)

UNIFORM_WIDTH_SIZE = 32
"""Up to this side all layers have one width; beyond it widths double inwards, up to 16 times."""
WIDEST = 16


@with_defaults(
    loss="hinge",
    penalty="none",
    discriminator_steps=5,
    lr=2e-4,
    lr_end=0.0,
    lr_schedule="linear",
    beta1=0.0,
    beta2=0.9,
)
class SNGANConfig(AugmentedConfig, AdversarialConfig):
    """Miyato et al. 2018, appendix B."""

    batch_size: PositiveInt = Field(64, description="examples per global batch")
    steps: PositiveInt = Field(100_000, description="steps, when the command gives no budget")
    generator_width: PositiveInt | None = Field(
        None, description="channels next to the image; none: 256 up to side 32, beyond 64, doubled inwards"
    )
    discriminator_width: PositiveInt | None = Field(
        None, description="channels next to the image; none: 128 up to side 32, beyond 64, doubled inwards"
    )
    latent_dim: PositiveInt = Field(128, description="dimensions of a latent")
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class SNGAN(Recipe):
    """Hinge loss, five discriminator moves a step, Adam without momentum, a linearly falling rate."""

    Config = SNGANConfig

    def build(self, config: SNGANConfig, spec: Spec) -> Game:
        classes = num_conditional_classes(config.conditional, spec)
        uniform = spec["image_size"] <= UNIFORM_WIDTH_SIZE
        generator_width = config.generator_width or (256 if uniform else 64)
        discriminator_width = config.discriminator_width or (128 if uniform else 64)
        game = adversarial_game(
            generator=lambda: channels_last(
                SNGANGenerator(spec, generator_width, config.latent_dim, classes)
            ),
            discriminator=lambda: channels_last(
                spectral_norm(SNGANDiscriminator(spec, discriminator_width, classes))
            ),
            prior=normal(config.latent_dim),
            **config.game_options(),
            conditional=config.conditional,
            augmentation=build_augmentation(config),
        )
        game.batch_coupled = True  # by the generator's batch normalisation
        return game


class SNGANGenerator(nn.Module):
    """Latents (batch, latent) to images (batch, channels, side, side) in [-1, 1].

    A dense layer to 4 x 4, a residual block for each doubling. ``classes``: number of labels, with gains
    and biases of the blocks' normalisations; 0: no labels.
    """

    def __init__(self, spec: Spec, width: int, latent_dim: int, classes: int = 0) -> None:
        super().__init__()
        inner = generator_widths(spec["image_size"], width)
        self.dense = nn.Linear(latent_dim, inner[0] * START_SIZE * START_SIZE)
        self.blocks = nn.ModuleList(UpBlock(before, after, classes) for before, after in pairwise(inner))
        self.norm = ConditionalBatchNorm2d(inner[-1])
        self.last = nn.Conv2d(inner[-1], spec["channels"], 3, padding=1)
        for layer in (self.dense, self.last):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(bias_of(layer))

    def forward(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        x = self.dense(latents).view(latents.shape[0], -1, START_SIZE, START_SIZE)
        for block in self.blocks:
            x = block(x, label)
        images: Tensor = self.last(relu(self.norm(x)))
        return images.tanh()


class SNGANDiscriminator(Discriminator):
    """Images to logits (batch,): residual blocks, a sum over positions, a dense layer."""

    def __init__(self, spec: Spec, width: int, classes: int = 0) -> None:
        super().__init__()
        plan = discriminator_blocks(spec["image_size"], width)
        before = [spec["channels"], *(after for after, _ in plan)]
        self.blocks = nn.ModuleList(
            DownBlock(inner, after, halves, first=depth == 0)
            for depth, (inner, (after, halves)) in enumerate(zip(before, plan, strict=False))
        )
        self.logit = ProjectionHead(before[-1], classes)
        nn.init.xavier_uniform_(self.logit.dense.weight)
        nn.init.zeros_(self.logit.dense.bias)
        if self.logit.label is not None:  # zeros have no spectral norm
            nn.init.xavier_uniform_(self.logit.label.weight)

    def logits(self, embedded: Tensor, condition: Tensor | None = None) -> Tensor:
        x = embedded
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.logit(relu(x).sum((2, 3)), condition)
        return logits


class UpBlock(nn.Module):
    """x + F(x) at twice the side: normalisation, ReLU, nearest neighbours, 3x3; normalisation, ReLU, 3x3.

    The published blocks have biases, which the next normalisation removes: they are not created. A 1x1
    convolution before upsampling gives the same result as after it, at a quarter of the cost.
    """

    def __init__(self, before: int, after: int, classes: int = 0) -> None:
        super().__init__()
        self.norms = nn.ModuleList(
            [ConditionalBatchNorm2d(before, classes), ConditionalBatchNorm2d(after, classes)]
        )
        self.layers = nn.ModuleList(
            nn.Conv2d(inner, after, 3, padding=1, bias=False) for inner in (before, after)
        )
        self.short = nn.Conv2d(before, after, 1, bias=False)
        init_weights(self)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        h = interpolate(relu(self.norms[0](x, label)), scale_factor=2)
        h = relu(self.norms[1](self.layers[0](h), label))
        shortcut: Tensor = interpolate(self.short(x), scale_factor=2)
        result: Tensor = self.layers[1](h) + shortcut
        return result


class DownBlock(nn.Module):
    """x + F(x), at half the side if it ``halves``: ReLU, 3x3, ReLU, 3x3, means of 2x2.

    The ``first`` block begins with its convolution: images are not rectified. If width and side stay, the
    shortcut is x itself.
    """

    def __init__(self, before: int, after: int, halves: bool, first: bool) -> None:
        super().__init__()
        self.halves, self.first = halves, first
        self.layers = nn.ModuleList(nn.Conv2d(inner, after, 3, padding=1) for inner in (before, after))
        self.short = nn.Conv2d(before, after, 1) if halves or before != after else None
        init_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        h = self.layers[0](x if self.first else relu(x))
        return self._halved(self.layers[1](relu(h))) + self._shortcut(x)

    def _shortcut(self, x: Tensor) -> Tensor:
        """Means and a 1x1 convolution, in the cheaper of two equivalent orders."""
        return x if self.short is None else self.short(self._halved(x))

    def _halved(self, x: Tensor) -> Tensor:
        return avg_pool2d(x, 2) if self.halves else x


def generator_widths(side: int, width: int) -> list[int]:
    """Channels at 4 x 4 and after each doubling: 4 x 256 at 32 pixels; 1024, 512, 256, 128, 64 at 64."""
    layers = n_doublings(side)
    if side <= UNIFORM_WIDTH_SIZE:
        return [width] * (layers + 1)
    return channel_widths(width, layers + 1, WIDEST)[::-1]


def discriminator_blocks(side: int, width: int) -> list[tuple[int, bool]]:
    """(channels, halves the side) of each block: at 32 pixels 4 x 128, two of which halve; at 64 five do."""
    if side <= UNIFORM_WIDTH_SIZE:
        return [(width, True)] * max(1, n_doublings(side) - 1) + [(width, False)] * 2
    deep = max(5, n_doublings(side))
    rest = [(width * WIDEST, False)] if side >> deep == START_SIZE else []
    return [(channels, True) for channels in channel_widths(width, deep, WIDEST)] + rest


def init_weights(block: nn.Module) -> None:
    """Glorot & Bengio 2010; sqrt(2) times as large in the residual branch."""
    for part in block.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.xavier_uniform_(part.weight, 2**0.5 if part.kernel_size == (3, 3) else 1.0)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
