"""Every dynamics against its own matrix: on a game whose field is linear, a step is a linear map."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from dataclasses import field as field_of
from itertools import pairwise
from types import SimpleNamespace
from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy import linalg
from refusals import refused
from torch import nn
from toy_games import DenseDiscriminator, differing, play, points, set_up, training_step, whole
from toy_plugin import registry

import gancore
from gancore.config import DynamicsConfig
from gancore.config_layers import parse_override
from gancore.config_yaml import Setting
from gancore.entries import DynamicsEntry
from gancore.errors import ConfigError
from gancore.games import (
    R1,
    SGD,
    Adam,
    AdamW,
    Alternating,
    ConsensusOptimization,
    Cost,
    Dynamics,
    Extragradient,
    Game,
    Move,
    Optimistic,
    PastExtragradient,
    Phase,
    Player,
    RMSprop,
    Simultaneous,
    SymplecticAdjustment,
    Unrolled,
    adversarial_game,
    normal,
)
from gancore.games.dynamics import DYNAMICS, find_dynamics

H = 0.1


class Part(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.x = nn.Parameter(torch.tensor(value, dtype=torch.float64))


class Quadratic(Game):
    """D minimises g/2 |psi|^2 - psi B theta, G minimises psi B theta + c/2 |theta|^2: the field is J z."""

    def __init__(self, coupling=1.0, damping=0.0, own=0.0, moves=1, dynamics=None, optimizers=None):
        super().__init__()
        self.discriminator, self.generator = Part([1.0, 0.3]), Part([1.0, -0.5])
        self.B = coupling * torch.tensor([[1.0, 0.5], [-0.3, 0.8]], dtype=torch.float64)
        self.damping, self.own = damping, own
        optimizers = optimizers or (SGD(H), SGD(H))
        self.players = {
            "discriminator": Player(["discriminator"], optimizers[0]),
            "generator": Player(["generator"], optimizers[1]),
        }
        listed = [*[Move("discriminator")] * moves, Move("generator")]
        self.phases = [Phase(listed, dynamics=dynamics or Alternating())]

    def cost(self, move, draw):
        psi, theta = self.discriminator.x, self.generator.x
        if move.player == "discriminator":
            with draw.freeze_opponents():
                pull = self.B @ theta
            return Cost().add("loss", self.damping / 2 * psi.square().sum()[None] - psi @ pull)
        return Cost().add("loss", (psi @ self.B @ theta + self.own / 2 * theta.square().sum())[None])

    def jacobian(self):
        eye = torch.eye(2, dtype=torch.float64)
        return torch.cat(
            [torch.cat([self.damping * eye, -self.B], 1), torch.cat([self.B.T, self.own * eye], 1)]
        )

    def point(self):
        return torch.cat([self.discriminator.x, self.generator.x]).detach().clone()


def trajectory(game, steps):
    """z_0, z_1, ...: played through the shared loop."""
    table = set_up(lambda: game, torch.zeros(4, 1, dtype=torch.float64), batch_size=4)
    path = [game.point()]
    for step in range(steps):
        game.phases[0].dynamics.play(training_step(table, step))
        path.append(game.point())
    return torch.stack(path)


J = Quadratic(damping=0.3, own=0.2).jacobian()
EYE = torch.eye(4, dtype=torch.float64)
FIRST, SECOND = (
    torch.diag(torch.tensor([1.0, 1, 0, 0], dtype=torch.float64)),
    torch.diag(torch.tensor([0.0, 0, 1, 1], dtype=torch.float64)),
)
A = (J - J.T) / 2
MAPS = {  # a step as a matrix, from the formulas in the papers
    "alternating": (Alternating(), (EYE - H * SECOND @ J) @ (EYE - H * FIRST @ J)),
    "simultaneous": (Simultaneous(), EYE - H * J),
    "extragradient": (Extragradient(), EYE - H * J @ (EYE - H * J)),
    "consensus": (ConsensusOptimization(0.7), EYE - H * (J + 0.7 * J.T @ J)),
    "symplectic": (SymplecticAdjustment(0.7, align=False), EYE - H * (J + 0.7 * A.T @ J)),
    "alternating consensus": (
        ConsensusOptimization(0.7, alternating=True),
        (EYE - H * SECOND @ (J + 0.7 * J.T @ J)) @ (EYE - H * FIRST @ (J + 0.7 * J.T @ J)),
    ),
}


@pytest.mark.parametrize("name", MAPS)
def test_a_step_is_the_matrix_of_its_formula(name):
    dynamics, matrix = MAPS[name]
    path = trajectory(Quadratic(damping=0.3, own=0.2, dynamics=dynamics), 20)
    for before, after in pairwise(path):
        assert torch.allclose(after, matrix @ before, rtol=1e-12, atol=1e-14)


def test_optimistic_takes_twice_the_update_and_takes_back_the_last():
    path = trajectory(Quadratic(damping=0.3, own=0.2, dynamics=Optimistic()), 20)
    past = torch.zeros(4, dtype=torch.float64)
    for before, after in pairwise(path):
        assert torch.allclose(after, before - 2 * H * J @ before + H * past, rtol=1e-12, atol=1e-14)
        past = J @ before


def test_extragradient_from_the_past_looks_ahead_by_the_last_gradient_ahead():
    path = trajectory(Quadratic(damping=0.3, own=0.2, dynamics=PastExtragradient()), 20)
    past = torch.zeros(4, dtype=torch.float64)
    for before, after in pairwise(path):
        past = J @ (before - H * past)
        assert torch.allclose(after, before - H * past, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_unrolling_differentiates_through_the_opponents_updates(steps):
    """psi_k = P^k psi + sum_i P^i h B theta, P = 1 - h g; the cost is psi_k(theta) B theta + c/2 theta^2."""
    game = Quadratic(damping=0.3, own=0.2, dynamics=Unrolled(steps))
    (z0, z1) = trajectory(game, 1)
    psi, theta = z0[:2], z0[2:]
    psi = psi - H * (0.3 * psi - game.B @ theta)  # the discriminator's own move comes first
    shrink = 1 - H * 0.3
    total = sum(shrink**i for i in range(steps))
    ahead = shrink**steps * psi + total * H * game.B @ theta
    gradient = game.B.T @ ahead + total * H * game.B.T @ game.B @ theta + 0.2 * theta
    assert torch.allclose(z1, torch.cat([psi, theta - H * gradient]), rtol=1e-12)


RATES = {  # spectral radius on min max xy with rate h (reference: Gidel et al. 2019, Daskalakis et al. 2018)
    "simultaneous": (Simultaneous(), lambda h: (1 + h**2) ** 0.5),
    "alternating": (Alternating(), lambda h: 1.0),
    "extragradient": (Extragradient(), lambda h: (1 - h**2 + h**4) ** 0.5),
    "optimistic": (Optimistic(), lambda h: max(abs(r) for r in roots(h))),
    "past": (PastExtragradient(), lambda h: max(abs(r) for r in roots(h))),
    "symplectic": (SymplecticAdjustment(1.0), lambda h: ((1 - h) ** 2 + h**2) ** 0.5),
    "consensus": (ConsensusOptimization(1.0), lambda h: ((1 - h) ** 2 + h**2) ** 0.5),
}


def roots(h):
    """l^2 - l (1 + 2ih) + ih, as the companion matrix's eigenvalues."""
    return linalg.eigvals([[1 + 2j * h, -1j * h], [1, 0]])


