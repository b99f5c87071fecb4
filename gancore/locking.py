"""Lock files: one process at a time, on file systems with flock and without it, on one host or several.

Light: nothing here imports torch. A lock is a file of its own that stays. Where the system has ``flock``,
the kernel releases it when the process ends. Where it has none (Lustre by default, some network mounts), a
second file, ``NAME.held``, is created exclusively and removed at the end. In both cases the holder writes
its process and host into the lock file and touches it every HEARTBEAT_SECONDS, so that another host, whose
``flock`` may not see this one, can tell a holder that is alive from one that is dead.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gancore.files import encode_json, is_alive, open_regular

RUN_LOCK = "run.lock"
"""The lock file of a run: a folder that holds it is a run's."""
HEARTBEAT_SECONDS = 10.0
SILENT_SECONDS = 30.0
"""A holder on another host whose heartbeat stands still for so long has ended."""
FORGOTTEN_SECONDS = 600.0
"""A heartbeat as old as this needs no watching: clocks of one cluster do not differ by so much."""
POLL_SECONDS = 0.05
NO_FLOCK = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)


class LockedError(Exception):
    """Somebody else holds the lock; ``str`` says who: ``process 12 on node7``."""


@dataclass(frozen=True)
class Holder:
    """What a lock file says about who holds it; ``pid`` 0 and no host: it does not say."""

    pid: int = 0
    host: str = ""

    @property
    def here(self) -> bool:
        return self.host == socket.gethostname()

    def __str__(self) -> str:
        if not self.pid:
            return "another process"
        return f"process {self.pid}" + ("" if self.here else f" on {self.host}")


@dataclass
class Lock:
    """A lock that this process holds. ``handle`` is the open lock file; ``path`` where it was opened.

    ``held``: the exclusive file beside it, where there is no flock.
    """

    path: Path
    handle: int
    held: Path | None = None

    def is_intact(self) -> bool:
        """Whether the lock file on the path is still the one that is held: its folder was not moved,
        removed or replaced, and nobody took the lock over."""
        try:
            there, mine = os.lstat(self.path), os.fstat(self.handle)
            if self.held is not None and _read_holder(self.held) != Holder(os.getpid(), socket.gethostname()):
                return False
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)

    def moved_to(self) -> Path | None:
        """Where the lock file is now, if the system can tell; None: it was removed, or nobody knows."""
        try:
            now = os.readlink(f"/proc/self/fd/{self.handle}")
            there, mine = os.lstat(now), os.fstat(self.handle)
        except OSError:
            return None
        return Path(now) if (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino) else None


@contextlib.contextmanager
def hold(path: Path, patience: float = 0.0, waiting: Callable[[str], None] | None = None) -> Iterator[Lock]:
    """Hold the lock file ``path``, waiting for it up to ``patience`` seconds.

    ``waiting`` is called once, with the holder, when there is something to wait for.

    Raises:
        LockedError: another process holds it.
        OSError: the file cannot be made, or is a link, a pipe or a folder.
    """
    handle = open_regular(path, os.O_RDWR | os.O_CREAT)
    try:
        lock = _take(path, handle, time.monotonic() + patience, waiting or (lambda holder: None))
        with contextlib.suppress(OSError):  # on a full disk the lock holds, and others cannot name its holder
            os.ftruncate(handle, 0)
            os.pwrite(handle, _mine(), 0)
        ended = threading.Event()
        beat = threading.Thread(target=_beat, args=(handle, ended), daemon=True, name="lock heartbeat")
        beat.start()
        try:
            yield lock
        finally:
            ended.set()
            beat.join()
            if lock.held is not None and lock.is_intact():
                lock.held.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                os.ftruncate(handle, 0)  # released in order: nobody needs to wait for a heartbeat
    finally:
        os.close(handle)  # the file stays, since removing it would let two processes in


def is_held(path: Path) -> bool:
    """Whether somebody holds this lock file, as far as it can be told without waiting."""
    try:
        handle = open_regular(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        holder, recent = _read_holder(path), _age(handle) < 2 * SILENT_SECONDS
        return bool(holder.pid) and not holder.here and recent
    except BlockingIOError:
        return True
    except OSError as error:
        return error.errno in NO_FLOCK and _is_held_alone(_beside(path), handle)
    finally:
        os.close(handle)


def _take(path: Path, handle: int, deadline: float, waiting: Callable[[str], None]) -> Lock:
    said = False
    while True:
        try:
            return _try_to_take(path, handle)
        except LockedError as error:
            if time.monotonic() >= deadline:
                raise
            if not said:
                said = True
                waiting(str(error))
            time.sleep(POLL_SECONDS)


def _try_to_take(path: Path, handle: int) -> Lock:
    before = _read_holder(path)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LockedError(str(before)) from None
    except OSError as error:
        if error.errno not in NO_FLOCK:
            raise OSError(error.errno, error.strerror, str(path)) from error
        return Lock(path, handle, _take_alone(path, handle))
    if before.pid and not before.here and _beats(handle):
        raise LockedError(str(before))
    return Lock(path, handle)


def _take_alone(path: Path, handle: int) -> Path:
    """Create ``NAME.held``, which only one process can; replace one whose holder is dead."""
    held = _beside(path)
    while True:
        try:
            mine = os.open(held, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            holder = _read_holder(held)
            if _may_live(holder) and _beats(handle):
                raise LockedError(str(holder)) from None
            stale = held.with_name(f".trash-{held.name}-{os.getpid()}")
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                os.rename(held, stale)
                os.unlink(stale)
            continue
        with contextlib.closing(os.fdopen(mine, "wb")) as file:
            file.write(_mine())
        return held


def _is_held_alone(held: Path, handle: int) -> bool:
    return held.exists() and _may_live(_read_holder(held)) and _age(handle) < 2 * SILENT_SECONDS


def _may_live(holder: Holder) -> bool:
    return not holder.here or is_alive(holder.pid)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.held")


def _mine() -> bytes:
    return encode_json({"pid": os.getpid(), "host": socket.gethostname()})


def _read_holder(path: Path) -> Holder:
    try:
        handle = open_regular(path, os.O_RDONLY)
        try:
            content = json.loads(os.pread(handle, 4096, 0))
        finally:
            os.close(handle)
        pid, host = content["pid"], content["host"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return Holder()
    if type(pid) is not int or not 0 < pid < 2**31 or not isinstance(host, str):
        return Holder()
    return Holder(pid, "".join(c for c in host if c.isprintable())[:253])


def _beat(handle: int, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT_SECONDS):
        with contextlib.suppress(OSError):
            os.utime(handle)


def _age(handle: int) -> float:
    """Seconds since the last heartbeat, by this host's clock."""
    return time.time() - os.fstat(handle).st_mtime


def _beats(handle: int) -> bool:
    """Whether a heartbeat comes within SILENT_SECONDS: nobody's clock is compared with another's."""
    if _age(handle) > FORGOTTEN_SECONDS:
        return False
    before, deadline = os.fstat(handle).st_mtime_ns, time.monotonic() + SILENT_SECONDS
    while time.monotonic() < deadline:
        if os.fstat(handle).st_mtime_ns != before:
            return True
        time.sleep(POLL_SECONDS)
    return False
