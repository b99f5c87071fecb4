"""The data, latents and noise of one move, each a pure function of (seed, step, index, name)."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from gancore.data.dataset import Batch, View
from gancore.games.representation import Representation
from gancore.random import Key, RowRange, data_key, fork_global_rng, noise_scope
from gancore.runtime.distributed import SINGLE_PROCESS, ProcessGroup
from gancore.trees import Tree, tree_map


class EpochSampler:
    """The order of a view's rows: a new permutation for each epoch.

    ``indices(position, count)`` is a pure function, so no position has to be saved.
    """

    def __init__(self, length: int, key: Key) -> None:
        self.length, self.key = length, key.to("cpu")
        self._epoch, self._permutation = -1, torch.empty(0, dtype=torch.int64)

    def indices(self, position: int, count: int) -> Tensor:
        """Row numbers ``position ... position + count - 1`` of the sequence of epochs, int64, on the CPU."""
        chunks = []
        while count:
            epoch, start = divmod(position, self.length)
            chunks.append(self._permutation_of(epoch)[start : start + count])
            position, count = position + len(chunks[-1]), count - len(chunks[-1])
        return torch.cat(chunks)

    def _permutation_of(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            self._epoch, self._permutation = epoch, (self.key / epoch).permutation(self.length)
        return self._permutation


class EncodedView(View):
    """A view whose batches are encoded by the representation, in fp32 and without gradient."""

    def __init__(self, view: View, representation: Representation) -> None:
        self.view, self.representation = view, representation

    def __len__(self) -> int:
        return len(self.view)

    @torch.no_grad()
    def get_batch(self, indices: Tensor, key: Key) -> Batch:
        batch = self.view.get_batch(indices, key).to(key.device)
        # A separate noise scope, so that repeated calls of `Draw.real` change no other noise.
        with (
            noise_scope(key.with_rows(None) / "encode", key.rows or RowRange.all(len(indices))),
            torch.autocast(key.device.type, enabled=False),
        ):
            return self.representation.encode(batch)


class BatchSource:
    """Makes draws from the views on the device. Each pair of view and move has its own order of rows.

    ``views`` give canonical samples, ``encoded_views`` give what the networks take; ``processes`` share each
    batch.
    """

    def __init__(
        self,
        views: Mapping[str, View],
        representation: Representation,
        seed: int,
        device: torch.device,
        processes: ProcessGroup = SINGLE_PROCESS,
    ) -> None:
        self.views, self.processes = views, processes
        self.representation, self.seed = representation, seed
        self.encoded_views = {name: EncodedView(view, representation) for name, view in views.items()}
        self.key = data_key(seed, device=device)
        self._orders: dict[tuple[str, int], EpochSampler] = {}

    def draw(self, step: int, index: int, rows: RowRange, occurrence: int, progress: float) -> Draw:
        """The draw of move ``index`` in step ``step``; the move was made ``occurrence`` times before."""
        return Draw(self, self.key / step / index, rows, index, occurrence, progress)

    def indices(self, view: str, index: int, occurrence: int, rows: RowRange) -> Tensor:
        """Row numbers of ``view``: each move gets every row once per epoch."""
        if (view, index) not in self._orders:
            self._orders[view, index] = EpochSampler(len(self.views[view]), self.key / "order" / view / index)
        return rows.select(self._orders[view, index].indices(occurrence * rows.total, rows.total))


class Draw:
    """The data and noise of one move, drawn for the global batch and restricted to ``rows``.

    ``progress`` runs from 0 to 1 over the phase; ``progress_end`` is its value after this step, which is 1 in
    the last step of the phase.
    """

    def __init__(
        self, batches: BatchSource, key: Key, rows: RowRange, index: int, occurrence: int, progress: float
    ) -> None:
        self._batches, self._key, self._rows = batches, key, rows
        self._index, self._occurrence = index, occurrence
        self.progress = self.progress_end = progress
        self._reals: dict[str, Batch] = {}
        self._freezes_opponents = True

    @property
    def num_rows(self) -> int:
        """Rows of this draw: of one micro-batch on one process."""
        return self._rows.count

    @property
    def device(self) -> torch.device:
        return self._key.device

    def real(self, view: str | None = None) -> Batch:
        """Encoded rows of train. ``view`` names one of several unpaired sets; by default the first."""
        name = view or next(iter(self._batches.views))
        if name not in self._reals:
            key = (self._key / "real" / name).with_rows(self._rows)
            self._reals[name] = self._batches.encoded_views[name].get_batch(self._indices(name), key)
        return self._reals[name]

    def condition(self, view: str | None = None) -> Tree:
        """The condition of the same rows; cheaper than ``real`` if the view defines ``get_conditions``."""
        name = view or next(iter(self._batches.views))
        rows = self._batches.views[name]
        if name in self._reals or not rows.has_cheap_conditions:
            return self.real(view).condition
        return tree_map(lambda leaf: leaf.to(self.device), rows.get_conditions(self._indices(name)))

    def normal(self, *shape: int, name: str = "z") -> Tensor:
        """N(0, 1) of shape (num_rows, *shape)."""
        return self.key(name).normal(self.num_rows, *shape)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0, name: str = "u") -> Tensor:
        """U(low, high) of shape (num_rows, *shape)."""
        return self.key(name).uniform(self.num_rows, *shape, low=low, high=high)

    def key(self, name: str) -> Key:
        """The key for any other noise; the first axis of what it draws is the batch."""
        return self.root / name

    @property
    def root(self) -> Key:
        """The key of which :meth:`key` gives the branches."""
        return self._key.with_rows(self._rows)

    def all_gather(self, values: Tensor) -> Tensor:
        """The rows of the global batch, from the rows of all processes; differentiable.

        For costs that couple the rows of a batch; every process evaluates them on all rows.
        """
        return values if self._rows.count == self._rows.total else self._batches.processes.all_gather(values)

    def global_mean(self, values: Tensor) -> Tensor:
        """The mean over the rows of the global batch; differentiable."""
        return self.all_gather(values).mean()

    def freeze_opponents(self) -> contextlib.AbstractContextManager[object]:
        """A context without gradient through opponents, except in draws of :meth:`without_freezing`."""
        return torch.no_grad() if self._freezes_opponents else contextlib.nullcontext()

    def without_freezing(self) -> Draw:
        """The same draw with gradients through opponents, for dynamics that need those."""
        draw = copy.copy(self)
        draw._freezes_opponents = False
        return draw

    def noise(self) -> contextlib.AbstractContextManager[None]:
        """The noise scope of modules: the same noise at each evaluation."""
        return noise_scope(self._key / "noise", self._rows)

    def global_draws(self) -> contextlib.AbstractContextManager[Callable[[], bool]]:
        """Seeds torch's global generators, so that modules draw the same at each evaluation.

        The seed depends on these rows, so a divided batch gives other numbers than a whole one.
        """
        return fork_global_rng(self._key / "global" / self._rows.start)

    def micro_batches(self, count: int) -> Iterator[Draw]:
        """The same draw in ``count`` equal micro-batches."""
        if count == 1:
            yield self
            return
        size = self.num_rows // count
        for start in range(self._rows.start, self._rows.stop, size):
            micro_batch = copy.copy(self)
            micro_batch._rows, micro_batch._reals = RowRange(start, start + size, self._rows.total), {}
            yield micro_batch

    def _indices(self, view: str) -> Tensor:
        return self._batches.indices(view, self._index, self._occurrence, self._rows)
