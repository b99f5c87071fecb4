"""Checks before step 0: gradients of all players, coupling of the rows of a batch, memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from gancore.errors import ConfigError
from gancore.games.draw import BatchSource
from gancore.games.game import Move, Phase
from gancore.games.gradient import Gradient
from gancore.games.training_setup import ScalarMeans, TrainingSetup
from gancore.games.training_step import TrainingStep
from gancore.random import evaluation_key
from gancore.runtime.device import available_memory_bytes
from gancore.training.setup import restored, state_tensors

PERTURBATION = 0.05
"""Standard deviation of the perturbation used where the initial parameters give a zero gradient."""
MAX_COUPLING = 1e-3
"""Largest relative difference between gradients of a batch and of its parts if rows are independent: rounding
in fp32 makes about a hundred-thousandth."""
MIN_CHECKED_ROWS = 256
"""The memory of parts of no more rows is not checked."""
TRIAL_ROWS = 24, 48
"""The two batch sizes on which memory is measured: their difference is what rows need. Both are multiples of
the number of rows that packing discriminators take together.
"""


def check_costs(setup: TrainingSetup) -> None:
    """Evaluate each main cost once; where the run cuts batches, compare parts with a whole batch.

    All tensors of the setup are restored.

    Raises:
        ConfigError: a player's gradient is exactly 0, it or the cost is not finite, or a cost couples
            rows and the game does not state it.
    """
    in_fp32 = replace(setup, bf16=False)  # checks the costs, not the kernels of half precision
    with restored(setup):
        for phase, index, move in _distinct_moves(in_fp32):
            if move.every == 1:
                _check_gradient(in_fp32, phase, index, move)
            if setup.reducer.num_micro_batches > 1 and not setup.game.batch_coupled:
                _check_coupling(in_fp32, phase, index, move)


def _distinct_moves(setup: TrainingSetup) -> Iterator[tuple[Phase, int, Move]]:
    """Each move of the game once, with its first place."""
    visited: set[Move] = set()
    for phase in setup.game.phases:
        for index, move in enumerate(phase.moves):
            if move not in visited:
                visited.add(move)
                yield phase, index, move


def _check_gradient(setup: TrainingSetup, phase: Phase, index: int, move: Move) -> None:
    gradient = _gradient(setup, phase, index, move)
    largest = _max_entry(gradient)
    if largest == 0:  # a last layer of zeros hides the gradient of the layers before it
        largest = _max_entry(_gradient(setup, phase, index, move, perturbed=True))
    if largest == 0:
        raise ConfigError(
            f"the cost {move.cost!r} gives player {move.player!r} a gradient of exactly 0",
            "make the cost depend on the output of the player's networks; check for detach()",
        )
    values = [float(gradient.means[name]) for name in gradient.terms]
    if not all(map(math.isfinite, [largest, *values])):
        raise ConfigError(
            f"the cost {move.cost!r} of player {move.player!r} or its gradient is not finite in step 0",
            "look for a division by 0, a logarithm of 0 or data that are not finite",
        )


def _gradient(
    setup: TrainingSetup, phase: Phase, index: int, move: Move, perturbed: bool = False
) -> Gradient:
    training_step = TrainingStep(setup, phase, 0, 0, 0.5 if perturbed else 0.0)
    return training_step.gradient(
        move, training_step.draw(index), perturbed_parameters(setup) if perturbed else None
    )


def perturbed_parameters(setup: TrainingSetup) -> dict[str, Tensor]:
    """All parameters of the players plus small random numbers, by name."""
    key = evaluation_key("nudge", device=setup.batches.key.device)
    pairs = [(n, p) for u in setup.optimizers.values() for n, p in zip(u.names, u.params, strict=True)]
    return {name: p + PERTURBATION * (key / name).normal(*p.shape).to(p.dtype) for name, p in pairs}


def _max_entry(gradient: Gradient) -> float:
    """Its largest absolute entry; NaN if an entry is NaN."""
    largest = [g.abs().max() for g in gradient.tensors if g is not None and g.numel()]
    return float(torch.stack([x.float() for x in largest]).max()) if largest else 0.0


def _check_coupling(setup: TrainingSetup, phase: Phase, index: int, move: Move) -> None:
    """Uses twice the rows of one part, so that it needs no more memory than two micro-batches."""
    rows = 2 * setup.batch_size // setup.reducer.num_micro_batches
    if row_coupling(setup, phase, index, move, rows) > MAX_COUPLING:
        raise ConfigError(
            f"the cost {move.cost!r} of player {move.player!r} couples the rows of a batch:"
            " parts of a batch would train another model",
            "make it independent for each row, or set batch_coupled = True on the game (in AdversarialLoss,"
            " of a loss), and train on one process with model.micro_batches=1",
        )


def row_coupling(setup: TrainingSetup, phase: Phase, index: int, move: Move, rows: int) -> float:
    """Difference between the gradient of ``rows`` rows and that of their two halves, relative to its norm."""
    whole = _on_small_batch(setup, rows)
    vectors = [
        _gradient(replace(whole, micro_batches=parts), phase, index, move, perturbed=True).materialize(
            setup.optimizers[move.player].params
        )
        for parts in (1, 2)
    ]
    one, two = (torch.cat([g.detach().flatten().double() for g in vector]) for vector in vectors)
    return float((one - two).norm() / one.norm().clamp_min(1e-30))


def _on_small_batch(setup: TrainingSetup, rows: int) -> TrainingSetup:
    """The setup in this process alone, in fp32, with batches of ``rows`` rows."""
    batches = setup.batches
    alone = BatchSource(batches.views, batches.representation, batches.seed, batches.key.device)
    return replace(
        setup,
        batches=alone,
        batch_size=rows,
        micro_batches=1,
        bf16=False,
        scalars=ScalarMeans(),
        resume_state=[],
    )


def check_memory(setup: TrainingSetup) -> None:
    """Check that a batch fits into memory, because Linux kills a process that exceeds it.

    Measures what a few rows keep for the backward pass, the least that a step of many rows needs.

    Raises:
        ConfigError: a part of a batch needs more memory than there is.
    """
    rows = setup.batch_size // setup.reducer.num_micro_batches
    free = available_memory_bytes(setup.batches.key.device)
    if rows <= MIN_CHECKED_ROWS or free is None:
        return
    need = rows * _bytes_per_row(setup) * (0.5 if setup.bf16 else 1.0)
    if need > free:
        raise ConfigError(
            f"a step of model.batch_size={setup.batch_size} in {setup.reducer.num_micro_batches} part(s)"
            f" needs {need / 1e9:,.0f} GB of memory at least, and {free / 1e9:,.1f} GB are free",
            "make model.batch_size smaller, or model.micro_batches larger "
            f"(at least {math.ceil(setup.micro_batches * need / free)})",
        )


def _bytes_per_row(setup: TrainingSetup) -> float:
    """The most that a row makes a move keep for its backward pass; 0 if it cannot be measured."""
    few, many = TRIAL_ROWS
    with restored(setup):
        try:
            pairs = zip(_saved_bytes_per_move(setup, few), _saved_bytes_per_move(setup, many), strict=True)
            return max([0.0, *((more - less) / (many - few) for less, more in pairs)])
        except Exception:  # some costs reject so few rows; a real error will appear in the first step
            return 0.0


def _saved_bytes_per_move(setup: TrainingSetup, rows: int) -> list[float]:
    """Bytes for each move of each phase, on a batch of ``rows`` rows."""
    small = _on_small_batch(setup, rows)
    return [
        _saved_bytes(TrainingStep(small, phase, 0, 0, 0.0), index, move)
        for phase in setup.game.phases
        for index, move in enumerate(phase.moves)
    ]


def _saved_bytes(training_step: TrainingStep, index: int, move: Move) -> float:
    """Bytes of the tensors that the backward pass of this move needs, without the networks' own."""
    with _record_saved_tensors() as sizes:
        training_step.gradient(move, training_step.draw(index))
    own = {tensor.untyped_storage().data_ptr() for tensor in state_tensors(training_step.setup)}
    return float(sum(size for address, size in sizes.items() if address not in own))


@contextmanager
def _record_saved_tensors() -> Iterator[dict[int, int]]:
    """Within, collects what is saved for backward passes: bytes by address."""
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield sizes
