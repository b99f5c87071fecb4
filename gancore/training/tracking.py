"""What a run writes down about itself: ``metrics.jsonl``, TensorBoard events, and plugins' loggers.

Nothing here stops a run. A full disk or a failing logger is reported once, and training goes on:
whether it can be continued is decided by its checkpoints, not by its diary.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from gancore.errors import in_words
from gancore.files import open_regular

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from gancore.domain import Domain, Samples

Note: TypeAlias = Callable[[str], None]

TAIL_BYTES = 1 << 16
"""Read at once from the end of a long file."""
LONGEST_LINE_BYTES = 1 << 20
"""Of metrics.jsonl: a longer one is none of gancore's."""
NOT_PLOTTED = frozenset({"step", "seconds", "samples", "phase"})
"""What stands in every line of metrics.jsonl beside the scalars."""


class Tracker:
    """The diary of a run, kept by rank 0.

    What an earlier life of the run wrote after ``resume_step`` is forgotten, so that a resumed run's
    diary equals an undisturbed one's; ``evaluated``: whether that step's evaluation had been made. ``note``
    is told, once each, what could not be written.
    """

    def __init__(
        self,
        metrics_path: Path,
        events_folder: Path,
        resume_step: int,
        note: Note | None = None,
        evaluated: bool = True,
    ) -> None:
        self._note = note or logging.getLogger("gancore").warning
        self._failed: set[str] = set()
        self._metrics = MetricsFile(metrics_path, resume_step, evaluated, self._note)
        self._events = _Events(events_folder, resume_step)
        self._loggers = self._open_loggers(metrics_path.parent)

    def scalars(self, step: int, mapping: Mapping[str, Any]) -> None:
        """Write the figures of one log step; ``seconds``, ``samples`` and ``phase`` may be among them."""
        self._metrics.append({"step": step, **mapping})
        plotted = {name: _plain(value) for name, value in mapping.items() if name not in NOT_PLOTTED}
        numbers = {name: float(value) for name, value in plotted.items() if isinstance(value, (int, float))}
        self._attempt("TensorBoard", lambda: self._events.scalars(step, numbers))
        for name, logger in self._loggers.items():
            self._attempt(name, lambda logger=logger: logger.scalars(step, numbers))  # type: ignore[misc]

    def samples(self, step: int, samples: Samples, domain: Domain, paths: Sequence[Path] = ()) -> None:
        """Show samples in TensorBoard as the domain does; loggers also get the files written of them."""
        self._attempt("TensorBoard samples", lambda: domain.show(samples, self._events.writer(), step))
        for name, logger in self._loggers.items():
            self._attempt(name, lambda logger=logger: logger.samples(step, samples, paths))  # type: ignore[misc]

    def close(self) -> None:
        self._metrics.close()
        self._attempt("TensorBoard", self._events.close)
        self._events.release()
        for name, logger in self._loggers.items():
            self._attempt(name, logger.close)

    def _open_loggers(self, run_folder: Path) -> dict[str, Any]:
        """The loggers of plugins, each made with the run folder."""
        from gancore.plugins import plugins

        opened: dict[str, Any] = {}
        for entry in plugins().records("gancore_loggers"):
            name = f"logger {entry.name!r}"

            def make(name: str = name, entry: Any = entry) -> None:
                opened[name] = plugins().resolve(entry)(run_folder)

            self._attempt(name, make)
        return opened

    def _attempt(self, name: str, action: Callable[[], object]) -> None:
        """Do it; what fails is reported and not asked again."""
        if name in self._failed:
            return
        try:
            action()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # asyncio.CancelledError is no Exception, nor is SystemExit
            self._failed.add(name)
            self._note(f"{name} failed and is left out from here on: {in_words(error, 1000)}")


