"""Several processes that play one game: plain torch.distributed with explicit, bucketed sums.

Networks stay bare modules. Each process has its rows of every joined batch; what depends on the whole
batch is added up here. Alone, nothing is sent and nothing is copied.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from gancore.errors import ExitCode, TrainingError
from gancore.runtime.randomness import Rows

BUCKET_BYTES = 25 * 2**20
WATCH_SECONDS = 0.2
QUOTAS = (
    ("/sys/fs/cgroup/cpu.max",),
    ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
)
"""Where the kernel says how much time of how much the container gets."""


@dataclass(frozen=True)
class Processes:
    """This process among ``world``. Methods that send are to be called by all of them, in the same order."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """The one that writes."""
        return self.rank == 0

    def rows(self, total: int) -> Rows:
        """This process's rows of a joined batch; ``world`` divides ``total``."""
        count = total // self.world
        return Rows(self.rank * count, (self.rank + 1) * count, total)

    @torch.no_grad()
    def add(self, tensors: Sequence[Tensor]) -> None:
        """The sum over processes, in place; equal bit by bit on all of them."""
        if self.world > 1:
            for bucket in _buckets(tensors):
                flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
                sent(dist.all_reduce, flat)
                _scatter(flat, bucket)

    @torch.no_grad()
    def copy(self, tensors: Iterable[Tensor]) -> None:
        """What the first process has, in place."""
        if self.world > 1:
            for bucket in _buckets(list(tensors)):
                flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
                sent(dist.broadcast, flat.view(torch.uint8), src=0)
                _scatter(flat, bucket)

    def most(self, *numbers: float) -> list[float]:
        """The largest of each number. Over the host: nothing is read from a device."""
        if self.world == 1:
            return list(numbers)
        values = torch.tensor(numbers, dtype=torch.float64)
        sent(dist.all_reduce, values, op=dist.ReduceOp.MAX)
        return [float(value) for value in values]

    def tell(self, value: Any = None) -> Any:
        """What the first process says."""
        if self.world == 1:
            return value
        said = [value]
        sent(dist.broadcast_object_list, said, src=0)
        return said[0]

    def joined(self, rows: Tensor) -> Tensor:
        """The rows of all processes, in order; differentiable twice."""
        if self.world == 1:
            return rows
        return _apply(_Joined, rows, self)


ALONE = Processes()


@contextlib.contextmanager
def joining(processes: Processes, patience_seconds: float = 600.0, **meeting: Any) -> Iterator[None]:
    """Meet the others. ``meeting`` is what ``init_process_group`` needs to find them.

    A process that is silent for ``patience_seconds`` is taken for lost.
    """
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, allowed_cores() // processes.world))
    sent(
        dist.init_process_group,
        backend,
        rank=processes.rank,
        world_size=processes.world,
        timeout=timedelta(seconds=patience_seconds),
        **meeting,
    )
    try:
        yield
    finally:
        dist.destroy_process_group()


def allowed_cores() -> int:
    """Cores that this process may use: those of its cpuset (taskset, Slurm), within its cgroup's quota."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        cores = os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _quota())))


def _quota() -> float:
    """Cores' worth of time that the container gets (cgroup 2, then 1); infinite without a limit."""
    for names in QUOTAS:
        try:
            words = " ".join(Path(name).read_text() for name in names).split()
            return float(words[0]) / float(words[1]) if float(words[0]) > 0 else math.inf
        except (OSError, ValueError, IndexError):  # no such cgroup, or "max"
            continue
    return math.inf


def watch_parent(parent: int) -> None:
    """End this process when ``parent`` is gone, or is already: an orphan would go on writing checkpoints."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        os._exit(1)

    if os.getppid() != parent:
        os._exit(1)
    threading.Thread(target=watch, name="watch parent", daemon=True).start()


class LostProcessError(TrainingError):
    """Another process of this run does not answer; its own error says why."""

    exit_code = ExitCode.TRY_AGAIN


def sent(send: Any, *arguments: Any, **options: Any) -> Any:
    try:
        return send(*arguments, **options)
    except RuntimeError as error:  # torch.distributed has no narrower one for a peer that is gone
        raise LostProcessError(
            f"another process of this run does not answer ({' '.join(str(error).split())[:120]})",
            "look at its error, then go on with --resume",
        ) from error


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Runs of tensors of one kind, up to a size that is worth a message."""
    kinds: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
    for tensor in tensors:
        kinds.setdefault((tensor.dtype, tensor.device), []).append(tensor)
    for same in kinds.values():
        bucket: list[Tensor] = []
        size = 0
        for tensor in same:
            bucket.append(tensor)
            size += tensor.numel() * tensor.element_size()
            if size >= BUCKET_BYTES:
                yield bucket
                bucket, size = [], 0
        if bucket:
            yield bucket


def _scatter(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    parts = torch.split(flat, [tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))


def _apply(function: type[torch.autograd.Function], rows: Tensor, processes: Processes) -> Tensor:
    result: Tensor = function.apply(rows, processes)  # type: ignore[no-untyped-call]
    return result


class _Joined(torch.autograd.Function):
    """All rows from own rows. Its adjoint adds up what every process wants of the own rows."""

    @staticmethod
    def forward(context: Any, rows: Tensor, processes: Processes) -> Tensor:
        context.processes = processes
        everyone = [torch.empty_like(rows) for _ in range(processes.world)]
        sent(dist.all_gather, everyone, rows.contiguous())
        return torch.cat(everyone)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Any:
        return _apply(_Own, gradient, context.processes), None


class _Own(torch.autograd.Function):
    """Own rows of the sum over processes: the adjoint of :class:`_Joined`, and the other way round."""

    @staticmethod
    def forward(context: Any, rows: Tensor, processes: Processes) -> Tensor:
        context.processes = processes
        total = rows.clone(memory_format=torch.contiguous_format)
        sent(dist.all_reduce, total)
        return processes.rows(len(total)).cut(total)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Any:
        return _apply(_Joined, gradient, context.processes), None
