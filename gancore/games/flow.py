"""Games of flows: by likelihood, adversarially, or both at once, with latents there and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from torch import Tensor, nn

from gancore.domain import Batch
from gancore.games.adversarial import AdversarialGame, adversarial
from gancore.games.cost import Cost
from gancore.games.discriminator import Discriminator
from gancore.games.draw import Draw
from gancore.games.likelihood import LikelihoodGame, LikelihoodSampler
from gancore.games.prior import Prior, normal
from gancore.games.schedules import Schedule, value
from gancore.nn.flows import Flow
from gancore.runtime.randomness import Key
from gancore.trees import Tree


class FlowSampler(LikelihoodSampler):
    """Samples in parallel, knows the density of each, and finds the latents of canonical samples."""

    @property
    def prior(self) -> Prior:
        return normal(self.flow.size)

    @property
    def flow(self) -> Flow:
        return cast(Flow, self.model)

    def latents(self, n: int, key: Key) -> Tensor:
        return self.prior.sample(key / "z", n)

    def render(self, latents: Tensor, condition: Tree = None) -> Tree:
        return self.representation.decode(self.flow.decode(latents, condition))

    def invert(self, batch: Batch) -> Tensor:
        """The latents of canonical samples: ``render(invert(batch))`` gives them back."""
        encoded = self.representation.undecode(batch)
        return self.flow.encode(encoded.data, encoded.condition if self.conditional else None)[0]


class FlowGame(LikelihoodGame):
    """The game of one player, a :class:`gancore.nn.flows.Flow`: ``likelihood(..., game=FlowGame)``."""

    def prepare(self, draw: Draw) -> None:
        _prepare(self.model, draw, self.conditional)

    def sampler(self) -> nn.Module:
        model = self.model if self.average is None else self.average.module
        return FlowSampler(model, self.representation, self.conditional)


class FlowGANGame(AdversarialGame):
    """Flow-GAN (Grover et al. 2018): a GAN whose generator is a flow. Built by :func:`flow_gan`."""

    likelihood_weight: Schedule | float = 1.0

    def prepare(self, draw: Draw) -> None:
        _prepare(self.generator, draw, self.conditional)

    def generator_cost(self, draw: Draw) -> Cost:
        """Eq. 7: V_G(G, D) - lambda E log p_G(x); nats a sample, of the representation."""
        cost = super().generator_cost(draw)
        if self.likelihood_weight == 0:
            return cost
        batch = self.real(draw)
        nll = -cast(Flow, self.generator).log_prob(batch.data, batch.condition)
        return cost.add("nll", nll, scale=value(self.likelihood_weight, draw.progress))

    def sampler(self) -> nn.Module:
        generator = self.generator if self.average is None else self.average.module
        return FlowSampler(generator, self.representation, self.conditional)


def flow_gan(
    *,
    flow: Callable[[], Flow],
    discriminator: Callable[[], Discriminator],
    likelihood_weight: Schedule | float = 1.0,
    **options: Any,
) -> FlowGANGame:
    """A GAN whose generator has an exact likelihood; ``options`` are those of :func:`adversarial`.

    ``likelihood_weight`` is lambda of eq. 7, per nat a sample; 0: purely adversarial. (By likelihood alone a
    flow is trained by ``likelihood(..., game=FlowGame)``.)
    """
    generator = flow()
    game = adversarial(
        generator=lambda: generator,
        discriminator=discriminator,
        prior=normal(generator.size),
        game=FlowGANGame,
        **options,
    )
    assert isinstance(game, FlowGANGame)
    game.likelihood_weight = likelihood_weight
    return game


def _prepare(flow: nn.Module, draw: Draw, conditional: bool) -> None:
    batch = draw.real()
    cast(Flow, flow).prepare(batch.data, batch.condition if conditional else None)
