"""A small causal transformer, over whole sequences and one time step at a time with a cache."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from gancore.errors import ConfigError
from gancore.nn.dropout import Dropout

Cache = tuple[Tensor, ...]
"""Keys and values of each layer, (rows, heads, positions, size of a head) each: k_1, v_1, k_2, v_2, ..."""


class Transformer(nn.Module):
    """A causal transformer (Vaswani et al. 2017), normalized before each sublayer (Radford et al. 2019).

    (rows, time, in_features) to the same shape; output t depends on inputs up to t. Position 0 is a learned
    first input, or with ``condition``, the size of a vector per row, a linear function of that vector.
    Attention is two matrix products, so that it can be differentiated twice, as penalties need.

    ``length``: the largest number of time steps. ``dropout`` is keyed (:class:`gancore.nn.Dropout`) and acts
    on the output of each sublayer; attention weights are not dropped.

    Raises:
        ConfigError: ``heads`` does not divide ``in_features``.
    """

    def __init__(
        self,
        in_features: int,
        length: int,
        layers: int = 2,
        heads: int = 4,
        condition: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if in_features % heads:
            raise ConfigError(
                f"a transformer of width {in_features} has {heads} heads",
                "give a number of heads that divides the width",
            )
        self.in_features = self.out_features = in_features
        self.length = length
        self.layers = nn.ModuleList(_Layer(in_features, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(in_features)
        self.positions = nn.Parameter(0.02 * torch.randn(length + 1, in_features))
        self.first = (
            nn.Linear(condition, in_features) if condition else nn.Parameter(torch.zeros(in_features))
        )

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        first = self._first_inputs(len(x), condition)
        return self.advance(self._empty_cache(len(x)), torch.cat([first, x], 1))[0][:, 1:]

    def initial(self, rows: int, condition: Tensor | None = None) -> Cache:
        """The state before the first step: the cache of position 0."""
        return self.advance(self._empty_cache(rows), self._first_inputs(rows, condition))[1]

    def step(self, state: Cache, x: Tensor) -> tuple[Tensor, Cache]:
        """(rows, in_features) to (rows, in_features) and the next state; ``state`` is not changed."""
        outputs, state = self.advance(state, x[:, None])
        return outputs[:, 0], state

    def advance(self, state: Cache, x: Tensor) -> tuple[Tensor, Cache]:
        """(rows, time, in_features) to outputs of this shape and the state after them.

        Raises:
            ValueError: more than ``length`` time steps.
        """
        start, stop = state[0].shape[2], state[0].shape[2] + x.shape[1]
        if stop > len(self.positions):
            raise ValueError(f"{stop - 1} time steps, and this transformer has length={self.length}")
        visible = torch.ones(stop - start, stop, dtype=torch.bool, device=x.device).tril(start)
        x, cache = x + self.positions[start:stop], []
        for k, layer in enumerate(self.layers):
            x, keys_values = layer(x, state[2 * k : 2 * k + 2], visible)
            cache += keys_values
        outputs: Tensor = self.norm(x)
        return outputs, tuple(cache)

    def _first_inputs(self, rows: int, condition: Tensor | None) -> Tensor:
        first = self.first(condition) if isinstance(self.first, nn.Linear) else self.first.expand(rows, -1)
        return first[:, None]

    def _empty_cache(self, rows: int) -> Cache:
        layer = cast(_Layer, self.layers[0])
        empty = self.positions.new_empty(rows, layer.heads, 0, self.in_features // layer.heads)
        return (empty,) * (2 * len(self.layers))


class _Layer(nn.Module):
    """x + attention(norm x), then x + two dense layers of (norm x)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.dense_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.projections = nn.Linear(width, 3 * width)  # queries, keys, values
        self.output = nn.Linear(width, width)
        self.dense = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, past: Cache, visible: Tensor) -> tuple[Tensor, list[Tensor]]:
        rows, time, width = x.shape
        split = self.projections(self.attention_norm(x)).view(rows, time, 3, self.heads, width // self.heads)
        queries, keys, values = split.permute(2, 0, 3, 1, 4)  # (rows, heads, time, size) each
        keys = torch.cat([past[0].to(keys.dtype), keys], 2)
        values = torch.cat([past[1].to(values.dtype), values], 2)
        scores = queries @ keys.transpose(2, 3) / math.sqrt(queries.shape[-1])
        weights = scores.masked_fill(~visible, -torch.inf).softmax(-1)
        attended = (weights.to(values.dtype) @ values).transpose(1, 2).reshape(rows, time, width)
        x = x + self.dropout(self.output(attended))
        return x + self.dropout(self.dense(self.dense_norm(x))), [keys, values]
