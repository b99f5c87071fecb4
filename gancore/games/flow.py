"""Games of normalizing flows: trained by likelihood, adversarially, or both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from torch import nn

from gancore.games.adversarial import AdversarialGame
from gancore.games.cost import Cost
from gancore.games.discriminator import Discriminator
from gancore.games.draw import Draw
from gancore.games.gan import adversarial_game
from gancore.games.likelihood import LikelihoodGame, ModelSampler
from gancore.games.prior import normal
from gancore.games.sampler import Sampler
from gancore.games.schedules import Schedule, schedule_value
from gancore.nn.flows import Flow


class FlowGame(LikelihoodGame):
    """Trains a :class:`gancore.nn.Flow` by likelihood: ``likelihood_game(..., game=FlowGame)``."""

    def initialize(self, draw: Draw) -> None:
        _initialize_flow(self.model, draw, self.conditional)


class FlowGANGame(AdversarialGame):
    """Flow-GAN (Grover et al. 2018): a GAN whose generator is a flow. Built by :func:`flow_gan`."""

    likelihood_weight: Schedule | float = 1.0

    def initialize(self, draw: Draw) -> None:
        _initialize_flow(self.generator, draw, self.conditional)

    def generator_cost(self, draw: Draw) -> Cost:
        """Eq. 7: V_G(G, D) - lambda E log p_G(x); in nats per encoded sample."""
        cost = super().generator_cost(draw)
        if self.likelihood_weight == 0:
            return cost
        batch = self.real(draw)
        nll = -cast(Flow, self.generator).log_prob(batch.data, batch.condition)
        return cost.add("nll", nll, scale=schedule_value(self.likelihood_weight, draw.progress))

    def sampler(self) -> Sampler:
        return ModelSampler(self.averaged(self.generator), self.representation, self.conditional)


def flow_gan(
    *,
    flow: Callable[[], Flow],
    discriminator: Callable[[], Discriminator],
    likelihood_weight: Schedule | float = 1.0,
    game: type[AdversarialGame] | None = None,
    **options: Any,
) -> FlowGANGame:
    """A GAN whose generator has an exact likelihood; ``options`` are those of :func:`adversarial_game`.

    ``likelihood_weight`` is lambda of eq. 7, per nat and sample; 0: adversarial only. To train a flow by
    likelihood only, use ``likelihood_game(..., game=FlowGame)``. ``game``: a subclass of
    :class:`AdversarialGame`, whose changed terms are those of a Flow-GAN then.
    """
    generator = flow()
    built = adversarial_game(
        generator=lambda: generator,
        discriminator=discriminator,
        prior=normal(generator.size),
        game=_with_likelihood(game),
        **options,
    )
    assert isinstance(built, FlowGANGame)
    built.likelihood_weight = likelihood_weight
    return built


def _with_likelihood(game: type[AdversarialGame] | None) -> type[AdversarialGame]:
    """The class itself if it is a Flow-GAN, else one that is both; the given class overrides the Flow-GAN."""
    if game is None or issubclass(FlowGANGame, game):
        return FlowGANGame
    if issubclass(game, FlowGANGame):
        return game
    return type(game.__name__, (game, FlowGANGame), {"__module__": game.__module__})


def _initialize_flow(flow: nn.Module, draw: Draw, conditional: bool) -> None:
    batch = draw.real()
    cast(Flow, flow).initialize(batch.data, batch.condition if conditional else None)
