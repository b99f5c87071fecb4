"""Likelihood models: RealNVP (Dinh et al. 2017), Flow-GAN, a variational build_vae, kernel density."""

from __future__ import annotations

import math
from collections.abc import Mapping
from math import prod
from typing import cast

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from gancore import ConfigError, Recipe, RecipeConfig, Spec, View
from gancore.games import (
    AdversarialConfig,
    FlowGame,
    Game,
    LikelihoodConfig,
    fitted_game,
    flow_gan,
    likelihood_game,
    with_defaults,
)
from gancore.nn import Flow, GaussianLikelihood, MaskedAffineCoupling, VariationalAutoencoder, zero_init
from gancore.random import Key
from gancore_synthetic.distribution import map_in_chunks
from gancore_synthetic.gans import num_classes
from gancore_synthetic.networks import ConditionalMLP, MLPDiscriminator, StandardisedRepresentation


def build_real_nvp(size: int, couplings: int, width: int, depth: int, classes: int) -> Flow:
    """Points of ``size`` coordinates through masked couplings, the identity at first."""

    def network() -> ConditionalMLP:
        made = ConditionalMLP(size, width, depth, 2 * size, classes)
        zero_init(cast(nn.Linear, made.body[-1]))
        return made

    return Flow([size], [MaskedAffineCoupling(mask, network()) for mask in coupling_masks(size, couplings)])


