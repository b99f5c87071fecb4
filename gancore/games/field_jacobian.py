"""The exact Jacobian of a game's vector field, row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from gancore.errors import ConfigError
from gancore.games.field import Field, Table
from gancore.games.game import Game

MOST_PARAMETERS = 20_000
"""Of all players together; the matrix then takes 3.2 GB."""


def jacobian(
    table: Table, rows: int | None = None, step: int = 0, progress: float = 0.0, phase: int = 0
) -> Tensor:
    """J of g at the parameters as they stand, (parameters, parameters), float64, on the CPU.

    g holds the gradient of each player's main moves in this phase by its own parameters, one player after
    the other, as simultaneous gradient descent uses it: theta <- theta - h g. Of several costs by which one
    player moves it is the sum.
    Entry (i, j) is d g_i / d theta_j.
    ``rows`` are the rows of the one draw, that of round ``step``; by default the table's batch.
    ``progress``, 0 to 1, is the place in the phase that schedules of penalties see. The costs are computed in
    the dtype of the parameters and in training mode, as a round computes them; lazy moves are left out.
    The game is afterwards as it was before.

    Raises:
        ConfigError: the players have more than ``MOST_PARAMETERS`` parameters, or the phase has no move.
    """
    if rows is not None:
        table = replace(table, batch_size=rows, accumulate=1)
    field = Field(replace(table, bf16=False), table.game.phases[phase], step, step, progress)
    if not field.everyone:
        raise ConfigError(f"phase {phase} of this game has no move", "give the number of another phase")
    players = dict.fromkeys(move.player for move in field.everyone)
    total = sum(p.numel() for player in players for p in field.params(player))
    if total > MOST_PARAMETERS:
        raise ConfigError(
            f"the players have {total:,} parameters, and a Jacobian is for {MOST_PARAMETERS:,} at most",
            "take products, by gancore.games.Field.jacobian",
        )
    found = torch.empty(total, total, dtype=torch.float64)
    with _as_trained(table.game):
        for row, product in zip(found, _rows(field, list(players)), strict=True):
            row.copy_(product)
    return found


def _rows(field: Field, players: Sequence[str]) -> Iterator[Tensor]:
    """J^T u for each unit vector u in turn, (parameters,), one player after the other."""
    draw = field.draw(field.phase.moves.index(field.everyone[0]))
    units = {player: [p.new_zeros(p.shape) for p in field.params(player)] for player in players}
    vectors = {
        move: replace(gradient, tensors=[*units[move.player]])
        for move, gradient in field.gradients(field.everyone, draw).items()
    }
    first = {move.player: move for move in reversed(field.everyone)}
    for entry in (unit.view(-1)[i] for each in units.values() for unit in each for i in range(unit.numel())):
        entry.fill_(1)
        product = field.jacobian(vectors, draw)
        yield torch.cat([t.flatten() for player in players for t in product[first[player]]])
        entry.fill_(0)


@contextmanager
def _as_trained(game: Game) -> Iterator[None]:
    """In training mode; afterwards every mode and every buffer is as before."""
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
