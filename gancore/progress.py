"""Progress of a run: a live line, plain lines, JSON lines, or nothing.

Errors of output do not stop a run: after an error nothing more is written to the terminal or pipe.
"""

from __future__ import annotations

import atexit
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, cast

from gancore.files import encode_json_line
from gancore.runtime.clock import active_time
from gancore.text import count_noun, escape_control

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.text import Text


__all__ = ["Progress", "ProgressMode", "ProgressReport", "open_progress"]


@dataclass(frozen=True)
class ProgressReport:
    """The report of a log step.

    ``scalars`` have the names ``<player>/loss``, ``<player>/gradient_norm``, ``<player>/masked`` (the share
    of masked updates), ``D(real)``, ``D(fake)``, and others that the game defines.
    """

    step: int
    total: int
    samples_per_second: float
    eta_seconds: float | None
    scalars: Mapping[str, float] = field(default_factory=dict)
    memory_megabytes: float | None = None
    phase: str = ""


@dataclass(frozen=True)
class LinePart:
    """A part of the line. If the line is too long, parts with the highest ``priority`` are dropped first."""

    text: str
    priority: int
    is_alarm: bool = False


_LABELS = {"loss": ("loss", 0, 2), "D(real)": ("D(real)", 1, 5), "D(fake)": ("D(fake)", 1, 5)}
_LABELS["gradient_norm"] = ("gradient", 2, 6)
"""The label, the position on the line, and the priority of each kind of scalar."""


def line_parts(report: ProgressReport, eta_seconds: float | None = None) -> list[LinePart]:
    """The parts of a report in their order on the line."""
    eta = report.eta_seconds if eta_seconds is None else eta_seconds
    parts = [
        LinePart(f"{report.step}/{report.total}", 0),
        LinePart(f"{100 * report.step // max(1, report.total)}%", 4),
        LinePart(f"ETA {format_seconds(eta)}", 1),
        LinePart(f"{format_number(report.samples_per_second)} samples/s", 3),
        *_scalar_parts(report.scalars),
    ]
    if report.memory_megabytes is not None:
        parts.append(LinePart(f"{report.memory_megabytes:.0f} MB", 7))
    if report.phase:
        parts.append(LinePart(report.phase, 8))
    return [replace(part, text=escape_control(part.text)) for part in parts]


def _scalar_parts(scalars: Mapping[str, float]) -> list[LinePart]:
    """The parts of scalars: losses, D(real), D(fake), gradient norms, others; warnings are not dropped."""
    short = _short_names({name.rpartition("/")[0] for name in scalars})
    placed = []
    for name, value in scalars.items():
        player, _, kind = name.rpartition("/")
        if kind == "masked" and value == 0:
            continue
        label, place, priority = _LABELS.get(kind, (kind, 3, 9))
        alarm = kind == "masked" or not math.isfinite(value)
        text = f"{short[player]} {label} {format_number(value)}".strip()
        placed.append((place, LinePart(text, priority=1 if alarm else priority, is_alarm=alarm)))
    return [part for _, part in sorted(placed, key=lambda pair: pair[0])]


def _short_names(players: Set[str]) -> dict[str, str]:
    """Names of players on the line: the initial if it is unique, as in ``D r1``; otherwise the name."""
    heads = {player.partition("/")[0] for player in players}
    firsts = [head[:1].upper() for head in heads]
    short = {head: head[:1].upper() if firsts.count(head[:1].upper()) == 1 else head for head in heads}
    return {player: " ".join([short[player.split("/")[0]], *player.split("/")[1:]]) for player in players}


def fit_width(parts: list[LinePart], width: int) -> list[LinePart]:
    """The parts that fit into ``width`` characters, by priority; the first part is always kept."""
    kept = list(parts)
    while len(kept) > 1 and sum(len(part.text) + 2 for part in kept) - 2 > width:
        worst = max(range(1, len(kept)), key=lambda index: (kept[index].priority, index))
        del kept[worst]
    return kept


def format_seconds(seconds: float | None) -> str:
    """A time as text: ``48s``, ``2m05s``, ``3h07m``, ``2d04h``; ``?`` if it is unknown."""
    if seconds is None or not math.isfinite(seconds):
        return "?"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    minutes = whole // 60
    if minutes < 24 * 60:
        return f"{minutes // 60}h{minutes % 60:02d}m"
    return f"{minutes // 1440}d{minutes % 1440 // 60:02d}h"


