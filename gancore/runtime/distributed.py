"""Several processes that train one game: torch.distributed with explicit, bucketed all-reduces.

Networks are not wrapped. Each process computes its rows of every global batch; quantities of the whole batch
are summed here. A single process sends and copies nothing.
"""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from gancore.errors import ConfigError, GancoreError, LostProcessError
from gancore.random import RowRange
from gancore.runtime.signals import default_handlers
from gancore.text import escape_control

BUCKET_BYTES = 25 * 2**20
PARENT_POLL_SECONDS = 0.2
CGROUP_FILES = (
    ("/sys/fs/cgroup/cpu.max",),
    ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
)
"""Files with the CPU quota and period of the container (cgroup)."""


@dataclass(frozen=True)
class ProcessGroup:
    """This process of ``world_size`` processes. All must call collective methods in the same order."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, the process that writes files."""
        return self.rank == 0

    def local_rows(self, total: int) -> RowRange:
        """The rows of this process in a global batch of ``total`` rows, which ``world_size`` divides."""
        count = total // self.world_size
        return RowRange(self.rank * count, (self.rank + 1) * count, total)

    @torch.no_grad()
    def all_reduce(self, tensors: Sequence[Tensor]) -> None:
        """Sum tensors over processes, in place; the sums are equal bit by bit on all processes."""
        if self.world_size > 1:
            for bucket in _buckets(tensors):
                flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
                _collective(dist.all_reduce, flat)
                _unflatten(flat, bucket)

    @torch.no_grad()
    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Copy the tensors of rank 0 to all processes, in place."""
        if self.world_size > 1:
            for bucket in _buckets(list(tensors)):
                flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
                _collective(dist.broadcast, flat.view(torch.uint8), src=0)
                _unflatten(flat, bucket)

    def all_max(self, *numbers: float) -> list[float]:
        """The maximum of each number over processes. The numbers are on the host, not on a device."""
        if self.world_size == 1:
            return list(numbers)
        values = torch.tensor(numbers, dtype=torch.float64)
        _collective(dist.all_reduce, values, op=dist.ReduceOp.MAX)
        return [float(value) for value in values]

    def broadcast_object(self, value: Any = None) -> Any:
        """The value of rank 0, which is pickled."""
        if self.world_size == 1:
            return value
        values = [value]
        _collective(dist.broadcast_object_list, values, src=0)
        return values[0]

    def all_gather(self, rows: Tensor) -> Tensor:
        """The rows of all processes, (world_size * n, ...) in order of ranks; twice differentiable."""
        if self.world_size == 1:
            return rows
        return _apply(_AllGather, rows, self)


SINGLE_PROCESS = ProcessGroup()


@contextlib.contextmanager
def connect(processes: ProcessGroup, timeout_seconds: float = 600.0, **address: Any) -> Iterator[None]:
    """Context manager that connects to the other processes.

    ``address`` are arguments of ``init_process_group``. A process that does not respond within
    ``timeout_seconds`` is considered lost.
    """
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, available_cores() // processes.world_size))
    _collective(
        dist.init_process_group,
        backend,
        rank=processes.rank,
        world_size=processes.world_size,
        timeout=timedelta(seconds=timeout_seconds),
        **address,
    )
    try:
        yield
    finally:
        dist.destroy_process_group()


def available_cores() -> int:
    """The number of cores of this process: of its cpuset (taskset, Slurm), at most its cgroup's quota."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        cores = os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _cgroup_cores())))


def _cgroup_cores() -> float:
    """The CPU quota of the container in cores (cgroup 2, then 1); infinite without a limit."""
    for names in CGROUP_FILES:
        try:
            words = " ".join(Path(name).read_text() for name in names).split()
            return float(words[0]) / float(words[1]) if float(words[0]) > 0 else math.inf
        except (OSError, ValueError, IndexError):  # no such cgroup, or "max"
            continue
    return math.inf


def exit_with_parent(parent: int) -> None:
    """End this process when ``parent`` has ended, so that it does not continue to write checkpoints."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_POLL_SECONDS)
        os._exit(1)

    if os.getppid() != parent:
        os._exit(1)
    threading.Thread(target=watch, name="exit with parent", daemon=True).start()


def _collective(send: Any, *arguments: Any, **options: Any) -> Any:
    try:
        return send(*arguments, **options)
    except RuntimeError as error:  # torch.distributed has no other class for a lost process
        raise LostProcessError(
            f"another process of this run does not respond ({' '.join(str(error).split())[:120]})",
            "see its error message, then use --resume",
        ) from error


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Groups of tensors of one dtype and device, each of about BUCKET_BYTES."""
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


