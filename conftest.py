"""What holds of all tests."""

import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "tests"))
import forks
import timing
import uncovered

# Jobs that a shell runs in the background ignore Ctrl-C, and so does all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(timing.Timing(), "timing")
    config.pluginmanager.register(uncovered.Uncovered(), "uncovered")


@pytest.hookimpl(trylast=True)  # after the fixtures, which may import the workers
def pytest_runtest_setup() -> None:
    """Workers that a test starts in this process are forks of it: none imports torch anew."""
    workers = sys.modules.get("gancore.training.launch")
    if workers is not None:
        workers.CONTEXT = forks.FORKED
