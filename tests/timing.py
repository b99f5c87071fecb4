"""A list at the end of a test run: which files and tests cost most.

Costs are CPU seconds (user and system time of the process and of its children that ended), which another
program on the same machine changes little. Setting up a shared fixture counts for the test that asks first.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator

import pytest

FILES, TESTS = 15, 15
"""How many lines each list has."""

COST = "cost"


def cpu_seconds() -> float:
    """User and system time of this process and of its children that ended."""
    return sum(os.times()[:4])


class Timing:
    """Measures each phase of a test where it runs, and sums them up where the report is printed."""

    def __init__(self) -> None:
        self.before = cpu_seconds()
        self.tests: dict[str, float] = defaultdict(float)
        self.walls: dict[str, float] = defaultdict(float)
        self.workers: dict[str, float] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self) -> None:
        self.before = cpu_seconds()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Iterator[None]:
        report = yield
        now = cpu_seconds()
        report.user_properties = [*report.user_properties, (COST, now - self.before)]
        self.before = now
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.tests[report.nodeid] += sum(value for name, value in report.user_properties if name == COST)
        self.walls[report.nodeid] += report.duration

    def pytest_sessionfinish(self, session: pytest.RunContext) -> None:
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput[COST] = cpu_seconds()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object) -> None:
        output = getattr(node, "workeroutput", {})
        if COST in output:
            self.workers[node.gateway.id] = output[COST]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.tests:
            return
        files: dict[str, float] = defaultdict(float)
        walls: dict[str, float] = defaultdict(float)
        for name, cost in self.tests.items():
            files[name.partition("::")[0]] += cost
            walls[name.partition("::")[0]] += self.walls[name]
        terminalreporter.section("slowest, in CPU seconds (and on the wall)")
        for costs, wall, count in ((files, walls, FILES), (self.tests, self.walls, TESTS)):
            for name in sorted(costs, key=costs.__getitem__, reverse=True)[:count]:
                terminalreporter.write_line(f"{costs[name]:7.1f} {wall[name]:7.1f}  {name}")
            terminalreporter.write_line("")
        each = self.workers or {"one process": cpu_seconds()}
        parts = ", ".join(f"{name} {cost:.0f}" for name, cost in sorted(each.items()))
        tests = sum(self.tests.values())
        terminalreporter.write_line(f"CPU seconds: {tests:.0f} in {len(self.tests)} tests; in all {parts}")
        if dump := os.environ.get("GANCORE_TEST_COSTS"):
            with open(dump, "w") as file:
                file.writelines(
                    f"{cost:.3f}\t{self.walls[name]:.3f}\t{name}\n" for name, cost in self.tests.items()
                )
