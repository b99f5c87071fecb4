"""Augmentation: none at strength 0, the same under any cut, and a strength that follows overfitting."""

import pytest
import torch
from refusals import refused
from scipy.stats import binomtest
from torch import Tensor, nn
from toy_games import DenseDiscriminator, differing, play, points, set_up, training_step, whole

from gancore import ConfigError
from gancore.games import (
    R1,
    SGD,
    AdaptiveProbability,
    Augmentation,
    AugmentedDiscriminator,
    Discriminator,
    adversarial_game,
    linear,
    normal,
)
from gancore.random import Key, RowRange, noise_scope


def doubled(x, noise):
    return 2 * x


def shifted(x, noise):
    return x + noise.normal(len(x), *x.shape[1:])


def build(augmentation=None, every=1, loss="nonsaturating", judge=DenseDiscriminator):
    return lambda: adversarial_game(
        generator=lambda: nn.Linear(3, 2),
        discriminator=judge,
        prior=normal(3),
        loss=loss,
        penalties=[R1(1.0, every=every)],
        ema_halflife=30.0,
        discriminator_optimizer=SGD(0.05),
        generator_optimizer=SGD(0.05),
        augmentation=augmentation,
    )


class Says(Discriminator):
    """Logits of reals (right of 0) and of fakes (left of 0), as told."""

    def __init__(self, real: float = 1.0, fake: float = -1.0) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))
        self.real, self.fake = real, fake

    def logits(self, embedded: Tensor, condition: Tensor | None = None) -> Tensor:
        return torch.where(embedded[:, 0] > 0, self.real, self.fake) + 0 * (self.bias + embedded.sum(1))


def always(real: float, fake: float = -1.0, loss="nonsaturating", **settings):
    """A game whose reals are right of 0, whose fakes left of it, judged as told whatever happens."""
    game = build(
        Augmentation([], AdaptiveProbability(**settings)), loss=loss, judge=lambda: Says(real, fake)
    )()
    nn.init.zeros_(game.generator.weight)
    nn.init.constant_(game.generator.bias, -1.0)
    return game


def test_at_strength_0_a_training_is_byte_for_byte_the_one_without():
    plain, augmented = (play(build(a), points(), 6) for a in (None, Augmentation([doubled, shifted], 0.0)))
    theirs = {name.replace(".inner", ""): tensor for name, tensor in whole(augmented).items()}
    own = whole(plain)
    assert all(torch.equal(theirs[name], tensor) for name, tensor in own.items())
    assert theirs.keys() - own.keys() == {"discriminator.strength", "discriminator.signs"}


def test_the_strength_is_the_chance_of_each_change_for_each_row():
    net = AugmentedDiscriminator(DenseDiscriminator(), Augmentation([doubled, lambda x, noise: x + 100], 0.3))
    with noise_scope(Key.of(1), RowRange.all(4000)):
        x = net.augment(torch.ones(4000, 2))
    assert {1.0, 2.0, 101.0, 102.0} == set(x.flatten().tolist())
    assert torch.equal(x[:, 0], x[:, 1])
    first, second = x[:, 0] % 100 == 2, x[:, 0] > 100
    for happened in (first, second):
        assert binomtest(int(happened.sum()), 4000, 0.3).pvalue > 1e-4
    assert binomtest(int((first & second).sum()), 4000, 0.09).pvalue > 1e-4


def test_it_rests_outside_training():
    net, x = AugmentedDiscriminator(DenseDiscriminator(), Augmentation([shifted])), points()
    assert not torch.equal(net(x), net(x))
    assert torch.equal(net.eval()(x), net.inner(x))


def test_a_penalty_is_on_the_gradient_at_the_row_that_was_given():
    # D(2 x) has twice the slope, so R1 is four times that of D at 2 x
    net = DenseDiscriminator()
    augmented, x = AugmentedDiscriminator(net, Augmentation([doubled])), points()
    r1 = R1().function
    given, wanted = r1(augmented, x, None, None, None), 4 * r1(net, 2 * x, None, None, None)
    torch.testing.assert_close(given, wanted)


