"""The lab's predictions against simulations that are written out by hand, and against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from gancore_lab import lgq, staleness, theory
from gancore_lab.orbits import fitted_radius, tail_rate
from gancore_lab.theory import METHODS
from hypothesis import given
from hypothesis import strategies as st

H, F, GAMMA = 0.2, 0.5, 0.3


def consensus_field(y, x, weight=1.0):
    """g of the Dirac-GAN near 0, and weight times the gradient of |g|^2 / 2, differentiated by hand."""
    g, k = F * x + GAMMA * y, -F * y
    return g + weight * (GAMMA * g - F * k), k + weight * F * g


def simulated(step, count=600):
    """Lengths of (psi, theta) along an orbit of ``step(y, x)``."""
    y, x = 1.0, 0.4
    lengths = []
    for _ in range(count):
        lengths.append(np.hypot(y, x))
        y, x = step(y, x)
    return np.array(lengths)


def d(y, x):
    return F * x + GAMMA * y


def g(y, x):
    return -F * y


def simultaneous(y, x):
    return y - H * d(y, x), x - H * g(y, x)


def alternating(y, x, moves=1):
    for _ in range(moves):
        y -= H * d(y, x)
    return y, x - H * g(y, x)


def extragradient(y, x):
    a, b = simultaneous(y, x)
    return y - H * d(a, b), x - H * g(a, b)


def consensus(y, x):
    a, b = consensus_field(y, x)
    return y - H * a, x - H * b


def consensus_in_turns(y, x, moves=1):
    for _ in range(moves):
        y -= H * consensus_field(y, x)[0]
    return y, x - H * consensus_field(y, x)[1]


def symplectic(y, x):
    """A = ((0, F), (-F, 0)), so A^T g = (-F g_x, F g_y)."""
    a, b = d(y, x), g(y, x)
    return y - H * (a - F * b), x - H * (b + F * a)


def unrolled(y, x, steps=5, eps=1e-6):
    """The generator's cost -F psi_k(theta) theta, differentiated by differences."""

    def cost(theta):
        psi = y
        for _ in range(steps):
            psi -= H * d(psi, theta)
        return -F * psi * theta

    y -= H * d(y, x)
    return y, x - H * (cost(x + eps) - cost(x - eps)) / (2 * eps)


class Remembering:
    """Optimistic play, and extragradient from the past, with what they keep."""

    def __init__(self, past):
        self.past, self.last = past, (0.0, 0.0)

    def __call__(self, y, x):
        if self.past:
            a, b = y - H * self.last[0], x - H * self.last[1]
            self.last = (d(a, b), g(a, b))
            return y - H * self.last[0], x - H * self.last[1]
        now = (d(y, x), g(y, x))
        y, x = (z - 2 * H * n + H * o for z, n, o in zip((y, x), now, self.last, strict=True))
        self.last = now
        return y, x


STEPS = {
    "simultaneous": simultaneous,
    "alternating": alternating,
    "alternating 5:1": lambda y, x: alternating(y, x, 5),
    "extragradient": extragradient,
    "past extragradient": Remembering(past=True),
    "optimistic": Remembering(past=False),
    "consensus 1": consensus,
    "consensus 1, in turns": consensus_in_turns,
    "consensus 1, 5:1": lambda y, x: consensus_in_turns(y, x, 5),
    "symplectic 1": symplectic,
    "unrolled 5": unrolled,
}