class Bilinear(Quadratic):
    def __init__(self, dynamics, h):
        super().__init__(dynamics=dynamics, optimizers=(SGD(h), SGD(h)))
        self.B = torch.eye(2, dtype=torch.float64)


@pytest.mark.slow
@pytest.mark.parametrize("h", [0.2, 0.4])
@pytest.mark.parametrize("name", RATES)
def test_rates_on_the_bilinear_game(name, h):
    dynamics, rate = RATES[name]
    norms = trajectory(Bilinear(dynamics, h), 400).norm(dim=1)
    assert float((norms[400] / norms[200]) ** (1 / 200)) == pytest.approx(rate(h), abs=1e-3)


def test_a_player_that_moves_five_times_does_so_in_turns_of_its_own():
    matrix = (EYE - H * FIRST @ J) @ (EYE - H * FIRST @ J)
    path = trajectory(Quadratic(damping=0.3, own=0.2, moves=3, dynamics=Simultaneous()), 1)
    assert torch.allclose(path[1], (EYE - H * J) @ matrix @ path[0], rtol=1e-12)


def test_the_memory_of_a_dynamics_is_a_copy():
    """Kept by reference, the last update would follow the next, and optimism would be simultaneous play."""
    game = Quadratic(dynamics=Optimistic())
    table = set_up(lambda: game, torch.zeros(4, 1, dtype=torch.float64), batch_size=4)
    game.phases[0].dynamics.play(training_step(table))
    kept = [t.clone() for t in table.optimizers["generator"].dynamics_state["displacement"]]
    pointers = {t.data_ptr() for t in table.optimizers["generator"].dynamics_state["displacement"]}
    table.optimizers["generator"].params[0].data.add_(1.0)
    assert all(
        torch.equal(a, b)
        for a, b in zip(kept, table.optimizers["generator"].dynamics_state["displacement"], strict=True)
    )
    assert pointers.isdisjoint({p.data_ptr() for p in table.optimizers["generator"].params})


