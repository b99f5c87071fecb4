"""Memory that does not grow with the data."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "streaming_memory.py"


@pytest.mark.long
def test_ten_times_the_recordings_take_at_most_50_mib_more(tmp_path):
    output = subprocess.run([sys.executable, BENCHMARK], check=True, capture_output=True, text=True).stdout
    assert "within 50" in output.splitlines()[-1], output


@pytest.mark.long
def test_a_recording_of_two_hours_is_prepared_in_little_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    draw = np.random.default_rng(0)
    with soundfile.SoundFile(tmp_path / "data" / "long.wav", "w", 44_100, 2) as file:
        for _ in range(120):
            file.write(draw.uniform(-0.5, 0.5, (60 * 44_100, 2)).astype(np.float32))
    command = [sys.executable, BENCHMARK, "--measure", tmp_path / "data"]
    figures = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert figures["data_megabytes"] > 200
    assert figures["peak_megabytes"] - figures["before_megabytes"] < 50
