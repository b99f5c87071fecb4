"""Workbenches of what a plugin brings beside domains and recipes: a loss, a dynamics."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from gancore.games.dynamics import Dynamics, find_dynamics
from gancore.games.field import Table
from gancore.games.losses import AdversarialLoss, find_loss
from gancore.records import Entry
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
