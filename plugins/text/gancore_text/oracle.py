"""SeqGAN's oracle (Yu et al. 2017): a fixed LSTM; its sequences are data with a known log-probability."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from gancore.data import ARRAY_READ_ERRORS
from gancore.errors import DataError
from gancore.nn import sample_categorical
from gancore.text import escape_unprintable
from gancore_text.distribution import TextDistribution

VOCAB_SIZE, HIDDEN, LENGTH = 5000, 32, 20
START = 0
_GATES = ("i", "f", "og", "c")
SHAPES: dict[str, tuple[int, ...]] = {
    "embedding": (VOCAB_SIZE, HIDDEN),
    **{f"W{gate}": (HIDDEN, HIDDEN) for gate in _GATES},
    **{f"U{gate}": (HIDDEN, HIDDEN) for gate in _GATES},
    **{f"b{gate}": (HIDDEN,) for gate in _GATES},
    "Wo": (HIDDEN, VOCAB_SIZE),
    "bo": (VOCAB_SIZE,),
}
"""The arrays of ``target_params.npz``; gates multiply from the right."""
_BATCH = 256


class Oracle(TextDistribution):
    """Sequences of LENGTH words. With x_0 = START and h_0 = c_0 = 0, p(x_t | x_<t) = softmax(h_t Wo + bo).

    ``parameters``: all arrays of SHAPES in one vector, in that order.
    """

    words = tuple(f"w{number}" for number in range(VOCAB_SIZE))
    length = LENGTH
    sizes = {"train": 10_000, "valid": 1_000, "test": 1_000}

    def __init__(self, parameters: Tensor) -> None:
        sizes = [int(np.prod(shape)) for shape in SHAPES.values()]
        parts = torch.split(parameters.float(), sizes)
        arrays = {name: part.view(shape) for (name, shape), part in zip(SHAPES.items(), parts, strict=True)}
        self.parameters = parameters
        self._embedding, self._output, self._bias = arrays["embedding"], arrays["Wo"], arrays["bo"]
        self._input, self._hidden = (torch.cat([arrays[f"{m}{g}"] for g in _GATES], 1) for m in "WU")
        self._gate_bias = torch.cat([arrays[f"b{gate}"] for gate in _GATES])

    @classmethod
    def load(cls, path: Path) -> Oracle:
        """Raises DataError: it is not the file of the oracle's parameters."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = [file[name].astype(np.float32) for name in SHAPES]
            shapes = [array.shape for array in arrays]
        except ARRAY_READ_ERRORS as error:
            shown = escape_unprintable(str(path))
            raise DataError(f"{shown} cannot be read: {error}", "get target_params.npz again") from None
        if shapes != list(SHAPES.values()):
            raise DataError(
                f"{escape_unprintable(str(path))} has other shapes", "get target_params.npz again"
            )
        return cls(torch.from_numpy(np.concatenate([array.ravel() for array in arrays])))

    def step(self, tokens: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Logits (n, VOCAB_SIZE) of the token after ``tokens`` (n), and the state h, c, each (n, HIDDEN)."""
        hidden, cell = state
        gates = self._embedding[tokens] @ self._input + hidden @ self._hidden + self._gate_bias
        i, f, og, candidate = gates.chunk(4, 1)
        cell = f.sigmoid() * cell + i.sigmoid() * candidate.tanh()
        hidden = og.sigmoid() * cell.tanh()
        return hidden @ self._output + self._bias, (hidden, cell)

    @torch.no_grad()
    def sample(self, n: int, seed: int) -> Tensor:
        """(n, LENGTH) int64."""
        generator = torch.Generator().manual_seed(seed)
        batches = []
        for start in range(0, n, _BATCH):
            rows = min(_BATCH, n - start)
            tokens = torch.full((rows, LENGTH + 1), START)
            state = self._initial(rows)
            for t in range(LENGTH):
                logits, state = self.step(tokens[:, t], state)
                tokens[:, t + 1] = sample_categorical(logits, torch.rand(rows, generator=generator))
            batches.append(tokens[:, 1:])
        return torch.cat(batches)

    @torch.no_grad()
    def log_prob(self, numbers: Tensor) -> Tensor:
        """(n) float32."""
        parts = []
        for batch in torch.split(numbers, _BATCH):
            previous, total = torch.full_like(batch[:, 0], START), torch.zeros(len(batch))
            state = self._initial(len(batch))
            for t in range(LENGTH):
                logits, state = self.step(previous, state)
                previous = batch[:, t]
                total += log_softmax(logits, 1).gather(1, previous[:, None])[:, 0]
            parts.append(total)
        return torch.cat(parts)

    def _initial(self, rows: int) -> tuple[Tensor, Tensor]:
        return torch.zeros(rows, HIDDEN), torch.zeros(rows, HIDDEN)
