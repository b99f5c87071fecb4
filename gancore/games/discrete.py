"""The game of a generator of discrete samples and a discriminator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gancore.errors import ConfigError
from gancore.games.adversarial import AdversarialGame
from gancore.games.cost import Cost
from gancore.games.discriminator import Discriminator
from gancore.games.draw import Draw
from gancore.games.estimators import Estimator
from gancore.games.game import Move
from gancore.games.losses import AdversarialLoss
from gancore.games.penalties import PenaltyTerm
from gancore.games.prior import Prior
from gancore.games.representation import Representation
from gancore.games.sampler import Sampler
from gancore.games.training_step import TrainingStep
from gancore.random import Key
from gancore.trees import Tree

NLL = "nll"
"""The cost of every player's move that trains the generator by maximum likelihood."""
_MEMBERS = ("initial", "step", "draw_latents", "log_prob", "sample")


class DiscreteGame(AdversarialGame):
    """Built by :func:`gancore.games.adversarial_game` with an ``estimator``.

    The generator is a :class:`gancore.nn.SequenceGenerator`, or has its members. Beside the main costs there
    is "nll", minus the generator's log likelihood of rows of train: ``Move("pretraining", "nll")``, for a
    player of this name on the network "generator".
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: Discriminator,
        prior: Prior,
        loss: AdversarialLoss,
        penalties: Sequence[PenaltyTerm],
        representation: Representation,
        ema_halflife: float | None,
        conditional: bool,
        estimator: Estimator,
    ) -> None:
        for name in _MEMBERS:
            if not hasattr(generator, name):
                raise ConfigError(
                    f"the generator of an estimator is {type(generator).__name__}, which has no {name}",
                    "use gancore.nn.SequenceGenerator, or define what it has",
                )
        super().__init__(
            generator, discriminator, prior, loss, penalties, representation, ema_halflife, conditional
        )
        self.estimator = estimator
        estimator.attach(generator)
        self.progress: Tensor
        self.register_buffer("progress", torch.zeros((), dtype=torch.float64))

    def cost(self, move: Move, draw: Draw) -> Cost:
        return self.likelihood_cost(draw) if move.cost == NLL else super().cost(move, draw)

    def likelihood_cost(self, draw: Draw) -> Cost:
        """-log p(x) in nats per encoded sample."""
        batch = self.real(draw)
        condition = () if batch.condition is None else (batch.condition,)
        generator: Any = self.generator
        return Cost().add(NLL, -generator.log_prob(batch.data, *condition))

    def generator_cost(self, draw: Draw) -> Cost:
        return self.estimator.generator_cost(self, draw)

    def pathwise_cost(self, draw: Draw) -> Cost:
        """The generator's cost whose gradient goes through the fakes."""
        return super().generator_cost(draw)

    def fake(self, n: int, key: Key, condition: Tree, progress: float) -> Tree:
        return self.estimator.fake(self.generator, n, key, condition, progress)

    def current_progress(self) -> float:
        """The progress after the last step."""
        return float(self.progress)

    def after_move(self, move: Move, means: Mapping[str, Tensor]) -> None:
        super().after_move(move, means)
        if move.player == "generator":
            self.estimator.after_move(means)

    def after_step(self, step: TrainingStep) -> None:
        super().after_step(step)
        self.progress.fill_(step.progress_end)

    def sampler(self) -> Sampler:
        return self.estimator.sampler(self.averaged(self.generator), self.representation, self.conditional)
