"""Before round 0: every player can learn from its cost, and a batch cut in parts is the same batch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from gancore.errors import ConfigError
from gancore.games.draw import Dealer
from gancore.games.field import Field, Table
from gancore.games.game import Move, Phase
from gancore.games.gradient import Gradient
from gancore.games.statistics import Statistics
from gancore.runtime.randomness import Key
from gancore.training.table import all_tensors

NUDGE = 0.05
"""How far parameters are moved, as a share of N(0, 1), where the initial ones may hide something."""
APART = 1e-3
"""Gradients of a batch and of its parts differ by less, relatively, where rows are apart: rounding in
fp32 makes about a hundred-thousandth."""


def check_costs(table: Table) -> None:
    """One evaluation of each main cost, and of parts beside a whole batch where the run cuts batches.

    Everything on the table is afterwards as it was before.

    Raises:
        ConfigError: a player's gradient is exactly 0, it or the cost is not finite, or a cost couples
            rows and the game does not state it.
    """
    before = [tensor.detach().clone() for tensor in all_tensors(table)]
    table = replace(table, bf16=False)  # about the costs, not about kernels of half precision
    try:
        for phase, index, move in _distinct(table):
            if move.every == 1:
                _require_gradient(table, phase, index, move)
            if table.joiner.all_parts > 1 and not table.game.batch_coupled:
                _require_parts(table, phase, index, move)
    finally:
        with torch.no_grad():
            for tensor, old in zip(all_tensors(table), before, strict=True):
                tensor.copy_(old)


def _distinct(table: Table) -> Iterator[tuple[Phase, int, Move]]:
    """Each move of the game once, with its first place."""
    seen: set[Move] = set()
    for phase in table.game.phases:
        for index, move in enumerate(phase.moves):
            if move not in seen:
                seen.add(move)
                yield phase, index, move


def _require_gradient(table: Table, phase: Phase, index: int, move: Move) -> None:
    gradient = _gradient(table, phase, index, move)
    size = _size(gradient)
    if size == 0:  # a last layer of zeros hides the gradient of those before it
        size = _size(_gradient(table, phase, index, move, nudged=True))
    if size == 0:
        raise ConfigError(
            f"the cost {move.cost!r} gives player {move.player!r} a gradient of exactly 0",
            "let the cost depend on what the player's networks give, without detach() on the way",
        )
    values = [float(gradient.means[name]) for name in gradient.terms]
    if not all(map(math.isfinite, [size, *values])):
        raise ConfigError(
            f"the cost {move.cost!r} of player {move.player!r} or its gradient is not finite in round 0",
            "look for a division by 0, a logarithm of 0 or data that are not finite",
        )


def _gradient(table: Table, phase: Phase, index: int, move: Move, nudged: bool = False) -> Gradient:
    field = Field(table, phase, 0, 0, 0.5 if nudged else 0.0)
    return field.gradient(move, field.draw(index), nudge(table) if nudged else None)


def nudge(table: Table) -> dict[str, Tensor]:
    """All parameters of the players a little moved, by name."""
    key = Key.of("nudge", device=table.dealer.key.device)
    pairs = [(n, p) for u in table.updaters.values() for n, p in zip(u.names, u.params, strict=True)]
    return {name: p + NUDGE * (key / name).normal(*p.shape).to(p.dtype) for name, p in pairs}


def _size(gradient: Gradient) -> float:
    """Its largest entry; NaN where an entry is NaN."""
    largest = [g.abs().max() for g in gradient.tensors if g is not None and g.numel()]
    return float(torch.stack([x.float() for x in largest]).max()) if largest else 0.0


def _require_parts(table: Table, phase: Phase, index: int, move: Move) -> None:
    """On twice the rows of one part, so that it takes no more memory than two micro-batches do."""
    rows = 2 * table.batch_size // table.joiner.all_parts
    if coupling(table, phase, index, move, rows) > APART:
        raise ConfigError(
            f"the cost {move.cost!r} of player {move.player!r} couples the rows of a batch:"
            " parts of a batch would train another model",
            "keep rows apart, or set batch_coupled = True on the game (in AdversarialLoss, of a loss),"
            " and train on one process with model.accumulate=1",
        )


def coupling(table: Table, phase: Phase, index: int, move: Move, rows: int) -> float:
    """How far the gradient of ``rows`` rows is from that of its two halves, relative to its norm."""
    dealer = table.dealer
    alone = Dealer(dealer.views, dealer.encoded_by, dealer.seed, dealer.key.device)
    whole = replace(table, dealer=alone, batch_size=rows, accumulate=1, bf16=False, statistics=Statistics())
    vectors = [
        _gradient(replace(whole, accumulate=parts), phase, index, move, nudged=True).dense(
            table.updaters[move.player].params
        )
        for parts in (1, 2)
    ]
    one, two = (torch.cat([g.detach().flatten().double() for g in vector]) for vector in vectors)
    return float((one - two).norm() / one.norm().clamp_min(1e-30))
