"""Recurrent networks over whole sequences and step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

Cell = Literal["gru", "lstm"]
State = tuple[Tensor, ...]
"""Of a GRU (h), of an LSTM (h, c): each (batch, layers, outputs)."""


class Recurrent(nn.Module):
    """GRU (Cho et al. 2014) or LSTM (Hochreiter and Schmidhuber 1997) of ``layers``, (batch, time, inputs) to
    (batch, time, outputs).

    The first state is learned; with a ``condition``, a vector of so many numbers for each row, it is
    tanh of a linear function of that.
    """

    def __init__(
        self, inputs: int, outputs: int, layers: int = 1, cell: Cell = "gru", condition: int = 0
    ) -> None:
        super().__init__()
        self.inputs, self.outputs, self.layers = inputs, outputs, layers
        self.parts = 2 if cell == "lstm" else 1
        kind = nn.LSTM if cell == "lstm" else nn.GRU
        self.body = kind(inputs, outputs, layers, batch_first=True)
        size = self.parts * layers * outputs
        self.first = nn.Linear(condition, size) if condition else nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.advance(self.initial(len(x), condition), x)[0]

    def initial(self, rows: int, condition: Tensor | None = None) -> State:
        """The state before the first step."""
        flat = self.first(condition) if isinstance(self.first, nn.Linear) else self.first.expand(rows, -1)
        whole: Tensor = flat.tanh().view(rows, self.parts, self.layers, self.outputs)
        return whole.unbind(1)

    def step(self, state: State, x: Tensor) -> tuple[Tensor, State]:
        """(rows, inputs) to (rows, outputs) and the next state; the given one stays as it is."""
        outputs, state = self.advance(state, x[:, None])
        return outputs[:, 0], state

    def advance(self, state: State, x: Tensor) -> tuple[Tensor, State]:
        """(rows, time, inputs) to (rows, time, outputs) and the state after them."""
        given = [part.transpose(0, 1).contiguous() for part in state]
        outputs, after = self.body(x, tuple(given) if self.parts > 1 else given[0])
        parts = after if self.parts > 1 else (after,)
        return outputs, tuple(part.transpose(0, 1) for part in parts)

    @torch.no_grad()
    def steps(self, rows: int, condition: Tensor | None = None) -> Callable[[Tensor], Tensor]:
        """A walk along ``rows`` sequences: it takes the inputs of the next time, and gives its outputs."""
        state = self.initial(rows, condition)

        @torch.no_grad()
        def step(x: Tensor) -> Tensor:
            nonlocal state
            outputs, state = self.step(state, x)
            return outputs

        return step
