"""Fixtures of losses, dynamics, metrics and loggers, and the toy games on which they are checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor, nn

from gancore.data.dataset import Data, Spec, TensorView
from gancore.domain import Domain
from gancore.entries import Entry, MetricEntry
from gancore.games.cost import Cost
from gancore.games.discriminator import Discriminator
from gancore.games.draw import Draw
from gancore.games.dynamics import Alternating, Dynamics, find_dynamics
from gancore.games.game import Game, Move, Phase, Player
from gancore.games.gan import adversarial_game
from gancore.games.losses import AdversarialLoss, find_loss
from gancore.games.optimizers import SGD, Adam
from gancore.games.penalties import R1
from gancore.games.prior import normal
from gancore.games.training_setup import TrainingSetup
from gancore.metrics.metric import Metric
from gancore.plugins import plugins
from gancore.random import Key
from gancore.testing.check import SkipCheck
from gancore.testing.fixtures import DomainFixture
from gancore.training.checkpoint import optimizer_tensors
from gancore.training.loop import prepare_game, train
from gancore.training.setup import set_up
from gancore.training.state import TrainState
from gancore.trees import Tree


@dataclass
class LossFixture:
    """A registered loss."""

    entry: Entry
    scope: ClassVar[str] = "loss"

    @property
    def subject(self) -> str:
        return f"loss/{self.entry.name}"

    @cached_property
    def loss(self) -> AdversarialLoss:
        return find_loss(self.entry.name)


@dataclass
class DynamicsFixture:
    """A registered dynamics, with its default settings."""

    entry: Entry
    scope: ClassVar[str] = "dynamics"

    @property
    def subject(self) -> str:
        return f"dynamics/{self.entry.name}"

    @cached_property
    def dynamics(self) -> Dynamics:
        return find_dynamics(self.entry.name)


@dataclass
class MetricFixture:
    """A metric of the hook ``gancore_metrics`` with the first installed domain that it names."""

    entry: MetricEntry
    scope: ClassVar[str] = "measure"

    @property
    def subject(self) -> str:
        return f"measure/{self.entry.name}"

    @cached_property
    def measure(self) -> Metric:
        return plugins().load_metric(self.entry)

    @cached_property
    def domain_fixture(self) -> DomainFixture:
        """The domain on which it is checked; the toy domain if the metric is for every domain.

        Raises:
            SkipCheck: none of its domains is installed.
        """
        if not self.entry.domains:
            return toy_fixture()
        known = {entry.name for entry in plugins().entries("gancore_domains")}
        for name in self.entry.domains:
            if name in known:
                return DomainFixture(plugins().load_domain(name))
        raise SkipCheck(f"none of its domains is installed: {', '.join(self.entry.domains)}")


@dataclass
class LoggerFixture:
    """A registered logger."""

    entry: Entry
    scope: ClassVar[str] = "logger"

    @property
    def subject(self) -> str:
        return f"logger/{self.entry.name}"

    @cached_property
    def make(self) -> Callable[[Path], Any]:
        """The class or function that makes a logger from the path of a run folder."""
        made: Callable[[Path], Any] = plugins().load_object(self.entry)
        return made


PartFixture: TypeAlias = LossFixture | DynamicsFixture | MetricFixture | LoggerFixture


def all_tensors(table: TrainingSetup) -> dict[str, Tensor]:
    """Copies of all tensors of a checkpoint: parameters, buffers and states, by name."""
    return {n: t.detach().clone() for n, t in {**table.game.state_dict(), **optimizer_tensors(table)}.items()}


@torch.no_grad()
def load_tensors(table: TrainingSetup, stored: dict[str, Tensor]) -> None:
    """Load the output of :func:`all_tensors` of another setup."""
    own = {**table.game.state_dict(), **optimizer_tensors(table)}
    for name, tensor in own.items():
        tensor.copy_(stored[name])


def train_until(table: TrainingSetup, state: TrainState, steps: int) -> TrainState:
    """Train from ``state`` to step ``steps``; return the new state."""

    def watch(now: TrainState) -> None:
        now.stop_signal = "kit" if now.step >= steps < now.total_steps else ""

    if state.is_new:
        prepare_game(table)
    train(table, state, watch)
    state.stop_signal = ""
    return state


class ToyDiscriminator(Discriminator):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 8), nn.Softplus(), nn.Linear(8, 1))

    def logits(self, embedded: Tree, condition: Tree = None) -> Tensor:
        logits: Tensor = self.layers(embedded).squeeze(-1)
        return logits


class ScalarParameter(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.tensor(value))


class LinearGame(Game):
    """x minimises x^2 / 2 + x y / 2, y minimises y^2 / 2 - x y / 2: the only equilibrium is 0."""

    def __init__(self, dynamics: Dynamics, rate: float) -> None:
        super().__init__()
        self.generator, self.discriminator = ScalarParameter(1.0), ScalarParameter(-0.5)
        names = ("discriminator", "generator")
        self.players = {name: Player([name], SGD(rate)) for name in names}
        self.phases = [Phase([Move(name) for name in names], dynamics=dynamics)]

    def cost(self, move: Move, draw: Draw) -> Cost:
        x, y = self.generator.x, self.discriminator.x
        cost = x * x / 2 + x * y / 2 if move.player == "generator" else y * y / 2 - x * y / 2
        return Cost().add("loss", cost.expand(draw.num_rows))

    def distance(self) -> float:
        """The distance to the equilibrium."""
        return float(torch.stack([self.generator.x.detach(), self.discriminator.x.detach()]).norm())


class ToyDomain(Domain):
    """Points of the plane in two classes, (rows, 2) float32."""

    name = "toy"


def toy_fixture() -> DomainFixture:
    """The toy domain with 400 points of train, 100 of valid and 100 of test; half of them in each class."""

    def view(split: str, n: int) -> TensorView:
        labels = torch.arange(n) % 2
        centres = torch.tensor([[-2.0, 0.0], [2.0, 1.0]])
        return TensorView(centres[labels] + Key.of("toy", split).normal(n, 2) * 0.5, labels)

    spec = Spec({"classes": ["left", "right"], "class_shares": [0.5, 0.5]})
    data = Data(view("train", 400), view("valid", 100), view("test", 100), spec, fingerprint="toy")
    return DomainFixture(ToyDomain(), data)


def toy_setup(
    loss: AdversarialLoss | str = "nonsaturating",
    dynamics: Dynamics = Alternating(),  # noqa: B008
    micro_batches: int = 1,
    build_seed: int = 0,
) -> TrainingSetup:
    """A GAN of small perceptrons on 40 points of the plane, with lazy R1 and batches of 8."""

    def build() -> Game:
        rule = Adam(1e-2, (0.5, 0.9))
        return adversarial_game(
            generator=lambda: nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)),
            discriminator=ToyDiscriminator,
            prior=normal(3),
            loss=loss,
            penalties=[R1(0.1, every=3)],
            generator_optimizer=rule,
            discriminator_optimizer=rule,
            dynamics=dynamics,
        )

    data = 1 + Key.of("toy", "points").normal(40, 2)
    return set_up(_built(build, build_seed), data, batch_size=8, micro_batches=micro_batches)


def linear_setup(dynamics: Dynamics, rate: float = 0.05) -> TrainingSetup:
    return set_up(LinearGame(dynamics, rate), torch.zeros(4, 1), batch_size=4)


def _built(build: Callable[[], Game], seed: int) -> Game:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()