@pytest.mark.parametrize("name", METHODS)
def test_every_predicted_rate_is_that_of_the_update_written_out(name):
    rate = theory.convergence_rate(METHODS[name].matrix(theory.dirac_jacobian(F, GAMMA), H * np.eye(2)))
    lengths = simulated(STEPS[name])
    last = int(np.argmax(lengths < 1e-250)) or len(lengths)
    assert tail_rate(lengths, (last // 2, last), rate.power) == pytest.approx(rate.radius, abs=3e-4)


def radius(matrix):
    return theory.convergence_rate(matrix).radius


@given(h=st.floats(0.01, 0.9), f=st.floats(0.1, 1.0))
def test_closed_forms_of_an_undamped_game(h, f):
    J, H, k = theory.dirac_jacobian(f), h * np.eye(2), h * f
    assert radius(theory.simultaneous(J, H)) == pytest.approx((1 + k**2) ** 0.5)
    assert radius(theory.alternating(J, H)) == pytest.approx(1.0, abs=1e-6)
    assert radius(theory.extragradient(J, H)) == pytest.approx((1 - k**2 + k**4) ** 0.5)
    roots = np.roots([1, -(1 + 2j * k), 1j * k])
    assert radius(theory.optimistic(J, H)) == pytest.approx(np.abs(roots).max(), abs=1e-4)
    assert radius(theory.past_extragradient(J, H)) == pytest.approx(np.abs(roots).max(), abs=1e-4)


@pytest.mark.parametrize(("gamma", "expected"), [(0.3, 0.97468), (1.0, 0.9), (2.0, 0.97321)])
def test_r1_has_the_published_eigenvalues(gamma, expected):
    mu = gamma / 2 + np.emath.sqrt(gamma**2 / 4 - 0.25) * np.array([1, -1])
    assert np.abs(1 - 0.2 * mu).max() == pytest.approx(expected, abs=1e-5)
    found = theory.convergence_rate(theory.simultaneous(theory.dirac_jacobian(0.5, gamma), 0.2 * np.eye(2)))
    assert found.radius == pytest.approx(expected, abs=1e-5)
    assert found.power == (gamma == 1.0)


def test_consensus_and_symplectic_adjustment_as_published():
    H = 0.2 * np.eye(2)
    matrix = theory.simultaneous(theory.with_consensus(theory.dirac_jacobian(0.5), 1.0), H)
    assert radius(matrix) == pytest.approx(0.95525, abs=1e-5)
    adjusted = theory.with_adjustment(theory.dirac_jacobian(1.0), 1.0)
    assert radius(theory.simultaneous(adjusted, 0.1 * np.eye(2))) == pytest.approx(0.9055, abs=1e-4)


def test_a_double_root_with_two_eigenvectors_is_not_critical():
    assert theory.convergence_rate(0.9 * np.eye(2)) == theory.Rate(0.9, 0)
    assert theory.convergence_rate(np.array([[0.9, 1e-2], [0.0, 0.9]])).power == 1
    assert theory.convergence_rate(theory.optimistic(theory.dirac_jacobian(1.0), 0.5 * np.eye(2))).power == 1
    assert theory.convergence_rate(theory.optimistic(theory.dirac_jacobian(1.0), 0.4 * np.eye(2))).power == 0


@pytest.mark.parametrize(
    ("delay", "expected"), [(0, 1.0050), (1, 1.0143), (2, 1.0219), (4, 1.0316), (8, 1.0378), (16, 1.0364)]
)
def test_delay_roots(delay, expected):
    assert round(staleness.bilinear_growth(0.1, delay), 4) == expected
    matrix = theory.stale(theory.dirac_jacobian(1.0), 0.1 * np.eye(2), delay, own=False)
    assert radius(matrix) == pytest.approx(staleness.bilinear_growth(0.1, delay), abs=1e-9)


@pytest.mark.parametrize("own", [False, True])
def test_a_delayed_step_is_its_matrix(own):
    J, delay = theory.dirac_jacobian(0.5, 1.0), 3
    path = [np.array([1.0, 0.4])] * (delay + 1)
    for _ in range(50):
        now, old = path[-1], path[-1 - delay]
        seen = J @ old if own else np.diag(J) * now + (J - np.diag(np.diag(J))) @ old
        path.append(now - 0.1 * seen)
    start = np.concatenate([path[0]] * (delay + 1))
    matrix = np.linalg.matrix_power(theory.stale(J, 0.1 * np.eye(2), delay, own), 50)
    assert (matrix @ start)[:2] == pytest.approx(path[-1], rel=1e-10)


@pytest.mark.parametrize(("gamma", "tau"), lgq.PAIRS)
def test_the_condition_of_lgq_is_the_sign_of_the_whole_jacobian(gamma, tau):
    """All eigenvalues of the field at the equilibrium, d^2 + d r of them, by differences."""
    settings = {"eigenvalues": (4.0, 3.0, 0.5, 0.5), "rank": 2, "rate": 0.005}
    K, r = np.diag(settings["eigenvalues"]), settings["rank"]
    n = len(K)

    def field(z):
        A, G = z[: n * n].reshape(n, n), z[n * n :].reshape(n, r)
        return np.concatenate([(tau * (K - G @ G.T - gamma * A)).ravel(), ((A + A.T) @ G).ravel()])

    G = np.sqrt(K)[:, :r]
    z = np.concatenate([((K - G @ G.T) / gamma).ravel(), G.ravel()])
    assert np.abs(field(z)).max() < 1e-12
    eps = 1e-6
    columns = [(field(z + eps * e) - field(z - eps * e)) / (2 * eps) for e in np.eye(len(z))]
    values = np.linalg.eigvals(np.array(columns).T)
    # A turn of G's columns changes nothing: an eigenvalue of 0
    moving = values[np.abs(values) > 1e-6]
    assert (moving.real.max() < 0) == lgq.is_stable(gamma, tau, settings)
    fastest = np.abs(1 + settings["rate"] * moving).max()
    assert lgq.escape_rate(gamma, tau, settings)[0] == pytest.approx(fastest, abs=1e-8)
    for rate in (0.005, 0.05, 0.2):
        slowest = np.abs(1 + rate * moving).max()
        assert lgq.slowest_rate(gamma, tau, {**settings, "rate": rate}) == pytest.approx(slowest, abs=1e-6)


def test_rates_are_read_off_orbits():
    t = np.arange(400)
    assert tail_rate(0.9**t, (200, 400)) == pytest.approx(0.9)
    assert tail_rate(np.maximum(t, 1) * 0.9**t, (200, 400), power=1) == pytest.approx(0.9)
    turn = 0.99 * np.array([[np.cos(0.01), -np.sin(0.01)], [np.sin(0.01), np.cos(0.01)]])
    path = np.array([np.linalg.matrix_power(turn, k) @ [1.0, 0.0] for k in range(20)])
    assert fitted_radius(path) == pytest.approx(0.99, abs=1e-12)