def _unflatten(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    parts = torch.split(flat, [tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))


def _apply(function: type[torch.autograd.Function], rows: Tensor, processes: ProcessGroup) -> Tensor:
    result: Tensor = function.apply(rows, processes)  # type: ignore[no-untyped-call]
    return result


class _AllGather(torch.autograd.Function):
    """Gathers the rows of all processes. The backward sums gradients over processes for the local rows."""

    @staticmethod
    def forward(context: Any, rows: Tensor, processes: ProcessGroup) -> Tensor:
        context.processes = processes
        parts = [torch.empty_like(rows) for _ in range(processes.world_size)]
        _collective(dist.all_gather, parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Any:
        return _apply(_ReduceScatter, gradient, context.processes), None


class _ReduceScatter(torch.autograd.Function):
    """Sums over processes and returns the local rows: the backward of :class:`_AllGather`, and vice versa."""

    @staticmethod
    def forward(context: Any, rows: Tensor, processes: ProcessGroup) -> Tensor:
        context.processes = processes
        total = rows.clone(memory_format=torch.contiguous_format)
        _collective(dist.all_reduce, total)
        return processes.local_rows(len(total)).select(total)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Any:
        return _apply(_AllGather, gradient, context.processes), None


RENDEZVOUS_SECONDS = 300.0
"""How long a process waits for the other processes of its launcher, in seconds."""
NOTICE_SECONDS = 10.0
"""The time after which it prints that it waits, in seconds."""

T = TypeVar("T")


def launcher_store(processes: ProcessGroup, timeout_seconds: float = RENDEZVOUS_SECONDS) -> Store:
    """The store of the launcher, with another prefix for each restart.

    torchrun keeps one store over restarts: without the prefix, new processes would read the addresses of
    processes that have ended.

    Raises:
        ConfigError: another program uses the address of the store.
        LostProcessError: the other processes do not connect in time.
    """
    timeout = timedelta(seconds=timeout_seconds)
    try:
        with default_handlers(), _announce_wait(processes, timeout_seconds):
            store, *_ = next(rendezvous("env://", processes.rank, processes.world_size, timeout=timeout))
    except ValueError as error:
        raise ConfigError(f"{_address()}: {error}", "set the address of process 0") from error
    except RuntimeError as error:  # torch.distributed has no other class
        raise _rendezvous_error(error, processes, timeout_seconds) from error
    return PrefixStore(f"gancore/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)


def broadcast_by_store(store: Store, processes: ProcessGroup, make: Callable[[], T]) -> T:
    """The object that ``make`` returns on rank 0, on all processes. Errors of ``make`` are raised on rank 0.

    Raises:
        LostProcessError: ``make`` failed on rank 0, or rank 0 does not respond.
    """
    if processes.is_main:
        try:
            made = make()
        except GancoreError:
            store.set("order", "")
            raise
        store.set("order", pickle.dumps(made).hex())
        return made
    try:
        with default_handlers():
            written = bytes(store.get("order"))
    except RuntimeError as error:
        raise LostProcessError("process 0 of this run does not respond", "see its error message") from error
    if not written:
        raise LostProcessError("process 0 of this run could not start", "see its error message")
    value: T = pickle.loads(bytes.fromhex(written.decode()))
    return value


def _rendezvous_error(error: RuntimeError, processes: ProcessGroup, seconds: float) -> GancoreError:
    if "EADDRINUSE" in str(error) or "address already in use" in str(error):
        return ConfigError(
            f"{_address()} is used by another program: the processes of this run cannot connect",
            "set MASTER_PORT to a free port, or use torchrun --standalone",
        )
    return LostProcessError(
        f"process {processes.rank} of WORLD_SIZE={processes.world_size} found no other process at "
        f"{_address()} within {seconds:g} s",
        "unset RANK and WORLD_SIZE to train on one process, or start all of them",
    )


@contextmanager
def _announce_wait(processes: ProcessGroup, seconds: float) -> Iterator[None]:
    line = (
        f"gancore: process {processes.rank} waits for the others of WORLD_SIZE={processes.world_size} at "
        f"{_address()}, for {seconds:g} s at most; without a launcher unset RANK and WORLD_SIZE"
    )
    timer = threading.Timer(NOTICE_SECONDS, lambda: print(escape_control(line), file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _address() -> str:
    return f"MASTER_ADDR={os.environ.get('MASTER_ADDR')} MASTER_PORT={os.environ.get('MASTER_PORT')}"
