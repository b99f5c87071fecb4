"""The exact Jacobian of a game's joint field, row by row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from gancore.games import Field
from gancore.games.field import Table

Complex = NDArray[np.complex128]


def jacobian(table: Table, rows: int, step: int = 0) -> NDArray[np.float64]:
    """J of g, the vector of all players' gradients by their own parameters, on ``rows`` rows of one draw.

    Row i is J^T e_i, a product that the dynamics use too; (parameters, parameters).
    """
    field = Field(replace(table, batch_size=rows), table.game.phases[0], step, step, 0.0)
    draw = field.draw(0)
    gradients = field.gradients(field.everyone, draw)
    sizes = [[p.numel() for p in field.params(move.player)] for move in field.everyone]
    found = []
    for unit in torch.eye(sum(map(sum, sizes)), dtype=torch.float64):
        parts = unit.split([sum(each) for each in sizes])
        vectors = {}
        for move, part, each in zip(field.everyone, parts, sizes, strict=True):
            params = field.params(move.player)
            shaped = [t.view_as(p).to(p.dtype) for t, p in zip(part.split(each), params, strict=True)]
            vectors[move] = replace(gradients[move], tensors=shaped)
        product = field.jacobian(vectors, draw)
        found.append(torch.cat([t.flatten() for move in field.everyone for t in product[move]]))
    return torch.stack(found).double().numpy()
