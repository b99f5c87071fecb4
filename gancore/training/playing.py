"""A game played through the one loop in memory: no run folder, no files. For experiments and checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from gancore.config import TrainSection
from gancore.domain import Batch, View
from gancore.games.draw import Dealer
from gancore.games.field import Table
from gancore.games.game import Game
from gancore.games.statistics import Statistics
from gancore.runtime.processes import ALONE, Processes
from gancore.runtime.randomness import Key
from gancore.training.budget import plan_rounds
from gancore.training.loop import prepare, train
from gancore.training.precision import check_precision
from gancore.training.state import State
from gancore.trees import Tree, count_rows, map_tree


class TensorView:
    """Rows in memory as a view: what is asked for is what is there."""

    def __init__(self, data: Tree, condition: Tree = None) -> None:
        self.data, self.condition = data, condition

    def __len__(self) -> int:
        return count_rows(self.data)

    def take(self, indices: Tensor, key: Key) -> Batch:
        rows = map_tree(lambda x: x[indices], self.data)
        return Batch(rows, map_tree(lambda x: x[indices], self.condition)).to(key.device)


def set_table(
    game: Game,
    data: Tree | View | Mapping[str, View],
    *,
    batch_size: int,
    accumulate: int = 1,
    seed: int = 0,
    bf16: bool = False,
    device: str | torch.device = "cpu",
    processes: Processes = ALONE,
) -> Table:
    """A game with the data it is played on: a tensor of rows, a view, or several views by name."""
    views = _views(data)
    device = torch.device(device)
    dealer = Dealer(views, game.to(device).representation, seed, device, processes)
    return Table(game, dealer, game.updaters(), Statistics(), batch_size, accumulate, bf16)


def _views(data: Tree | View | Mapping[str, View]) -> Mapping[str, View]:
    if isinstance(data, Mapping) and all(_is_view(view) for view in data.values()):
        return data
    return {"train": cast(View, data) if _is_view(data) else TensorView(data)}


def _is_view(data: object) -> bool:
    return hasattr(data, "take") and not isinstance(data, Tensor)


def play(table: Table, rounds: int, watch: Callable[[State], None] | None = None) -> State:
    """Play ``rounds`` rounds; ``watch`` is called after each with where the game stands.

    The first call prepares the game, and another one goes on with the draws that come next: with constant
    rates ``play(table, 5)`` twice is ``play(table, 10)``. Setting ``state.stopping`` in ``watch`` ends it.
    """
    before = table.played.pop() if table.played else None
    if before is None:
        prepare(table)
    if table.bf16 and "" in check_precision(table).modules:
        table = replace(table, bf16=False)
    if isinstance(before, State):
        state = before
        state.stopping = ""
        state.replan(plan_rounds(table, TrainSection(steps=state.step + rounds), rounds))
    else:
        state = State(plan_rounds(table, TrainSection(steps=rounds), rounds))
    table.played.append(state)
    train(table, state, watch or (lambda state: None))
    return state
