"""A batch in parts trains as the batch in one piece."""

import pytest
import torch
from refusals import refused
from torch import nn
from toy_games import DenseDiscriminator, play, points

from gancore.config import RecipeConfig, RunConfig
from gancore.data.dataset import Data, Spec
from gancore.errors import ConfigError
from gancore.games import R1, SGD, WGANGP, Cost, Game, Move, Phase, Player, adversarial_game, noise, normal
from gancore.recipe import Recipe
from gancore.runtime.distributed import SINGLE_PROCESS
from gancore.training.setup import setup_from_config


class Shuffled(DenseDiscriminator):
    """Phase shuffle's kind of noise: each row rolled by an integer of its own."""

    def logits(self, embedded, condition=None):
        shifts = noise(len(embedded), embedded.device).integers(0, 2, len(embedded))
        turned = torch.where(shifts[:, None].bool(), embedded.flip(1), embedded)
        return super().logits(turned)


@pytest.mark.parametrize("loss", ["nonsaturating", "relativistic"])
def test_one_two_and_four_micro_batches_train_alike(loss):
    def build():
        return adversarial_game(
            generator=lambda: nn.Linear(3, 2),
            discriminator=Shuffled,
            prior=normal(3),
            loss=loss,
            penalties=[R1(1.0, every=2), WGANGP(1.0)],
            ema_halflife=30.0,
            generator_optimizer=SGD(0.05),
            discriminator_optimizer=SGD(0.05, 0.5),
        )

    joined, *parted = (play(build, points(), 12, micro_batches=k) for k in (1, 2, 4))
    figures = joined.scalars.read()
    for table in parted:
        for name, tensor in joined.game.state_dict().items():
            assert torch.allclose(table.game.state_dict()[name], tensor, rtol=1e-5, atol=1e-6), name
        others = table.scalars.read()
        assert others.keys() == figures.keys()
        assert all(others[name] == pytest.approx(value, abs=1e-5) for name, value in figures.items())


class Packed(DenseDiscriminator):
    """Two rows are judged as one."""

    def __init__(self):
        super().__init__(inputs=4)

    def embed(self, data):
        return data.reshape(len(data) // 2, -1)


def test_interpolates_of_packed_rows_are_the_same_in_parts():
    def build():
        return adversarial_game(
            generator=lambda: nn.Linear(3, 2),
            discriminator=Packed,
            prior=normal(3),
            penalties=[WGANGP(1.0)],
            generator_optimizer=SGD(0.05),
            discriminator_optimizer=SGD(0.05),
        )

    joined, parted = (play(build, points(), 6, micro_batches=k).game.state_dict() for k in (1, 2))
    for name, tensor in joined.items():
        assert torch.allclose(parted[name], tensor, rtol=1e-5, atol=1e-6), name


def test_a_term_that_the_player_cannot_move_adds_nothing():
    class Constant(Game):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(2, 1)
            self.players, self.phases = {"net": Player(["net"], SGD(0.1))}, [Phase([Move("net")])]

        def cost(self, move, draw):
            x = draw.real().data
            return Cost().add("constant", x, mask=x > 0).add("plain", x).add("loss", self.net(x))

    tables = [play(Constant, points(), 3, micro_batches=k) for k in (1, 2)]
    assert torch.allclose(*(table.game.net.weight for table in tables), atol=1e-6)


class Coupled(Recipe):
    def build(self, config, spec):
        return adversarial_game(
            generator=lambda: nn.Linear(3, 2),
            discriminator=DenseDiscriminator,
            prior=normal(3),
            loss="relativistic-average",
        )


def test_a_cost_that_couples_rows_is_refused_in_parts_in_one_line():
    def sit(micro_batches):
        model = RecipeConfig(batch_size=8, micro_batches=micro_batches)
        config = RunConfig(domain="toy", recipe="coupled", data=None, model=model)
        data = Data({"train": _view()}, _view(), _view(), Spec({}))
        return setup_from_config(config, Coupled(), data, torch.device("cpu"), SINGLE_PROCESS)

    assert sit(1).micro_batches == 1
    with refused(ConfigError, "rows", fix="model.micro_batches=1"):
        sit(2)


def _view():
    from toy_games import Rows

    return Rows(points())
