"""Generators of token sequences, driven whole or one token at a time."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from gancore.errors import ConfigError
from gancore.nn.autoregressive import (
    SAMPLING_BATCH,
    log_prob_in_chunks,
    sample_categorical,
    token_log_probs,
)
from gancore.nn.dropout import Dropout
from gancore.random import Key

State = tuple[Tensor, ...]
"""What a trunk keeps from one time step to the next; the rows are on axis 0 of every tensor."""


class SteppingTrunk(Protocol):
    """A causal network that can be stepped with gradients: :class:`gancore.nn.Recurrent`,
    :class:`gancore.nn.RelationalMemory`, :class:`gancore.nn.Transformer`, :class:`gancore.nn.CausalStack`.

    Called on (rows, time, in_features) it gives (rows, time, out_features). From ``initial(rows, condition)``
    on, ``step(state, x)`` gives the same for one time step, and the next state.
    """

    in_features: int
    out_features: int

    def __call__(self, x: Tensor, condition: Tensor | None = None) -> Tensor: ...

    def initial(self, rows: int, condition: Tensor | None = None) -> State: ...

    def step(self, state: State, x: Tensor) -> tuple[Tensor, State]: ...


class SequenceGenerator(nn.Module):
    """p(x | c, z) = prod_t p(x_t | x_1 ... x_(t-1), c, z) over sequences of ``length`` tokens.

    The trunk reads embeddings of the tokens before t; the logits of t are products of its output with the
    same embeddings (Press and Wolf 2017) plus a bias. ``end`` is the token that ends a sequence, and the
    padding after it; the first one is part of the sequence. None: every sequence has ``length`` tokens.

    The trunk is conditioned on a vector: latents z of size ``latent``, and a condition c, which ``condition``
    embeds (``nn.Embedding(classes, size)``). Build the trunk with ``condition=latent + size``. With latents
    there is no log p(x), only log p(x | z).
    """

    preferred_batch = SAMPLING_BATCH

    def __init__(
        self,
        trunk: SteppingTrunk,
        vocab_size: int,
        length: int,
        end: int | None = None,
        latent: int = 0,
        condition: nn.Module | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.trunk, self.vocab_size, self.length, self.end = trunk, vocab_size, length, end
        self.latent, self.condition = latent, condition
        self.embedding = nn.Parameter(torch.randn(vocab_size, trunk.in_features) / trunk.in_features**0.5)
        self.start = nn.Parameter(torch.zeros(trunk.in_features))
        self.output = nn.Linear(trunk.out_features, trunk.in_features)
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        self.dropout = Dropout(dropout)

    @property
    def has_likelihood(self) -> bool:
        """Whether :meth:`log_prob` is log p(x)."""
        return self.latent == 0

    def embed(self, tokens: Tensor) -> Tensor:
        """Ids (...) or simplex rows (..., vocab_size) to embeddings (..., in_features)."""
        if tokens.is_floating_point():
            return tokens @ self.embedding.to(tokens.dtype)
        return nn.functional.embedding(tokens, self.embedding)

    def initial(self, rows: int, condition: Tensor | None = None, latents: Tensor | None = None) -> State:
        """The state before the first token; ``latents`` (rows, latent)."""
        return self.trunk.initial(rows, self._vector(condition, latents))

    def step(self, state: State, tokens: Tensor | None) -> tuple[Tensor, State]:
        """Logits (rows, vocab_size) of the next token, and the next state; differentiable.

        ``tokens``: the tokens before it, ids (rows) or simplex rows (rows, vocab_size); None: there are none.
        """
        inputs = self.start.expand(len(state[0]), -1) if tokens is None else self.embed(tokens)
        outputs, state = self.trunk.step(state, self.dropout(inputs))
        return self.head(outputs), state

    def features(
        self, tokens: Tensor, condition: Tensor | None = None, latents: Tensor | None = None
    ) -> Tensor:
        """Outputs of the trunk, (rows, time, out_features); those of t depend on the tokens before t."""
        start = self.start.expand(len(tokens), 1, -1)
        inputs = torch.cat([start, self.embed(tokens[:, :-1])], 1)
        return self.trunk(self.dropout(inputs), self._vector(condition, latents))

    def head(self, features: Tensor) -> Tensor:
        """Outputs of the trunk (..., out_features) to logits (..., vocab_size)."""
        return linear(self.output(self.dropout(features)), self.embedding, self.bias)

    def logits(
        self, tokens: Tensor, condition: Tensor | None = None, latents: Tensor | None = None
    ) -> Tensor:
        """(rows, time) to (rows, time, vocab_size); those of t depend on the tokens before t."""
        return self.head(self.features(tokens, condition, latents))

    def log_probs(
        self, tokens: Tensor, condition: Tensor | None = None, latents: Tensor | None = None
    ) -> Tensor:
        """log p(x_t | x_<t, c, z), in nats, (rows, time); 0 after the first end."""
        log_probs = token_log_probs(self.logits(tokens, condition, latents), tokens)
        return torch.where(self.mask(tokens, condition), log_probs, 0.0)

    def log_prob(
        self, tokens: Tensor, condition: Tensor | None = None, latents: Tensor | None = None
    ) -> Tensor:
        """log p(x | c, z), exact, in nats, (rows); -inf if anything but ends follows the first end."""
        size = self.length * self.vocab_size
        log_prob = log_prob_in_chunks(self.log_probs, size, tokens, condition, latents)
        if self.end is None:
            return log_prob
        ends_well = (until_end(tokens, self.end) | (tokens == self.end)).all(1)
        return torch.where(ends_well, log_prob, -torch.inf)

    def mask(self, tokens: Tensor, condition: Tensor | None = None) -> Tensor:
        """True for tokens that the generator chose: up to the first end, that one included
        (:func:`until_end`). A generator whose condition gives some of the tokens leaves those out.
        """
        return until_end(tokens, self.end)

    @torch.no_grad()
    def sample(self, n: int, key: Key, condition: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """(n, length), int64; row i is a function of the key's row i. ``temperature`` divides the logits."""
        uniform = (key / "x").uniform(n, self.length)
        prefix = torch.empty(n, 0, dtype=torch.int64, device=uniform.device)
        state = self.initial(n, condition, self.draw_latents(n, key))
        return self.complete(prefix, state, uniform, temperature)

    @torch.no_grad()
    def complete(self, prefix: Tensor, state: State, uniform: Tensor, temperature: float = 1.0) -> Tensor:
        """Sequences (rows, length) that begin with ``prefix`` (rows, start), int64.

        ``state``: after all tokens of the prefix but the last. ``uniform`` (rows, length - start) are the
        quantiles of the tokens after it.
        """
        (rows, start), end = prefix.shape, self.end
        tokens = prefix.new_full((rows, self.length), end or 0)
        tokens[:, :start] = prefix
        before = prefix[:, -1] if start else None
        ended = (prefix == (-1 if end is None else end)).any(1)
        for t in range(start, self.length):
            logits, state = self.step(state, before)
            drawn = sample_categorical(logits.float() / temperature, uniform[:, t - start])
            if end is not None:
                drawn = torch.where(ended, end, drawn)
                ended = ended | (drawn == end)
            before = tokens[:, t] = drawn
            if end is not None and bool(ended.all()):
                break
        return tokens

    def draw_latents(self, n: int, key: Key) -> Tensor | None:
        """Standard normal latents, (n, latent); None if there are none."""
        return (key / "z").normal(n, self.latent) if self.latent else None

    def _vector(self, condition: Tensor | None, latents: Tensor | None) -> Tensor | None:
        """What the trunk is conditioned on, (rows, size). Raises ConfigError: a part of it is missing."""
        if (latents is None) == (self.latent > 0):
            given = "no latents" if self.latent else "latents"
            raise ConfigError(
                f"a sequence generator with latent={self.latent} was given {given}",
                "give latents of this size; p(x) itself is available with latent=0 alone",
            )
        parts = [] if latents is None else [latents]
        if self.condition is not None:
            parts.append(self.condition(condition))
        return torch.cat(parts, 1) if parts else None


def until_end(tokens: Tensor, end: int | None) -> Tensor:
    """True up to the first ``end``, that one included, (rows, time); None: True everywhere.

    ``tokens``: ids (rows, time), or simplex rows (rows, time, vocabulary), read by their largest entry.
    """
    if tokens.is_floating_point():
        tokens = tokens.argmax(-1)
    if end is None:
        return torch.ones_like(tokens, dtype=torch.bool)
    ends = (tokens == end).int()
    return ends.cumsum(1) - ends == 0
