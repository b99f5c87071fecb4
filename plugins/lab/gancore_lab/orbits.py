"""Orbits of games in the training loop, and the convergence rates fitted to them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gancore.games import Game
from gancore.training import TrainState, play, set_up
from gancore_lab.theory import Rate

Orbit = NDArray[np.float64]

ONE_ZERO_ROW = torch.zeros(1, 1, dtype=torch.float64)
"""Data of games that use none, and of the Dirac-GAN: one row, which is 0."""


def orbit(
    game: Game,
    steps: int,
    read_state: Callable[[], Tensor],
    *,
    data: Tensor = ONE_ZERO_ROW,
    seed: int = 0,
    stop_when: Callable[[Orbit], bool] | None = None,
) -> Orbit:
    """z_0, z_1, ...: ``read_state()`` before the first step and after each step, until ``stop_when``."""
    table = set_up(game, data, batch_size=len(data), seed=seed)

    def point() -> Orbit:
        return read_state().detach().double().flatten().numpy().copy()

    path = [point()]

    def on_step(state: TrainState) -> None:
        table.scalars.reset()  # nothing is logged here
        path.append(point())
        if stop_when is not None and stop_when(path[-1]):
            state.stop_signal = "stop condition met"

    play(table, steps, on_step)
    return np.array(path)


def parameter_reader(game: Game) -> Callable[[], Tensor]:
    """A function that reads all parameters of the players, in the order of the state."""
    params = list(game.parameters())
    return lambda: torch.cat([p.flatten() for p in params])


def distances(path: Orbit) -> Orbit:
    """|z_t|, the distances from an equilibrium at 0."""
    result: Orbit = np.linalg.norm(path, axis=1)
    return result


def tail_rate(lengths: Orbit, window: tuple[int, int], power: int = 0) -> float:
    """The rate in |z_t| ~ t^power rate^t, by least squares on the logarithm within the window."""
    t = np.arange(*window)
    logs = np.log(lengths[slice(*window)]) - power * np.log(t)
    return float(np.exp(np.polyfit(t, logs, 1)[0]))


def fitted_radius(path: Orbit) -> float:
    """The spectral radius of the matrix M that best maps each z_t to z_{t+1} (least squares).

    It is for orbits that rotate too slowly for a fit of the slope of log |z_t|.
    """
    transposed, *_ = np.linalg.lstsq(path[:-1], path[1:], rcond=None)
    return float(np.abs(np.linalg.eigvals(transposed)).max())


def predicted_curve(rate: Rate, lengths: Orbit, anchor: int) -> Orbit:
    """c t^power radius^t with the measured length at ``anchor``, for the plot."""
    t = np.arange(1, len(lengths))
    shape = rate.power * np.log(t / anchor) + (t - anchor) * np.log(rate.radius)
    return np.concatenate([[np.nan], lengths[anchor] * np.exp(shape)])
