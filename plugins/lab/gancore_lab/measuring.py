"""Games played through the shared loop, and rates read off their orbits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gancore.games import Game
from gancore.training.playing import play, set_table
from gancore.training.state import State
from gancore_lab.theory import Rate

Orbit = NDArray[np.float64]

NOTHING = torch.zeros(1, 1, dtype=torch.float64)
"""Data of games whose costs are written out: one row of zero; the Dirac measure at 0, too."""


def orbit(
    game: Game,
    rounds: int,
    where: Callable[[], Tensor],
    *,
    data: Tensor = NOTHING,
    seed: int = 0,
    until: Callable[[Orbit], bool] | None = None,
) -> Orbit:
    """z_0, z_1, ...: what ``where`` says before the first round and after each; ends early at ``until``."""
    table = set_table(game, data, batch_size=len(data), seed=seed)

    def point() -> Orbit:
        return where().detach().double().flatten().numpy().copy()

    path = [point()]

    def watch(state: State) -> None:
        table.statistics.forget()  # nothing is logged here
        path.append(point())
        if until is not None and until(path[-1]):
            state.stopping = "where it was to go"

    play(table, rounds, watch)
    return np.array(path)


def parameters(game: Game) -> Callable[[], Tensor]:
    """Where all parameters of the game's players are, in the order of its state."""
    params = list(game.parameters())
    return lambda: torch.cat([p.flatten() for p in params])


def distances(path: Orbit) -> Orbit:
    """|z_t|, for the equilibrium at 0."""
    return np.linalg.norm(path, axis=1)


def tail_rate(lengths: Orbit, window: tuple[int, int], power: int = 0) -> float:
    """The factor per round in |z_t| ~ t^power rate^t: least squares on the logarithm within the window."""
    t = np.arange(*window)
    logs = np.log(lengths[slice(*window)]) - power * np.log(t)
    return float(np.exp(np.polyfit(t, logs, 1)[0]))


def fitted_radius(path: Orbit) -> float:
    """The spectral radius of the matrix M that best turns each z_t into z_{t+1} (least squares).

    For orbits that turn too slowly for the slope of log |z_t| to be read off in a few rounds.
    """
    transposed, *_ = np.linalg.lstsq(path[:-1], path[1:], rcond=None)
    return float(np.abs(np.linalg.eigvals(transposed)).max())


def predicted_curve(rate: Rate, lengths: Orbit, anchor: int) -> Orbit:
    """t^power radius^t through the measured length at ``anchor``, to be drawn beside it."""
    t = np.arange(1, len(lengths))
    shape = rate.power * np.log(t / anchor) + (t - anchor) * np.log(rate.radius)
    return np.concatenate([[np.nan], lengths[anchor] * np.exp(shape)])
