"""Categorical models of sequences, one element after another: exact likelihoods, and samples step by step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from gancore.runtime.randomness import Key

ROWS = 64
"""Sequences that are sampled at once, and with every other number of them they would round otherwise."""
AT_ONCE = 1 << 24
"""Logits that are held at once where there is no gradient."""


class Trunk(Protocol):
    """A causal network: :class:`gancore.nn.causal.CausalStack`, :class:`gancore.nn.recurrent.Recurrent`.

    Called on (batch, time, inputs) it gives (batch, time, outputs), where t hangs on inputs up to t alone;
    ``steps`` goes along sequences and gives the same, (rows, outputs) for (rows, inputs) at each step.
    """

    inputs: int
    outputs: int

    def __call__(self, x: Tensor, condition: Tensor | None = None) -> Tensor: ...

    def steps(self, rows: int, condition: Tensor | None = None) -> Callable[[Tensor], Tensor]: ...


class Autoregressive(nn.Module):
    """log p(x | c) = sum_t log p(x_t | x_1 ... x_(t-1), c) over sequences of ``length`` tokens from 0 to
    ``alphabet`` - 1: a start token and what came before it, embedded, go through the ``trunk``, and the
    ``head`` makes logits of what comes out.

    ``condition`` makes the vector that the trunk is told of a condition: ``nn.Embedding(classes, size)``.
    """

    unit = ROWS

    def __init__(
        self, trunk: Trunk, head: nn.Module, alphabet: int, length: int, condition: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.trunk, self.head, self.told = trunk, head, condition
        self.alphabet, self.length = alphabet, length
        self.embedding = nn.Embedding(alphabet + 1, trunk.inputs)  # the last is the start token

    def logits(self, tokens: Tensor, condition: Tensor | None = None) -> Tensor:
        """(batch, time) to (batch, time, alphabet): those of t know tokens before t."""
        start = torch.full_like(tokens[:, :1], self.alphabet)
        given = self.embedding(torch.cat([start, tokens[:, :-1]], 1))
        logits: Tensor = self.head(self.trunk(given, self._told(condition)))
        return logits

    def log_probs(self, tokens: Tensor, condition: Tensor | None = None) -> Tensor:
        """log p(x_t | x_<t, c), in nats, (batch, time)."""
        logits = self.logits(tokens, condition)
        exact = torch.promote_types(logits.dtype, torch.float32)
        return log_softmax(logits, -1, dtype=exact).gather(-1, tokens[..., None])[..., 0]

    def log_prob(self, tokens: Tensor, condition: Tensor | None = None) -> Tensor:
        """log p(x | c), exact, in nats, (batch); without gradient some rows at a time, as many as fit."""
        if torch.is_grad_enabled():
            return self.log_probs(tokens, condition).sum(1)
        rows = max(1, AT_ONCE // (self.length * self.alphabet))
        parts = [slice(at, at + rows) for at in range(0, len(tokens), rows)]
        told = [None if condition is None else condition[part] for part in parts]
        each = [self.log_probs(tokens[part], c) for part, c in zip(parts, told, strict=True)]
        return torch.cat([log_probs.sum(1) for log_probs in each])

    @torch.no_grad()
    def sample(self, n: int, key: Key, condition: Tensor | None = None) -> Tensor:
        """(n, length), int64: row i is a function of the key's row i."""
        uniform = (key / "x").uniform(n, self.length)
        tokens = torch.full((n, self.length + 1), self.alphabet, device=uniform.device)
        step = self.trunk.steps(n, self._told(condition))
        for t in range(self.length):
            outputs = step(self.embedding(tokens[:, t]))
            tokens[:, t + 1] = drawn(self.head(outputs), uniform[:, t])
        return tokens[:, 1:]

    def _told(self, condition: Tensor | None) -> Tensor | None:
        return None if self.told is None else self.told(condition)


def drawn(logits: Tensor, uniform: Tensor) -> Tensor:
    """The class in whose stretch of the cumulative distribution ``uniform`` lies: (n, classes), (n) to (n).

    Weights are counted in 2^-40 of the largest: sums of integers are the same in any order, and on every
    device. Classes of less are never drawn.
    """
    weights = (logits - logits.amax(1, keepdim=True)).exp()
    edges = (weights * 2.0**40).long().cumsum(1)
    point = (uniform.double() * edges[:, -1]).long()  # below the last edge, as uniform is below 1
    return torch.searchsorted(edges, point[:, None], right=True)[:, 0]


@torch.no_grad()
def ordered_(weight: Tensor, waves: float = 10.0) -> None:
    """Begin with a row for each of many tokens in order such that neighbours are alike, in place.

    Column j is c sin(w_j s + b_j) of a row's place s, from -1 to 1, with w_j ~ N(0, ``waves``^2), b_j uniform
    (random features: Rahimi and Recht 2007), and c such that entries stay as large as they were.
    """
    rows, columns = weight.shape
    place = torch.linspace(-1, 1, rows)[:, None].to(weight)
    frequency, phase = waves * torch.randn(columns), 2 * math.pi * torch.rand(columns)
    scale = math.sqrt(2) * weight.std()
    weight.copy_(scale * torch.sin(place * frequency.to(weight) + phase.to(weight)))
