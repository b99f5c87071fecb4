"""A relational memory, over whole sequences and one time step at a time."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

State = tuple[Tensor, ...]
"""(memory), (rows, slots, heads * head_size)."""


class RelationalMemory(nn.Module):
    """The relational memory core of Santoro et al. 2018, section 3, as the generator of RelGAN has it (Nie et
    al. 2019): (batch, time, in_features) to (batch, time, slots * heads * head_size).

    With M the memory, x the projected input, queries of M, keys and values of [M; x],

        M' = norm(M + attention),   M'' = norm(M' + dense(M')),   M <- sigmoid(i) tanh(M'') + sigmoid(f) M;

    the gates i, f of each number are linear functions of x and of tanh M. Projections have no biases, since a
    bias of keys cancels in the softmax. At first the memory is learned, initially rows of the identity; with
    ``condition``, the size of a vector per row, it is tanh of a linear function of that vector.
    """

    def __init__(
        self, in_features: int, slots: int = 1, heads: int = 2, head_size: int = 64, condition: int = 0
    ) -> None:
        super().__init__()
        size = heads * head_size
        self.in_features, self.out_features = in_features, slots * size
        self.slots, self.heads, self.size = slots, heads, size
        self.input = nn.Linear(in_features, size)
        self.projections = nn.Linear(size, 3 * size, bias=False)  # queries, keys, values
        self.projections_norm = nn.LayerNorm(3 * size, bias=False)
        self.attention_norm, self.dense_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.dense = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, size))
        self.input_gates = nn.Linear(size, 2 * size)
        self.memory_gates = nn.Linear(size, 2 * size, bias=False)
        nn.init.ones_(self.input_gates.bias[size:])  # at first it forgets little
        self.first = nn.Linear(condition, slots * size) if condition else nn.Parameter(torch.eye(slots, size))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        (memory,), outputs = self.initial(len(x), condition), []
        for projected, gates in zip(*(part.unbind(1) for part in self._read(x)), strict=True):
            memory = self._advance(memory, projected, gates)
            outputs.append(memory.flatten(1))
        return torch.stack(outputs, 1)

    def initial(self, rows: int, condition: Tensor | None = None) -> State:
        """The memory before the first step."""
        if isinstance(self.first, nn.Linear):
            return (self.first(condition).tanh().view(rows, self.slots, self.size),)
        return (self.first.expand(rows, -1, -1),)

    def step(self, state: State, x: Tensor) -> tuple[Tensor, State]:
        """(rows, in_features) to (rows, out_features) and the next state; ``state`` is not changed."""
        memory = self._advance(state[0], *self._read(x))
        return memory.flatten(1), (memory,)

    def _read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Queries, keys and values of inputs (..., in_features), and what they add to the gates."""
        x = self.input(x)
        return self.projections_norm(self.projections(x)), self.input_gates(x)

    def _advance(self, memory: Tensor, projected: Tensor, gates: Tensor) -> Tensor:
        own = self.projections_norm(self.projections(memory))
        attended = self._attend(torch.cat([own, projected[:, None]], 1))
        read = self.attention_norm(memory + attended)
        proposed = self.dense_norm(read + self.dense(read))
        write, keep = (gates[:, None] + self.memory_gates(memory.tanh())).sigmoid().chunk(2, -1)
        after: Tensor = write * proposed.tanh() + keep * memory
        return after

    def _attend(self, projected: Tensor) -> Tensor:
        """What each slot reads from all slots and from the input, the last row: (batch, slots, size)."""
        split = projected.view(*projected.shape[:2], 3, self.heads, self.size // self.heads)
        queries, keys, values = split.permute(2, 0, 3, 1, 4)  # (batch, heads, slots + 1, head_size) each
        scores = queries[:, :, :-1] @ keys.transpose(2, 3) / math.sqrt(queries.shape[-1])
        attended: Tensor = scores.softmax(-1).to(values.dtype) @ values
        return attended.transpose(1, 2).flatten(2)
