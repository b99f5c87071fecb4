"""Where the processes of a launcher meet: a store in which each finds what the others have written."""

from __future__ import annotations

import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from gancore.errors import ConfigError, GancoreError, printable
from gancore.runtime.processes import LostProcessError, Processes
from gancore.runtime.signals import unhandled

MEETING_SECONDS = 300.0
"""How long a process waits for the others of its launcher to appear."""
SILENT_SECONDS = 10.0
"""After so long it says that it waits."""

Told = TypeVar("Told")


def launcher_store(processes: Processes, patience_seconds: float = MEETING_SECONDS) -> Store:
    """The launcher's store, in a part of its own for each restart.

    torchrun keeps one store over restarts; what the dead processes left there would be taken for the
    addresses of the living.

    Raises:
        ConfigError: another program listens where the processes are to meet.
        LostProcessError: the others do not appear in time.
    """
    patience = timedelta(seconds=patience_seconds)
    try:
        with unhandled(), _saying_who_waits(processes, patience_seconds):
            store, *_ = next(rendezvous("env://", processes.rank, processes.world, timeout=patience))
    except ValueError as error:
        raise ConfigError(f"{_where()}: {error}", "set the address that the processes share") from error
    except RuntimeError as error:  # torch.distributed has no narrower one
        raise _no_meeting(error, processes, patience_seconds) from error
    return PrefixStore(f"gancore/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)


def tell_by_store(store: Store, processes: Processes, make: Callable[[], Told]) -> Told:
    """What the first process makes, read by all. Its own errors are raised there alone.

    Raises:
        LostProcessError: it could not make it, or says nothing.
    """
    if processes.first:
        try:
            made = make()
        except GancoreError:
            store.set("order", "")
            raise
        store.set("order", pickle.dumps(made).hex())
        return made
    try:
        with unhandled():
            written = bytes(store.get("order"))
    except RuntimeError as error:
        raise LostProcessError("the first process of this run does not answer", "see its error") from error
    if not written:
        raise LostProcessError("the first process of this run could not begin", "see its error")
    told: Told = pickle.loads(bytes.fromhex(written.decode()))
    return told


def _no_meeting(error: RuntimeError, processes: Processes, seconds: float) -> GancoreError:
    if "EADDRINUSE" in str(error) or "address already in use" in str(error):
        return ConfigError(
            f"{_where()} is taken by another program, so the processes of this run cannot meet there",
            "set MASTER_PORT to a free port, or use torchrun --standalone",
        )
    return LostProcessError(
        f"the other processes of WORLD_SIZE={processes.world} did not meet process {processes.rank} at "
        f"{_where()} within {seconds:g} s",
        "unset RANK and WORLD_SIZE to train on one process, or start all of them",
    )


@contextmanager
def _saying_who_waits(processes: Processes, seconds: float) -> Iterator[None]:
    line = (
        f"gancore: process {processes.rank} waits for the others of WORLD_SIZE={processes.world} at "
        f"{_where()}, for {seconds:g} s at most; without a launcher unset RANK and WORLD_SIZE"
    )
    timer = threading.Timer(SILENT_SECONDS, lambda: print(printable(line), file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _where() -> str:
    return f"MASTER_ADDR={os.environ.get('MASTER_ADDR')} MASTER_PORT={os.environ.get('MASTER_PORT')}"
