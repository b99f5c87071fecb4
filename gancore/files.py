"""Files that survive a kill: written aside, synced, renamed into place.

Light: nothing here imports torch. Whatever is on its way in or out is called
``.tmp-NAME-PID`` or ``.trash-NAME-PID``, so that the next process can sweep what a dead one left.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from gancore.errors import CheckpointError, PluginError, StorageError

Json: TypeAlias = Any
"""None, a bool, int, float or str; a list of them, or a dict from str to them."""

CHUNK_BYTES = 1 << 24
LARGEST_JSON_BYTES = 1 << 26
"""Of a file of JSON or text that is read whole."""
LARGEST_LISTING_BYTES = 1 << 28
"""Of ``data.json``, which names every file of the data."""
AGAIN = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE})
"""Failures of storage after which the same command may succeed later."""
LEFTOVER = re.compile(r"\.(?:tmp|trash)-(?P<name>.+)-(?P<pid>\d+)")


def atomic_write(path: Path, content: bytes | str) -> None:
    """Write a file so that readers, even after a kill, see the old content or the new, never a part.

    Raises:
        CheckpointError: the disk is full, broken, or the folder not writable; the old file stays.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    aside = aside_name(path)
    try:
        write_synced(aside, data)
        os.replace(aside, path)
        sync_folder(path.parent)
    except OSError as error:
        raise storage_error(error, path.name, path.parent, len(data)) from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(aside)


def aside_name(path: Path) -> Path:
    """Where this process prepares ``path``: beside it, hidden."""
    return path.parent / f".tmp-{path.name}-{os.getpid()}"


