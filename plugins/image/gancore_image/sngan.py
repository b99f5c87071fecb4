"""SNGAN: residual networks under spectral normalisation, as published for 32 and 64 pixels.

Miyato et al. 2018, tables 3 to 6; with labels Miyato & Koyama 2018.
"""

from __future__ import annotations

from itertools import pairwise

from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, relu

from gancore import Recipe, Spec
from gancore.data.classes import classes_told
from gancore.games import AdversarialSection, Discriminator, Game, adversarial, defaults, normal
from gancore.nn.norms import spectral_norm
from gancore_image.augmentation import AugmentedSection, augmentation_of
from gancore_image.blocks import START, Logit, Norm, channels_last, doublings, widths

EVEN = 32
"""Up to this side all layers are of one width; beyond they double inwards, up to sixteenfold."""
WIDEST = 16


@defaults(
    loss="hinge",
    penalty="none",
    discriminator_moves=5,
    lr=2e-4,
    lr_end=0.0,
    schedule="linear",
    beta1=0.0,
    beta2=0.9,
)
class SNGANConfig(AugmentedSection, AdversarialSection):
    """Miyato et al. 2018, appendix B."""

    batch_size: PositiveInt = Field(64, description="rows of the joined batch")
    steps: PositiveInt = Field(100_000, description="rounds, when the command names no budget")
    generator_width: PositiveInt | None = Field(
        None, description="channels next to the picture; none: 256 up to side 32, beyond 64, doubled inwards"
    )
    discriminator_width: PositiveInt | None = Field(
        None, description="channels next to the picture; none: 128 up to side 32, beyond 64, doubled inwards"
    )
    latent: PositiveInt = Field(128, description="numbers in a latent")
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class SNGAN(Recipe):
    """Hinge loss, five discriminator moves a round, Adam without momentum, a rate that falls in a line."""

    Config = SNGANConfig

    def build(self, config: SNGANConfig, spec: Spec) -> Game:
        classes = classes_told(config.conditional, spec)
        even = spec["side"] <= EVEN
        own = config.generator_width or (256 if even else 64)
        judging = config.discriminator_width or (128 if even else 64)
        game = adversarial(
            generator=lambda: channels_last(SNGANGenerator(spec, own, config.latent, classes)),
            discriminator=lambda: SNGANDiscriminator(spec, judging, classes),
            prior=normal(config.latent),
            **config.options(),
            discriminator_remedies=[spectral_norm, channels_last],
            conditional=config.conditional,
            augmentation=augmentation_of(config),
        )
        game.batch_coupled = True  # by the generator's batch normalisation
        return game


class SNGANGenerator(nn.Module):
    """Latents (batch, latent) to pictures (batch, channels, side, side) in [-1, 1].

    A dense layer to 4 x 4, a residual block for each doubling. ``classes``: labels, by gains and biases of
    the blocks' normalisations; 0 for none.
    """

    def __init__(self, spec: Spec, width: int, latent: int, classes: int = 0) -> None:
        super().__init__()
        inner = generator_widths(spec["side"], width)
        self.dense = nn.Linear(latent, inner[0] * START * START)
        self.blocks = nn.ModuleList(UpBlock(before, after, classes) for before, after in pairwise(inner))
        self.norm = Norm(inner[-1])
        self.last = nn.Conv2d(inner[-1], spec["channels"], 3, padding=1)
        for layer in (self.dense, self.last):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        x = self.dense(latents).view(len(latents), -1, START, START)
        for block in self.blocks:
            x = block(x, label)
        pictures: Tensor = self.last(relu(self.norm(x)))
        return pictures.tanh()


