"""Two processes are one: on the global batch, whatever the game, its costs and its dynamics."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from several import on
from tiny_sequences import rows, tiny_game
from torch import nn
from toy_games import DenseDiscriminator, points, whole

from gancore.data.dataset import Spec
from gancore.games import (
    R1,
    SGD,
    Adam,
    AdaptiveProbability,
    AdversarialGame,
    Augmentation,
    ConsensusOptimization,
    Cost,
    Extragradient,
    Game,
    Move,
    Optimistic,
    PastExtragradient,
    Phase,
    Player,
    Reinforce,
    Simultaneous,
    SymplecticAdjustment,
    adversarial_game,
    normal,
)
from gancore.games.dynamics import Alternating
from gancore.random import Key
from gancore.training.loop import play
from gancore.training.setup import set_up

STEPS = 20


def trained(processes, build, data, options):
    torch.manual_seed(0 if processes.is_main else 99)  # the first one's parameters must be taken over
    from gancore.training.setup import state_tensors

    game = build()
    setup = set_up(game, data, batch_size=8, processes=processes, **options)
    processes.broadcast(state_tensors(setup))
    play(setup, STEPS)
    numbers = {name: tensor.numpy().copy() for name, tensor in whole(setup).items()}
    return numbers, setup.scalars.read()


def one_and_two(build, data, **options):
    """The tensors of one process, and those of each of two, after twenty steps."""
    ((alone, seen),) = on(1, trained, build, data, options)
    answers = on(2, trained, build, data, options)
    for other, result in answers:
        assert all((other[name] == answers[0][0][name]).all() for name in alone), "the two differ"
        assert result == pytest.approx(seen, rel=1e-3, abs=1e-5, nan_ok=True)
    return alone, answers[0][0]


def assert_close(one, two, tolerance=1e-5):
    for name, tensor in one.items():
        scale = max(abs(tensor).max(), 1e-3)
        assert abs(tensor - two[name]).max() <= tolerance * scale, name


def gan(
    loss="nonsaturating",
    every=3,
    optimizer=SGD(0.05),  # noqa: B008
    game=AdversarialGame,
    dynamics=Alternating(),  # noqa: B008
    augmentation=None,
):
    return adversarial_game(
        generator=lambda: nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)),
        discriminator=DenseDiscriminator,
        prior=normal(3),
        loss=loss,
        penalties=[R1(0.5, every=every)],
        generator_optimizer=optimizer,
        discriminator_optimizer=optimizer,
        ema_halflife=100.0,
        game=game,
        dynamics=dynamics,
        augmentation=augmentation,
    )


class Weighted(AdversarialGame):
    """Rows weigh unequally, and most of the weight falls on one process."""

    def cost(self, move, draw):
        cost = super().cost(move, draw)
        if move.cost == "loss":
            data = self.real(draw).data if move.player == "discriminator" else self.make_fake(draw, None)
            mask = torch.cat([torch.ones(max(0, 3 - draw._rows.start)), torch.zeros(8)])[: draw.num_rows] + (
                draw.uniform(name="kept") > 0.9
            )
            cost.add("weighted", self.discriminator(data).square(), mask=mask, scale=0.3)
        return cost


@pytest.mark.parametrize("micro_batches", [1, 2])
@pytest.mark.parametrize("every", [1, 3])
def test_with_lazy_and_with_plain_penalties(micro_batches, every):
    assert_close(*one_and_two(lambda: gan(every=every), points(), micro_batches=micro_batches))


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_with_rows_of_unequal_weight(micro_batches):
    assert_close(*one_and_two(lambda: gan(game=Weighted), points(), micro_batches=micro_batches))


def added(x, noise):
    return x + noise.normal(len(x), 2)


@pytest.mark.parametrize(("loss", "micro_batches"), [("nonsaturating", 2), ("relativistic-average", 1)])
def test_where_what_the_discriminator_sees_is_augmented_as_it_overfits(loss, micro_batches):
    requested = Augmentation([added], AdaptiveProbability(target=-1.0, samples=300))
    one, two = one_and_two(lambda: gan(loss, augmentation=requested), points(), micro_batches=micro_batches)
    assert 0 < one["discriminator.strength"] < 1
    assert_close(one, two)


def test_where_a_loss_couples_the_rows_of_the_batch():
    assert_close(*one_and_two(lambda: gan("relativistic-average"), points()))


DYNAMICS = [
    Simultaneous(),
    Extragradient(),
    PastExtragradient(),
    Optimistic(),
    ConsensusOptimization(0.3),
    SymplecticAdjustment(0.3),
]


@pytest.mark.slow
@pytest.mark.parametrize("dynamics", DYNAMICS, ids=lambda d: type(d).__name__)
def test_under_every_dynamics(dynamics):
    assert_close(*one_and_two(lambda: gan(dynamics=dynamics), points(), micro_batches=2))


@pytest.mark.slow
@pytest.mark.parametrize(
    "dynamics", [ConsensusOptimization(0.3), SymplecticAdjustment(0.3)], ids=lambda d: type(d).__name__
)
def test_where_a_coupled_loss_is_differentiated_twice(dynamics):
    assert_close(*one_and_two(lambda: gan("relativistic-average", dynamics=dynamics), points()))


def wavegan_lite(optimizer):
    from gancore_audio.wavegan import WaveGANLite, WaveGANLiteConfig

    config = WaveGANLiteConfig(
        width=2, latent_dim=8, batch_size=8, phase_shuffle=2, penalty_every=4, ema_halflife=100.0
    )
    game = WaveGANLite().build(config, Spec({"length": 1024, "sample_rate_hz": 8000, "classes": []}))
    game.players = {name: replace(player, optimizer=optimizer) for name, player in game.players.items()}
    return game


def waves():
    time = torch.arange(1024) / 8000
    pitch = torch.linspace(200, 2000, 40)[:, None]
    return (0.5 * torch.sin(2 * math.pi * pitch * time)).unsqueeze(1)


@pytest.mark.slow
@pytest.mark.parametrize("micro_batches", [1, 2])
def test_wavegan_lite_with_phase_shuffle(micro_batches):
    assert_close(*one_and_two(lambda: wavegan_lite(SGD(1e-2)), waves(), micro_batches=micro_batches))


def sampled(processes, optimizer):
    torch.manual_seed(0)
    game = wavegan_lite(optimizer)
    play(set_up(game, waves(), batch_size=8, processes=processes), STEPS)
    with torch.no_grad():
        return game.sampler().eval().sample(8, Key.of("samples")).numpy()


@pytest.mark.slow
def test_wavegan_lites_samples_under_adam():
    """An eps above rounding: Adam makes a full update where a gradient is rounding alone, and of that
    parts of a batch have other bits than the whole (with eps 1e-8: 6e-8 on an AMD EPYC, 1.3e-3 on a Xeon)."""
    (alone,), (first, second) = (on(n, sampled, Adam(6e-4, (0.5, 0.99), 1e-4)) for n in (1, 2))
    assert (first == second).all()
    assert abs(alone).max() > 0
    assert abs(alone - first).max() <= 1e-4


class Breaking(AdversarialGame):
    """In step 3 one row of the global batch, on one process, has no finite cost."""

    def cost(self, move, draw):
        cost = super().cost(move, draw)
        broken = torch.zeros(8)
        broken[7] = float("nan") if draw._key.path[1] == 3 and move.cost == "loss" else 0.0
        return cost.add("broken", self.discriminator(self.real(draw).data) * draw._rows.select(broken))


def test_an_update_that_is_not_finite_on_one_process_is_masked_on_all():
    one, two = one_and_two(lambda: gan(game=Breaking), points())
    assert all(math.isfinite(value) for tensor in two.values() for value in tensor.flatten())
    assert_close(one, two)


class Blind(Game):
    """One process's rows do not see a parameter that the other's do."""

    def __init__(self):
        super().__init__()
        self.net = nn.ParameterDict(
            {"seen": nn.Parameter(torch.ones(2)), "by_one": nn.Parameter(torch.ones(2))}
        )
        self.players = {"net": Player(["net"], Adam(0.1))}
        self.phases = [Phase([Move("net")])]

    def cost(self, move, draw):
        x = draw.real().data
        values = (x * self.net["seen"]).sum(1)
        return Cost().add(
            "loss", values + (x * self.net["by_one"]).sum(1) if draw._rows.start == 0 else values
        )


def test_a_parameter_that_one_process_alone_sees_gets_the_same_gradient_on_both():
    def seen(processes):
        game = Blind()
        play(set_up(game, points(), batch_size=8, processes=processes), 3)
        return game.net["by_one"].detach().numpy().copy()

    first, second = on(2, seen)
    assert (first == second).all() and (first != 1).all()


def test_sums_go_in_buckets_of_one_kind_and_give_every_process_the_same(monkeypatch):
    from gancore.runtime import distributed as module

    monkeypatch.setattr(module, "BUCKET_BYTES", 64)

    def summed(processes):
        own = [
            torch.full((n,), float(processes.rank + 1), dtype=d)
            for n in (1, 5, 40, 3)
            for d in (torch.float32, torch.float64)
        ]
        processes.all_reduce(own)
        result = [
            torch.full((3,), processes.rank, dtype=torch.bool),
            torch.full((2, 2), processes.rank, dtype=torch.int64),
        ]
        processes.broadcast(result)
        return (
            [t.tolist() for t in own],
            [t.tolist() for t in result],
            processes.all_max(processes.rank, -processes.rank),
            processes.broadcast_object(processes.rank),
        )

    first, second = on(2, summed)
    assert first == second
    sums, result, most, said = first
    assert all(value == 3.0 for values in sums for value in values)
    assert result == [[False] * 3, [[0, 0], [0, 0]]] and most == [1.0, 0.0] and said == 0


def test_the_joined_rows_and_their_two_derivatives():
    def joined(processes):
        x = torch.arange(4.0, dtype=torch.float64) + 4 * processes.rank
        x.requires_grad_()
        everyone = processes.all_gather(x.unsqueeze(1)).squeeze(1)
        value = (everyone.sum() ** 3) / processes.world_size  # each process's share of one joined cost
        (first,) = torch.autograd.grad(value, x, create_graph=True)
        (second,) = torch.autograd.grad(first.sum() / processes.world_size, x)
        return everyone.tolist(), first.tolist(), second.tolist()

    one, two = on(2, joined)
    assert one[0] == two[0] == list(range(8))
    assert one[1] == two[1] == [3 * 28.0**2] * 4
    assert one[2] == two[2] == [6 * 28.0 * 8 / 2] * 4


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_with_returns_that_are_kept_by_position(micro_batches):
    """The baseline of each position is the mean over the rows of both processes, however long they are."""
    one, two = one_and_two(kept_by_position, rows(), micro_batches=micro_batches)
    assert (one["estimator.average"] != 0).all()
    assert_close(one, two)


def kept_by_position():
    optimizer = SGD(0.05)
    return tiny_game(
        Reinforce(baseline="position"), dense=True, end=0,
        generator_optimizer=optimizer, discriminator_optimizer=optimizer,
    )  # fmt: skip
