"""The Dirac-GAN through the loop, against its updates written out: no autograd, no matrices."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gancore_lab import games
from gancore_lab.orbits import orbit, parameter_reader

from gancore.games import R1, Alternating, ConsensusOptimization, Extragradient, Optimistic, Simultaneous

H = 0.2


def sigmoid(t):
    return 1 / (1 + math.exp(-t))


def field(loss, gamma):
    """(d cost / d psi, d cost / d theta) with logits 0 on the data and psi theta on the fake."""

    def minimax(psi, theta):
        return theta * sigmoid(psi * theta) + gamma * psi, -psi * sigmoid(psi * theta)

    def nonsaturating(psi, theta):
        return minimax(psi, theta)[0], -psi * sigmoid(-psi * theta)

    return {"minimax": minimax, "nonsaturating": nonsaturating, "wasserstein": lambda p, t: (t, -p)}[loss]


def simultaneous(g, steps, psi, theta):
    for _ in range(steps):
        a, b = g(psi, theta)
        psi, theta = psi - H * a, theta - H * b
    return psi, theta


def alternating(g, steps, psi, theta):
    for _ in range(steps):
        psi -= H * g(psi, theta)[0]
        theta -= H * g(psi, theta)[1]
    return psi, theta


def extragradient(g, steps, psi, theta):
    for _ in range(steps):
        a, b = g(psi, theta)
        a, b = g(psi - H * a, theta - H * b)
        psi, theta = psi - H * a, theta - H * b
    return psi, theta


def optimistic(g, steps, psi, theta):
    before = (0.0, 0.0)
    for _ in range(steps):
        a, b = g(psi, theta)
        psi, theta = psi - 2 * H * a + H * before[0], theta - 2 * H * b + H * before[1]
        before = (a, b)
    return psi, theta


UPDATES = {
    "simultaneous": (Simultaneous(), simultaneous),
    "alternating": (Alternating(), alternating),
    "extragradient": (Extragradient(), extragradient),
    "optimistic": (Optimistic(), optimistic),
}


@pytest.mark.parametrize("name", UPDATES)
@pytest.mark.parametrize(
    ("loss", "gamma"), [("minimax", 0.0), ("minimax", 0.3), ("nonsaturating", 0.3), ("wasserstein", 0.0)]
)
def test_the_loop_plays_the_update(name, loss, gamma):
    dynamics, update = UPDATES[name]
    game = games.dirac(loss, dynamics, penalties=[R1(gamma)] if gamma else [])
    path = orbit(game, 60, parameter_reader(game))
    ends = {float(path[-1][0]), float(path[-1][1])}
    assert sorted(ends) == pytest.approx(sorted(update(field(loss, gamma), 60, -1.0, 1.0)), rel=1e-9)


def test_consensus_in_five_to_one_runs_away_as_its_update_does():
    """gamma = 1: the gradient of |g|^2 / 2 by differences of the field written out."""
    g, eps = field("minimax", 0.0), 1e-6

    def square(psi, theta):
        a, b = g(psi, theta)
        return (a * a + b * b) / 2

    psi, theta = -1.0, 1.0
    for _ in range(20):
        for _ in range(5):
            slope = (square(psi + eps, theta) - square(psi - eps, theta)) / (2 * eps)
            psi -= H * (g(psi, theta)[0] + slope)
        slope = (square(psi, theta + eps) - square(psi, theta - eps)) / (2 * eps)
        theta -= H * (g(psi, theta)[1] + slope)
    game = games.dirac("minimax", ConsensusOptimization(1.0, alternating=True), discriminator_steps=5)
    end = orbit(game, 20, parameter_reader(game))[-1]
    assert np.linalg.norm(end) == pytest.approx(math.hypot(psi, theta), rel=1e-6)
    assert np.linalg.norm(end) > 2.0


def test_a_clipped_critic_stays_within_its_bounds():
    game = games.dirac("wasserstein", Simultaneous(), clipped=True)
    psi = orbit(game, 200, lambda: game.discriminator.value)
    theta = orbit(game, 1, lambda: game.generator.value)
    assert np.abs(psi).max() == 1.0
    assert np.isfinite(theta).all()