def test_the_sign_of_the_symplectic_adjustment_leaves_an_unstable_point():
    """Both players climb away (J = -1): alignment must not pull the game towards such a point."""
    game = Quadratic(coupling=0.3, damping=-1.0, own=-1.0)
    aligned = trajectory(replace_dynamics(game, SymplecticAdjustment(1.0)), 30).norm(dim=1)
    plain = trajectory(
        replace_dynamics(Quadratic(coupling=0.3, damping=-1.0, own=-1.0), Simultaneous()), 30
    ).norm(dim=1)
    assert aligned[-1] > plain[-1] > plain[0]


def replace_dynamics(game, dynamics):
    game.phases = [replace(game.phases[0], dynamics=dynamics)]
    return game


ALL = [
    Alternating(),
    Simultaneous(),
    Extragradient(),
    PastExtragradient(),
    Optimistic(),
    ConsensusOptimization(0.1),
    SymplecticAdjustment(0.3),
    Unrolled(2),
]


def gan(dynamics, optimizer=Adam(1e-2, (0.5, 0.9)), loss="nonsaturating", every=3, **options):  # noqa: B008
    return adversarial_game(
        generator=lambda: nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)),
        discriminator=DenseDiscriminator,
        prior=normal(3),
        loss=loss,
        penalties=[R1(0.1, every=every)],
        generator_optimizer=optimizer,
        discriminator_optimizer=optimizer,
        dynamics=dynamics,
        ema_halflife=100.0,
        **options,
    )


@pytest.mark.parametrize("dynamics", ALL, ids=lambda d: type(d).__name__)
@pytest.mark.parametrize(
    "optimizer", [SGD(1e-2, 0.9), Adam(1e-2), AdamW(1e-2), RMSprop(1e-3)], ids=lambda r: type(r).__name__
)
def test_every_dynamics_trains_with_every_rule_and_is_resumed_bit_by_bit(dynamics, optimizer, tmp_path):
    build = lambda: gan(dynamics, optimizer)  # noqa: E731
    undisturbed = whole(play(build, points(), 9))
    resumed = whole(play(build, points(), 9, kills=[2, 5], folder=tmp_path))
    assert differing(undisturbed, resumed) == []
    assert all(torch.isfinite(t).all() for t in undisturbed.values())
    fresh = whole(set_up(build, points()))
    assert differing(undisturbed, fresh)


@pytest.mark.parametrize(
    "dynamics", [d for d in ALL if not d.differentiates_updates], ids=lambda d: type(d).__name__
)
@pytest.mark.parametrize("loss", ["nonsaturating", "wasserstein"])
def test_micro_batches_change_no_dynamics(dynamics, loss):
    build = lambda: gan(dynamics, SGD(1e-2), loss)  # noqa: E731
    one, two = (whole(play(build, points(), 8, micro_batches=k)) for k in (1, 2))
    for name, tensor in one.items():
        assert torch.allclose(tensor, two[name], rtol=1e-4, atol=1e-6), name


