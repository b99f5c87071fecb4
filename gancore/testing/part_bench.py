"""Workbenches of what a plugin brings beside domains and recipes: a loss, a dynamics, a measure, a logger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from gancore.evaluation.measure import Measure
from gancore.games.dynamics import Dynamics, find_dynamics
from gancore.games.field import Table
from gancore.games.losses import AdversarialLoss, find_loss
from gancore.plugins import plugins
from gancore.records import Entry, MeasureEntry
from gancore.testing.bench import DomainBench
from gancore.testing.check import NotApplicable
from gancore.testing.toy import toy_bench
from gancore.training.loop import prepare, train
from gancore.training.state import State
from gancore.training.table import rule_tensors


@dataclass
class LossBench:
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
class DynamicsBench:
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
class MeasureBench:
    """A measure of the hook ``gancore_measures``, on the first installed domain that it names."""

    entry: MeasureEntry
    scope: ClassVar[str] = "measure"

    @property
    def subject(self) -> str:
        return f"measure/{self.entry.name}"

    @cached_property
    def measure(self) -> Measure:
        return plugins().measure(self.entry)

    @cached_property
    def home(self) -> DomainBench:
        """Of a measure for every domain, the toy. Raises NotApplicable: none of its domains is installed."""
        if not self.entry.domains:
            return toy_bench()
        known = {entry.name for entry in plugins().records("gancore_domains")}
        for name in self.entry.domains:
            if name in known:
                return DomainBench(plugins().domain(name))
        raise NotApplicable(f"none of its domains is installed: {', '.join(self.entry.domains)}")


@dataclass
class LoggerBench:
    """A registered logger."""

    entry: Entry
    scope: ClassVar[str] = "logger"

    @property
    def subject(self) -> str:
        return f"logger/{self.entry.name}"

    @cached_property
    def make(self) -> Callable[[Path], Any]:
        """The class, or whatever makes a logger of a run's folder."""
        made: Callable[[Path], Any] = plugins().resolve(self.entry)
        return made


PartBench: TypeAlias = LossBench | DynamicsBench | MeasureBench | LoggerBench


def tensors(table: Table) -> dict[str, Tensor]:
    """All that a checkpoint holds, copied."""
    return {n: t.detach().clone() for n, t in {**table.game.state_dict(), **rule_tensors(table)}.items()}


@torch.no_grad()
def take_in(table: Table, stored: dict[str, Tensor]) -> None:
    """What :func:`tensors` gave of another table."""
    own = {**table.game.state_dict(), **rule_tensors(table)}
    for name, tensor in own.items():
        tensor.copy_(stored[name])


def play_to(table: Table, state: State, rounds: int) -> State:
    """On to this round."""

    def watch(now: State) -> None:
        now.stopping = "kit" if now.step >= rounds < now.total else ""

    if state.new:
        prepare(table)
    train(table, state, watch)
    state.stopping = ""
    return state
