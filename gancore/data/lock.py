"""One process at a time: what is built or downloaded once must not be built twice at once."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path

from gancore.locking import hold


@contextlib.contextmanager
def exclusive(path: Path, announce: Callable[[str], None] = lambda line: None) -> Iterator[None]:
    """Holds the lock file ``path``; waits, and says so, while another process holds it.

    The lock goes with the process, so a killed one leaves nothing to mend.

    Raises:
        OSError: the lock file cannot be made, or is a link or a pipe.
    """
    path.parent.mkdir(parents=True, exist_ok=True)

    def waiting(holder: str) -> None:
        announce(f"Waiting for {holder}, which holds {path}")

    with hold(path, math.inf, waiting):
        yield