@pytest.mark.parametrize("lazy_reg_scale", [1.0, 0.6])
@pytest.mark.parametrize(
    "optimizer",
    [SGD(0.1), SGD(0.1, 0.9), Adam(0.1, (0.5, 0.9)), Adam(0.1, weight_decay=0.1), AdamW(0.1), RMSprop(0.1)],
)
def test_a_differentiable_update_is_the_optimizers_own(optimizer, lazy_reg_scale):
    game = Quadratic(damping=0.3, optimizers=(optimizer, optimizer))
    table = set_up(lambda: game, torch.zeros(4, 1, dtype=torch.float64), batch_size=4)
    state, move = table.optimizers["discriminator"], Move("discriminator")
    for step in range(3):
        gradient = training_step(table, step).gradient(move, training_step(table, step).draw(0))
        expected, states = state.differentiable_update(
            state.params,
            gradient.materialize(state.params),
            state.snapshot(),
            optimizer.lr,
            lazy_reg_scale,
        )
        expected = [p.clone() for p in expected]
        expected_state = {name: [t.clone() for t in tensors] for name, tensors in states[0].items()}
        state.update(gradient.tensors, optimizer.lr, torch.zeros(()), lazy_reg_scale)
        assert torch.allclose(state.params[0], expected[0], rtol=1e-6)
        for name, tensors in state.snapshot()[0].items():
            assert torch.allclose(tensors[0], expected_state[name][0].to(tensors[0].dtype), rtol=1e-6), name


@pytest.mark.parametrize(("clip", "every"), [(None, 2), (0.1, 1), (0.1, 4)])
def test_unrolled_opponents_update_as_they_will_in_play(clip, every):
    """At the corrected rate where a penalty is lazy, and with the clipped gradient."""
    build = lambda: gan(Unrolled(1), SGD(0.2), "wasserstein", every=every, clip_grad_norm=clip)  # noqa: E731
    table = set_up(build, points())
    now, move = training_step(table, 1), Move("discriminator")  # step 1: no lazy move is due
    draw = now.draw(0)
    ahead = Unrolled(1)._unrolled_opponents(now, draw)
    now.apply(move, now.gradient(move, draw))
    optimizer = table.optimizers["discriminator"]
    for name, parameter in zip(optimizer.names, optimizer.params, strict=True):
        assert torch.allclose(ahead[name], parameter, rtol=1e-5, atol=1e-7), name


def test_products_with_the_jacobian_are_those_of_the_jacobian_itself():
    game = Quadratic(damping=0.3, own=0.2)
    table = set_up(lambda: game, torch.zeros(4, 1, dtype=torch.float64), batch_size=4)
    now = training_step(table)
    gradients = now.gradients(now.main_moves, now.draw(0))
    g = torch.cat([t for gradient in gradients.values() for t in gradient.tensors])
    transposed = torch.cat([t for ts in now.jacobian(gradients, now.draw(0)).values() for t in ts])
    forward = torch.cat(
        [t for ts in now.jacobian(gradients, now.draw(0), transpose=False).values() for t in ts]
    )
    assert torch.allclose(g, J @ game.point())
    assert torch.allclose(transposed, J.T @ g) and torch.allclose(forward, J @ g)


@pytest.mark.parametrize(
    "dynamics", [Extragradient(), Optimistic(), PastExtragradient()], ids=lambda d: type(d).__name__
)
def test_a_masked_update_changes_nothing(dynamics):
    class Broken(Quadratic):
        def cost(self, move, draw):
            cost = super().cost(move, draw)
            return cost.add("nan", self.generator.x * float("nan")) if move.player == "generator" else cost

    game = Broken(dynamics=dynamics)
    path = trajectory(game, 3)
    assert torch.equal(path[:, 2:], path[:1, 2:].expand(4, 2))
    assert torch.isfinite(path).all()


@dataclass(frozen=True)
class Halved(Dynamics):
    """Plain updates, of which half is taken back."""

    share: float = 0.5

    def play_turn(self, step, turn):
        for index, move in turn:
            before = [p.detach().clone() for p in step.params(move.player)]
            step.apply(move, step.gradient(move, step.draw(index)))
            for parameter, start in zip(step.params(move.player), before, strict=True):
                parameter.data.lerp_(start, self.share)


