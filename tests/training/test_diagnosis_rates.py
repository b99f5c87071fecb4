"""The diagnosis over the whole grid of games of known truth: docs/diagnosis-rates.md has its figures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks/diagnosis_rates.py"


@pytest.mark.long
def test_nine_faults_of_ten_are_found_and_one_healthy_game_in_twenty_at_most_raises_an_alarm() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--jobs", "2", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