def format_number(value: float) -> str:
    """A number with three or four significant digits: ``0.690``, ``12.3``, ``1234``, ``1.2e-05``, ``nan``."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value) or value == 0:
        return f"{value:.0f}"
    if abs(value) < 1e-3 or abs(value) >= 1e6:
        return f"{value:.1e}"
    if abs(value) >= 99.95:
        return f"{value:.0f}"
    return f"{value:#.3g}"


ProgressMode = Literal["live", "plain", "json", "none"]
Announce: TypeAlias = Callable[[str], None]
"""A function that is called with a line for the user."""


def silent(line: str) -> None:
    """Prints nothing."""


REPORT_SECONDS = 5.0


def throttle(announce: Announce) -> Announce:
    """A function that announces at most one line every REPORT_SECONDS, the first one after that time."""
    last = time.monotonic()

    def report(line: str) -> None:
        nonlocal last
        if time.monotonic() - last > REPORT_SECONDS:
            last = time.monotonic()
            announce(line)

    return report


FIRST_REMINDER_SECONDS, LAST_REMINDER_SECONDS, REMINDER_GROWTH = 10.0, 60.0, 1.5
"""Seconds between reminders of work that goes on: at first, at most, and by how much they grow."""


@contextmanager
def remind(announce: Announce, name: str) -> Iterator[None]:
    """Announce, from another thread, for how long work has gone on: after 10 s, then less and less often."""
    began, done = time.monotonic(), threading.Event()

    def run() -> None:
        interval = FIRST_REMINDER_SECONDS
        while not done.wait(interval):
            announce(f"{name}, {format_seconds(time.monotonic() - began)}")
            interval = min(LAST_REMINDER_SECONDS, REMINDER_GROWTH * interval)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


class Progress(Protocol):
    """Shows the progress of a run. ``note`` writes above the live line; ``close`` may be called twice.

    ``length`` of ``start`` is ``total_steps`` in words, such as ``at most 1,000 steps``.
    """

    def start(self, total_steps: int, start_step: int, title: str, length: str = "") -> None: ...

    def update(self, report: ProgressReport) -> None: ...

    def note(self, line: str) -> None: ...

    def close(self, status: str) -> None: ...


def open_progress(mode: ProgressMode, stream: IO[str] | None) -> Progress:
    """The progress of this mode; without a terminal, ``live`` is ``plain``.

    If ``stream`` is None, as in a daemon, nothing is shown.
    """
    if mode == "none" or stream is None:
        return NoProgress()
    safe = SafeStream(stream)
    if mode == "json":
        return JsonProgress(safe)
    capable = safe.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
    return LiveProgress(safe) if mode == "live" and capable else PlainProgress(safe)


class NoProgress:
    """Prints nothing."""

    def start(self, total_steps: int, start_step: int, title: str, length: str = "") -> None:
        pass

    def update(self, report: ProgressReport) -> None:
        pass

    def note(self, line: str) -> None:
        pass

    def close(self, status: str) -> None:
        pass


class PlainProgress:
    """Plain lines.

    The first and the last report are written, others at first every 10 s, later every 60 s.
    """

    FIRST_SECONDS, LAST_SECONDS, GROWTH = 10.0, 60.0, 1.5

    def __init__(self, stream: SafeStream, clock: Callable[[], float] = active_time) -> None:
        self._stream, self._clock = stream, clock
        self._interval, self._next_time = self.FIRST_SECONDS, -math.inf
        self._pending: ProgressReport | None = None
        self._closed = False

    def start(self, total_steps: int, start_step: int, title: str, length: str = "") -> None:
        self.note(_header(total_steps, start_step, title, length))

    def update(self, report: ProgressReport) -> None:
        if self._clock() < self._next_time and report.step < report.total:
            self._pending = report
            return
        if self._next_time > -math.inf:
            self._interval = min(self.LAST_SECONDS, self._interval * self.GROWTH)
        self._next_time = self._clock() + self._interval
        self._write(report)

    def note(self, line: str) -> None:
        self._stream.line(escape_control(line))

    def close(self, status: str) -> None:
        if self._closed:
            return
        self._closed = True
        if self._pending is not None:
            self._write(self._pending)
        if status:
            self.note(status)

    def _write(self, report: ProgressReport) -> None:
        self._pending = None
        self._stream.line("  ".join(part.text for part in fit_width(line_parts(report), width=160)))


class JsonProgress:
    """One JSON object a line for every event: start, report, note, close."""

    def __init__(self, stream: SafeStream) -> None:
        self._stream, self._closed = stream, False

    def start(self, total_steps: int, start_step: int, title: str, length: str = "") -> None:
        self._event("start", {"title": title, "total": total_steps, "step": start_step})

    def update(self, report: ProgressReport) -> None:
        figures = {name: value for name, value in vars(report).items() if name != "scalars"}
        self._event("report", {**report.scalars, **figures})

    def note(self, line: str) -> None:
        self._event("note", {"line": line})

    def close(self, status: str) -> None:
        if not self._closed:
            self._closed = True
            self._event("close", {"status": status})

    def _event(self, name: str, content: Mapping[str, Any]) -> None:
        self._stream.line(encode_json_line({"event": name, **content}))


class LiveProgress:
    """One line at the bottom of the terminal; notes and other output go above it.

    The cursor is never hidden, so that a killed run leaves a usable terminal.
    """

    def __init__(self, stream: SafeStream) -> None:
        import sys

        from rich.live import Live

        self._console = _console(stream)
        self._total = self._start_step = 0
        self._report: ProgressReport | None = None
        self._updated_at = active_time()
        self._live = Live(
            get_renderable=lambda: self,
            console=self._console,
            refresh_per_second=1,
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=sys.stderr.isatty(),
        )
        self._open = False

    def start(self, total_steps: int, start_step: int, title: str, length: str = "") -> None:
        self._total, self._start_step, self._updated_at = total_steps, start_step, active_time()
        self.note(_header(total_steps, start_step, title, length))
        self._open = True
        atexit.register(self.close, "")
        self._live.start(refresh=True)

    def update(self, report: ProgressReport) -> None:
        self._report, self._updated_at = report, active_time()
        self._live.refresh()

    def note(self, line: str) -> None:
        self._console.print(escape_control(line), markup=False, highlight=False, soft_wrap=True)

    def close(self, status: str) -> None:
        if self._open:
            self._open = False
            atexit.unregister(self.close)
            self._live.stop()
            if status:
                self.note(status)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        from rich.text import Text

        parts = fit_width(self._parts(), options.max_width - 1)
        line = Text(no_wrap=True, overflow="ellipsis", end="")
        for index, part in enumerate(parts):
            line.append("  " if index else "")
            line.append(part.text, "bold red" if part.is_alarm else "bold" if index == 0 else "")
        yield line

    def _parts(self) -> list[LinePart]:
        """The current parts of the line; the remaining time is updated between reports."""
        waited = active_time() - self._updated_at
        if self._report is None:
            begun = LinePart(f"{self._start_step}/{self._total}", 0)
            return [begun, LinePart(f"starting, {format_seconds(waited)}", 1)]
        eta = self._report.eta_seconds
        return line_parts(self._report, None if eta is None else max(0.0, eta - waited))


def _header(total_steps: int, start_step: int, title: str, length: str) -> str:
    resumed = f", resumed at {start_step}" if start_step else ""
    return f"{title}: {length or count_noun(total_steps, 'step')}{resumed}"


class SafeStream:
    """A stream that raises no errors: after an error it discards text."""

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
        self._write_safely(lambda: self._stream.write(printable))
        return len(text)

    def flush(self) -> None:
        self._write_safely(self._stream.flush)

    def _write_safely(self, action: Callable[[], object]) -> None:
        if self._broken:
            return
        try:
            action()
        except (OSError, ValueError):  # the terminal, pipe or stream is closed, or the disk is full
            self._broken = True


def _console(stream: SafeStream) -> Console:
    from rich.console import Console

    class CursorKept(Console):
        def show_cursor(self, show: bool = True) -> bool:
            return False

    return CursorKept(file=cast("IO[str]", stream))
