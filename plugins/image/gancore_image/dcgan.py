"""DCGAN as published (Radford et al. 2016), for any side of 4 * 2^k and with labels where wanted."""

from __future__ import annotations

from itertools import pairwise

from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, relu

from gancore import Recipe, Spec
from gancore.data.classes import classes_told
from gancore.games import AdversarialSection, Discriminator, Game, adversarial, defaults, uniform
from gancore_image.augmentation import AugmentedSection, augmentation_of
from gancore_image.blocks import START, Logit, Norm, channels_last, doublings, widths

WIDEST = 8
"""The most multiples of ``width``: at 64 pixels 4 x 4 x 1024 for a width of 128."""
DEVIATION = 0.02


@defaults(penalty="none", lr=2e-4, beta2=0.999)
class DCGANConfig(AugmentedSection, AdversarialSection):
    """Radford et al. 2016, sections 3 and 4."""

    batch_size: PositiveInt = Field(128, description="rows of the joined batch")
    steps: PositiveInt = Field(100_000, description="rounds, when the command names no budget")
    width: PositiveInt = Field(
        128, description="channels next to the picture; doubled at every layer inwards, up to eightfold"
    )
    kernel: int = Field(5, ge=3, le=7, description="pixels along a side of each convolution; 4 in many ports")
    latent: PositiveInt = Field(100, description="numbers in a latent, evenly in [-1, 1]")
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class DCGAN(Recipe):
    """Strided convolutions, batch normalisation of all but the ends, Adam with beta1 = 0.5."""

    Config = DCGANConfig

    def build(self, config: DCGANConfig, spec: Spec) -> Game:
        classes = classes_told(config.conditional, spec)
        game = adversarial(
            generator=lambda: channels_last(
                DCGANGenerator(spec, config.width, config.latent, config.kernel, classes)
            ),
            discriminator=lambda: DCGANDiscriminator(spec, config.width, config.kernel, classes),
            prior=uniform(config.latent),
            **config.options(),
            conditional=config.conditional,
            augmentation=augmentation_of(config),
        )
        game.batch_coupled = True  # by batch normalisation
        return game


class DCGANGenerator(nn.Module):
    """Latents (batch, latent) to pictures (batch, channels, side, side) in [-1, 1].

    A dense layer to 4 x 4, transposed convolutions of stride 2, each but the last normalised; no biases,
    which normalisation takes away. ``classes``: labels, by a gain and a bias of each; 0 for none.
    """

    def __init__(self, spec: Spec, width: int, latent: int, kernel: int = 5, classes: int = 0) -> None:
        super().__init__()
        inner = widths(width, doublings(spec["side"]), WIDEST)[::-1]
        self.dense = nn.Linear(latent, inner[0] * START * START, bias=False)
        self.norms = nn.ModuleList(Norm(channels, classes) for channels in inner)
        self.layers = nn.ModuleList(
            nn.ConvTranspose2d(
                before, after, kernel, 2, (kernel - 1) // 2, output_padding=kernel % 2, bias=False
            )
            for before, after in pairwise([*inner, spec["channels"]])
        )
        initialise(self)

    def forward(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        x = self.dense(latents).view(len(latents), -1, START, START)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = layer(relu(norm(x, label)))
        return x.tanh()


class DCGANDiscriminator(Discriminator):
    """Pictures to logits (batch,): convolutions of stride 2 to 4 x 4, each but the first normalised."""

    def __init__(self, spec: Spec, width: int, kernel: int = 5, classes: int = 0) -> None:
        super().__init__()
        inner = widths(width, doublings(spec["side"]), WIDEST)
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, kernel, 2, (kernel - 1) // 2, bias=False)
            for before, after in pairwise([spec["channels"], *inner])
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for channels in inner[1:])
        self.logit = Logit(inner[-1] * START * START, classes, bias=False)
        initialise(self)

    def judge(self, embedded: Tensor, condition: Tensor | None = None) -> Tensor:
        x = leaky_relu(self.layers[0](embedded), 0.2)
        for layer, norm in zip(self.layers[1:], self.norms, strict=True):
            x = leaky_relu(norm(layer(x)), 0.2)
        logits: Tensor = self.logit(x.flatten(1), condition)
        return logits


def initialise(network: nn.Module) -> None:
    """Weights N(0, 0.02^2), gains of normalisation N(1, 0.02^2)."""
    for part in network.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(part.weight, 0.0, DEVIATION)
        elif isinstance(part, nn.BatchNorm2d) and part.affine:
            nn.init.normal_(part.weight, 1.0, DEVIATION)