class MetricsFile:
    """``metrics.jsonl``: a JSON object a line, in the file at once when ``append`` returns."""

    def __init__(self, path: Path, resume_step: int, evaluated: bool, note: Note) -> None:
        self._path, self._note = path, note
        self._warned = self._torn = False
        self._file: Any = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            forget_after(path, resume_step, evaluated)
        except OSError as error:
            self._warn(error)

    def append(self, content: Mapping[str, Any]) -> None:
        line = encode_line(content).encode() + b"\n"
        try:
            if self._file is None:
                handle = open_regular(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
                self._file = os.fdopen(handle, "ab", buffering=0)
            if self._torn:  # half a line stands there: end it, so that only it is lost
                line = b"\n" + line
            self._torn = self._file.write(line) != len(line)
        except OSError as error:
            self._torn = True
            self._warn(error)

    def close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            self._note(
                f"{self._path} cannot be written ({error.strerror}); training goes on without those lines"
            )


class _Events:
    """TensorBoard events. The writer is made at first use, for importing it takes seconds."""

    def __init__(self, folder: Path, resume_step: int) -> None:
        self._folder, self._resume_step = folder, resume_step
        self._writer: SummaryWriter | None = None
        self._hook_before: Any = None

    def writer(self) -> SummaryWriter:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            used = self._folder.is_dir() and any(self._folder.iterdir())
            purge_step = self._resume_step + 1 if used else None
            self._silence_its_thread()
            self._writer = SummaryWriter(str(self._folder), purge_step=purge_step, flush_secs=30)
        return self._writer

    def _silence_its_thread(self) -> None:
        """On a full disk TensorBoard's thread ends; the next write raises its error, without a traceback."""
        before = self._hook_before = threading.excepthook

        def hook(arguments: threading.ExceptHookArgs) -> None:
            if not type(arguments.thread).__module__.startswith("tensorboard."):
                before(arguments)

        threading.excepthook = hook

    def release(self) -> None:
        if self._hook_before is not None:
            threading.excepthook, self._hook_before = self._hook_before, None

    def scalars(self, step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            self.writer().add_scalar(name, value, step)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def encode_line(content: Mapping[str, Any]) -> str:
    """One line of strict JSON; numbers that JSON has not are null and named under ``nonfinite``."""
    plain = {name: _plain(value) for name, value in content.items()}
    lost = [name for name, value in plain.items() if isinstance(value, float) and not math.isfinite(value)]
    plain.update(dict.fromkeys(lost))
    if lost:
        plain["nonfinite"] = lost
    return json.dumps(plain, allow_nan=False)


def _plain(value: Any) -> Any:
    """A value that JSON knows: one-element tensors and numpy numbers become floats."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    return float(value)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics file; those that are torn, or not of this format, are left out."""
    try:
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            lines = iter(lambda: file.readline(LONGEST_LINE_BYTES), b"")
            return [entry for line in lines for _, entry in _entries(line)]
    except OSError:
        return []


def forget_after(path: Path, step: int, evaluated: bool = True) -> None:
    """Cut the file off behind the last whole line of ``step`` or before; it is read from its end.

    ``evaluated`` False: what was measured on valid at ``step`` itself is forgotten too.

    Raises:
        OSError: it cannot be read or cut, or is no regular file.
    """
    try:
        handle = open_regular(path, os.O_RDWR)
    except FileNotFoundError:
        return
    try:
        size = os.fstat(handle).st_size
        end = next((end for end, line in _from_the_end(handle, size) if _stays(line, step, evaluated)), 0)
        if end < size:
            os.ftruncate(handle, end)
            os.fsync(handle)
    finally:
        os.close(handle)


def _stays(line: bytes, step: int, evaluated: bool) -> bool:
    for _, entry in _entries(line):
        late = entry["step"] == step and not evaluated and any(name.startswith("valid/") for name in entry)
        return entry["step"] <= step and not late
    return False


def _from_the_end(handle: int, size: int) -> Iterator[tuple[int, bytes]]:
    """The lines that have an end, the last one first, each with the place behind it."""
    start, rest = size, b""  # ``rest`` begins at ``start``: a line whose beginning was not read yet
    while start > 0:
        count = min(TAIL_BYTES, start)
        start -= count
        read = os.pread(handle, count, start) + rest
        first, *lines = read.split(b"\n")
        if not lines:
            rest = read
            continue
        end = start + len(read) - len(lines.pop())  # what has no end is torn
        for line in reversed(lines):
            yield end, line
            end -= len(line) + 1
        rest = first + b"\n"
    if rest.endswith(b"\n"):
        yield len(rest), rest[:-1]


def _entries(content: bytes) -> Iterable[tuple[bytes, dict[str, Any]]]:
    for line in content.split(b"\n"):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):  # empty, torn, or not text
            continue
        if isinstance(entry, dict) and isinstance(entry.get("step"), int):
            yield line, entry
