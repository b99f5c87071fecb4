"""Ctrl-Z, then fg: the program stops at once and goes on, and its clock leaves out the time between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from gancore.runtime.clock import active_time, measure_suspensions

STOPPED_SECONDS = 1.0
PROGRAM = """
import sys, time
from gancore.runtime.clock import active_time, measure_suspensions
with measure_suspensions():
    wall, active = time.perf_counter(), active_time()
    print("ready", flush=True)
    sys.stdin.readline()  # until the suspensions are over
    print(time.perf_counter() - wall, active_time() - active)
"""


def suspend(process: subprocess.Popen[str], seconds: float) -> None:
    """What Ctrl-Z and fg do. The process must lead a process group, or the signal has no effect."""
    process.send_signal(signal.SIGTSTP)
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    time.sleep(seconds)
    process.send_signal(signal.SIGCONT)


def test_suspended_time_does_not_count():
    command = [sys.executable, "-c", PROGRAM]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, process_group=0)
    assert process.stdout.readline() == "ready\n"
    for _ in range(2):
        suspend(process, STOPPED_SECONDS / 2)
    wall, active = map(float, process.communicate("done\n", timeout=30)[0].split())
    assert process.returncode == 0
    assert STOPPED_SECONDS <= wall - active < wall


def test_the_handler_is_restored():
    assert signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL
    with measure_suspensions():
        assert signal.getsignal(signal.SIGTSTP) is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda number, frame: None])
def test_the_handler_of_the_program_is_kept(handler):
    before = signal.signal(signal.SIGTSTP, handler)
    try:
        with measure_suspensions():
            assert signal.getsignal(signal.SIGTSTP) is handler
        assert signal.getsignal(signal.SIGTSTP) is handler
    finally:
        signal.signal(signal.SIGTSTP, before)


def test_it_does_nothing_in_another_thread():
    seen = []

    def look() -> None:
        with measure_suspensions():
            seen.append(signal.getsignal(signal.SIGTSTP))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]


def test_the_clock_runs_at_the_rate_of_the_wall():
    wall, active = time.perf_counter(), active_time()
    time.sleep(0.2)
    assert active_time() - active == pytest.approx(time.perf_counter() - wall, abs=0.05)
