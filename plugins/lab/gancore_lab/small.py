"""A GAN of a few hundred parameters on a ring of Gaussians, small enough for exact Jacobians."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gancore.games import Adam, AdversarialGame, Discriminator, Dynamics, Penalty, Prior, Rule, adversarial
from gancore.runtime.randomness import Key


class Judge(Discriminator):
    """Two hidden layers, smooth, so that second derivatives are all there."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = perceptron(2, width, 1)

    def judge(self, embedded: Tensor, condition: object = None) -> Tensor:
        return self.layers(embedded).squeeze(-1)


def perceptron(inputs: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, outputs)
    ).double()


def _latents(key: Key, n: int, size: int) -> Tensor:
    return key.normal(n, size).double()


def ring(rows: int, setup: Mapping[str, Any], seed: int) -> Tensor:
    """Points of ``modes`` Gaussians on a circle, each as often as any: (rows, 2), float64."""
    chance = torch.Generator().manual_seed(seed)
    angles = 2 * math.pi * (torch.arange(rows) % setup["modes"]) / setup["modes"]
    centres = setup["radius"] * torch.stack([angles.cos(), angles.sin()], 1)
    return centres + setup["std"] * torch.randn(rows, 2, generator=chance, dtype=torch.float64)


def small_gan(
    setup: Mapping[str, Any],
    seed: int,
    *,
    dynamics: Dynamics,
    rule: Rule | None = None,
    penalties: Sequence[Penalty] = (),
    average: float | None = None,
) -> AdversarialGame:
    """Float64 throughout; the same networks for the same seed."""
    width = setup["width"]
    rule = rule or Adam(setup["rate"], tuple(setup["betas"]))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return adversarial(
            generator=lambda: perceptron(setup["latents"], width, 2),
            discriminator=lambda: Judge(width),
            prior=Prior(setup["latents"], _latents, torch.lerp),
            loss=setup["loss"],
            penalties=penalties,
            generator_rule=rule,
            discriminator_rule=rule,
            dynamics=dynamics,
            average=average,
        )
