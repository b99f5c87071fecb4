"""A signal that arrives while a module is imported ends the command, and no error is reported."""

import os
import signal
import time

import pytest

from gancore.cli import main
from gancore.errors import ExitCode, GancoreError


class SendsSignal:
    """Python makes a RuntimeError of whatever ``__set_name__`` raises."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __set_name__(self, owner: type, name: str) -> None:
        os.kill(os.getpid(), self.number)
        time.sleep(1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_becomes_another_error_is_still_a_signal(number, monkeypatch, capsys):
    def software():
        try:
            type("Imported", (), {"attribute": SendsSignal(number)})
        except RuntimeError as error:
            raise GancoreError("a plugin fails", "fix it") from error

    monkeypatch.setattr("gancore.cli.info._software", software)
    assert main(["info"]) == 128 + number
    assert "error" not in capsys.readouterr().err


def test_an_error_of_the_work_after_a_signal_is_reported(monkeypatch, capsys):
    def software():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        finally:
            raise GancoreError("the disk is full", "make room")

    monkeypatch.setattr("gancore.cli.info._software", software)
    assert main(["info"]) == ExitCode.USER_ERROR
    assert "the disk is full" in capsys.readouterr().err