def open_regular(path: Path, flags: int) -> int:
    """A descriptor of a regular file; a link is not followed, and a pipe or device does not block.

    Raises:
        OSError: it cannot be opened, or is something else (EINVAL says what).
    """
    try:
        handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.EINVAL, "it is a link, which is not followed", str(path)) from error
        if error.errno == errno.ENXIO:
            raise OSError(errno.EINVAL, "it is no regular file", str(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return handle


def read_regular(path: Path, most_bytes: int) -> bytes:
    """The content of a regular file of at most so many bytes: the way to read what may come from anybody.

    Raises:
        OSError: it cannot be opened, is something else (EINVAL) or larger (EFBIG).
    """
    with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > most_bytes:
            reason = f"it has {_megabytes(size)}, and is read up to {_megabytes(most_bytes)}"
            raise OSError(errno.EFBIG, reason, str(path))
        return file.read(size)  # what is appended meanwhile is of the next reader


def read_json_object(path: Path, most_bytes: int = LARGEST_JSON_BYTES) -> dict[str, Json]:
    """The JSON object in a regular file.

    Raises:
        OSError: as :func:`read_regular`.
        CheckpointError: it holds something else.
    """
    return decode_json(read_regular(path, most_bytes), path.name)


def memory_bytes() -> int:
    """The memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def most_tensor_bytes() -> int:
    """The largest file of tensors that is read: a half of this machine's memory, as they are held twice."""
    return memory_bytes() // 2


def write_synced(path: Path, data: bytes) -> None:
    """Write a whole file down to the disk. Raises OSError."""
    handle = open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest[:CHUNK_BYTES]) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the file system can."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems sync no folders
            raise
    finally:
        os.close(handle)


def write_whole(folder: Path, write: Callable[[Path], Sequence[Path]], writer: str) -> list[Path]:
    """Files that ``write`` makes in the folder it is given, moved into ``folder`` when all are whole.

    After a kill, every file under its final name is whole; some may be missing. Returns what ``write``
    returns, as moved. ``writer`` is whose ``write`` it is, for messages.

    Raises:
        PluginError: ``write`` returns what is no path in the folder it was given.
        OSError: a file cannot be moved; and whatever ``write`` raises.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder, "files")
    aside = aside_name(folder.resolve() / "files")
    try:
        aside.mkdir()
        written = [_path_within(aside, path, writer) for path in write(aside)]
        for path in sorted(path for path in aside.rglob("*") if not path.is_dir()):
            final = folder / path.relative_to(aside)
            final.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, final)
    finally:
        discard(aside)
    return [folder / name for name in written]


def _path_within(aside: Path, path: object, writer: str) -> Path:
    """Relative to ``aside``, which is resolved; a link that was written is itself, not what it leads to."""
    fix = "return the paths of the files, below the folder that write(samples, folder) is given"
    if not isinstance(path, str | os.PathLike):
        raise PluginError(f"{writer} returns {type(path).__name__} objects for the files it wrote", fix)
    found = Path(path)
    try:
        return (found.parent.resolve() / found.name).relative_to(aside)
    except ValueError:
        raise PluginError(f"{writer} returns {found}, which is not in the folder it was given", fix) from None


def put_in_place(finished: Path, final: Path) -> None:
    """Give a finished, synced folder its final name; a folder that has that name now goes.

    Where the system can exchange names, ``final`` is whole at every instant. Raises OSError.
    """
    if not final.exists():
        os.rename(finished, final)
    elif not _exchange(finished, final):
        trash = final.parent / f".trash-{final.name}-{os.getpid()}"
        os.rename(final, trash)
        os.rename(finished, final)
        finished = trash
    sync_folder(final.parent)
    if finished.exists():
        discard(finished)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names in one act (renameat2 of Linux); False where that cannot be done."""
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


def discard(path: Path) -> None:
    """Remove a folder or file: first its name, so that a kill leaves nothing that looks whole."""
    trash = path
    if not LEFTOVER.fullmatch(path.name):
        trash = path.parent / f".trash-{path.name}-{os.getpid()}"
        try:
            os.rename(path, trash)
        except OSError:  # what cannot be removed costs room, but no training
            return
    if trash.is_dir() and not trash.is_symlink():
        shutil.rmtree(trash, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            os.unlink(trash)


def sweep(folder: Path, name: str | None = None) -> None:
    """Remove what dead processes left in ``folder`` (of entry ``name`` alone, if given).

    Leftovers of this process's own number are removed too: they are of an earlier one that had it.
    """
    for path in list(folder.iterdir()) if folder.is_dir() else []:
        found = LEFTOVER.fullmatch(path.name)
        if not found or (name is not None and found["name"] != name):
            continue
        pid = int(found["pid"])
        if pid == os.getpid() or not is_alive(pid):
            discard(path)


def used(path: Path) -> None:
    """Note that an item of the cache, a folder or a file, is used now: `gancore cache` removes by age."""
    with contextlib.suppress(OSError):
        os.utime(path)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def encode_json(value: Json) -> bytes:
    """The one way in which gancore writes JSON: sorted keys, so that equal values are equal bytes.

    Names of files that are not UTF-8 hold lone surrogates; these stand as JSON's escapes, and are read back.
    """
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode(
        "utf-8", "backslashreplace"
    )


def decode_json(data: bytes, name: str) -> dict[str, Json]:
    """A JSON object. Raises CheckpointError, naming the file, on anything else."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise CheckpointError(f"{name} is not JSON ({reason})") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{name} holds a JSON {type(value).__name__}, not an object")
    return value


def storage_error(error: OSError, what: str, folder: Path, needed_bytes: int = 0) -> CheckpointError:
    """One line for a write that failed: what, where, why, how to mend it."""
    reason, fix = error.strerror or str(error), "check the folder, or give another --out"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        full = "the disk is full" if error.errno == errno.ENOSPC else "the disk quota is used up"
        reason = f"{full}{_room(folder, needed_bytes)}"
        fix = f"free at least {_megabytes(2 * needed_bytes)} there, or give another --out"
    elif error.errno == errno.EIO:
        reason, fix = "the disk reports an input/output error", "check the disk, or give another --out"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        fix = "make the folder writable, or give another --out"
    elif error.errno == errno.EFBIG:
        reason, fix = f"{reason} ({_megabytes(needed_bytes)})", "raise the limit (ulimit -f)"
    kind = StorageError if error.errno in AGAIN else CheckpointError
    return kind(f"{what} could not be written to {folder}: {reason}", fix)


def _room(folder: Path, needed_bytes: int) -> str:
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return ""
    return f" ({_megabytes(needed_bytes)} needed, {_megabytes(free)} free)"


def _megabytes(count: int) -> str:
    return f"{max(count / 1e6, 0.1):,.1f} MB"
