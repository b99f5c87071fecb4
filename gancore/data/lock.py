"""One process at a time: what is built or downloaded once must not be built twice at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # not a POSIX system: builders then work side by side, and the first one to rename wins
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def exclusive(path: Path, announce: Callable[[str], None] = lambda line: None) -> Iterator[None]:
    """Holds the lock file ``path``; waits, and says so, while another process holds it.

    The lock goes with the process, so a killed one leaves nothing to mend.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        _wait(file, path, announce)
        yield


def _wait(file: IO[str], path: Path, announce: Callable[[str], None]) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        announce(f"Waiting for another process that holds {path}")
        fcntl.flock(file, fcntl.LOCK_EX)
