"""Players who see each other late: the update written out, what is kept, and how it is chosen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gancore_lab.games import Bilinear
from gancore_lab.orbits import ONE_ZERO_ROW
from gancore_lab.stale import Stale
from refusals import refused

from gancore.errors import ConfigError
from gancore.games import Simultaneous, TrainingStep, find_dynamics
from gancore.training.setup import set_up


def played(game, steps, begin=0, table=None):
    table = table or set_up(game, ONE_ZERO_ROW, batch_size=1)
    path = []
    for step in range(begin, begin + steps):
        game.phases[0].dynamics.play(TrainingStep(table, game.phases[0], step, step, 0.0))
        path.append([game.discriminator.value.item(), game.generator.value.item()])
    return np.array(path), table


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("delay", [0, 1, 3])
def test_a_step_is_the_delayed_update(delay, own):
    h, damping = 0.1, 0.5
    path = [(1.0, 1.0)] * (delay + 1)
    for _ in range(30):
        (y, x), (old_y, old_x) = path[-1], path[-1 - delay]
        mine = old_y if own else y
        path.append((y - h * (damping * mine - old_x), x - h * old_y))
    found, _ = played(Bilinear(Stale(delay, own), rate=h, damping=damping), 30)
    assert found == pytest.approx(np.array(path[delay + 1 :]), rel=1e-12)


def test_of_five_moves_in_a_step_each_sees_the_same_old_opponent():
    h, delay = 0.1, 2
    path = [(1.0, 1.0)] * (delay + 1)
    for _ in range(20):
        (y, x), (old_y, old_x) = path[-1], path[-1 - delay]
        path.append((y + 5 * h * old_x, x - h * old_y))
    found, _ = played(Bilinear(Stale(delay), rate=h, moves=5), 20)
    assert found == pytest.approx(np.array(path[delay + 1 :]), rel=1e-12)


def test_without_delay_it_is_simultaneous_play():
    late, _ = played(Bilinear(Stale(0), rate=0.1), 20)
    plain, _ = played(Bilinear(Simultaneous(), rate=0.1), 20)
    assert np.array_equal(late, plain)


def test_the_past_is_saved_with_the_run():
    """Killed after 7 steps and taken up in another process: from what a checkpoint holds alone."""
    whole, _ = played(Bilinear(Stale(4), rate=0.1), 20)
    _, table = played(Bilinear(Stale(4), rate=0.1), 7)
    again = Bilinear(Stale(4), rate=0.1, start=(9.0, 9.0))
    again.load_state_dict(table.game.state_dict())
    used = set_up(again, ONE_ZERO_ROW, batch_size=1)
    for player, optimizer in used.optimizers.items():
        saved = {name: tensor.clone() for name, tensor in table.optimizers[player].state_dict().items()}
        assert any(name.startswith("dynamics/past3") for name in saved)
        optimizer.load_state_dict(saved)
    rest, _ = played(again, 13, begin=7, table=used)
    assert np.array_equal(rest, whole[7:])


def test_what_is_kept_is_a_copy():
    game = Bilinear(Stale(1), rate=0.1)
    _, table = played(game, 1)
    kept = [t.clone() for t in table.optimizers["generator"].dynamics_state["past0"]]
    table.optimizers["generator"].params[0].data.add_(1.0)
    assert torch.equal(kept[0], table.optimizers["generator"].dynamics_state["past0"][0])


def test_a_configuration_can_name_it():
    assert find_dynamics("stale", {"delay": 3}) == Stale(3)
    with refused(ConfigError, "stale", "lag", fix="delay"):
        find_dynamics("stale", {"lag": 3})
