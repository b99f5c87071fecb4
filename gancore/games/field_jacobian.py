"""The exact Jacobian of a game's vector field, row by row."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gancore.errors import ConfigError
from gancore.games.field import Field, Table

MOST_PARAMETERS = 20_000
"""Of all players together; the matrix then takes 3.2 GB."""


def jacobian(
    table: Table, rows: int | None = None, step: int = 0, progress: float = 0.0, phase: int = 0
) -> Tensor:
    """J of g at the parameters as they stand, (parameters, parameters), float64, on the CPU.

    g holds the gradient of each main move of the phase by its player's own parameters, one move after the
    other, as simultaneous gradient descent uses it: theta <- theta - h g.
    Entry (i, j) is d g_i / d theta_j.
    ``rows`` are the rows of the one draw, that of round ``step``; by default the table's batch.
    ``progress``, 0 to 1, is the place in the phase that schedules of penalties see. The costs are computed in
    the dtype of the parameters; lazy moves are left out.

    Raises:
        ConfigError: the players have more than ``MOST_PARAMETERS`` parameters, or the phase has no move.
    """
    if rows is not None:
        table = replace(table, batch_size=rows, accumulate=1)
    field = Field(replace(table, bf16=False), table.game.phases[phase], step, step, progress)
    if not field.everyone:
        raise ConfigError(f"phase {phase} of this game has no move", "give the number of another phase")
    draw = field.draw(field.phase.moves.index(field.everyone[0]))
    gradients = field.gradients(field.everyone, draw)
    sizes = [[p.numel() for p in field.params(move.player)] for move in field.everyone]
    total = sum(map(sum, sizes))
    if total > MOST_PARAMETERS:
        raise ConfigError(
            f"the players have {total:,} parameters, and a Jacobian is for {MOST_PARAMETERS:,} at most",
            "take products, by gancore.games.Field.jacobian",
        )
    found = []
    for unit in torch.eye(total, dtype=torch.float64):
        vectors = {}
        for move, part, each in zip(field.everyone, unit.split([sum(s) for s in sizes]), sizes, strict=True):
            params = field.params(move.player)
            shaped = [t.view_as(p).to(p) for t, p in zip(part.split(each), params, strict=True)]
            vectors[move] = replace(gradients[move], tensors=shaped)
        product = field.jacobian(vectors, draw)
        found.append(torch.cat([t.flatten() for move in field.everyone for t in product[move]]))
    return torch.stack(found).double().cpu()
