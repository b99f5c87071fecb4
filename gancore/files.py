"""Atomic files: written under a temporary name, synced, renamed. Imports no torch.

A file that is being written or removed is named ``.tmp-NAME-PID`` or ``.trash-NAME-PID``, so that the next
process can remove leftovers of a killed one.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import json
import math
import os
import re
import shutil
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from gancore.errors import CheckpointError, PluginError, StorageError

Json: TypeAlias = Any
"""None, a bool, int, float or str; a list of them, or a dict from str to them."""

CHUNK_BYTES = 1 << 24
MAX_JSON_BYTES = 1 << 26
"""Maximum size of a file of JSON or text that is read into memory."""
MAX_DATA_JSON_BYTES = 1 << 28
"""Maximum size of ``data.json``, which names every file of the data."""
RETRYABLE_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE})
"""Storage errors after which the same command may succeed later."""
LEFTOVER = re.compile(r"\.(?:tmp|trash)-(?P<name>.+)-(?P<pid>\d+)")


def atomic_write(path: Path, content: bytes | str) -> None:
    """Write a file so that readers see the old content or the new content, also if the process is killed.

    Raises:
        CheckpointError: the disk is full or fails, or the folder is not writable; the old file stays.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    temporary = temporary_path(path)
    try:
        write_fsync(temporary, data)
        os.replace(temporary, path)
        fsync_folder(path.parent)
    except OSError as error:
        raise storage_error(error, path.name, path.parent, len(data)) from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def temporary_path(path: Path) -> Path:
    """The hidden file in the same folder to which this process writes ``path`` first."""
    return path.parent / f".tmp-{path.name}-{os.getpid()}"


