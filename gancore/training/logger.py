"""The log of a run: ``metrics.jsonl``, TensorBoard events, and plugins' loggers.

Logging errors never stop a run: a full disk or a failing logger is reported once, and training continues.
Resuming depends on the checkpoints, not on the log.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gancore.errors import describe_error
from gancore.files import encode_json_line, json_value, open_regular
from gancore.progress import Announce
from gancore.run_folder import parse_lines

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from gancore.domain import Domain
    from gancore.samples import Samples


NOT_PLOTTED = frozenset({"step", "seconds", "samples", "phase"})
"""Keys of every line of metrics.jsonl, in addition to the scalars."""


class RunLogger:
    """The log of a run, written by rank 0.

    Entries after ``resume_step`` from an earlier process are removed, so that the log of a resumed run equals
    that of an uninterrupted one; ``includes_validation``: whether that step's evaluation had been made.
    ``note`` is called once for each thing that cannot be written.
    """

    def __init__(
        self,
        metrics_path: Path,
        events_folder: Path,
        resume_step: int,
        note: Announce | None = None,
        includes_validation: bool = True,
    ) -> None:
        self._note = note or logging.getLogger("gancore").warning
        self._failed: set[str] = set()
        self._metrics = MetricsFile(metrics_path, resume_step, includes_validation, self._note)
        self._events = _TensorBoard(events_folder, resume_step)
        self._loggers = self._open_loggers(metrics_path.parent)

    def log_scalars(self, step: int, mapping: Mapping[str, Any]) -> None:
        """Write the values of one log step; ``seconds``, ``samples`` and ``phase`` may be among them."""
        self._metrics.append({"step": step, **mapping})
        plotted = {name: json_value(value) for name, value in mapping.items() if name not in NOT_PLOTTED}
        numbers = {name: float(value) for name, value in plotted.items() if isinstance(value, (int, float))}
        self._try_once("TensorBoard", lambda: self._events.scalars(step, numbers))
        self._for_each_logger(lambda logger: logger.scalars(step, numbers))

    def log_samples(self, step: int, samples: Samples, domain: Domain, paths: Sequence[Path] = ()) -> None:
        """Show samples in TensorBoard as the domain does; loggers also get the files of the samples."""
        self._try_once(
            "TensorBoard samples", lambda: domain.log_to_tensorboard(samples, self._events.writer(), step)
        )
        self._for_each_logger(lambda logger: logger.samples(step, samples, paths))

    def close(self) -> None:
        self._metrics.close()
        self._try_once("TensorBoard", self._events.close)
        self._events.restore_hook()
        self._for_each_logger(lambda logger: logger.close())

    def _open_loggers(self, run_folder: Path) -> dict[str, Any]:
        """The loggers of plugins, each made with the run folder."""
        from gancore.plugins import plugins

        opened: dict[str, Any] = {}
        for entry in plugins().entries("gancore_loggers"):
            name = f"logger {entry.name!r}"

            def make(name: str = name, entry: Any = entry) -> None:
                opened[name] = plugins().load_object(entry)(run_folder)

            self._try_once(name, make)
        return opened

    def _for_each_logger(self, action: Callable[[Any], object]) -> None:
        for name, logger in self._loggers.items():
            self._try_once(name, partial(action, logger))

    def _try_once(self, name: str, action: Callable[[], object]) -> None:
        """Call ``action``; if it fails, report that and do not call it again."""
        if name in self._failed:
            return
        try:
            action()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # asyncio.CancelledError is no Exception, nor is SystemExit
            self._failed.add(name)
            self._note(f"{name} failed and is left out from here on: {describe_error(error, 1000)}")


class MetricsFile:
    """``metrics.jsonl``: a JSON object a line, in the file at once when ``append`` returns."""

    def __init__(self, path: Path, resume_step: int, includes_validation: bool, note: Announce) -> None:
        self._path, self._note = path, note
        self._warned = self._torn = False
        self._file: Any = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            truncate_after(path, resume_step, includes_validation)
        except OSError as error:
            self._warn(error)

    def append(self, content: Mapping[str, Any]) -> None:
        line = encode_json_line(content).encode() + b"\n"
        try:
            if self._file is None:
                handle = open_regular(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
                self._file = os.fdopen(handle, "ab", buffering=0)
            if self._torn:  # the last line is incomplete: end it, so that only it is lost
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
                f"{self._path} cannot be written ({error.strerror}); training continues without those lines"
            )


class _TensorBoard:
    """TensorBoard events. The writer is made at first use, because importing it takes seconds."""

    def __init__(self, folder: Path, resume_step: int) -> None:
        self._folder, self._resume_step = folder, resume_step
        self._writer: SummaryWriter | None = None
        self._previous_hook: Any = None

    def writer(self) -> SummaryWriter:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            used = self._folder.is_dir() and any(self._folder.iterdir())
            purge_step = self._resume_step + 1 if used else None
            self._mute_writer_thread()
            self._writer = SummaryWriter(str(self._folder), purge_step=purge_step, flush_secs=30)
        return self._writer

    def _mute_writer_thread(self) -> None:
        """Print no traceback of TensorBoard's thread on a full disk: the next write raises its error."""
        previous = self._previous_hook = threading.excepthook

        def hook(arguments: threading.ExceptHookArgs) -> None:
            if not type(arguments.thread).__module__.startswith("tensorboard."):
                previous(arguments)

        threading.excepthook = hook

    def restore_hook(self) -> None:
        if self._previous_hook is not None:
            threading.excepthook, self._previous_hook = self._previous_hook, None

    def scalars(self, step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            self.writer().add_scalar(name, value, step)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def truncate_after(path: Path, step: int, includes_validation: bool = True) -> None:
    """Truncate the file after the last complete line of ``step`` or before; it is read from its end.

    ``includes_validation`` False: the results on valid at ``step`` itself are removed too.

    Raises:
        OSError: it cannot be read or truncated, or is not a regular file.
    """
    try:
        handle = open_regular(path, os.O_RDWR)
    except FileNotFoundError:
        return
    try:
        size, end = os.fstat(handle).st_size, 0
        if size:
            with mmap.mmap(handle, 0, access=mmap.ACCESS_READ) as content:
                end = content.rfind(b"\n") + 1  # a line without an end is incomplete
                while end:
                    start = content.rfind(b"\n", 0, end - 1) + 1
                    if _is_kept(content[start:end], step, includes_validation):
                        break
                    end = start
        if end < size:
            os.ftruncate(handle, end)
            os.fsync(handle)
    finally:
        os.close(handle)


def _is_kept(line: bytes, step: int, includes_validation: bool) -> bool:
    for _, entry in parse_lines(line):
        late = (
            entry["step"] == step
            and not includes_validation
            and any(name.startswith("valid/") for name in entry)
        )
        return entry["step"] <= step and not late
    return False
