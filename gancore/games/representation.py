"""Representations: what networks take instead of canonical samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from gancore.data.dataset import Batch, View
from gancore.random import evaluation_key, noise
from gancore.trees import Tree, tree_leaves


@dataclass(frozen=True)
class HostStep:
    """What is left of ``decode`` after an exported graph, ``description`` in words.

    ``pieces``: what each token id stands for, if a canonical sample is the pieces of its tokens before the
    first ``end``, joined, without ``prefix`` at its start, and cut between characters to ``max_bytes`` of
    UTF-8. None: the graph's user has to know.
    """

    description: str
    pieces: Sequence[str] | None = None
    end: int = 0
    prefix: str = ""
    max_bytes: int | None = None


class Representation(nn.Module):
    """A transform of canonical samples (``encode``) with a way back (``decode``), fitted on train.

    ``fit`` writes to buffers whose shapes the spec gives, or that ``data_shaped`` names
    (:func:`gancore.nn.resize_buffers`). ``many_to_one``: ``decode`` is not the inverse of
    ``encode``. ``lower_bound``: ``encode`` adds noise, so that likelihoods become lower bounds.
    ``amplifies_rounding``: ``decode`` is an iteration in which rounding errors grow, so that two machines
    agree on its inputs better than on its outputs.
    """

    many_to_one: bool = False
    lower_bound: bool = False
    amplifies_rounding: bool = False

    def fit(self, train: View) -> None:
        """Learn statistics from train."""

    def encode(self, batch: Batch) -> Batch:
        """From canonical samples to the networks' inputs; the condition is kept."""
        raise TypeError(f"{type(self).__name__} must define encode(batch)")

    def decode(self, outputs: Tree) -> Tree:
        """From a generator's outputs to canonical samples; may be many-to-one."""
        raise TypeError(f"{type(self).__name__} must define decode(outputs)")

    def decode_tensors(self, outputs: Tree) -> Tree:
        """The part of ``decode`` that an exported graph computes: tensor operations for any batch size, which
        may ask ``torch.compiler.is_exporting()``. By default all of it; ``host_step`` says what is left.
        """
        return self.decode(outputs)

    def host_step(self) -> HostStep | None:
        """What ``decode`` does after ``decode_tensors``; None: nothing."""
        return None

    def preimage(self, batch: Batch) -> Batch:
        """The encoded batch that ``decode`` maps exactly to these samples; by default ``encode(batch)``."""
        return self.encode(batch)

    def log_det(self, batch: Batch) -> Tensor | None:
        """log |det d encode / d sample| per row, in nats; None: likelihoods are not comparable."""
        return None


class Identity(Representation):
    """Canonical samples, unchanged."""

    def encode(self, batch: Batch) -> Batch:
        return batch

    def decode(self, outputs: Tree) -> Tree:
        return outputs

    def log_det(self, batch: Batch) -> Tensor | None:
        first = tree_leaves(batch.data)[0]
        return first.new_zeros(first.shape[0])


CellBounds = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From values to the lower edge and the width of the cell of each."""


class Dequantization(Representation):
    """Uniform dequantization: ``encode`` gives l(x) + w(x) u, u ~ U(0, 1), over the cell of each number.

    For any density q of encoded samples, by Jensen's inequality (Theis et al. 2016, section 3.1),

        log P(cell of x) = log int_cell q >= E_u log q(l + w u) + sum log w,

    so E_u log q(encode(x)) is a lower bound of log P(cell) - sum log w, the log density that is uniform
    within each cell. It is at most -sum log w, however often a value recurs. In evaluation u is the same for
    every row and at every call.

    ``cells`` must be a pure function. Decoded numbers are clamped to ``low`` ... ``high``.
    """

    many_to_one = True
    lower_bound = True

    def __init__(self, cells: CellBounds, low: float = -math.inf, high: float = math.inf) -> None:
        super().__init__()
        self.cells, self.low, self.high = cells, low, high

    def encode(self, batch: Batch) -> Batch:
        x = batch.data
        low, width = self.cells(x)
        if self.training:
            u = noise(len(x), x.device).uniform(*x.shape)
        else:
            u = evaluation_key("dequantise", device=x.device).uniform(1, *x.shape[1:])
        return Batch(low + width * u, batch.condition)

    def preimage(self, batch: Batch) -> Batch:
        return batch

    def decode(self, outputs: Tensor) -> Tensor:
        return outputs.clamp(self.low, self.high)

    def log_det(self, batch: Batch) -> Tensor:
        """0, because edges and widths have the unit of the samples."""
        zeros: Tensor = batch.data.new_zeros(len(batch))
        return zeros
