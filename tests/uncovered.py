"""The last line of a test run: what it did not cover, and how to get it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import pytest

NEEDS = re.compile(r"needs (?P<what>[^;]+); (?P<fix>.+)", re.DOTALL)
MARKS = ("slow", "long")
"""Marks of tests that run on their own: ``make test-slow``, ``make test-long``."""


class Uncovered:
    """Counts tests that were skipped for what this machine lacks, and those that run on their own."""

    def __init__(self) -> None:
        self.lacks: Counter[tuple[str, str]] = Counter()
        self.marked: Counter[str] = Counter()

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self.marked.update(mark for mark in MARKS for item in items if item.get_closest_marker(mark))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["marked"] = dict(self.marked)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object) -> None:
        self.marked |= Counter(
            getattr(node, "workeroutput", {}).get("marked", {})
        )  # all workers select alike

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and isinstance(report.longrepr, tuple):
            found = NEEDS.search(report.longrepr[2])
            if found:
                self.lacks[found["what"], found["fix"]] += 1

    def line(self) -> str:
        parts = [f"{what}: {count} tests ({fix})" for (what, fix), count in sorted(self.lacks.items())]
        parts += [
            f"{mark}: {self.marked[mark]} tests (make test-{mark})" for mark in MARKS if self.marked[mark]
        ]
        return f"Not covered: {'; '.join(parts) or 'nothing'}."

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self, config: pytest.Config) -> None:
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and not hasattr(config, "workeroutput") and not config.option.collectonly:
            reporter.write_line(self.line())
