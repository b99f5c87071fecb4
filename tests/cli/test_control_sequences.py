"""Names of strangers cannot command the terminal, wherever they are shown."""

from __future__ import annotations

import io

import pytest

from gancore.evaluation.report import print_report
from gancore.evaluation.result import EvaluationResult, MetricResult
from gancore.progress import ProgressReport, open_progress

BAD = "\x1b]0;owned\x07\x1b[31m\u202e"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def evaluation() -> EvaluationResult:
    about = {
        **dict.fromkeys(("n", "seed", "n_real"), 1),
        **dict.fromkeys(("split", "source", "note"), BAD),
        "anchors": {"n": 1, "real": BAD, "noise": BAD, "collapse": BAD},
        "features": {"name": BAD, "hash": BAD},
        "classifier": None,
    }
    used = MetricResult(BAD, 1.0, unit=BAD, trust=f"yes {BAD}")
    return EvaluationResult(f"[bold]{BAD}", [used, MetricResult(BAD, None, skipped=BAD)], about)


def test_a_table_of_an_evaluation(capsys):
    print_report(evaluation())
    shown = capsys.readouterr().out
    assert "[bold]" in shown and "owned" in shown
    assert not set(BAD) & set(shown) - set("]0;owned[31m")


@pytest.mark.parametrize("mode", ["plain", "json", "live"])
def test_the_progress_of_a_training(mode, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    progress = open_progress(mode, stream)
    progress.start(2, 0, BAD)
    progress.update(ProgressReport(2, 2, 1.0, 0.0, {f"{BAD}/loss": 1.0, BAD: 2.0}, phase=BAD))
    progress.note(BAD)
    progress.close(BAD)
    shown = stream.getvalue()
    assert "owned" in shown
    assert "\x1b]0" not in shown and "\x1b[31m" not in shown and "\u202e" not in shown and "\x07" not in shown
