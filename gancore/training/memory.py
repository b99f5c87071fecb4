"""Before round 0: does a part of a batch fit into memory? Linux ends a program that takes too much."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from gancore.errors import ConfigError
from gancore.games.draw import Dealer
from gancore.games.field import Field, Table
from gancore.games.game import Move
from gancore.games.statistics import Statistics
from gancore.training.table import all_tensors

MANY_ROWS = 256
"""Parts of no more rows are not looked at."""
TRIED_ROWS = 24, 48
"""So few rows and so many are tried, whatever the batch: what the second need more is the need of rows.
Both are multiples of what packed rows come in.
"""


def check_memory(table: Table) -> None:
    """Measures what a few rows keep for the backward pass, the least that a round of many rows needs.

    Raises:
        ConfigError: a part of a batch needs more memory than there is.
    """
    rows = table.batch_size // table.joiner.all_parts
    room = available_bytes(table.dealer.key.device)
    if rows <= MANY_ROWS or room is None:
        return
    need = rows * _bytes_a_row(table) * (0.5 if table.bf16 else 1.0)
    if need > room:
        raise ConfigError(
            f"a round of model.batch_size={table.batch_size} in {table.joiner.all_parts} part(s) needs "
            f"{need / 1e9:,.0f} GB of memory at least, and {room / 1e9:,.1f} GB are free",
            "make model.batch_size smaller, or model.accumulate larger "
            f"(at least {math.ceil(table.accumulate * need / room)})",
        )


def available_bytes(device: torch.device) -> int | None:
    """What a program may still take on ``device``; None: not known."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def _bytes_a_row(table: Table) -> float:
    """Of the move that keeps most, what rows alone make it keep; 0 where it cannot be measured."""
    before = [tensor.detach().clone() for tensor in all_tensors(table)]
    few, many = TRIED_ROWS
    try:
        pairs = zip(_kept_by_moves(table, few), _kept_by_moves(table, many), strict=True)
        return max([0.0, *((more - less) / (many - few) for less, more in pairs)])
    except Exception:  # a cost may refuse so few rows in its own way; what is wrong the first round says
        return 0.0
    finally:
        with torch.no_grad():
            for tensor, old in zip(all_tensors(table), before, strict=True):
                tensor.copy_(old)


def _kept_by_moves(table: Table, rows: int) -> list[float]:
    """Bytes for each move of each phase, on a batch of so many rows."""
    dealer = table.dealer
    alone = Dealer(dealer.views, dealer.encoded_by, dealer.seed, dealer.key.device)
    small = replace(
        table, dealer=alone, batch_size=rows, accumulate=1, bf16=False, statistics=Statistics(), played=[]
    )
    return [
        _kept_bytes(Field(small, phase, 0, 0, 0.0), index, move)
        for phase in table.game.phases
        for index, move in enumerate(phase.moves)
    ]


def _kept_bytes(field: Field, index: int, move: Move) -> float:
    """Of the tensors that the backward pass of this move needs, the networks' own left out."""
    with _saved() as sizes:
        field.gradient(move, field.draw(index))
    own = {tensor.untyped_storage().data_ptr() for tensor in all_tensors(field.table)}
    return float(sum(size for place, size in sizes.items() if place not in own))


@contextmanager
def _saved() -> Iterator[dict[int, int]]:
    """Bytes by address of what is saved for backward passes meanwhile."""
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield sizes