def test_the_generator_gets_the_gradient_through_the_changes():
    table = set_up(build(Augmentation([doubled])), points())
    plain = set_up(build(), points())
    plain.game.discriminator.layers[0].weight.data.mul_(2)  # D(2 x)
    for name, tensor in plain.game.discriminator.state_dict().items():
        if name != "layers.0.weight":
            table.game.discriminator.inner.state_dict()[name].copy_(tensor)
    move = table.game.phases[0].moves[-1]
    ours, theirs = (training_step(t).gradient(move, training_step(t).draw(1)).tensors for t in (table, plain))
    for a, b in zip(ours, theirs, strict=True):
        assert a.abs().sum() > 0
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("every", [1, 3])
def test_a_killed_run_goes_on_with_its_strength_bit_by_bit(tmp_path, every):
    make = build(Augmentation([shifted], AdaptiveProbability(target=-1.0, samples=400, every=3)), every)
    undisturbed, killed = play(make, points(), 20), play(make, points(), 20, kills=(7, 14), folder=tmp_path)
    assert 0 < undisturbed.game.discriminator.strength < 1
    assert differing(whole(undisturbed), whole(killed)) == []


def test_micro_batches_see_the_same_changes():
    make = build(Augmentation([shifted], AdaptiveProbability(target=0.0, samples=100)))
    one, two = (whole(play(make, points(), 10, micro_batches=parts)) for parts in (1, 2))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("real", "fake", "loss", "strength"),
    [
        (1.0, -1.0, "nonsaturating", 0.64),  # sure of all reals: up by 4 * 8 / 100 at steps 4 and 8
        (-1.0, -1.0, "nonsaturating", 0.0),
        (1.0, 2.0, "nonsaturating", 0.64),
        (1.0, 2.0, "relativistic", 0.0),  # only the difference counts: fakes are the more real ones
        (-2.0, -3.0, "relativistic", 0.64),
        (-2.0, -3.0, "wasserstein", 0.64),
    ],
)
def test_an_adaptive_strength_follows_the_signs_at_its_speed(real, fake, loss, strength):
    right = points().abs() + 0.1
    table = play(lambda: always(real, fake, loss, samples=100), right, 10)
    assert float(table.game.discriminator.strength) == pytest.approx(strength)
    assert table.scalars.read()["r_t"] == (1.0 if strength else -1.0)


def test_an_adaptive_strength_stays_within_0_and_1_and_stands_still_between_adjustments():
    game, right = always(1.0, samples=10, every=3), points().abs() + 0.1
    found = [float(play(lambda: game, right, 1 + 3 * n).game.discriminator.strength) for n in (0, 1, 2)]
    assert found == [0.0, 1.0, 1.0]


def test_a_masked_update_says_nothing():
    net = AugmentedDiscriminator(DenseDiscriminator(), Augmentation([], AdaptiveProbability()))
    net.after_move({"r_t": torch.tensor(torch.nan), "ok": torch.tensor(0.0)})
    assert net.signs.tolist() == [0.0, 0.0]
    net.after_move({"r_t": torch.tensor(0.5), "ok": torch.tensor(1.0)})
    net.after_move({"loss": torch.tensor(3.0), "ok": torch.tensor(1.0)})  # a move of another kind
    assert net.signs.tolist() == [0.5, 1.0]


def test_r_t_is_held_at_its_target_where_a_stronger_augmentation_lowers_it():
    class Noisy(Says):
        """Is mistaken about a share of the reals that grows with the strength."""

        def logits(self, embedded: Tensor, condition: Tensor | None = None) -> Tensor:
            return embedded[:, 1] + 0 * self.bias

    def flipped(x, noise):  # at strength p, E sign D(x) = 1 - 2 p
        return -x

    make = build(Augmentation([flipped], AdaptiveProbability(target=0.6, samples=1500)), judge=Noisy)
    table = play(make, points().abs() + 0.1, 200)
    assert float(table.game.discriminator.strength) == pytest.approx(0.2, abs=0.06)


def test_a_scheduled_strength_runs_over_the_phase():
    table = play(build(Augmentation([shifted], linear(0.0, 0.5))), points(), 11)
    assert float(table.game.discriminator.strength) == pytest.approx(0.5 * 10 / 11)


def test_rows_in_bf16_are_changed_in_full_precision():
    net = AugmentedDiscriminator(DenseDiscriminator(), Augmentation([lambda x, noise: x + 1e-3]))
    with torch.autocast("cpu", torch.bfloat16):
        assert float(net.augment(torch.ones(1, 2, dtype=torch.bfloat16))[0, 0]) == pytest.approx(1.001)


def test_a_strength_that_is_no_chance_is_refused():
    with refused(ConfigError, 1.5, fix=1):
        Augmentation([doubled], 1.5)
