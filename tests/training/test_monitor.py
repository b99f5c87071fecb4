"""Games with a fault by construction are found out while they are played; their healthy twins are not."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from toy_games import run_config

from gancore.data.dataset import Spec, TensorView
from gancore.domain import Diagnostic, Domain
from gancore.games import R1, SGD, Adam, Discriminator, Game, adversarial_game, likelihood_game, normal
from gancore.games.dynamics import Extragradient
from gancore.games.training_setup import TrainingSetup
from gancore.random import Key
from gancore.training.loop import play
from gancore.training.monitor import Intervals, Monitor
from gancore.training.setup import set_up
from gancore.training.state import TrainState
from gancore.training.validation import Validator


class DenseDiscriminator(Discriminator):
    def __init__(self, *sizes: int) -> None:
        super().__init__()
        self.layers = layers(*sizes, 1)

    def logits(self, embedded: Tensor, condition: object = None) -> Tensor:
        return self.layers(embedded).squeeze(-1)


class Slope(Discriminator):
    def __init__(self) -> None:
        super().__init__()
        self.psi = nn.Parameter(torch.ones(1))

    def logits(self, embedded: Tensor, condition: object = None) -> Tensor:
        return embedded @ self.psi


class Place(nn.Module):
    """All samples at theta: the generator of the Dirac-GAN."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.ones(1))

    def forward(self, latents: Tensor) -> Tensor:
        return self.theta.expand(len(latents), 1)


class RightHalf(nn.Module):
    """What no training moves to the left of the first axis."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, latents: Tensor) -> Tensor:
        made = self.network(latents)
        return torch.cat([made[:, :1].abs(), made[:, 1:]], 1)


def layers(*sizes: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        parts += [nn.LeakyReLU(0.2)] * bool(parts) + [nn.Linear(inputs, outputs)]
    return nn.Sequential(*parts)


def laid(build: Callable[[], Game], rows: Tensor, batch: int) -> TrainingSetup:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return set_up(build(), rows, batch_size=batch)


def watched(setup: TrainingSetup, valid: Tensor, steps: int) -> list[Diagnostic]:
    validator = Validator(Domain(), Spec({}), TensorView(valid), 256, Key.of("valid", 0))
    watch = Monitor(setup, Domain(), Spec({}), validator, Intervals.of(run_config(), steps), 16, 0)
    found: list[Diagnostic] = []

    def look(state: TrainState) -> None:
        found.extend(watch(state))

    play(setup, steps, look)
    return found


def names(found: list[Diagnostic]) -> set[str]:
    return {finding.name for finding in found}


def ring(rows: int, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    angle = torch.randint(8, (rows,), generator=draw) * (math.pi / 4)
    return 2 * torch.stack([angle.cos(), angle.sin()], 1) + 0.1 * torch.randn(rows, 2, generator=draw)


def gan(
    dimension: int,
    *,
    wide: int = 32,
    generator: Callable[[nn.Module], nn.Module] = lambda network: network,
    g_rate: float = 2e-3,
    **settings: object,
) -> Callable[[], Game]:
    return lambda: adversarial_game(
        generator=lambda: generator(layers(4, 32, 32, dimension)),
        discriminator=lambda: DenseDiscriminator(dimension, wide, wide),
        prior=normal(4),
        generator_optimizer=Adam(g_rate, (0.0, 0.99)),
        discriminator_optimizer=Adam(2e-3, (0.0, 0.99)),
        **settings,
    )


def dirac(**settings: object) -> Callable[[], Game]:
    return lambda: adversarial_game(
        generator=Place,
        discriminator=Slope,
        prior=normal(1),
        generator_optimizer=SGD(0.2),
        discriminator_optimizer=SGD(0.2),
        **settings,
    )


POINT = torch.zeros(64, 1)


@pytest.mark.parametrize("loss", ["wasserstein", "minimax"])
def test_a_game_that_turns_for_ever_is_seen(loss: str) -> None:
    """Alternating gradient on the Dirac-GAN: both eigenvalues on the unit circle, a closed orbit."""
    (finding,) = watched(laid(dirac(loss=loss), POINT, 8), POINT, 400)
    assert finding.name == "oscillation"
    period = 2 * math.pi / (0.2 if loss == "wasserstein" else 0.1)
    expected = float(finding.message.split("with a period of about ")[1].split()[0])
    assert expected == pytest.approx(period, rel=0.15)
    assert "gradient penalty" in finding.fix and "train.dynamics.name=extragradient" in finding.fix


@pytest.mark.parametrize(
    "calm", [{"penalties": [R1(0.5)]}, {"dynamics": Extragradient()}], ids=["R1", "extragradient"]
)
def test_the_same_game_damped_is_left_alone(calm: dict[str, object]) -> None:
    assert watched(laid(dirac(loss="wasserstein", **calm), POINT, 8), POINT, 400) == []


@pytest.mark.slow
def test_a_generator_that_cannot_reach_half_of_the_modes_is_seen() -> None:
    """Of eight modes three lie on the left; the two on the axis are cut in half."""
    setup = laid(gan(2, generator=RightHalf, penalties=[R1(0.1)]), ring(2048, 1), 64)
    found = [finding for finding in watched(setup, ring(512, 2), 500) if finding.name == "diversity collapse"]
    assert found and "of the held-out rows have no generated sample near" in found[0].message
    share = float(found[0].message.split("%")[0])
    assert 20 < share < 60


@pytest.mark.slow
def test_one_that_reaches_them_all_is_left_alone() -> None:
    assert watched(laid(gan(2, penalties=[R1(0.1)]), ring(2048, 1), 64), ring(512, 2), 500) == []


def rows_of(count: int, seed: int, dimension: int = 64) -> Tensor:
    return torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed))


def test_a_discriminator_that_knows_its_rows_is_seen() -> None:
    """A wide one without penalty on 32 rows of 64 dimensions."""
    found = watched(laid(gan(64, wide=128, g_rate=2e-4), rows_of(32, 1), 32), rows_of(256, 2), 300)
    (finding,) = [finding for finding in found if finding.name == "memorising discriminator"]
    assert (
        "32 rows of train from 64 held-out rows" in finding.message and "smaller discriminator" in finding.fix
    )


def test_one_that_never_sees_a_row_twice_is_left_alone() -> None:
    setup = laid(gan(64, wide=128, g_rate=2e-4), rows_of(10_000, 1), 32)
    assert "memorising discriminator" not in names(watched(setup, rows_of(256, 2), 300))


@pytest.mark.parametrize(("loss", "vanishes"), [("minimax", True), ("nonsaturating", False)])
def test_a_minimax_gradient_vanishes_before_a_better_discriminator_and_the_other_does_not(
    loss: str, vanishes: bool
) -> None:
    """Arjovsky and Bottou 2017, theorems 2.4 and 2.6: the generator hardly moves."""
    train = torch.cat([rows_of(2048, 1, 2), torch.ones(2048, 6)], 1)
    setup = laid(gan(8, wide=64, g_rate=1e-6, loss=loss), train, 64)
    assert ("vanishing generator gradient" in names(watched(setup, train[:256], 500))) is vanishes


@pytest.mark.slow
def test_a_gradient_that_falls_because_all_is_well_is_none() -> None:
    """Towards equilibrium the generator's gradient falls too, but there D does not tell real from fake."""
    setup = laid(gan(2, loss="minimax", penalties=[R1(1.0)]), rows_of(2048, 1, 2), 64)
    assert watched(setup, rows_of(256, 2, 2), 500) == []


