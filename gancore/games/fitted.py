"""Models that are fitted without gradients: block models, n-grams, kernels, k-means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from torch import nn

from gancore.data.dataset import View
from gancore.games.dynamics import Dynamics
from gancore.games.game import Game, Phase
from gancore.games.likelihood import ModelSampler
from gancore.games.representation import Identity, Representation
from gancore.games.sampler import Sampler
from gancore.games.training_step import TrainingStep
from gancore.random import Key
from gancore.trees import Tree


class FittedModel(Protocol):
    """A module whose buffers ``fit`` fills from views of encoded samples.

    Each call of ``fit`` is one step that uses all samples. It returns True when the fit is complete (at once
    for a model that needs one pass), so that iterative methods are checkpointed and resumed like any
    training. The shapes of buffers depend only on the spec, except for those that ``data_shaped`` names
    (:func:`gancore.nn.resize_buffers`). ``log_prob``, and ``condition`` if the game is
    conditional, are as in :func:`gancore.games.likelihood_game`. ``parallel = True``: a batch of samples
    takes one pass. ``one_step = True``: the first call completes the fit, so that a run plans one step and
    a budget in seconds needs no timing, which would be another fit.
    """

    def fit(self, views: Mapping[str, View], key: Key) -> bool: ...

    def sample(self, n: int, key: Key) -> Tree: ...


@dataclass(frozen=True)
class FitDynamics(Dynamics):
    """A dynamics without moves: one call of ``fit`` per step."""

    may_end_early: ClassVar[bool] = True

    def play(self, step: TrainingStep) -> bool | None:
        game = step.game
        assert isinstance(game, FittedGame)
        batches = step.setup.batches
        is_complete: bool = game.model.fit(batches.encoded_views, batches.key / step.number)
        return is_complete


class FittedGame(Game):
    """Built by :func:`fitted_game`."""

    def __init__(self, model: nn.Module, representation: Representation, conditional: bool) -> None:
        super().__init__()
        self.model: Any = model
        self.representation, self.conditional = representation, conditional
        self.players = {}
        steps = 1 if getattr(model, "one_step", False) else None
        self.phases = [Phase([], steps, dynamics=FitDynamics(), name="fit")]

    def samples_per_step(self, batch_size: int, views: Mapping[str, View]) -> int:
        """All rows of train, whatever the batch size."""
        return sum(map(len, views.values()))

    def sampler(self) -> Sampler:
        return ModelSampler(self.model, self.representation, self.conditional)


def fits_in_one_step(phases: Sequence[Phase]) -> bool:
    """Whether all of training is one call of ``fit``."""
    return all(isinstance(phase.dynamics, FitDynamics) and phase.steps == 1 for phase in phases)


def fitted_game(
    model: nn.Module, *, representation: Representation | None = None, conditional: bool = False
) -> FittedGame:
    """A game without players for a :class:`FittedModel`; runs and checkpoints are as for other games."""
    return FittedGame(model, representation or Identity(), conditional)
