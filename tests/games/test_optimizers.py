"""Optimizers against torch.optim, and what a masked, clipped or partial update leaves alone."""

import pytest
import torch
from torch import nn
from toy_games import DenseDiscriminator, differing, play, points, set_up, whole

from gancore.games import (
    R1,
    SGD,
    Adam,
    AdamW,
    Cost,
    Game,
    Move,
    Phase,
    Player,
    RMSprop,
    adversarial_game,
    normal,
)
from gancore.games.optimizers import OptimizerState

PAIRS = {
    "adam": (Adam(0.01, (0.5, 0.9)), lambda p: torch.optim.Adam(p, 0.01, (0.5, 0.9))),
    "adam, decay": (Adam(0.01, weight_decay=0.1), lambda p: torch.optim.Adam(p, 0.01, weight_decay=0.1)),
    "adamw": (AdamW(0.01), lambda p: torch.optim.AdamW(p, 0.01)),
    "rmsprop": (RMSprop(0.01, 0.9), lambda p: torch.optim.RMSprop(p, 0.01, 0.9)),
    "sgd": (SGD(0.1), lambda p: torch.optim.SGD(p, 0.1)),
    "momentum": (SGD(0.1, 0.9), lambda p: torch.optim.SGD(p, 0.1, 0.9)),
}
GO, SKIP = torch.tensor(0.0), torch.tensor(1.0)


def parameters(dtype):
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(s, generator=generator, dtype=dtype)) for s in [(3, 4), (4,), ()]]


def gradients(params, step):
    generator = torch.Generator().manual_seed(step)
    return [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in params]


def state_of(optimizer, params, factor=1.0):
    return OptimizerState(optimizer, [(factor, {f"p{i}": p for i, p in enumerate(params)})])


def everything(mine):
    return [t.detach().clone() for t in (*mine.params, *mine.state_dict().values())]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", PAIRS)
def test_twenty_updates_are_those_of_torch_optim(name, dtype):
    ours, theirs_class = PAIRS[name]
    params, theirs = parameters(dtype), parameters(dtype)
    mine, theirs_optimizer = state_of(ours, params), theirs_class(theirs)
    for step in range(20):
        for p, g in zip(theirs, gradients(theirs, step), strict=True):
            p.grad = g
        theirs_optimizer.step()
        mine.update(gradients(params, step), ours.lr, GO, 1.0)
    tolerance = 1e-12 if dtype is torch.float64 else 2e-6
    for a, b in zip(params, theirs, strict=True):
        assert torch.allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", PAIRS)
def test_each_entry_gets_its_own_gradient_however_the_gradient_lies_in_memory(name):
    """torch's fused kernels on the CPU read gradients in the order of memory."""
    optimizer, _ = PAIRS[name]
    straight, turned = parameters(torch.float32), parameters(torch.float32)
    one, other = state_of(optimizer, straight), state_of(optimizer, turned)
    for step in range(3):
        grads = gradients(straight, step)
        one.update(grads, optimizer.lr, GO, 1.0)
        other.update([grads[0].T.contiguous().T, *grads[1:]], optimizer.lr, GO, 1.0)
    assert all(torch.equal(a, b) for a, b in zip(straight, turned, strict=True))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", PAIRS)
def test_a_masked_update_changes_nothing_and_the_next_goes_on_as_if_it_had_not_been(name, dtype, bad):
    optimizer = PAIRS[name][0]
    disturbed, undisturbed = (state_of(optimizer, parameters(dtype)) for _ in range(2))
    for mine in (disturbed, undisturbed):
        mine.update(gradients(mine.params, 1), optimizer.lr, GO, 1.0)
    broken = gradients(disturbed.params, 2)
    broken[0][1, 2] = bad
    before = everything(disturbed)
    disturbed.update(broken, optimizer.lr, SKIP, 1.0)
    assert all(torch.equal(a, b) for a, b in zip(everything(disturbed), before, strict=True))
    for mine in (disturbed, undisturbed):
        mine.update(gradients(mine.params, 3), optimizer.lr, GO, 1.0)
    assert all(torch.equal(a, b) for a, b in zip(everything(disturbed), everything(undisturbed), strict=True))


@pytest.mark.parametrize("name", PAIRS)
def test_a_parameter_without_a_gradient_stays_and_keeps_its_state(name):
    optimizer = PAIRS[name][0]
    mine = state_of(optimizer, parameters(torch.float32))
    before = everything(mine)
    grads = gradients(mine.params, 0)
    mine.update([grads[0], None, grads[2]], optimizer.lr, GO, 1.0)
    assert torch.equal(mine.params[1], before[1]) and not torch.equal(mine.params[0], before[0])
    for name, tensor in mine.state_dict().items():
        assert (tensor == 0).all() == name.endswith("p1"), name


def test_a_factor_scales_the_rate_of_its_part():
    whole_rate, tenth = (state_of(SGD(0.5), parameters(torch.float64), factor) for factor in (1.0, 0.1))
    start = parameters(torch.float64)
    for mine in (whole_rate, tenth):
        mine.update(gradients(mine.params, 0), 0.5, GO, 1.0)
    for a, b, p in zip(whole_rate.params, tenth.params, start, strict=True):
        assert torch.allclose((a - p) * 0.1, b - p)


