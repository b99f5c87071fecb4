"""DCGAN as published (Radford et al. 2016), for any side of 4 * 2^k, optionally conditional."""

from __future__ import annotations

from itertools import pairwise

from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, relu

from gancore import Recipe, Spec
from gancore.data import num_conditional_classes
from gancore.games import AdversarialConfig, Discriminator, Game, adversarial_game, uniform, with_defaults
from gancore_image.augmentation import AugmentedConfig, build_augmentation
from gancore_image.blocks import (
    START_SIZE,
    ConditionalBatchNorm2d,
    ProjectionHead,
    channel_widths,
    channels_last,
    n_doublings,
)

WIDEST = 8
"""Maximal multiple of ``width``: at 64 pixels 4 x 4 x 1024 for a width of 128."""
INIT_STD = 0.02


@with_defaults(penalty="none", lr=2e-4, beta2=0.999)
class DCGANConfig(AugmentedConfig, AdversarialConfig):
    """Radford et al. 2016, sections 3 and 4."""

    batch_size: PositiveInt = Field(128, description="examples per global batch")
    steps: PositiveInt = Field(100_000, description="steps, when the command gives no budget")
    width: PositiveInt = Field(
        128, description="channels next to the image; doubled at every layer inwards, up to 8 times"
    )
    kernel_size: int = Field(5, ge=3, le=7, description="kernel size of each convolution; 4 in many ports")
    latent_dim: PositiveInt = Field(100, description="dimensions of a latent, uniform in [-1, 1]")
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class DCGAN(Recipe):
    """Strided convolutions, batch normalisation of all layers but the ends, Adam with beta1 = 0.5."""

    Config = DCGANConfig

    def build(self, config: DCGANConfig, spec: Spec) -> Game:
        classes = num_conditional_classes(config.conditional, spec)
        game = adversarial_game(
            generator=lambda: channels_last(
                DCGANGenerator(spec, config.width, config.latent_dim, config.kernel_size, classes)
            ),
            discriminator=lambda: DCGANDiscriminator(spec, config.width, config.kernel_size, classes),
            prior=uniform(config.latent_dim),
            **config.game_options(),
            conditional=config.conditional,
            augmentation=build_augmentation(config),
        )
        game.batch_coupled = True  # by batch normalisation
        return game


class DCGANGenerator(nn.Module):
    """Latents (batch, latent) to images (batch, channels, side, side) in [-1, 1].

    A dense layer to 4 x 4, transposed convolutions of stride 2, each but the last normalised; no biases,
    since normalisation removes them. ``classes``: number of labels, with a gain and a bias each; 0: no
    labels.
    """

    def __init__(self, spec: Spec, width: int, latent_dim: int, kernel: int = 5, classes: int = 0) -> None:
        super().__init__()
        widths = channel_widths(width, n_doublings(spec["image_size"]), WIDEST)[::-1]
        self.dense = nn.Linear(latent_dim, widths[0] * START_SIZE * START_SIZE, bias=False)
        self.norms = nn.ModuleList(ConditionalBatchNorm2d(channels, classes) for channels in widths)
        self.layers = nn.ModuleList(
            nn.ConvTranspose2d(
                before, after, kernel, 2, (kernel - 1) // 2, output_padding=kernel % 2, bias=False
            )
            for before, after in pairwise([*widths, spec["channels"]])
        )
        init_weights(self)

    def forward(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        x = self.dense(latents).view(latents.shape[0], -1, START_SIZE, START_SIZE)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = layer(relu(norm(x, label)))
        result: Tensor = x.tanh()
        return result


class DCGANDiscriminator(Discriminator):
    """Images to logits (batch,): convolutions of stride 2 to 4 x 4, each but the first normalised."""

    def __init__(self, spec: Spec, width: int, kernel: int = 5, classes: int = 0) -> None:
        super().__init__()
        widths = channel_widths(width, n_doublings(spec["image_size"]), WIDEST)
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, kernel, 2, (kernel - 1) // 2, bias=False)
            for before, after in pairwise([spec["channels"], *widths])
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for channels in widths[1:])
        self.logit = ProjectionHead(widths[-1] * START_SIZE * START_SIZE, classes, bias=False)
        init_weights(self)

    def logits(self, embedded: Tensor, condition: Tensor | None = None) -> Tensor:
        x = leaky_relu(self.layers[0](embedded), 0.2)
        for layer, norm in zip(self.layers[1:], self.norms, strict=True):
            x = leaky_relu(norm(layer(x)), 0.2)
        logits: Tensor = self.logit(x.flatten(1), condition)
        return logits


def init_weights(network: nn.Module) -> None:
    """Weights N(0, 0.02^2), gains of normalisation N(1, 0.02^2)."""
    for part in network.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(part.weight, 0.0, INIT_STD)
        elif isinstance(part, nn.BatchNorm2d) and part.affine:
            nn.init.normal_(part.weight, 1.0, INIT_STD)
