"""All sequences of three tokens of three: exact costs and gradients by enumeration."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from gancore.data.dataset import TensorView
from gancore.games import DiscreteGame, Estimator, TokenDiscriminator, adversarial_game
from gancore.nn import Recurrent, SequenceGenerator, until_end
from gancore.random import Key

VOCABULARY, LENGTH = 3, 3
ALL = torch.tensor(list(itertools.product(range(VOCABULARY), repeat=LENGTH)))


def tiny_generator(end: int | None = None, latent: int = 0, seed: int = 0) -> SequenceGenerator:
    torch.manual_seed(seed)
    trunk = Recurrent(4, 5, cell="lstm", condition=latent)
    model = SequenceGenerator(trunk, VOCABULARY, LENGTH, end, latent)
    for parameter in model.parameters():  # away from the uniform distribution
        parameter.data.add_(0.5 * torch.randn_like(parameter))
    return model


def sequences(end: int | None) -> Tensor:
    """Every sequence once, with nothing but ends after the first."""
    return ALL if end is None else torch.where(until_end(ALL, end), ALL, end).unique(dim=0)


class SequenceDiscriminator(TokenDiscriminator):
    """A smooth function of a sequence: one logit, or (``dense``) one a position that reads up to it."""

    def __init__(self, dense: bool = False, end: int | None = None, width: int = 4) -> None:
        super().__init__(VOCABULARY, width)
        self.layer = nn.Linear(width if dense else LENGTH * width, 1)
        self.layer.weight.data.mul_(8)  # rewards that differ
        self.dense, self.end = dense, end

    def mask(self, data: Tensor) -> Tensor | None:
        return until_end(data, self.end) if self.dense else None

    def logits(self, embedded: Tensor, condition: object = None) -> Tensor:
        read = embedded.cumsum(1) if self.dense else embedded.flatten(1)
        logits: Tensor = self.layer(read.tanh())[..., 0]
        return logits


def tiny_game(
    estimator: Estimator,
    dense: bool = False,
    end: int | None = None,
    latent: int = 0,
    seed: int = 0,
    **settings: object,
) -> DiscreteGame:
    def discriminator() -> SequenceDiscriminator:
        torch.manual_seed(seed + 1)
        return SequenceDiscriminator(dense, end)

    settings = {"loss": "nonsaturating", "clip_grad_norm": None, **settings}
    return adversarial_game(  # type: ignore[return-value]
        generator=lambda: tiny_generator(end, latent, seed),
        discriminator=discriminator,
        estimator=estimator,
        **settings,
    )


def rows(n: int = 48) -> TensorView:
    """Sequences that are mostly 1 and 2, as data."""
    return TensorView((Key.of("tiny rows").uniform(n, LENGTH) * 1.4 + 0.8).long())


def exact_gradient(generator: SequenceGenerator, reward: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """The gradient of - E sum_t r_t with respect to all parameters; ``reward`` (sequences) gives the sum."""
    each = sequences(generator.end)
    cost = -(generator.log_prob(each).exp() * reward(each)).sum()
    return list(torch.autograd.grad(cost, list(generator.parameters())))


def flat(gradients: list[Tensor]) -> Tensor:
    return torch.cat([gradient.flatten() for gradient in gradients])
