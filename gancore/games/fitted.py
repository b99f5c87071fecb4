"""Models that no gradient trains: block models, n-grams, kernels, k-means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import nn

from gancore.domain import View
from gancore.games.field import Field
from gancore.games.game import Game, Phase
from gancore.games.likelihood import LikelihoodSampler
from gancore.games.representation import Identity, Representation
from gancore.runtime.randomness import Key
from gancore.trees import Tree


class FittedModel(Protocol):
    """A module whose buffers ``fit`` fills; each call is one round.

    ``fit`` returns True when it is done (a model fitted in one pass: at once), so that iterative
    methods are checkpointed and resumed like any training. Buffer shapes do not depend on the data
    but through the spec.
    """

    def fit(self, views: Mapping[str, View], key: Key) -> bool: ...

    def sample(self, n: int, key: Key, condition: Tree = None) -> Tree: ...


@dataclass(frozen=True)
class Fitting:
    """A dynamics without moves: one call of ``fit`` a round."""

    def round(self, field: Field) -> bool | None:
        game = field.game
        assert isinstance(game, FittedGame)
        dealer = field.table.dealer
        return game.model.fit(dealer.views, dealer.key / field.step)  # type: ignore[operator, no-any-return]


class FittedGame(Game):
    """Built by :func:`fitted`."""

    def __init__(self, model: nn.Module, representation: Representation) -> None:
        super().__init__()
        self.model, self.representation = model, representation
        self.players = {}
        self.phases = [Phase([], dynamics=Fitting(), name="fit")]

    def sampler(self) -> nn.Module:
        return LikelihoodSampler(self.model, self.representation)


def fitted(model: nn.Module, representation: Representation | None = None) -> FittedGame:
    """A game without players around a :class:`FittedModel`; same loop, run folder, checkpoints, report."""
    return FittedGame(model, representation or Identity())
