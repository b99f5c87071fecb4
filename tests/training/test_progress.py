"""A run shows itself on one line, whatever the terminal, and never stops because of it."""

import io
import json
import math
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise

import pytest

from gancore.progress import (
    PlainProgress,
    ProgressReport,
    SafeStream,
    fit_width,
    format_number,
    format_seconds,
    line_parts,
    open_progress,
    remind,
)

SCALARS = {
    "discriminator/gradient_norm": 1.234,
    "generator/loss": 1.5,
    "discriminator/loss": 0.69,
    "D(real)": 0.62,
    "D(fake)": 0.38,
    "discriminator/masked": 0.0,
    "generator/gradient_norm": 0.056,
    "discriminator/r1": 0.0123,
}


def report(step: int = 120, total: int = 1000, **changed: float) -> ProgressReport:
    return ProgressReport(step, total, 532.1, 125.0, {**SCALARS, **changed}, 812.0, "adversarial")


def line(shown: ProgressReport, width: int) -> str:
    return "  ".join(part.text for part in fit_width(line_parts(shown), width))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0s"), (59.7, "1m00s"), (125, "2m05s"), (3599.6, "1h00m"), (11220, "3h07m"), (187_500, "2d04h")],
)
def test_seconds_read_as_people_say_them(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def test_an_unknown_time_is_a_question_mark() -> None:
    assert [format_seconds(s) for s in (None, math.nan, math.inf)] == ["?", "?", "?"]


NUMBERS = {0.69: "0.690", 12.345: "12.3", 99.96: "100", 1234.4: "1234", -0.5: "-0.500", 1.2e-5: "1.2e-05"}
NUMBERS |= {3.4e7: "3.4e+07", 0.0: "0", math.nan: "NaN", -math.inf: "-inf"}


@pytest.mark.parametrize(("value", "text"), NUMBERS.items())
def test_numbers_have_three_to_four_digits(value: float, text: str) -> None:
    assert format_number(value) == text


def test_a_wide_line_holds_everything_in_order() -> None:
    assert line(report(), 300) == (
        "120/1000  12%  ETA 2m05s  532 samples/s  G loss 1.50  D loss 0.690  D(real) 0.620  D(fake) 0.380  "
        "D gradient 1.23  G gradient 0.0560  D r1 0.0123  812 MB  adversarial"
    )


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
def test_a_line_fits_its_width_and_keeps_what_matters_most(width: int) -> None:
    text = line(report(), width)
    assert len(text) <= width
    assert text.startswith("120/1000") and "ETA 2m05s" in text
    assert ("D loss" in text) >= ("D(real)" in text) >= ("D gradient" in text) >= ("812 MB" in text)


def test_nan_and_skipped_updates_stay_when_room_is_scarce() -> None:
    text = line(report(**{"discriminator/r1": math.nan, "generator/masked": 0.25}), 70)
    assert "D r1 NaN" in text and "G masked 0.250" in text and "532 samples/s" not in text


def test_players_with_the_same_initial_keep_their_names() -> None:
    scalars = {"G_day/loss": 1.0, "G_night/loss": 2.0, "critic/loss": 3.0}
    text = line(ProgressReport(1, 10, 1.0, None, scalars), 200)
    assert text.endswith("ETA ?  1.00 samples/s  G_day loss 1.00  G_night loss 2.00  C loss 3.00")


def test_the_plain_log_of_an_hour_stays_readable() -> None:
    """Reports every half second: the first, the last, and in between about one a minute."""
    stream, now = io.StringIO(), [0.0]
    progress = PlainProgress(SafeStream(stream), clock=lambda: now[0])
    progress.start(7201, 0, "wave")
    moments = []
    for step in range(1, 7201):
        now[0] = step * 0.5
        before = stream.tell()
        progress.update(report(step, 7201))
        if stream.tell() > before:
            moments.append(now[0])
    progress.close("finished")
    lines = stream.getvalue().splitlines()
    gaps = [b - a for a, b in pairwise(moments)]
    assert lines[0] == "wave: 7,201 steps"
    assert lines[1].startswith("1/7201  0%") and lines[-2].startswith("7200/7201  99%")
    assert lines[-1] == "finished"
    assert 50 < len(lines) < 80
    assert gaps[0] == 10 and gaps[-1] == 60 and gaps == sorted(gaps)


def test_the_last_report_is_written_once() -> None:
    stream = io.StringIO()
    progress = open_progress("plain", stream)
    progress.start(3, 2, "wave", "at most 3 steps")
    progress.update(report(2, 3))
    progress.update(report(3, 3))
    progress.close("")
    progress.close("again")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "wave: at most 3 steps, resumed at 2"
    assert [text.split()[0] for text in lines[1:]] == ["2/3", "3/3"]


def test_without_a_terminal_live_is_plain() -> None:
    stream = io.StringIO()
    progress = open_progress("live", stream)
    progress.start(1000, 0, "wave")
    progress.update(report())
    progress.note("[bold] brackets stay")
    progress.close("done")
    assert "\x1b" not in stream.getvalue() and "\r" not in stream.getvalue()
    assert stream.getvalue().splitlines()[2:] == ["[bold] brackets stay", "done"]


def test_json_is_one_strict_object_a_line() -> None:
    stream = io.StringIO()
    progress = open_progress("json", stream)
    progress.start(1000, 10, "wave")
    progress.update(report(**{"generator/loss": math.nan}))
    progress.note("two\nlines")
    progress.close("finished")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    events = [json.loads(text, parse_constant=refuse) for text in stream.getvalue().splitlines()]
    assert [event["event"] for event in events] == ["start", "report", "note", "close"]
    assert events[0] == {"event": "start", "title": "wave", "total": 1000, "step": 10}
    assert events[1]["generator/loss"] is None and events[1]["nonfinite"] == ["generator/loss"]
    assert events[1]["step"] == 120 and events[1]["D(real)"] == 0.62 and events[1]["phase"] == "adversarial"
    assert events[2]["line"] == "two\nlines" and events[3]["status"] == "finished"


def test_none_writes_nothing() -> None:
    stream = io.StringIO()
    progress = open_progress("none", stream)
    progress.start(1, 0, "wave")
    progress.update(report())
    progress.close("done")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("mode", ["plain", "json", "live"])
def test_a_reader_that_goes_away_does_not_stop_the_run(mode: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w")
    progress = open_progress(mode, stream)  # type: ignore[arg-type]
    progress.start(1000, 0, "wave")
    for step in range(3):
        progress.update(report(step))
    progress.close("finished")
    with pytest.raises(BrokenPipeError):  # the pipe was broken indeed
        os.write(writing, b"x")
    os.close(writing)


def test_letters_that_the_stream_does_not_know_are_replaced() -> None:
    raw = io.BytesIO()
    progress = open_progress("plain", io.TextIOWrapper(raw, encoding="ascii"))
    progress.note("Aufnahmen für später")
    assert raw.getvalue() == b"Aufnahmen f?r sp?ter\n"


LIVE = """
import sys, time
from gancore.progress import ProgressReport, open_progress
assert "rich" not in sys.modules and "torch" not in sys.modules
progress = open_progress("live", sys.stderr)
progress.start(1000, 0, "wave")
scalars = {"discriminator/loss": 0.69, "generator/loss": 1.5, "D(real)": 0.62, "D(fake)": 0.38,
           "discriminator/gradient_norm": 1.2, "generator/gradient_norm": 0.06}
progress.update(ProgressReport(120, 1000, 532.0, 125.0, scalars, 812.0, "adversarial"))
progress.note("[checkpoint] saved")
print("printed by a plugin")
progress.update(ProgressReport(240, 1000, 532.0, 100.0, scalars, 812.0, "adversarial"))
ENDING
"""


def in_terminal(ending: str, interrupt: int | None = None, term: str = "xterm") -> tuple[str, int]:
    """What a run of ``LIVE`` writes to a terminal of 100 columns, and how it exits."""
    master, slave = pty.openpty()
    unwanted = ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "NO_COLOR", "LINES")
    surroundings = {name: value for name, value in os.environ.items() if name not in unwanted}
    child = subprocess.Popen(
        [sys.executable, "-c", LIVE.replace("ENDING", ending)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**surroundings, "COLUMNS": "100", "TERM": term},
        start_new_session=True,
    )
    os.close(slave)
    written, deadline = b"", time.monotonic() + 60
    try:
        while time.monotonic() < deadline:
            if select.select([master], [], [], 0.1)[0]:
                try:
                    chunk = os.read(master, 65536)
                except OSError:  # the other side is closed
                    break
                written += chunk
                if not chunk:
                    break
            if interrupt and b"240/1000" in written:
                child.send_signal(interrupt)
                interrupt = None
        return written.decode(), child.wait(timeout=30)
    finally:
        child.kill()
        os.close(master)


def screen(written: str) -> list[str]:
    """The lines that stand on a terminal after this was written (just what a live line makes use of)."""
    lines, row, column, index = [""], 0, 0, 0
    while index < len(written):
        letter = written[index]
        index += 1
        if letter == "\x1b":
            end = next(i for i in range(index + 1, len(written)) if written[i].isalpha())
            code, kind = written[index + 1 : end], written[end]
            index = end + 1
            if kind == "K":
                lines[row] = ""
            elif kind == "A":
                row -= int(code or 1)
            else:
                assert kind == "m", f"unexpected control {code}{kind}"
        elif letter == "\r":
            column = 0
        elif letter == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        else:
            lines[row] = lines[row][:column].ljust(column) + letter + lines[row][column + 1 :]
            column += 1
    return [text.rstrip() for text in lines]


def test_the_live_line_stays_below_whatever_is_printed() -> None:
    written, code = in_terminal("progress.close('finished in 3m')")
    lines = screen(written)
    assert code == 0
    assert lines[:3] == ["wave: 1,000 steps", "[checkpoint] saved", "printed by a plugin"]
    assert lines[3] == (
        "240/1000  24%  ETA 1m40s  532 samples/s  D loss 0.690  G loss 1.50  D(real) 0.620  D(fake) 0.380"
    )
    assert lines[4:] == ["finished in 3m", ""]
    assert "120/1000" in written


@pytest.mark.parametrize(
    ("ending", "interrupt"),
    [
        ("time.sleep(30)", signal.SIGINT),
        ("time.sleep(30)", signal.SIGKILL),
        ("raise SystemExit(3)", None),
    ],
)
def test_however_a_run_ends_the_cursor_is_there(ending: str, interrupt: int | None) -> None:
    written, code = in_terminal(ending, interrupt)
    assert code != 0 and "240/1000" in written
    assert "\x1b[?25l" not in written
    if interrupt != signal.SIGKILL:  # and the prompt stands on a line of its own
        assert screen(written)[-1] == ""


def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines() -> None:
    written, _ = in_terminal("progress.close('done')", term="dumb")
    firsts = [text.split()[0] for text in written.splitlines()]
    assert "\x1b" not in written and firsts == [
        "wave:",
        "120/1000",
        "[checkpoint]",
        "printed",
        "240/1000",
        "done",
    ]


def test_a_program_without_streams_shows_nothing():
    progress = open_progress("plain", None)
    progress.note("nobody reads this")
    progress.close("done")


def test_long_work_is_named_with_its_time_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gancore.progress.FIRST_REMINDER_SECONDS", 0.01)
    lines: list[str] = []
    third = threading.Event()

    def announce(line: str) -> None:
        lines.append(line)
        if len(lines) == 3:
            third.set()

    with pytest.raises(ZeroDivisionError), remind(announce, "metric 4 of 31: kid"):
        assert third.wait(10)
        raise ZeroDivisionError
    ended = len(lines)
    assert set(lines) == {"metric 4 of 31: kid, 0s"}
    time.sleep(0.05)
    assert len(lines) == ended
