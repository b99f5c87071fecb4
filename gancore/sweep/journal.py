"""The journal file of a sweep in a shared folder. Imports optuna."""

from __future__ import annotations

import json
import os
from typing import Any

from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

GRACE_SECONDS = 30
"""After this time the lock of a worker that was killed while it wrote is removed."""


class SweepJournal(JournalFileBackend):
    """optuna's journal file, locked by a file that is created exclusively (NFSv3 and later).

    A last line without an end is left by a process that was killed, or that met a full disk, while it wrote.
    It is removed before the next line: joined to it, it would make the file unreadable for all. A lock that
    was not released is removed after GRACE_SECONDS.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._mutex = JournalFileOpenLock(path, GRACE_SECONDS)
        super().__init__(path, self._mutex)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self._mutex.acquire()
        try:
            with open(self._path, "r+b") as file:
                _cut_torn_line(file.fileno())
                file.seek(0, os.SEEK_END)
                file.write(lines.encode())
                file.flush()
                os.fsync(file.fileno())
        finally:
            self._mutex.release()


def _cut_torn_line(handle: int, block: int = 1 << 12) -> None:
    """Truncate the file after its last line end."""
    end = size = os.fstat(handle).st_size
    while end:
        start = max(0, end - block)
        found = os.pread(handle, end - start, start).rfind(b"\n")
        if found >= 0:
            end = start + found + 1
            break
        end = start
    if end < size:
        os.ftruncate(handle, end)
