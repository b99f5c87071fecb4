"""The exact Jacobian of a game's vector field, row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from gancore.errors import ConfigError
from gancore.games.game import Game
from gancore.games.training_setup import TrainingSetup
from gancore.games.training_step import TrainingStep

MAX_PARAMETERS = 20_000
"""Maximum number of parameters of all players; a Jacobian of this size takes 3.2 GB."""


def compute_jacobian(
    setup: TrainingSetup, num_rows: int | None = None, step: int = 0, progress: float = 0.0, phase: int = 0
) -> Tensor:
    """J of g at the current parameters, (parameters, parameters), float64, on the CPU.

    g holds the gradient of each player's main moves in this phase by its own parameters, one player after the
    other, as simultaneous gradient descent uses it: theta <- theta - h g. If a player has several costs, g
    holds the sum of their gradients. Entry (i, j) is d g_i / d theta_j. ``num_rows`` is the batch size of the
    draw, which is that of step ``step``; by default the setup's. ``progress``, 0 to 1, is the position in the
    phase for the schedules of penalties. Costs are computed in the dtype of the parameters and in training
    mode, as in training; lazy moves are left out. The game is not changed.

    Raises:
        ConfigError: the players have more than ``MAX_PARAMETERS`` parameters, or the phase has no move.
    """
    if num_rows is not None:
        setup = replace(setup, batch_size=num_rows, micro_batches=1)
    training_step = TrainingStep(replace(setup, bf16=False), setup.game.phases[phase], step, step, progress)
    if not training_step.main_moves:
        raise ConfigError(f"phase {phase} of this game has no main move", "give the number of another phase")
    players = dict.fromkeys(move.player for move in training_step.main_moves)
    total = sum(p.numel() for player in players for p in training_step.params(player))
    if total > MAX_PARAMETERS:
        raise ConfigError(
            f"the players have {total:,} parameters; a full Jacobian is limited to {MAX_PARAMETERS:,}",
            "use products with the Jacobian: gancore.games.TrainingStep.jacobian",
        )
    matrix = torch.empty(total, total, dtype=torch.float64)
    with _training_mode(setup.game):
        for row, product in zip(matrix, _jacobian_rows(training_step, list(players)), strict=True):
            row.copy_(product)
    return matrix


def _jacobian_rows(step: TrainingStep, players: Sequence[str]) -> Iterator[Tensor]:
    """J^T u for each unit vector u in turn, (parameters,), one player after the other."""
    draw = step.draw(step.phase.moves.index(step.main_moves[0]))
    basis = {player: [p.new_zeros(p.shape) for p in step.params(player)] for player in players}
    vectors = {
        move: replace(gradient, tensors=[*basis[move.player]])
        for move, gradient in step.gradients(step.main_moves, draw).items()
    }
    move_of = {move.player: move for move in reversed(step.main_moves)}
    for entry in (unit.view(-1)[i] for each in basis.values() for unit in each for i in range(unit.numel())):
        entry.fill_(1)
        product = step.jacobian(vectors, draw)
        yield torch.cat([t.flatten() for player in players for t in product[move_of[player]]])
        entry.fill_(0)


@contextmanager
def _training_mode(game: Game) -> Iterator[None]:
    """Training mode; at the end every mode and every buffer is restored."""
    modes = {module: module.training for module in game.modules()}
    buffers = [(buffer, buffer.detach().clone()) for buffer in game.buffers()]
    game.train()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        with torch.no_grad():
            for buffer, old in buffers:
                buffer.copy_(old)