class Blows(Game):
    """Its cost is infinite in the second step."""

    def __init__(self):
        super().__init__()
        self.net = nn.Linear(2, 1)
        self.register_buffer("masked", torch.zeros(()))
        self.register_buffer("moves", torch.zeros(()))
        self.players, self.phases = (
            {"net": Player(["net"], Adam(0.1), clip_grad_norm=1.0)},
            [Phase([Move("net")])],
        )

    def cost(self, move, draw):
        values = self.net(draw.real().data).squeeze(1)
        return Cost().add("loss", values / (self.moves != 1))

    def after_move(self, move, means):
        self.moves += 1
        self.masked += 1 - means["ok"]


def test_an_update_that_is_not_finite_is_masked_counted_and_gone_past():
    played = [play(Blows, points(), n) for n in (1, 2, 3)]
    states = [{n: t for n, t in whole(t).items() if n.startswith(("net.", "optimizers/"))} for t in played]
    assert differing(states[0], states[1]) == []
    assert differing(states[1], states[2]) != []
    assert played[2].game.masked == 1
    assert all(torch.isfinite(t).all() for t in states[2].values())
    assert played[2].scalars.read()["net/masked"] == pytest.approx(1 / 3)


def test_clip_bounds_the_norm_of_the_whole_gradient(float64):
    class Steep(Game):
        def __init__(self, slope, clip):
            super().__init__()
            self.net, self.slope = nn.Linear(2, 1), slope
            self.players, self.phases = {"net": Player(["net"], SGD(1.0), clip)}, [Phase([Move("net")])]

        def cost(self, move, draw):
            return Cost().add("loss", self.slope * self.net(draw.real().data).squeeze(1))

    def moved(slope, clip):
        before = set_up(lambda: Steep(slope, clip), points(8)).game
        table = play(lambda: Steep(slope, clip), points(8), 1)
        pairs = zip(before.parameters(), table.game.parameters(), strict=True)
        return torch.cat([(b - a).flatten() for a, b in pairs]), table.scalars.read()["net/gradient_norm"]

    free, norm = moved(10.0, None)
    clipped, same_norm = moved(10.0, 0.5)
    assert torch.allclose(free.norm(), torch.tensor(norm), rtol=1e-5) and norm == pytest.approx(same_norm)
    assert torch.allclose(clipped, free * 0.5 / free.norm())
    assert torch.equal(moved(0.01, None)[0], moved(0.01, 5.0)[0])


class Bowl(Game):
    """A player on the line who pays w and, lazily, w^2/2."""

    def __init__(self, every, optimizer):
        super().__init__()
        self.w = nn.ParameterList([nn.Parameter(torch.tensor([1.0]))])
        self.players = {"w": Player(["w"], optimizer)}
        self.phases = [Phase([Move("w"), Move("w", "penalty", every)])]

    def cost(self, move, draw):
        w = self.w[0].expand(draw.num_rows)
        return Cost().add(move.cost, w if move.cost == "loss" else 0.5 * w**2)


def test_a_lazy_move_is_an_update_of_its_own_with_gain_and_correction_by_hand(float64):
    every, rate = 4, 0.01
    lazy_reg_scale = 1 / (1 + 1 / every)
    w = 1.0
    for step in range(10):
        w -= rate * lazy_reg_scale * 1.0
        if step % every == 0:
            w -= rate * lazy_reg_scale * every * w
    table = play(lambda: Bowl(every, SGD(rate)), points(), 10)
    assert table.game.w[0].item() == pytest.approx(w, abs=1e-14)


def test_the_correction_shortens_adams_rate_and_memory(float64):
    every, lazy_reg_scale = 4, 1 / (1 + 1 / 4)
    w = nn.Parameter(torch.tensor([1.0]))
    optimizer = torch.optim.Adam([w], 0.01 * lazy_reg_scale, (0.5**lazy_reg_scale, 0.9**lazy_reg_scale))
    for step in range(10):
        for gradient in [1.0, *([None] if step % every == 0 else [])]:
            w.grad = torch.tensor([1.0]) if gradient else every * w.detach()
            optimizer.step()
    table = play(lambda: Bowl(every, Adam(0.01, (0.5, 0.9))), points(), 10)
    assert torch.allclose(table.game.w[0], w, rtol=0, atol=1e-13)
    counts = [t.item() for n, t in table.optimizers["w"].state_dict().items() if n.startswith("step/")]
    assert counts == [10 + 3]


def test_main_moves_of_one_player_share_the_correction():
    phase = Phase([Move("d"), Move("d"), Move("d", "r1", 16), Move("d", "r2", 8), Move("g")])
    assert phase.lazy_reg_scale("d") == pytest.approx(2 / (2 + 1 / 16 + 1 / 8))
    assert phase.lazy_reg_scale("g") == 1.0
    assert phase.lazy_period == 16


def test_a_lazy_penalty_is_counted_by_its_own_player_alone():
    def build():
        return adversarial_game(
            generator=lambda: nn.Linear(3, 2),
            discriminator=DenseDiscriminator,
            prior=normal(3),
            penalties=[R1(1.0, every=5)],
        )

    table = play(build, points(), 11)
    steps = {
        p: {int(t) for n, t in u.state_dict().items() if n.startswith("step/")}
        for p, u in table.optimizers.items()
    }
    # The penalty does not see the discriminator's last bias.
    assert steps == {"discriminator": {11, 11 + 3}, "generator": {11}}
