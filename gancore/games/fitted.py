"""Models that no gradient trains: block models, n-grams, kernels, k-means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import nn

from gancore.domain import View
from gancore.games.dynamics import Dynamics
from gancore.games.field import Field
from gancore.games.game import Game, Phase
from gancore.games.likelihood import model_sampler
from gancore.games.representation import Identity, Representation
from gancore.runtime.randomness import Key
from gancore.trees import Tree


class FittedModel(Protocol):
    """A module whose buffers ``fit`` fills from views of encoded samples; each call is one round, and counts
    as a look at all of them.

    ``fit`` returns True when it is done (a model fitted in one pass: at once), so that iterative
    methods are checkpointed and resumed like any training. Buffer shapes do not depend on the data
    but through the spec. ``log_prob``, and ``condition`` where the game is conditional, are as in
    :func:`gancore.games.likelihood`.
    """

    def fit(self, views: Mapping[str, View], key: Key) -> bool: ...

    def sample(self, n: int, key: Key) -> Tree: ...


@dataclass(frozen=True)
class Fitting(Dynamics):
    """A dynamics without moves: one call of ``fit`` a round."""

    def round(self, field: Field) -> bool | None:
        game = field.game
        assert isinstance(game, FittedGame)
        dealer = field.table.dealer
        return game.model.fit(dealer.encoded, dealer.key / field.step)  # type: ignore[operator, no-any-return]


class FittedGame(Game):
    """Built by :func:`fitted`."""

    def __init__(self, model: nn.Module, representation: Representation, conditional: bool) -> None:
        super().__init__()
        self.model, self.representation, self.conditional = model, representation, conditional
        self.players = {}
        self.phases = [Phase([], dynamics=Fitting(), name="fit")]

    def samples_a_round(self, batch_size: int, views: Mapping[str, View]) -> int:
        """All rows of train, whatever the size of a batch."""
        return sum(map(len, views.values()))

    def sampler(self) -> nn.Module:
        return model_sampler(self.model, self.representation, self.conditional)


def fitted(
    model: nn.Module, *, representation: Representation | None = None, conditional: bool = False
) -> FittedGame:
    """A game without players around a :class:`FittedModel`; same loop, run folder, checkpoints, report."""
    return FittedGame(model, representation or Identity(), conditional)
