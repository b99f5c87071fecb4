"""How a run shows itself while it trains: one live line, plain lines, JSON lines, or nothing.

Showing never stops a run: a terminal that hangs up or a pipe that closes is written to no more.
"""

from __future__ import annotations

import atexit
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any, Literal, Protocol, cast

from gancore.errors import printable
from gancore.training.report import Part, Report, fit, format_seconds, report_parts
from gancore.training.tracking import encode_line

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.text import Text

__all__ = ["Mode", "Progress", "Report", "open_progress"]

Mode = Literal["live", "plain", "json", "none"]


class Progress(Protocol):
    """Where a run shows itself: ``note`` writes above the live line, ``close`` may be called twice."""

    def start(self, total_rounds: int, start_round: int, title: str) -> None: ...

    def update(self, report: Report) -> None: ...

    def note(self, line: str) -> None: ...

    def close(self, status: str) -> None: ...


def open_progress(mode: Mode, stream: IO[str] | None) -> Progress:
    """The progress of this mode; ``live`` needs a terminal and is ``plain`` where there is none.

    ``stream`` is None where the program has none, as under a daemon: then nothing is shown.
    """
    if mode == "none" or stream is None:
        return NoProgress()
    safe = _SafeStream(stream)
    if mode == "json":
        return JsonProgress(safe)
    capable = safe.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
    return LiveProgress(safe) if mode == "live" and capable else PlainProgress(safe)


class NoProgress:
    """Says nothing."""

    def start(self, total_rounds: int, start_round: int, title: str) -> None:
        pass

    def update(self, report: Report) -> None:
        pass

    def note(self, line: str) -> None:
        pass

    def close(self, status: str) -> None:
        pass


class PlainProgress:
    """A line per report, so rarely that the log of an hour is read in a minute.

    The first report and the last are always written, the others 10 s apart at first and 60 s later.
    """

    FIRST_SECONDS, LAST_SECONDS, GROWTH = 10.0, 60.0, 1.5

    def __init__(self, stream: _SafeStream, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._interval, self._due = self.FIRST_SECONDS, -math.inf
        self._held: Report | None = None
        self._closed = False

    def start(self, total_rounds: int, start_round: int, title: str) -> None:
        self.note(_opening(total_rounds, start_round, title))

    def update(self, report: Report) -> None:
        if self._clock() < self._due and report.step < report.total:
            self._held = report
            return
        if self._due > -math.inf:
            self._interval = min(self.LAST_SECONDS, self._interval * self.GROWTH)
        self._due = self._clock() + self._interval
        self._write(report)

    def note(self, line: str) -> None:
        self._stream.line(printable(line))

    def close(self, status: str) -> None:
        if self._closed:
            return
        self._closed = True
        if self._held is not None:
            self._write(self._held)
        if status:
            self.note(status)

    def _write(self, report: Report) -> None:
        self._held = None
        self._stream.line("  ".join(part.text for part in fit(report_parts(report), width=160)))


class JsonProgress:
    """One JSON object a line for every event: start, report, note, close."""

    def __init__(self, stream: _SafeStream) -> None:
        self._stream, self._closed = stream, False

    def start(self, total_rounds: int, start_round: int, title: str) -> None:
        self._event("start", {"title": title, "total": total_rounds, "step": start_round})

    def update(self, report: Report) -> None:
        figures = {name: value for name, value in vars(report).items() if name != "scalars"}
        self._event("report", {**report.scalars, **figures})

    def note(self, line: str) -> None:
        self._event("note", {"line": line})

    def close(self, status: str) -> None:
        if not self._closed:
            self._closed = True
            self._event("close", {"status": status})

    def _event(self, name: str, content: Mapping[str, Any]) -> None:
        self._stream.line(encode_line({"event": name, **content}))


class LiveProgress:
    """One line that stays at the foot of the terminal; notes and other output go above it.

    The cursor is never hidden, so even a run that is killed leaves a terminal that works.
    """

    def __init__(self, stream: _SafeStream) -> None:
        import sys

        from rich.live import Live

        self._console = _console(stream)
        self._total = self._start_round = 0
        self._report: Report | None = None
        self._moment = time.monotonic()
        self._live = Live(
            get_renderable=lambda: self,
            console=self._console,
            refresh_per_second=1,
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=sys.stderr.isatty(),
        )
        self._open = False

    def start(self, total_rounds: int, start_round: int, title: str) -> None:
        self._total, self._start_round, self._moment = total_rounds, start_round, time.monotonic()
        self.note(_opening(total_rounds, start_round, title))
        self._open = True
        atexit.register(self.close, "")
        self._live.start(refresh=True)

    def update(self, report: Report) -> None:
        self._report, self._moment = report, time.monotonic()
        self._live.refresh()

    def note(self, line: str) -> None:
        self._console.print(printable(line), markup=False, highlight=False, soft_wrap=True)

    def close(self, status: str) -> None:
        if self._open:
            self._open = False
            atexit.unregister(self.close)
            self._live.stop()
            if status:
                self.note(status)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        from rich.text import Text

        parts = fit(self._parts(), options.max_width - 1)
        line = Text(no_wrap=True, overflow="ellipsis", end="")
        for index, part in enumerate(parts):
            line.append("  " if index else "")
            line.append(part.text, "bold red" if part.alarm else "bold" if index == 0 else "")
        yield line

    def _parts(self) -> list[Part]:
        """The parts of the line now: between reports the remaining time goes on counting down."""
        waited = time.monotonic() - self._moment
        if self._report is None:
            begun = Part(f"{self._start_round}/{self._total}", 0)
            return [begun, Part(f"starting, {format_seconds(waited)}", 1)]
        eta = self._report.eta_seconds
        return report_parts(self._report, None if eta is None else max(0.0, eta - waited))


def _opening(total_rounds: int, start_round: int, title: str) -> str:
    resumed = f", resumed at {start_round}" if start_round else ""
    return f"{title}: {total_rounds} rounds{resumed}"


class _SafeStream:
    """A stream that never raises: once it is broken it swallows what it is given."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream, self._broken = stream, False

    @property
    def encoding(self) -> str:
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        return not self._stream.closed and self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def line(self, text: str) -> None:
        self.write(text + "\n")
        self.flush()

    def write(self, text: str) -> int:
        printable = text.encode(self.encoding, "replace").decode(self.encoding)
        self._attempt(lambda: self._stream.write(printable))
        return len(text)

    def flush(self) -> None:
        self._attempt(self._stream.flush)

    def _attempt(self, action: Callable[[], object]) -> None:
        if self._broken:
            return
        try:
            action()
        except (OSError, ValueError):  # hung up, pipe closed, disk full; or the stream was closed
            self._broken = True


def _console(stream: _SafeStream) -> Console:
    from rich.console import Console

    class CursorKept(Console):
        def show_cursor(self, show: bool = True) -> bool:
            return False

    return CursorKept(file=cast("IO[str]", stream))