class SNGANDiscriminator(Discriminator):
    """Pictures to logits (batch,): residual blocks, a sum over what is left of the picture, a dense layer."""

    def __init__(self, spec: Spec, width: int, classes: int = 0) -> None:
        super().__init__()
        plan = discriminator_plan(spec["side"], width)
        before = [spec["channels"], *(after for after, _ in plan)]
        self.blocks = nn.ModuleList(
            DownBlock(inner, after, halves, first=depth == 0)
            for depth, (inner, (after, halves)) in enumerate(zip(before, plan, strict=False))
        )
        self.logit = Logit(before[-1], classes)
        nn.init.xavier_uniform_(self.logit.dense.weight)
        nn.init.zeros_(self.logit.dense.bias)
        if self.logit.label is not None:  # zeros have no spectral norm
            nn.init.xavier_uniform_(self.logit.label.weight)

    def judge(self, embedded: Tensor, condition: Tensor | None = None) -> Tensor:
        x = embedded
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.logit(relu(x).sum((2, 3)), condition)
        return logits


class UpBlock(nn.Module):
    """x + F(x) at twice the side: normalisation, ReLU, nearest neighbours, 3x3; normalisation, ReLU, 3x3.

    The published blocks have biases, which the next normalisation takes away: they are not created. A 1x1
    convolution gives the same before nearest neighbours as after them, at a quarter of the cost.
    """

    def __init__(self, before: int, after: int, classes: int = 0) -> None:
        super().__init__()
        self.norms = nn.ModuleList([Norm(before, classes), Norm(after, classes)])
        self.layers = nn.ModuleList(
            nn.Conv2d(inner, after, 3, padding=1, bias=False) for inner in (before, after)
        )
        self.short = nn.Conv2d(before, after, 1, bias=False)
        initialise(self)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        h = interpolate(relu(self.norms[0](x, label)), scale_factor=2)
        h = relu(self.norms[1](self.layers[0](h), label))
        shortcut: Tensor = interpolate(self.short(x), scale_factor=2)
        return self.layers[1](h) + shortcut


class DownBlock(nn.Module):
    """x + F(x), at half the side where it ``halves``: ReLU, 3x3, ReLU, 3x3, means of 2x2.

    The ``first`` one begins with its convolution: pictures are not rectified. Where width and side stay, the
    shortcut is x itself.
    """

    def __init__(self, before: int, after: int, halves: bool, first: bool) -> None:
        super().__init__()
        self.halves, self.first = halves, first
        self.layers = nn.ModuleList(nn.Conv2d(inner, after, 3, padding=1) for inner in (before, after))
        self.short = nn.Conv2d(before, after, 1) if halves or before != after else None
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        h = self.layers[0](x if self.first else relu(x))
        return self._halved(self.layers[1](relu(h))) + self._shortcut(x)

    def _shortcut(self, x: Tensor) -> Tensor:
        """Means and a 1x1 convolution in the cheaper order: they give the same in the other."""
        return x if self.short is None else self.short(self._halved(x))

    def _halved(self, x: Tensor) -> Tensor:
        return avg_pool2d(x, 2) if self.halves else x


def generator_widths(side: int, width: int) -> list[int]:
    """Channels at 4 x 4 and after each doubling: 4 x 256 at 32 pixels; 1024, 512, 256, 128, 64 at 64."""
    layers = doublings(side)
    if side <= EVEN:
        return [width] * (layers + 1)
    return widths(width, layers + 1, WIDEST)[::-1]


def discriminator_plan(side: int, width: int) -> list[tuple[int, bool]]:
    """(channels, halves the side) of each block: at 32 pixels 4 x 128, of which two halve; at 64 five do."""
    if side <= EVEN:
        return [(width, True)] * max(1, doublings(side) - 1) + [(width, False)] * 2
    deep = max(5, doublings(side))
    rest = [(width * WIDEST, False)] if side >> deep == START else []
    return [(channels, True) for channels in widths(width, deep, WIDEST)] + rest


def initialise(block: nn.Module) -> None:
    """Glorot & Bengio 2010; sqrt(2) times as large within the residual branch."""
    for part in block.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.xavier_uniform_(part.weight, 2**0.5 if part.kernel_size == (3, 3) else 1.0)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