def open_regular(path: Path, flags: int) -> int:
    """Open a regular file; a link is not followed, and a pipe or device does not block.

    Raises:
        OSError: the file cannot be opened, or is not a regular file (EINVAL).
    """
    try:
        handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.EINVAL, "it is a link, which is not followed", str(path)) from error
        if error.errno == errno.ENXIO:
            raise OSError(errno.EINVAL, "it is not a regular file", str(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return handle


def read_regular(path: Path, max_bytes: int) -> bytes:
    """Read a regular file of at most ``max_bytes``. It is for files from untrusted folders.

    Raises:
        OSError: the file cannot be opened, is not a regular file (EINVAL), or is larger (EFBIG).
    """
    with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:
            reason = f"it has {_megabytes(size)}, the maximum is {_megabytes(max_bytes)}"
            raise OSError(errno.EFBIG, reason, str(path))
        return file.read(size)  # without what is appended in the meantime


def read_json_object(path: Path, max_bytes: int = MAX_JSON_BYTES) -> dict[str, Json]:
    """Read the JSON object in a regular file.

    Raises:
        OSError: as :func:`read_regular`.
        CheckpointError: the content is not a JSON object.
    """
    return decode_json(read_regular(path, max_bytes), path.name)


def total_memory_bytes() -> int:
    """The memory of this machine in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def max_tensor_bytes() -> int:
    """Maximum size of a file of tensors: half of the memory, because tensors are in memory twice."""
    return total_memory_bytes() // 2


def write_fsync(path: Path, data: bytes) -> None:
    """Write a file and sync it to the disk. Raises OSError."""
    handle = open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest[:CHUNK_BYTES]) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_folder(folder: Path) -> None:
    """Sync the names in a folder to the disk, if the file system supports it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot sync folders
            raise
    finally:
        os.close(handle)


def write_files_atomic(folder: Path, write: Callable[[Path], Sequence[Path]], writer: str) -> list[Path]:
    """Call ``write`` with a temporary folder, then move the written files into ``folder``.

    If the process is killed, every file under its final name is complete; some may be missing. Return the
    paths that ``write`` returns, in ``folder``. ``writer`` is the name of the owner of ``write``, for
    messages.

    Raises:
        PluginError: ``write`` returns something other than paths in the folder that it got.
        OSError: a file cannot be moved. Exceptions of ``write`` are raised, too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder, "files")
    temporary = temporary_path(folder.resolve() / "files")
    try:
        temporary.mkdir()
        written = [_path_within(temporary, path, writer) for path in write(temporary)]
        for path in sorted(path for path in temporary.rglob("*") if not path.is_dir()):
            final = folder / path.relative_to(temporary)
            final.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, final)
    finally:
        remove(temporary)
    return [folder / name for name in written]


def _path_within(temporary: Path, path: object, writer: str) -> Path:
    """The path relative to ``temporary``, which is resolved; written links are not followed."""
    fix = "return the paths of the files, in the folder that write(samples, folder) gets"
    if not isinstance(path, str | os.PathLike):
        raise PluginError(f"{writer} returns {type(path).__name__} objects for the files it wrote", fix)
    found = Path(path)
    try:
        return (found.parent.resolve() / found.name).relative_to(temporary)
    except ValueError:
        raise PluginError(f"{writer} returns {found}, which is not in the folder that it got", fix) from None


def replace_folder(finished: Path, final: Path) -> None:
    """Rename a finished, synced folder to its final name; remove a folder that has this name.

    If the operating system can exchange names, ``final`` is complete at any time. Raises OSError.
    """
    if not final.exists():
        os.rename(finished, final)
    elif not _exchange_names(finished, final):
        trash = final.parent / f".trash-{final.name}-{os.getpid()}"
        os.rename(final, trash)
        os.rename(finished, final)
        finished = trash
    fsync_folder(final.parent)
    if finished.exists():
        remove(finished)


def _exchange_names(one: Path, other: Path) -> bool:
    """Exchange two names atomically (renameat2 of Linux); return False if that is impossible."""
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


def remove(path: Path) -> None:
    """Remove a folder or file. It is renamed first: after a kill no partial folder has its name."""
    trash = path
    if not LEFTOVER.fullmatch(path.name):
        trash = path.parent / f".trash-{path.name}-{os.getpid()}"
        try:
            os.rename(path, trash)
        except OSError:  # a file that cannot be removed takes space, and must not stop training
            return
    if trash.is_dir() and not trash.is_symlink():
        shutil.rmtree(trash, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            os.unlink(trash)


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Remove leftovers of killed processes in ``folder``; if ``name`` is given, only leftovers of that name.

    Leftovers with the number of this process are removed, too: they are of an earlier process.
    """
    for path in list(folder.iterdir()) if folder.is_dir() else []:
        found = LEFTOVER.fullmatch(path.name)
        if not found or (name is not None and found["name"] != name):
            continue
        pid = int(found["pid"])
        if pid == os.getpid() or not is_process_alive(pid):
            remove(path)


def mark_used(path: Path) -> None:
    """Record the current time as the last use of an item of the cache (a folder or a file)."""
    with contextlib.suppress(OSError):
        os.utime(path)


def is_process_alive(pid: int) -> bool:
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
    """Encode JSON with sorted keys, so that equal values give equal bytes.

    File names that are not UTF-8 contain lone surrogates; these are written as JSON escapes and read back.
    """
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode(
        "utf-8", "backslashreplace"
    )


def encode_json_line(content: Mapping[str, Any]) -> str:
    """One line of strict JSON; NaN and infinities become null, and ``nonfinite`` lists their names."""
    plain = {name: json_value(value) for name, value in content.items()}
    nonfinite = [
        name for name, value in plain.items() if isinstance(value, float) and not math.isfinite(value)
    ]
    plain.update(dict.fromkeys(nonfinite))
    if nonfinite:
        plain["nonfinite"] = nonfinite
    return json.dumps(plain, allow_nan=False)


def json_value(value: Any) -> Any:
    """Convert a value to JSON: tensors with one element and numpy numbers become floats."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    return float(value)


class _DoubledKeyError(ValueError):
    """An object has a key twice: two readers may read two values."""


def _unique_keys(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        doubled = next(name for name in names if names.count(name) > 1)
        raise _DoubledKeyError(f"the key {doubled[:100]!r} stands twice in an object")
    return made


def decode_json(data: bytes, name: str) -> dict[str, Json]:
    """Decode a JSON object. Raises CheckpointError with the name of the file for other content."""
    try:
        value = json.loads(data, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        reason = (
            str(error) if isinstance(error, json.JSONDecodeError | _DoubledKeyError) else type(error).__name__
        )
        raise CheckpointError(f"{name} is not JSON ({reason})") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{name} is a JSON {type(value).__name__}, not an object")
    return value


def storage_error(error: OSError, what: str, folder: Path, needed_bytes: int = 0) -> CheckpointError:
    """The error for a failed write, in one line: what, where, why, how to fix it."""
    reason, fix = error.strerror or str(error), "check the folder, or give another --out"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        full = "the disk is full" if error.errno == errno.ENOSPC else "the disk quota is used up"
        reason = f"{full}{_free_space(folder, needed_bytes)}"
        fix = f"free at least {_megabytes(2 * needed_bytes)} there, or give another --out"
    elif error.errno == errno.EIO:
        reason, fix = "the disk reports an input/output error", "check the disk, or give another --out"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        fix = "make the folder writable, or give another --out"
    elif error.errno == errno.EFBIG:
        reason, fix = f"{reason} ({_megabytes(needed_bytes)})", "raise the limit (ulimit -f)"
    kind = StorageError if error.errno in RETRYABLE_ERRORS else CheckpointError
    return kind(f"{what} could not be written to {folder}: {reason}", fix)


def _free_space(folder: Path, needed_bytes: int) -> str:
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return ""
    return f" ({_megabytes(needed_bytes)} needed, {_megabytes(free)} free)"


def _megabytes(count: int) -> str:
    return f"{max(count / 1e6, 0.1):,.1f} MB"
