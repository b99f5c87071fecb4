"""The last line of a test run: what it did not cover, and how to get it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import pytest

NEEDS = re.compile(r"needs (?P<what>[^;]+); (?P<fix>.+)", re.DOTALL)
SLOW = "slow"


class Uncovered:
    """Counts tests that were skipped for what this machine lacks, and slow ones that were deselected."""

    def __init__(self) -> None:
        self.lacks: Counter[tuple[str, str]] = Counter()
        self.slow = 0

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self.slow += sum(item.get_closest_marker(SLOW) is not None for item in items)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput[SLOW] = self.slow

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object) -> None:
        self.slow = max(self.slow, getattr(node, "workeroutput", {}).get(SLOW, 0))  # all workers select alike

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and isinstance(report.longrepr, tuple):
            found = NEEDS.search(report.longrepr[2])
            if found:
                self.lacks[found["what"], found["fix"]] += 1

    def line(self) -> str:
        parts = [f"{what}: {count} tests ({fix})" for (what, fix), count in sorted(self.lacks.items())]
        if self.slow:
            parts.append(f"slow: {self.slow} tests (make test-slow)")
        return f"Not covered: {'; '.join(parts) or 'nothing'}."

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self, config: pytest.Config) -> None:
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and not hasattr(config, "workeroutput") and not config.option.collectonly:
            reporter.write_line(self.line())
