"""What parts without a domain are checked on: points in the plane, a small GAN of them, a quadratic game."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gancore.domain import Data, Domain, Spec
from gancore.games.adversarial import adversarial
from gancore.games.cost import Cost
from gancore.games.discriminator import Discriminator
from gancore.games.draw import Draw
from gancore.games.dynamics import Alternating, Dynamics
from gancore.games.field import Table
from gancore.games.game import Game, Move, Phase, Player
from gancore.games.losses import AdversarialLoss
from gancore.games.penalties import R1
from gancore.games.prior import normal
from gancore.games.rules import SGD, Adam
from gancore.runtime.randomness import Key
from gancore.testing.bench import DomainBench
from gancore.training.playing import TensorView, set_table
from gancore.trees import Tree


class ToyJudge(Discriminator):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 8), nn.Softplus(), nn.Linear(8, 1))

    def judge(self, embedded: Tree, condition: Tree = None) -> Tensor:
        logits: Tensor = self.layers(embedded).squeeze(-1)
        return logits


class Scalar(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.tensor(value))


class LinearGame(Game):
    """x minimises x^2 / 2 + x y / 2, y minimises y^2 / 2 - x y / 2: a linear field whose one rest is 0."""

    def __init__(self, dynamics: Dynamics, rate: float) -> None:
        super().__init__()
        self.generator, self.discriminator = Scalar(1.0), Scalar(-0.5)
        names = ("discriminator", "generator")
        self.players = {name: Player([name], SGD(rate)) for name in names}
        self.phases = [Phase([Move(name) for name in names], dynamics=dynamics)]

    def cost(self, move: Move, draw: Draw) -> Cost:
        x, y = self.generator.x, self.discriminator.x
        cost = x * x / 2 + x * y / 2 if move.player == "generator" else y * y / 2 - x * y / 2
        return Cost().add("loss", cost.expand(draw.rows))

    def sampler(self) -> nn.Module:
        return self

    def distance(self) -> float:
        """From the point of rest."""
        return float(torch.stack([self.generator.x.detach(), self.discriminator.x.detach()]).norm())


class ToyDomain(Domain):
    """Points of the plane in two classes, (rows, 2), float32."""

    name = "toy"


def toy_bench() -> DomainBench:
    """400 points of train, 100 of valid and as many of test, half of each class."""

    def view(split: str, n: int) -> TensorView:
        labels = torch.arange(n) % 2
        centres = torch.tensor([[-2.0, 0.0], [2.0, 1.0]])
        return TensorView(centres[labels] + Key.of("toy", split).normal(n, 2) * 0.5, labels)

    spec = Spec({"classes": ["left", "right"], "class_shares": [0.5, 0.5]})
    data = Data(view("train", 400), view("valid", 100), view("test", 100), spec, fingerprint="toy")
    return DomainBench(ToyDomain(), data)


def toy_table(
    loss: AdversarialLoss | str = "nonsaturating",
    dynamics: Dynamics = Alternating(),  # noqa: B008
    accumulate: int = 1,
    build_seed: int = 0,
) -> Table:
    """A GAN of tiny perceptrons on 40 points of the plane, with a lazy R1, on a batch of 8."""

    def build() -> Game:
        rule = Adam(1e-2, (0.5, 0.9))
        return adversarial(
            generator=lambda: nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)),
            discriminator=ToyJudge,
            prior=normal(3),
            loss=loss,
            penalties=[R1(0.1, every=3)],
            generator_rule=rule,
            discriminator_rule=rule,
            dynamics=dynamics,
        )

    data = 1 + Key.of("toy", "points").normal(40, 2)
    return set_table(_built(build, build_seed), data, batch_size=8, accumulate=accumulate)


def linear_table(dynamics: Dynamics, rate: float = 0.05) -> Table:
    return set_table(LinearGame(dynamics, rate), torch.zeros(4, 1), batch_size=4)


def _built(build: Callable[[], Game], seed: int) -> Game:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()
