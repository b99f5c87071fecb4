"""Tiny games for the tests, and a way to play them through the real loop, killed and resumed where wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from gancore.config import TrainSection
from gancore.games import Discriminator, Game
from gancore.games.field import Field, Table
from gancore.training import playing
from gancore.training.budget import plan_rounds
from gancore.training.checkpoint import newest_checkpoint, save_checkpoint
from gancore.training.loop import prepare, train
from gancore.training.playing import TensorView
from gancore.training.state import State
from gancore.training.table import rule_tensors
from gancore.trees import Tree

Rows = TensorView


class Judge(Discriminator):
    """Two layers, smooth, so that penalties have curvature."""

    def __init__(self, inputs: int = 2, width: int = 8) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, width), nn.Softplus(), nn.Linear(width, 1))

    def judge(self, embedded: Tree, condition: Tree = None) -> Tensor:
        return self.layers(embedded).squeeze(-1)


def points(rows: int = 40, centre: float = 1.0, seed: int = 0) -> Tensor:
    """(rows, 2), around ``centre``, one axis wider than the other."""
    generator = torch.Generator().manual_seed(seed)
    return centre + torch.randn(rows, 2, generator=generator) * torch.tensor([1.0, 0.5])


Build = Callable[[], Game]
Views = Tensor | Rows | Mapping[str, Rows]


def set_table(
    build: Build,
    data: Views,
    *,
    batch_size: int = 8,
    accumulate: int = 1,
    seed: int = 0,
    build_seed: int = 0,
    bf16: bool = False,
) -> Table:
    with torch.random.fork_rng():
        torch.manual_seed(build_seed)
        game = build()
    return playing.set_table(game, data, batch_size=batch_size, accumulate=accumulate, seed=seed, bf16=bf16)


def field(table: Table, step: int = 0, phase: int = 0, progress: float = 0.0) -> Field:
    return Field(table, table.game.phases[phase], step, step, progress)


def play(
    build: Build,
    data: Views,
    rounds: int,
    *,
    kills: Sequence[int] = (),
    folder: Path | None = None,
    **settings: int | bool,
) -> Table:
    """Train ``rounds`` in all, and at each step of ``kills`` throw everything away but the checkpoint."""
    table = set_table(build, data, **settings)
    prepare(table)
    state = State(plan_rounds(table, TrainSection(steps=rounds), rounds))
    for stop in kills:
        train(table, state, lambda now, stop=stop: setattr(now, "stopping", "x" * (now.step == stop)))
        assert state.step == stop
        _save(folder, table, state)
        table = set_table(build, data, **settings, build_seed=99)
        state = _resume(folder, table)
    train(table, state, lambda now: None)
    return table


def _save(folder: Path, table: Table, state: State) -> None:
    tensors = {"game": table.game.state_dict(), "rules": rule_tensors(table)}
    save_checkpoint(folder, state.step, tensors, {"state": state.to_json()}, {}, keep=1)


def _resume(folder: Path, table: Table) -> State:
    checkpoint, _ = newest_checkpoint(folder)
    table.game.load_state_dict(dict(checkpoint.tensors["game"]))
    for player, updater in table.updaters.items():
        updater.load({name: checkpoint.tensors["rules"][f"{player}/{name}"] for name in updater.tensors()})
    return State.from_json(checkpoint.state["state"], len(table.game.phases))


def whole(table: Table) -> dict[str, Tensor]:
    """Everything that a run is, by name, copied."""
    tensors = {**table.game.state_dict(), **{f"rules/{n}": t for n, t in rule_tensors(table).items()}}
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def differing(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that are not equal bit by bit."""
    assert one.keys() == other.keys()
    return [name for name, tensor in one.items() if not torch.equal(tensor, other[name])]
