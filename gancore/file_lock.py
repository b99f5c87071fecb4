"""Lock files: one process at a time, on file systems with and without flock, on one host or several.

Imports no torch. A lock is a file that is never removed. With flock, the kernel releases the lock when the
process ends. Without it (Lustre by default, some network mounts), a second file, ``NAME.held``, is created
exclusively and removed at the end. In both cases the holder writes its process and host into the lock file
and updates the file's time every HEARTBEAT_SECONDS: ``flock`` of another host may not see this lock, and the
time distinguishes a running holder from one that has ended.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gancore.files import encode_json, is_process_alive, open_regular

RUN_LOCK = "run.lock"
"""The lock file of a run. A folder with this file is a run folder."""
HEARTBEAT_SECONDS = 10.0
HEARTBEAT_TIMEOUT_SECONDS = 30.0
"""A holder on another host is considered ended if there is no heartbeat for this time."""
STALE_SECONDS = 600.0
"""A heartbeat older than this is stale without waiting: clocks of a cluster differ by less."""
POLL_SECONDS = 0.05
FLOCK_UNSUPPORTED = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)


class LockedError(Exception):
    """Another process holds the lock; ``str`` names it: ``process 12 on node7``."""


@dataclass(frozen=True)
class LockHolder:
    """The process that holds a lock, as its file states; ``pid`` 0 and an empty host if it is unknown."""

    pid: int = 0
    host: str = ""

    @property
    def is_local(self) -> bool:
        return self.host == socket.gethostname()

    def __str__(self) -> str:
        if not self.pid:
            return "another process"
        return f"process {self.pid}" + ("" if self.is_local else f" on {self.host}")


@dataclass
class FileLock:
    """A lock that this process holds. ``handle`` is the open lock file, ``path`` the path of its opening.

    ``exclusive_file`` is the file ``NAME.held`` if there is no flock.
    """

    path: Path
    handle: int
    exclusive_file: Path | None = None

    def is_valid(self) -> bool:
        """Whether ``path`` is still the held lock file: its folder was not moved, removed or replaced, and no
        other process has taken the lock."""
        try:
            there, mine = os.lstat(self.path), os.fstat(self.handle)
            if self.exclusive_file is not None and _read_holder(self.exclusive_file) != LockHolder(
                os.getpid(), socket.gethostname()
            ):
                return False
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)

    def moved_to(self) -> Path | None:
        """The current path of the lock file; None if it was removed or is unknown."""
        try:
            now = os.readlink(f"/proc/self/fd/{self.handle}")
            there, mine = os.lstat(now), os.fstat(self.handle)
        except OSError:
            return None
        return Path(now) if (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino) else None


@contextlib.contextmanager
def file_lock(
    path: Path, timeout: float = 0.0, on_wait: Callable[[str], None] | None = None
) -> Iterator[FileLock]:
    """Context manager that holds the lock file ``path``; it waits up to ``timeout`` seconds.

    If it waits, it calls ``on_wait`` once with the holder.

    Raises:
        LockedError: another process holds the lock.
        OSError: the file cannot be created, or is a link, a pipe or a folder.
    """
    handle = open_regular(path, os.O_RDWR | os.O_CREAT)
    try:
        lock = _acquire(path, handle, time.monotonic() + timeout, on_wait or (lambda holder: None))
        with contextlib.suppress(OSError):  # on a full disk the lock works, but its holder is unknown
            os.ftruncate(handle, 0)
            os.pwrite(handle, _own_record(), 0)
        ended = threading.Event()
        beat = threading.Thread(
            target=_send_heartbeats, args=(handle, ended), daemon=True, name="lock heartbeat"
        )
        beat.start()
        try:
            yield lock
        finally:
            ended.set()
            beat.join()
            if lock.exclusive_file is not None and lock.is_valid():
                lock.exclusive_file.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                os.ftruncate(handle, 0)  # an empty file: other processes do not wait for a heartbeat
    finally:
        os.close(handle)  # the file stays: removing it would let two processes hold the lock


@contextlib.contextmanager
def exclusive_lock(path: Path, announce: Callable[[str], None] = lambda line: None) -> Iterator[None]:
    """Context manager that holds the lock file ``path``; it announces if it waits for another process.

    The lock is released when the process ends, also if it is killed.

    Raises:
        OSError: the lock file cannot be created, or is a link or a pipe.
    """
    path.parent.mkdir(parents=True, exist_ok=True)

    def on_wait(holder: str) -> None:
        announce(f"Waiting for {holder}, which holds {path}")

    with file_lock(path, math.inf, on_wait):
        yield


def is_locked(path: Path) -> bool:
    """Whether a process holds this lock file, as far as it is known without waiting."""
    try:
        handle = open_regular(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        holder, recent = _read_holder(path), _heartbeat_age(handle) < 2 * HEARTBEAT_TIMEOUT_SECONDS
        return bool(holder.pid) and not holder.is_local and recent
    except BlockingIOError:
        return True
    except OSError as error:
        return error.errno in FLOCK_UNSUPPORTED and _is_exclusive_file_held(_exclusive_path(path), handle)
    finally:
        os.close(handle)


def _acquire(path: Path, handle: int, deadline: float, on_wait: Callable[[str], None]) -> FileLock:
    announced = False
    while True:
        try:
            return _try_acquire(path, handle)
        except LockedError as error:
            if time.monotonic() >= deadline:
                raise
            if not announced:
                announced = True
                on_wait(str(error))
            time.sleep(POLL_SECONDS)


def _try_acquire(path: Path, handle: int) -> FileLock:
    holder = _read_holder(path)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LockedError(str(holder)) from None
    except OSError as error:
        if error.errno not in FLOCK_UNSUPPORTED:
            raise OSError(error.errno, error.strerror, str(path)) from error
        return FileLock(path, handle, _acquire_exclusive_file(path, handle))
    if holder.pid and not holder.is_local and _sees_heartbeat(handle):
        raise LockedError(str(holder))
    return FileLock(path, handle)


def _acquire_exclusive_file(path: Path, handle: int) -> Path:
    """Create ``NAME.held``, which only one process can do; replace the file of a holder that has ended."""
    exclusive_file = _exclusive_path(path)
    while True:
        try:
            created = os.open(exclusive_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            holder = _read_holder(exclusive_file)
            if _may_be_alive(holder) and _sees_heartbeat(handle):
                raise LockedError(str(holder)) from None
            stale = exclusive_file.with_name(f".trash-{exclusive_file.name}-{os.getpid()}")
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                os.rename(exclusive_file, stale)
                os.unlink(stale)
            continue
        with contextlib.closing(os.fdopen(created, "wb")) as file:
            file.write(_own_record())
        return exclusive_file


def _is_exclusive_file_held(exclusive_file: Path, handle: int) -> bool:
    return (
        exclusive_file.exists()
        and _may_be_alive(_read_holder(exclusive_file))
        and _heartbeat_age(handle) < 2 * HEARTBEAT_TIMEOUT_SECONDS
    )


def _may_be_alive(holder: LockHolder) -> bool:
    return not holder.is_local or is_process_alive(holder.pid)


def _exclusive_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.held")


def _own_record() -> bytes:
    return encode_json({"pid": os.getpid(), "host": socket.gethostname()})


def _read_holder(path: Path) -> LockHolder:
    try:
        handle = open_regular(path, os.O_RDONLY)
        try:
            content = json.loads(os.pread(handle, 4096, 0))
        finally:
            os.close(handle)
        pid, host = content["pid"], content["host"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return LockHolder()
    if type(pid) is not int or not 0 < pid < 2**31 or not isinstance(host, str):
        return LockHolder()
    return LockHolder(pid, "".join(c for c in host if c.isprintable())[:253])


def _send_heartbeats(handle: int, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT_SECONDS):
        with contextlib.suppress(OSError):
            os.utime(handle)


def _heartbeat_age(handle: int) -> float:
    """Seconds since the last heartbeat, by the clock of this host."""
    return time.time() - os.fstat(handle).st_mtime


def _sees_heartbeat(handle: int) -> bool:
    """Whether there is a heartbeat within HEARTBEAT_TIMEOUT_SECONDS, by one clock only."""
    if _heartbeat_age(handle) > STALE_SECONDS:
        return False
    last, deadline = os.fstat(handle).st_mtime_ns, time.monotonic() + HEARTBEAT_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if os.fstat(handle).st_mtime_ns != last:
            return True
        time.sleep(POLL_SECONDS)
    return False