def coupling_masks(size: int, count: int) -> list[Tensor]:
    """Masks of the even coordinates, the odd ones, the first half, the second half, and again."""
    order = torch.arange(size)
    kinds = [order % 2 == 0, order % 2 == 1, order < size // 2, order >= size // 2]
    return [kinds[number % 4].float() for number in range(count)]


@with_defaults(lr_end=0.01, clip_grad_norm=10.0)
class RealNVPConfig(LikelihoodConfig):
    """The learning rate falls to a hundredth along a cosine."""

    batch_size: PositiveInt = Field(256, description="examples per global batch")
    steps: PositiveInt = Field(10_000, description="steps, when the command gives no budget")
    couplings: PositiveInt = Field(8, le=64, description="affine couplings")
    width: PositiveInt = Field(64, description="units of a hidden layer of a coupling's network")
    depth: PositiveInt = Field(2, le=20, description="hidden layers of a coupling's network")
    conditional: bool = Field(False, description="train on the components as labels")


class RealNVP(Recipe):
    """Maximum likelihood by Adam, gradients clipped."""

    Config = RealNVPConfig

    def build(self, config: RealNVPConfig, spec: Spec) -> Game:
        size, classes = _require_two_coordinates(spec), num_classes(config.conditional, spec)
        game = likelihood_game(
            lambda: build_real_nvp(size, config.couplings, config.width, config.depth, classes),
            **config.game_options(),
            conditional=config.conditional,
            representation=StandardisedRepresentation(tuple(spec["shape"])),
            game=FlowGame,
        )
        game.fp32_by_default = True
        return game


@with_defaults(penalty_weight=0.02, lr=1e-3, lr_end=0.01, clip_grad_norm=10.0, ema_halflife=20_000.0)
class FlowGANConfig(AdversarialConfig):
    """Learning rates fall to a hundredth along a cosine."""

    batch_size: PositiveInt = Field(256, description="examples per global batch")
    steps: PositiveInt = Field(10_000, description="steps, when the command gives no budget")
    likelihood_weight: NonNegativeFloat = Field(
        1.0, description="weight of -log p(x) in the generator's cost, per nat; 0: adversarial cost only"
    )
    couplings: PositiveInt = Field(8, le=64, description="affine couplings of the generator")
    width: PositiveInt = Field(64, description="units of a hidden layer of a coupling's network")
    depth: PositiveInt = Field(2, le=20, description="hidden layers of a coupling's network")
    discriminator_width: PositiveInt = Field(128, description="units of a hidden layer of the discriminator")
    discriminator_depth: PositiveInt = Field(3, le=20, description="hidden layers of the discriminator")
    conditional: bool = Field(False, description="train on the components as labels")


class FlowGAN(Recipe):
    """Flow-GAN (Grover et al. 2018): mlpgan's discriminator, realnvp's flow for a generator."""

    Config = FlowGANConfig

    def build(self, config: FlowGANConfig, spec: Spec) -> Game:
        size, classes = _require_two_coordinates(spec), num_classes(config.conditional, spec)
        game = flow_gan(
            flow=lambda: build_real_nvp(size, config.couplings, config.width, config.depth, classes),
            discriminator=lambda: MLPDiscriminator(
                size, config.discriminator_width, config.discriminator_depth, classes
            ),
            likelihood_weight=config.likelihood_weight,
            **config.game_options(),
            conditional=config.conditional,
            representation=StandardisedRepresentation(tuple(spec["shape"])),
        )
        game.fp32_by_default = True
        return game


def _require_two_coordinates(spec: Spec) -> int:
    """The number of coordinates of a point; raises ConfigError below 2."""
    size: int = prod(spec["shape"])
    if size < 2:
        raise ConfigError(
            f"a coupling needs at least 2 coordinates, and points have {size}",
            "use --recipe kde, or a source of more dimensions",
        )
    return size


@with_defaults(lr_end=0.01, clip_grad_norm=100.0)
class VAEConfig(LikelihoodConfig):
    """The learning rate falls to a hundredth along a cosine."""

    batch_size: PositiveInt = Field(256, description="examples per global batch")
    steps: PositiveInt = Field(10_000, description="steps, when the command gives no budget")
    width: PositiveInt = Field(128, description="units of a hidden layer")
    depth: PositiveInt = Field(3, le=20, description="hidden layers of encoder and decoder")
    latent_dim: PositiveInt = Field(2, description="dimensions of a latent")
    importance_samples: PositiveInt = Field(
        16, description="latents per example in the importance-weighted bound, k"
    )
    conditional: bool = Field(False, description="train on the components as labels")


class VAE(Recipe):
    """Maximises the inputs lower bound by Adam; reports the importance-weighted one."""

    Config = VAEConfig

    def build(self, config: VAEConfig, spec: Spec) -> Game:
        size, classes = prod(spec["shape"]), num_classes(config.conditional, spec)
        game = likelihood_game(
            lambda: build_vae(size, config, classes),
            **config.game_options(),
            conditional=config.conditional,
            representation=StandardisedRepresentation(tuple(spec["shape"])),
        )
        game.fp32_by_default = True
        return game


def build_vae(size: int, config: VAEConfig, classes: int) -> VariationalAutoencoder:
    encoder = ConditionalMLP(size, config.width, config.depth, 2 * config.latent_dim, classes)
    decoder = ConditionalMLP(config.latent_dim, config.width, config.depth, size, classes)
    return VariationalAutoencoder(
        encoder, decoder, GaussianLikelihood(), config.latent_dim, config.importance_samples
    )


MIN_BANDWIDTH, MAX_BANDWIDTH, N_BANDWIDTHS = 1e-3, 10.0, 40
"""Bandwidths, in units of the standardised rows, each a quarter wider than the one before."""


class GaussianKernelDensity(nn.Module):
    """p(x) = 1/m sum_i N(x; c_i, h^2 I) (Parzen 1962)."""

    parallel = True
    one_step = True
    centres: Tensor
    bandwidth: Tensor

    def __init__(self, centres: int, held_out: int, size: int) -> None:
        super().__init__()
        self.held_out, self.size = held_out, size
        self.register_buffer("centres", torch.zeros(centres, size))
        self.register_buffer("bandwidth", torch.ones(()))

    def fit(self, views: Mapping[str, View], key: Key) -> bool:
        """Centres and held-out points are different points of train; the likeliest bandwidth is taken."""
        (view,) = views.values()
        m = len(self.centres)
        rows = (key.to("cpu") / "rows").permutation(len(view))[: m + self.held_out]
        points = view.get_batch(rows, key / "take").data
        self.centres.copy_(points[:m])
        bandwidths = torch.logspace(
            math.log10(MIN_BANDWIDTH), math.log10(MAX_BANDWIDTH), N_BANDWIDTHS, device=points.device
        )
        distances = self._distances(points[m:])
        likelihoods = torch.stack([self._log_density(distances, h).mean() for h in bandwidths])
        self.bandwidth.copy_(bandwidths[likelihoods.argmax()])
        return True

    def log_prob(self, data: Tensor) -> Tensor:
        return map_in_chunks(lambda rows: self._log_density(self._distances(rows), self.bandwidth), data, 512)

    def _distances(self, points: Tensor) -> Tensor:
        """|x - c_i|, (n, m), by differences: products would lose the nearest centres to rounding."""
        return torch.cdist(points, self.centres, compute_mode="donot_use_mm_for_euclid_dist")

    def _log_density(self, distances: Tensor, h: Tensor) -> Tensor:
        normaliser = math.log(distances.shape[1]) + self.size * (h.log() + 0.5 * math.log(2 * math.pi))
        return torch.logsumexp(-0.5 * (distances / h).square(), dim=1) - normaliser

    def sample(self, n: int, key: Key) -> Tensor:
        chosen = (key / "centre").integers(len(self.centres), n)
        return self.centres[chosen] + self.bandwidth * (key / "noise").normal(n, self.size)


class KernelConfig(RecipeConfig):
    """No gradient training: one step fits the model."""

    steps: PositiveInt = Field(1, description="training steps; one is enough")
    centres: PositiveInt = Field(
        10_000, description="maximal number of training examples that carry a kernel"
    )
    validation_examples: PositiveInt = Field(
        1000, description="maximal number of training examples that choose the bandwidth"
    )


class KernelDensity(Recipe):
    """At most nine tenths of train are centres; the bandwidth is chosen on other examples."""

    Config = KernelConfig

    def build(self, config: KernelConfig, spec: Spec) -> Game:
        points = int(spec["train_examples"])
        centres = max(1, min(config.centres, points * 9 // 10))
        held_out = max(1, min(config.validation_examples, points - centres))
        model = GaussianKernelDensity(centres, held_out, prod(spec["shape"]))
        game = fitted_game(model, representation=StandardisedRepresentation(tuple(spec["shape"])))
        game.fp32_by_default = True
        return game
