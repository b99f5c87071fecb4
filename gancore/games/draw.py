"""What one move may look at: data, latents, noise, each a pure function of (seed, step, index, name)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from gancore.domain import Batch, View
from gancore.games.representation import Representation
from gancore.runtime.processes import ALONE, Processes
from gancore.runtime.randomness import Key, Rows, global_draws, noise_scope
from gancore.trees import Tree, map_tree


class Order:
    """The order in which a view's rows are met: a fresh permutation every epoch.

    ``at(position, count)`` is a pure function, so no place in the epoch need be saved.
    """

    def __init__(self, length: int, key: Key) -> None:
        self.length, self.key = length, key.to("cpu")
        self._epoch, self._permutation = -1, torch.empty(0, dtype=torch.int64)

    def at(self, position: int, count: int) -> Tensor:
        """Row numbers ``position ... position + count - 1`` of the endless order, int64, on the CPU."""
        parts = []
        while count:
            epoch, start = divmod(position, self.length)
            parts.append(self._permuted(epoch)[start : start + count])
            position, count = position + len(parts[-1]), count - len(parts[-1])
        return torch.cat(parts)

    def _permuted(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            self._epoch, self._permutation = epoch, (self.key / epoch).permutation(self.length)
        return self._permutation


class Encoded:
    """A view as the networks see it: through the representation, in full precision, without gradient."""

    def __init__(self, view: View, representation: Representation) -> None:
        self.view, self.representation = view, representation

    def __len__(self) -> int:
        return len(self.view)

    @torch.no_grad()
    def take(self, indices: Tensor, key: Key) -> Batch:
        batch = self.view.take(indices, key).to(key.device)
        # Noise of the representation's own: how often a move asks for its reals changes no other noise.
        with (
            noise_scope(key.cut(None) / "encode", key.rows or Rows.all(len(indices))),
            torch.autocast(key.device.type, enabled=False),
        ):
            return self.representation.encode(batch)


class Dealer:
    """Deals draws: the views on their device, and an order of its own for every view and move.

    ``views`` are of canonical samples, ``encoded`` of what the networks see; ``processes`` share each batch.
    """

    def __init__(
        self,
        views: Mapping[str, View],
        representation: Representation,
        seed: int,
        device: torch.device,
        processes: Processes = ALONE,
    ) -> None:
        self.views, self.processes = views, processes
        self.encoded_by, self.seed = representation, seed
        self.encoded = {name: Encoded(view, representation) for name, view in views.items()}
        self.key = Key.of(seed, device=device)
        self._orders: dict[tuple[str, int], Order] = {}

    def deal(self, step: int, index: int, rows: Rows, turn: int, progress: float) -> Draw:
        """The draw of move ``index`` in round ``step``, which this move makes for the ``turn``-th time."""
        return Draw(self, self.key / step / index, rows, index, turn, progress)

    def indices(self, view: str, index: int, turn: int, rows: Rows) -> Tensor:
        """Row numbers of ``view``: every row once an epoch for each move."""
        if (view, index) not in self._orders:
            self._orders[view, index] = Order(len(self.views[view]), self.key / "order" / view / index)
        return rows.cut(self._orders[view, index].at(turn * rows.total, rows.total))


class Draw:
    """The draws of one move, made for the joined batch and cut to these rows.

    ``progress`` runs from 0 to 1 over the phase.
    """

    def __init__(self, dealer: Dealer, key: Key, rows: Rows, index: int, turn: int, progress: float) -> None:
        self._dealer, self._key, self._rows, self._index, self._turn = dealer, key, rows, index, turn
        self.progress = progress
        self._reals: dict[str, Batch] = {}
        self._freezes = True

    @property
    def rows(self) -> int:
        """Rows of this part of the batch."""
        return self._rows.count

    @property
    def device(self) -> torch.device:
        return self._key.device

    def real(self, view: str | None = None) -> Batch:
        """Rows of train, encoded by the representation. ``view`` names one of several unpaired sets."""
        name = view or next(iter(self._dealer.views))
        if name not in self._reals:
            key = (self._key / "real" / name).cut(self._rows)
            self._reals[name] = self._dealer.encoded[name].take(self._indices(name), key)
        return self._reals[name]

    def condition(self, view: str | None = None) -> Tree:
        """The condition of the same rows; cheaper than ``real`` where the view offers ``conditions``."""
        name = view or next(iter(self._dealer.views))
        offer = getattr(self._dealer.views[name], "conditions", None)
        if offer is None or name in self._reals:
            return self.real(view).condition
        return map_tree(lambda leaf: leaf.to(self.device), offer(self._indices(name)))

    def normal(self, *shape: int, name: str = "z") -> Tensor:
        """N(0, 1) of shape (rows, *shape)."""
        return self.key(name).normal(self.rows, *shape)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0, name: str = "u") -> Tensor:
        """U(low, high) of shape (rows, *shape)."""
        return self.key(name).uniform(self.rows, *shape, low=low, high=high)

    def key(self, name: str) -> Key:
        """For draws of any other kind; the first axis of each is the batch."""
        return (self._key / name).cut(self._rows)

    def joined(self, values: Tensor) -> Tensor:
        """The rows of the joined batch, from the rows of all processes; differentiable.

        For costs that couple the rows of a batch: those look at all of them, on every process alike.
        """
        return values if self._rows.count == self._rows.total else self._dealer.processes.joined(values)

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the rows of the joined batch, over processes, differentiable."""
        return self.joined(values).mean()

    def frozen(self) -> contextlib.AbstractContextManager[object]:
        """No gradient through the opponent (dynamics that differentiate the whole field lift it)."""
        return torch.no_grad() if self._freezes else contextlib.nullcontext()

    def unfrozen(self) -> Draw:
        """The same draw, for those who differentiate the whole field: nothing is frozen in it."""
        draw = Draw(self._dealer, self._key, self._rows, self._index, self._turn, self.progress)
        draw._reals, draw._freezes = self._reals, False
        return draw

    def noise(self) -> contextlib.AbstractContextManager[None]:
        """The noise of modules, anew from the same key at each evaluation."""
        return noise_scope(self._key / "noise", self._rows)

    def global_draws(self) -> contextlib.AbstractContextManager[Callable[[], bool]]:
        """Draws of modules from torch's global generators, anew from the same key at each evaluation.

        They are made for these rows alone, so they differ with the number of parts of a batch.
        """
        return global_draws(self._key / "global" / self._rows.start)

    def micro_batches(self, count: int) -> Iterator[Draw]:
        """The same draw in ``count`` equal parts."""
        if count == 1:
            yield self
            return
        size = self.rows // count
        for start in range(self._rows.start, self._rows.stop, size):
            rows = Rows(start, start + size, self._rows.total)
            part = Draw(self._dealer, self._key, rows, self._index, self._turn, self.progress)
            part._freezes = self._freezes
            yield part

    def _indices(self, view: str) -> Tensor:
        return self._dealer.indices(view, self._index, self._turn, self._rows)
