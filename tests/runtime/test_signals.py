"""A signal is noted while work is saved, and then reaches whom it was meant for."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from gancore.runtime import signals
from gancore.runtime.signals import (
    STOP_SIGNALS,
    Interrupted,
    deliver,
    interrupt_on_signal,
    raise_interrupted,
    record_signals,
    signal_handler,
)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def handlers():
    """Those before the test are there after it."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield
    assert {number: signal.getsignal(number) for number in STOP_SIGNALS} == before


@pytest.fixture
def own():
    """``own(number, handler)``: a program's own handler, until the end of the test."""
    before = {}

    def install(number, handler):
        before.setdefault(number, signal.getsignal(number))
        signal.signal(number, handler)

    yield install
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_each_signal_is_noted_and_acknowledged_once(number, capfd):
    seen = []
    with record_signals(seen.append, "the step is finished"):
        send(number)
        if number != signal.SIGINT:
            send(number)
    assert set(seen) == {number}
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert signal.Signals(number).name in lines[0] and "the step is finished" in lines[0]


def test_a_second_ctrl_c_interrupts_at_once():
    with pytest.raises(KeyboardInterrupt), record_signals(lambda number: None):
        send(signal.SIGTERM)
        send(signal.SIGINT)


def test_what_nohup_ignores_stays_ignored(own):
    own(signal.SIGHUP, signal.SIG_IGN)
    seen = []
    with record_signals(seen.append):
        send(signal.SIGHUP)
    assert seen == []


def test_another_thread_leaves_signals_alone():
    thread = threading.Thread(target=lambda: signal_handler(raise_interrupted).__enter__())
    thread.start()
    thread.join()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_program_that_does_not_handle_it_ends_with_the_code_of_the_signal(number, own):
    own(number, signal.SIG_DFL)
    with pytest.raises(SystemExit) as ended, interrupt_on_signal():
        send(number)
    assert ended.value.code == 128 + number


def test_a_programs_own_handler_is_called(own):
    heard = []
    own(signal.SIGTERM, lambda number, frame: heard.append(number))
    with pytest.raises(Interrupted), interrupt_on_signal():
        send(signal.SIGTERM)
    assert heard == [signal.SIGTERM]


def test_ctrl_c_is_pythons_own():
    with pytest.raises(KeyboardInterrupt):
        deliver(signal.SIGINT)


def test_there_may_be_nobody_to_read_the_acknowledgement(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    signals.print_from_handler("nobody reads this")