def test_a_row_that_is_not_a_number_is_seen() -> None:
    rows = ring(512, 1)
    rows[7, 0] = math.nan
    assert "non-finite values" in names(watched(laid(gan(2), rows, 64), ring(512, 2), 40))


class Normal(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(2))

    def log_prob(self, data: Tensor) -> Tensor:
        return -0.5 * (data - self.mean).square().sum(1) - math.log(2 * math.pi)

    def sample(self, n: int, key: Key) -> Tensor:
        return self.mean + key.normal(n, 2)


def test_a_game_of_one_player_has_nobody_to_judge() -> None:
    setup = laid(lambda: likelihood_game(Normal), rows_of(256, 1, 2), 16)
    assert (
        setup.game.discriminator_logits(
            setup.batches.encoded_views["train"].get_batch(torch.arange(4), Key.of(0)), Key.of(0)
        )
        is None
    )
    assert watched(setup, rows_of(128, 2, 2), 60) == []


class Dropping(DenseDiscriminator):
    """Noisy in training, with statistics of its batches: what a watch could spoil."""

    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes)
        self.layers = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))


def test_a_watch_changes_nothing_that_is_trained() -> None:
    def build() -> Game:
        return adversarial_game(
            generator=lambda: layers(4, 8, 2), discriminator=Dropping, prior=normal(4), ema_halflife=200.0
        )

    seen, alone = laid(build, ring(256, 1), 16), laid(build, ring(256, 1), 16)
    watched(seen, ring(64, 2), 45)
    play(alone, 45)
    for name, tensor in seen.game.state_dict().items():
        assert torch.equal(tensor, alone.game.state_dict()[name]), name


def test_judge_asks_the_discriminator_about_rows_and_about_as_many_fakes() -> None:
    setup = laid(gan(2), ring(256, 1), 16)
    batch = setup.batches.encoded_views["train"].get_batch(torch.arange(10), Key.of(0))
    real, fake = setup.game.discriminator_logits(batch, Key.of("judge"))  # type: ignore[misc]
    game = setup.game
    made = game.generator(normal(4).sample(Key.of("judge") / "z", 10))  # type: ignore[operator]
    assert torch.equal(real, game.discriminator(batch.data)) and torch.equal(fake, game.discriminator(made))  # type: ignore[operator]
    assert not real.requires_grad


class Packing(DenseDiscriminator):
    """Judges four samples at once."""

    def logits(self, embedded: Tensor, condition: object = None) -> Tensor:
        return self.layers(embedded.reshape(len(embedded) // 4, -1)).squeeze(-1)


def test_few_held_out_rows_are_judged_in_packs_too() -> None:
    """Of 150 rows 128 are taken, in parts that a batch is a multiple of."""
    setup = laid(
        lambda: adversarial_game(
            generator=lambda: layers(4, 8, 2), discriminator=lambda: Packing(8, 8), prior=normal(4)
        ),
        ring(2048, 1),
        128,
    )
    assert watched(setup, ring(150, 2), 20) == []


@pytest.mark.parametrize(("floats", "checked"), [(True, True), (False, False)])
def test_the_motion_of_samples_is_checked_only_where_a_leaf_is_float(floats, checked):
    """Ids have no mean: their samples are not drawn for it."""
    rows = ring(64, 0) if floats else ring(64, 0).round().long()

    def build() -> Game:
        return adversarial_game(
            generator=lambda: layers(2, 2), discriminator=lambda: DenseDiscriminator(2, 4), prior=normal(2)
        )

    setup = laid(build, ring(64, 0), 8)
    validator = Validator(Domain(), Spec({}), TensorView(rows), 256, Key.of("valid", 0))
    watch = Monitor(setup, Domain(), Spec({}), validator, Intervals.of(run_config(), 100), 16, 0)
    assert watch.is_motion_due(TrainState([100], step=watch.intervals.motion)) is checked
