"""Autoregressive models of token sequences: exact likelihoods, and samples token by token."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from gancore.random import Key

SAMPLING_BATCH = 64
"""Sequences sampled at once. Another number gives other rounding errors, so it is fixed."""
MAX_LOGITS = 1 << 24
"""Limit of the logits held at once without gradient."""


class CausalTrunk(Protocol):
    """A causal network: :class:`gancore.nn.causal.CausalStack`, :class:`gancore.nn.recurrent.Recurrent`.

    Called on (batch, time, in_features) it gives (batch, time, out_features); the output at t depends on
    inputs up to t. ``stepper`` returns a function that gives the same one time step per call, from (rows,
    in_features) to (rows, out_features).
    """

    in_features: int
    out_features: int

    def __call__(self, x: Tensor, condition: Tensor | None = None) -> Tensor: ...

    def stepper(self, num_rows: int, condition: Tensor | None = None) -> Callable[[Tensor], Tensor]: ...


class Autoregressive(nn.Module):
    """log p(x | c) = sum_t log p(x_t | x_1 ... x_(t-1), c) over sequences of ``length`` tokens from 0 to
    ``vocab_size`` - 1.

    A start token and the tokens before t are embedded; the ``trunk`` and then the ``head`` give the logits of
    t. ``condition`` embeds a label for the trunk: ``nn.Embedding(classes, size)``.
    """

    preferred_batch = SAMPLING_BATCH

    def __init__(
        self,
        trunk: CausalTrunk,
        head: nn.Module,
        vocab_size: int,
        length: int,
        condition: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.trunk, self.head, self.condition_embedding = trunk, head, condition
        self.vocab_size, self.length = vocab_size, length
        self.embedding = nn.Embedding(vocab_size + 1, trunk.in_features)  # the last is the start token

    def logits(self, tokens: Tensor, condition: Tensor | None = None) -> Tensor:
        """(batch, time) to (batch, time, vocab_size); those of t depend on the tokens before t."""
        start = torch.full_like(tokens[:, :1], self.vocab_size)
        inputs = self.embedding(torch.cat([start, tokens[:, :-1]], 1))
        logits: Tensor = self.head(self.trunk(inputs, self._embed_condition(condition)))
        return logits

    def log_probs(self, tokens: Tensor, condition: Tensor | None = None) -> Tensor:
        """log p(x_t | x_<t, c), in nats, (batch, time)."""
        return token_log_probs(self.logits(tokens, condition), tokens)

    def log_prob(self, tokens: Tensor, condition: Tensor | None = None) -> Tensor:
        """log p(x | c), exact, in nats, (batch); without gradient in chunks of at most MAX_LOGITS logits."""
        return log_prob_in_chunks(self.log_probs, self.length * self.vocab_size, tokens, condition)

    @torch.no_grad()
    def sample(self, n: int, key: Key, condition: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """(n, length), int64; row i is a function of the key's row i. ``temperature`` divides the logits."""
        uniform = (key / "x").uniform(n, self.length)
        tokens = torch.full((n, self.length + 1), self.vocab_size, device=uniform.device)
        step = self.trunk.stepper(n, self._embed_condition(condition))
        for t in range(self.length):
            outputs = step(self.embedding(tokens[:, t]))
            tokens[:, t + 1] = sample_categorical(self.head(outputs) / temperature, uniform[:, t])
        return tokens[:, 1:]

    def _embed_condition(self, condition: Tensor | None) -> Tensor | None:
        return None if self.condition_embedding is None else self.condition_embedding(condition)


def token_log_probs(logits: Tensor, tokens: Tensor) -> Tensor:
    """log softmax of (rows, time, classes) at the tokens (rows, time), in fp32 or better."""
    exact = torch.promote_types(logits.dtype, torch.float32)
    return log_softmax(logits, -1, dtype=exact).gather(-1, tokens[..., None])[..., 0]


def log_prob_in_chunks(
    log_probs: Callable[..., Tensor], logits_per_row: int, tokens: Tensor, *others: Tensor | None
) -> Tensor:
    """The sum over time of ``log_probs(tokens, *others)``, (rows); without gradient at most MAX_LOGITS logits
    at once."""
    if torch.is_grad_enabled():
        return log_probs(tokens, *others).sum(1)
    rows = max(1, MAX_LOGITS // logits_per_row)
    chunks = [slice(start, start + rows) for start in range(0, len(tokens), rows)]
    return torch.cat(
        [
            log_probs(tokens[chunk], *(None if other is None else other[chunk] for other in others)).sum(1)
            for chunk in chunks
        ]
    )


def sample_categorical(logits: Tensor, uniform: Tensor) -> Tensor:
    """The class at the quantile ``uniform`` of the categorical distribution: (n, classes), (n) to (n).

    Weights are integers in units of 2^-40 of the largest, so that their sums are equal in any order and on
    every device. Classes of a smaller weight are never drawn.
    """
    weights = (logits - logits.amax(1, keepdim=True)).exp()
    edges = (weights * 2.0**40).long().cumsum(1)
    quantile = (uniform.double() * edges[:, -1]).long()  # below the last edge, as uniform is below 1
    return torch.searchsorted(edges, quantile[:, None], right=True)[:, 0]


@torch.no_grad()
def init_ordered_(weight: Tensor, frequency_std: float = 10.0) -> None:
    """Initialise an embedding of ordered tokens in place, such that neighbouring rows are similar.

    Column j is c sin(w_j s + b_j) of a row's position s, from -1 to 1, with w_j ~ N(0, ``frequency_std``^2),
    b_j uniform (random features: Rahimi and Recht 2007), and c such that the entries keep their standard
    deviation.
    """
    rows, columns = weight.shape
    position = torch.linspace(-1, 1, rows)[:, None].to(weight)
    frequency, phase = frequency_std * torch.randn(columns), 2 * math.pi * torch.rand(columns)
    scale = math.sqrt(2) * weight.std()
    weight.copy_(scale * torch.sin(position * frequency.to(weight) + phase.to(weight)))
