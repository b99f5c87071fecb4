"""Recurrent networks over whole sequences and one time step at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

Cell = Literal["gru", "lstm"]
State = tuple[Tensor, ...]
"""(h) of a GRU, (h, c) of an LSTM; each (batch, layers, out_features)."""


class Recurrent(nn.Module):
    """GRU (Cho et al. 2014) or LSTM (Hochreiter and Schmidhuber 1997), (batch, time, in_features) to
    (batch, time, out_features).

    The initial state is learned. With ``condition``, the size of a vector per row, it is tanh of a linear
    function of that vector.
    """

    def __init__(
        self, in_features: int, out_features: int, layers: int = 1, cell: Cell = "gru", condition: int = 0
    ) -> None:
        super().__init__()
        self.in_features, self.out_features, self.layers = in_features, out_features, layers
        self.num_states = 2 if cell == "lstm" else 1
        kind = nn.LSTM if cell == "lstm" else nn.GRU
        self.body = kind(in_features, out_features, layers, batch_first=True)
        size = self.num_states * layers * out_features
        self.first = nn.Linear(condition, size) if condition else nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.advance(self.initial(len(x), condition), x)[0]

    def initial(self, rows: int, condition: Tensor | None = None) -> State:
        """The state before the first step."""
        flat = self.first(condition) if isinstance(self.first, nn.Linear) else self.first.expand(rows, -1)
        whole: Tensor = flat.tanh().view(rows, self.num_states, self.layers, self.out_features)
        return whole.unbind(1)

    def step(self, state: State, x: Tensor) -> tuple[Tensor, State]:
        """(rows, in_features) to (rows, out_features) and the next state; ``state`` is not changed."""
        outputs, state = self.advance(state, x[:, None])
        return outputs[:, 0], state

    def advance(self, state: State, x: Tensor) -> tuple[Tensor, State]:
        """(rows, time, in_features) to (rows, time, out_features) and the state after them."""
        layers_first = [tensor.transpose(0, 1).contiguous() for tensor in state]
        outputs, after = self.body(x, tuple(layers_first) if self.num_states > 1 else layers_first[0])
        states = after if self.num_states > 1 else (after,)
        if torch.compiler.is_exporting():  # torch 2.11 then gives a state an axis more
            states = tuple(tensor.reshape(self.layers, x.shape[0], self.out_features) for tensor in states)
        return outputs, tuple(tensor.transpose(0, 1) for tensor in states)

    @torch.no_grad()
    def stepper(self, num_rows: int, condition: Tensor | None = None) -> Callable[[Tensor], Tensor]:
        """One time step per call along ``num_rows`` sequences: from its inputs to its outputs."""
        state = self.initial(num_rows, condition)

        @torch.no_grad()
        def step(x: Tensor) -> Tensor:
            nonlocal state
            outputs, state = self.step(state, x)
            return outputs

        return step
