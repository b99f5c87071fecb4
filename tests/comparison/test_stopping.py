"""Signals end a comparison as they end a training: those at work save, and nothing more begins."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from gancore.comparison.runner import Job
from gancore.jobs import JobPool, stop_on_signal
from gancore.runtime.signals import interrupt_on_signal

SAVES = """
import signal, sys, time
def save(number, frame):
    time.sleep(0.3)
    open(sys.argv[1], "w").write(signal.Signals(number).name)
    sys.exit(130)
signal.signal(signal.SIGTERM, save)
print("training", flush=True)
time.sleep(60)
"""


class Saving(JobPool):
    """Each job is a program that takes a moment to save."""

    def _start(self, job):
        command = [sys.executable, "-c", SAVES, job.folder]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, start_new_session=True, **pipes)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_each_signal_lets_those_at_work_save(number, tmp_path, capfd):
    at_work = threading.Event()
    pool = Saving("", None, lambda line: at_work.set())
    file = tmp_path / "saved"
    with pytest.raises((KeyboardInterrupt, SystemExit)), interrupt_on_signal():  # noqa: SIM117
        with ThreadPoolExecutor(1) as threads, stop_on_signal(pool):
            job = threads.submit(pool, Job(str(file)), "job")
            assert at_work.wait(60)
            os.kill(os.getpid(), number)
            job.result(60)
    assert file.read_text() == "SIGTERM"
    assert "saved first" in capfd.readouterr().err
    assert pool(Job(str(tmp_path / "next")), "next").code == 130


def test_a_scheduler_that_repeats_itself_does_not_interrupt_the_saving(tmp_path):
    at_work = threading.Event()
    pool = Saving("", None, lambda line: at_work.set())
    file = tmp_path / "saved"
    with pytest.raises(SystemExit), interrupt_on_signal():  # noqa: SIM117
        with ThreadPoolExecutor(1) as threads, stop_on_signal(pool):
            threads.submit(pool, Job(str(file)), "job")
            assert at_work.wait(60)
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
            os.kill(os.getpid(), signal.SIGUSR1)
            signal.pause()
    assert file.read_text() == "SIGTERM"