def test_a_plugin_brings_a_dynamics_of_its_own(monkeypatch):
    found = registry()
    entry = DynamicsEntry("halved", f"{__name__}:Halved", "half steps")
    found.register(SimpleNamespace(gancore_dynamics=gancore.hookimpl(lambda: [entry])), "halves")
    monkeypatch.setattr("gancore.plugins.plugins", lambda: found)
    dynamics = find_dynamics("halved", {"share": 0.25})
    path = trajectory(Quadratic(dynamics=dynamics), 1)
    assert torch.allclose(path[1, :2], path[0, :2] - 0.75 * H * (Quadratic().jacobian() @ path[0])[:2])


@dataclass(frozen=True)
class Anything(Alternating):
    """Settings of every type that a configuration can hold."""

    count: int
    optional: int | None = None
    betas: tuple[float, float] = (0.3, 0.1)
    rates: list[float] = field_of(default_factory=list)
    flag: bool = False
    kind: Literal["one", "two"] = "one"

    def __post_init__(self):
        if self.count < 0:
            raise ValueError("count is negative")


@pytest.fixture
def anything(monkeypatch):
    found = registry()
    entry = DynamicsEntry("anything", f"{__name__}:Anything", "x")
    found.register(SimpleNamespace(gancore_dynamics=gancore.hookimpl(lambda: [entry])), "any")
    monkeypatch.setattr("gancore.plugins.plugins", lambda: found)


def test_settings_of_every_type_are_taken_as_their_hints_say(anything, tmp_path):
    given = {"count": 3, "optional": 5, "betas": [1, 0.5], "rates": [1], "flag": True, "kind": "two"}
    assert find_dynamics("anything", given) == Anything(3, 5, (1.0, 0.5), [1.0], True, "two")
    section = DynamicsConfig(name="anything", settings={**given, "optional": None})
    assert DynamicsConfig.model_validate_json(section.model_dump_json()) == section
    assert find_dynamics("anything", section.settings).optional is None
    result = [Setting(("train", "dynamics", "settings", k), v, "x") for k, v in given.items()]
    written = [parse_override(f"train.dynamics.settings.{k}={json.dumps(v)}") for k, v in given.items()]
    assert [s.value for s in written] == [s.value for s in result]


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({}, "'count'"),
        ({"count": 1.5}, "settings.count"),
        ({"count": True}, "settings.count"),
        ({"count": "3"}, "settings.count"),
        ({"count": -1}, "count is negative"),
        ({"count": 1, "betas": [0.1]}, "settings.betas"),
        ({"count": 1, "flag": 1}, "settings.flag"),
        ({"count": 1, "kind": "three"}, "settings.kind"),
        ({"count": 1, "optional": "none"}, "settings.optional"),
    ],
)
def test_a_setting_left_out_or_of_another_type_is_one_line(anything, settings, key):
    with refused(ConfigError, *key.split()):
        find_dynamics("anything", settings)


@pytest.mark.parametrize(
    ("name", "settings", "named", "fix"),
    [
        ("extragradent", {}, "extragradent", "extragradient"),
        ("consensus", {"gama": 1.0}, "train.dynamics.settings consensus gama", "gamma"),
        ("consensus", {"gamma": "much"}, "train.dynamics.settings.gamma much", "10.0"),
        ("unrolled", {"unrolled_updates": True}, "train.dynamics.settings.unrolled_updates True", "5"),
        ("alternating", {"steps": 3}, "train.dynamics.settings alternating steps", ""),
        ("consensus", {"gamma": None}, "train.dynamics.settings.gamma None", "10.0"),
        ("consensus", {"gamma": [1.0]}, "train.dynamics.settings.gamma", "10.0"),
        ("consensus", {"gamma": float("inf")}, "train.dynamics.settings.gamma inf", ""),
    ],
)
def test_what_cannot_be_is_one_line(name, settings, named, fix):
    with refused(ConfigError, *named.split(), fix=fix):
        find_dynamics(name, settings)


@given(
    name=st.sampled_from([*DYNAMICS, "no such"]) | st.text(max_size=12),
    settings=st.dictionaries(
        st.sampled_from(["gamma", "unrolled_updates", "weight", "align", "player"]) | st.text(max_size=8),
        st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        max_size=3,
    ),
)
def test_any_name_and_settings_give_a_dynamics_or_one_line(name, settings):
    try:
        assert isinstance(find_dynamics(name, settings), Dynamics)
    except ConfigError as error:
        assert "\n" not in str(error)
