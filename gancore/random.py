"""Random numbers as a pure function of (seed, step, index, name). No generator state is saved.

A :class:`Key` is a path of words; a :class:`RowRange` selects rows of the global batch. Numbers are drawn for
the global batch and then rows are selected, so that a run does not depend on the number of processes or of
micro-batches.
"""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from gancore.trees import Tree, tree_map

__all__ = [
    "CPU",
    "Key",
    "ModuleNoise",
    "Purpose",
    "RowRange",
    "build_key",
    "data_key",
    "evaluation_key",
    "fork_global_rng",
    "noise",
    "noise_scope",
    "preview_key",
    "sample_key",
]

CPU = torch.device("cpu")
"""The device of keys unless another is given."""


@dataclass(frozen=True)
class RowRange:
    """Rows ``start:stop`` of a global batch of ``total`` rows."""

    start: int
    stop: int
    total: int

    @classmethod
    def all(cls, total: int) -> RowRange:
        return cls(0, total, total)

    @property
    def count(self) -> int:
        return self.stop - self.start

    def select(self, batch: Tensor) -> Tensor:
        return batch if self.count == self.total else batch[self.start : self.stop]


@dataclass(frozen=True)
class Key:
    """A path of words that determines random numbers, and the device of these numbers.

    ``data_key(seed) / step / index / "z"`` gives the same numbers every time on the same kind of device. A
    key with ``rows`` draws for the global batch and returns these rows: the first axis of every draw is then
    the batch axis, of ``rows.count`` rows.
    """

    path: tuple[int | str, ...]
    device: torch.device = CPU
    rows: RowRange | None = None

    @classmethod
    def of(cls, *path: int | str, device: torch.device | str = "cpu") -> Key:
        return cls(tuple(path), torch.device(device))

    def __truediv__(self, word: int | str) -> Key:
        return Key((*self.path, word), self.device, self.rows)

    def to(self, device: torch.device | str) -> Key:
        return Key(self.path, torch.device(device), self.rows)

    def with_rows(self, rows: RowRange | None) -> Key:
        return Key(self.path, self.device, rows)

    @property
    def seed(self) -> int:
        """A seed of 63 bits that depends on every word of the path."""
        digest = hashlib.blake2b(repr(self.path).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little") >> 1

    def generator(self) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(self.seed)

    def each(self, n: int) -> list[Key]:
        """A key for each of ``n`` rows, a function of the number of the row in the global batch.

        It is for draws without a fixed shape, which cannot be made for all rows of the batch at once.
        """
        start = 0 if self.rows is None else self.rows.start
        if self.rows is not None and n != self.rows.count:
            raise ValueError(f"{n} keys were requested from a key of {self.rows.count} rows")
        return [self.with_rows(None) / "row" / (start + i) for i in range(n)]

    def normal(self, *shape: int) -> Tensor:
        return self._rows(shape, lambda s, g: torch.randn(s, generator=g, device=self.device))

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        unit = self._rows(shape, lambda s, g: torch.rand(s, generator=g, device=self.device))
        return unit if (low, high) == (0.0, 1.0) else unit * (high - low) + low

    def integers(self, high: int, *shape: int, low: int = 0) -> Tensor:
        """Integers in ``[low, high)``, int64."""
        return self._rows(shape, lambda s, g: torch.randint(low, high, s, generator=g, device=self.device))

    def permutation(self, n: int) -> Tensor:
        return torch.randperm(n, generator=self.generator(), device=self.device)

    def _rows(
        self, shape: tuple[int, ...], draw: Callable[[tuple[int, ...], torch.Generator], Tensor]
    ) -> Tensor:
        if self.rows is None:
            return draw(shape, self.generator())
        if not shape or shape[0] != self.rows.count:
            raise ValueError(
                f"a draw of shape {shape} for {self.rows.count} rows: the first axis is the batch"
            )
        return self.rows.select(draw((self.rows.total, *shape[1:]), self.generator()))


COLUMNS_AT_ONCE = 512
"""The number of coordinates that are permuted at a time."""


def shuffle_coordinates(samples: Tree, key: Key) -> Tree:
    """Permute each coordinate over the rows, independently of the others, which keeps its marginal only."""
    numbers = iter(range(1 << 30))

    def permuted(leaf: Tensor) -> Tensor:
        columns, number = leaf.reshape(len(leaf), -1), next(numbers)
        parts = []
        for start in range(0, columns.shape[1], COLUMNS_AT_ONCE):
            part = columns[:, start : start + COLUMNS_AT_ONCE]
            order = (key / number / start).uniform(*part.shape).argsort(dim=0)
            parts.append(part.gather(0, order))
        return torch.cat(parts, 1).reshape(leaf.shape)

    return tree_map(permuted, samples)


Purpose: TypeAlias = Literal[
    "bandwidth",
    "conditions",
    "dequantise",
    "evaluate",
    "export",
    "identity",
    "importance",
    "judge",
    "loss",
    "neighbours",
    "nudge",
    "precision",
    "principal",
    "rendering",
    "select",
    "shown",
    "splits",
    "time",
    "tradeoffs",
    "valid",
]
"""The purposes of :func:`evaluation_key`, in one list, so that no two purposes share random numbers."""

# The five functions below make all root keys of the library. Their words are part of the seed: other words,
# or another order of words, give other models and other results.


def build_key(seed: int) -> Key:
    """The root key of the initial parameters of a run."""
    return Key.of(seed, "build")


def data_key(seed: int, device: torch.device | str = CPU) -> Key:
    """The root key of a training: the order of examples, their batches, latents and noise."""
    return Key.of(seed, device=device)


def sample_key(seed: int, device: torch.device | str = CPU) -> Key:
    """The root key of the samples of a model."""
    return Key.of("samples", seed, device=device)


def preview_key(seed: int, device: torch.device | str = CPU) -> Key:
    """The root key of the latents of the previews of a run."""
    return Key.of("preview", seed, device=device)


def evaluation_key(purpose: Purpose, *words: int | str, device: torch.device | str = CPU) -> Key:
    """The root key of draws that change no parameters: evaluation, validation, checks, comparisons."""
    return Key.of(purpose, *words, device=device)


class ModuleNoise:
    """Noise inside modules (such as dropout), for one forward pass.

    Draws are numbered in order; repeating the forward pass gives the same noise. A module may get several
    concatenated copies of the batch (real and fake in one call): each copy is drawn for the global batch, and
    the same rows of each are selected.
    """

    def __init__(self, key: Key, rows: RowRange) -> None:
        self.key, self.rows, self.calls = key, rows, 0

    def _select(self, drawn: Tensor, count: int) -> Tensor:
        return drawn[:, self.rows.start : self.rows.stop].reshape(count, *drawn.shape[2:])

    def _next_key(self, count: int) -> tuple[Key, int]:
        copies, rest = divmod(count, self.rows.count)
        if rest:
            raise ValueError(f"noise for {count} rows in a batch of {self.rows.count}")
        self.calls += 1
        return self.key / self.calls, copies

    def uniform(self, count: int, *shape: int) -> Tensor:
        key, copies = self._next_key(count)
        return self._select(key.uniform(copies, self.rows.total, *shape), count)

    def normal(self, count: int, *shape: int) -> Tensor:
        key, copies = self._next_key(count)
        return self._select(key.normal(copies, self.rows.total, *shape), count)

    def integers(self, low: int, high: int, count: int, *shape: int) -> Tensor:
        key, copies = self._next_key(count)
        return self._select(key.integers(high, copies, self.rows.total, *shape, low=low), count)

    def shared_integers(self, low: int, high: int, *shape: int) -> Tensor:
        """Integers that are the same for every row, process and micro-batch."""
        self.calls += 1
        return (self.key / self.calls).integers(high, *shape, low=low)


_scope: contextvars.ContextVar[ModuleNoise | None] = contextvars.ContextVar("noise", default=None)


@contextlib.contextmanager
def noise_scope(key: Key, rows: RowRange) -> Iterator[None]:
    """Context manager in which modules draw noise from ``key``; each entry starts at draw number 0."""
    token = _scope.set(ModuleNoise(key, rows))
    try:
        yield
    finally:
        _scope.reset(token)


def noise(count: int, device: torch.device) -> ModuleNoise:
    """The noise of the current :func:`noise_scope`; outside one, new random noise."""
    scope = _scope.get()
    if scope is not None:
        return scope
    fresh = int(torch.randint(2**62, ()).item())
    return ModuleNoise(Key.of(fresh, device=device), RowRange.all(count))


_global_rng_lock = threading.RLock()
"""Held by one thread at a time, while the global generators follow a key."""


@contextlib.contextmanager
def fork_global_rng(key: Key) -> Iterator[Callable[[], bool]]:
    """Context manager in which torch's global generators (``nn.Dropout``) are a function of ``key``.

    It yields a function that returns whether anything was drawn. At the end the former states are restored.
    """
    with _global_rng_lock:
        generators = _global_generators(key.device)
        states = [generator.get_state() for generator in generators]
        seed = key.seed
        for generator in generators:
            generator.manual_seed(seed)

        def was_used() -> bool:
            fresh = [torch.Generator(generator.device).manual_seed(seed) for generator in generators]
            pairs = zip(generators, fresh, strict=True)
            return not all(torch.equal(one.get_state(), new.get_state()) for one, new in pairs)

        try:
            yield was_used
        finally:
            for generator, state in zip(generators, states, strict=True):
                generator.set_state(state)


def _global_generators(device: torch.device) -> list[torch.Generator]:
    """The generators of the CPU and of the device."""
    if device.type == "cpu":
        return [torch.default_generator]
    if device.type == "mps":
        return [torch.default_generator, torch.mps._get_default_mps_generator()]
    module = torch.get_device_module(device)
    index = module.current_device() if device.index is None else device.index
    return [torch.default_generator, module.default_generators[index]]
