"""Before step 0: what cannot learn, and what parts of a batch would change, is refused."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))
from toy_games import DenseDiscriminator, differing, points, set_up, whole

from gancore.errors import ConfigError
from gancore.games import R1, Adam, AdversarialGame, AdversarialLoss, Cost, Move, adversarial_game, normal
from gancore.games.game import Phase
from gancore.random import Key
from gancore.training.checks import check_costs

MINUS = lambda r, f: -f  # noqa: E731


def setup(loss="hinge", judge=DenseDiscriminator, micro_batches=1, **options):
    def build():
        return adversarial_game(
            generator=lambda: nn.Linear(3, 2), discriminator=judge, prior=normal(3), loss=loss, **options
        )

    return set_up(build, points(), micro_batches=micro_batches)


class Detached(AdversarialGame):
    def fake(self, n, key, condition, progress):
        return super().fake(n, key, condition, progress).detach()


class ZeroLast(DenseDiscriminator):
    """As many papers begin: the generator's gradient is 0 in step 0 alone."""

    def __init__(self):
        super().__init__()
        nn.init.zeros_(self.layers[2].weight)


class Mean(AdversarialGame):
    def discriminator_cost(self, draw):
        logits = self.logits(draw, self.real(draw).data, None)
        return Cost().add("loss", (logits - logits.mean()) ** 2 + 0.1 * logits)


class Returns(AdversarialGame):
    def cost(self, move, draw):
        return super().cost(move, draw).total()


def test_a_player_that_gets_no_gradient_is_named():
    with pytest.raises(ConfigError, match="exactly 0") as caught:
        check_costs(setup(game=Detached))
    assert "'generator'" in str(caught.value) and "'loss'" in str(caught.value)


def test_an_unknown_loss_is_named_before_step_0_and_not_missed_by_a_sampler():
    made = setup("hing")
    with pytest.raises(ConfigError, match="'hing'"):
        check_costs(made)
    made.game.sampler().sample(3, Key.of(0))


def test_a_loss_that_is_constant_for_its_player_is_refused():
    with pytest.raises(ConfigError, match="'generator'"):
        check_costs(setup(AdversarialLoss(lambda r, f: f - r, lambda r, f: f - f)))


def test_a_gradient_that_is_not_finite_is_refused():
    with pytest.raises(ConfigError, match="not finite"):
        check_costs(setup(AdversarialLoss(lambda r, f: (f - r - 1e9).log(), MINUS)))


@pytest.mark.parametrize("options", [{}, {"judge": ZeroLast}, {"penalties": [R1(0.1, every=4)]}])
def test_what_learns_passes_and_is_left_as_it_was(options):
    made = setup(generator_optimizer=Adam(), **options)
    before = {name: tensor.clone() for name, tensor in whole(made).items()}
    check_costs(made)
    assert differing(before, whole(made)) == []


def test_a_cost_that_couples_rows_without_stating_it_is_refused_where_batches_are_cut():
    check_costs(setup(game=Mean))
    with pytest.raises(ConfigError, match="couples the rows") as caught:
        check_costs(setup(game=Mean, micro_batches=2))
    assert "batch_coupled" in caught.value.fix
    for loss in ("hinge", "wasserstein", "relativistic", "nonsaturating"):
        check_costs(setup(loss, micro_batches=2, penalties=[R1(0.1, every=2)]))


def test_wrong_kinds_are_one_line_each():
    wrong = {
        "not a gancore.games.Discriminator": lambda: setup(judge=lambda: nn.Linear(2, 1)),
        "is Tensor": lambda: check_costs(setup(game=Returns)),
        "every=0": lambda: Move("generator", every=0),
        "every=-1": lambda: R1(1.0, every=-1),
    }
    for seen, make in wrong.items():
        with pytest.raises(ConfigError, match=seen):
            make()


@pytest.mark.parametrize("player", ["generatr", "critic"])
def test_a_move_of_an_unknown_player_is_named(player):
    game = setup().game
    game.phases = [Phase([Move(player)])]
    with pytest.raises(ConfigError, match=player):
        game.optimizer_states()


def test_two_penalties_of_one_class_are_two_terms():
    """Each counts, in one move or in lazy moves of their own."""
    one, two = (setup(penalties=[R1(w) for w in weights]).game for weights in ((0.3,), (0.1, 0.2)))
    assert [p.name for p in two.penalties] == ["r1", "r1-2"] and [p.name for p in one.penalties] == ["r1"]
    lazy = setup(penalties=[R1(0.1, every=2), R1(0.2, every=4)]).game
    assert [(m.cost, m.every) for m in lazy.phases[0].moves if m.every > 1] == [("r1", 2), ("r1-2", 4)]
    assert torch.isfinite(setup(penalties=[R1(0.1), R1(0.2)]).game.discriminator.layers[0].weight).all()
