"""A run in Trackio is the run in its folder: the same scalars at the same steps, and its previews."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TINY = "--set logging.every=10 --set logging.preview_every=30 --set validation.every=30 --set model.width=8"
READ = """
import json, sys
from trackio.sqlite_storage import SQLiteStorage as store

runs = store.get_runs("rings")
print(json.dumps({run: [store.get_run_config("rings", run), store.get_logs("rings", run)] for run in runs}))
"""


@pytest.fixture
def tracked(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("GANCORE_TRACKIO", "rings")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


def test_a_run_and_its_continuation_are_one_run_of_trackio(tracked):
    printed = train(tracked, f"--domain synthetic --data ring --steps 60 --out run {TINY}")
    assert [json.loads(line) for line in printed.splitlines()]  # nothing else is on stdout
    train(tracked, "--resume run --steps 90")
    ((name, (config, logs)),) = read(tracked).items()
    assert name.startswith("run-") and (tracked / "run/trackio.txt").read_text() == name
    assert config["model.width"] == 8
    own = [json.loads(line) for line in (tracked / "run/metrics.jsonl").read_text().splitlines()]
    for entry in own:
        same = [log for log in logs if log["step"] == entry["step"]]
        for scalar in set(entry) - {"step", "seconds", "samples", "phase"}:
            assert entry[scalar] in [log.get(scalar) for log in same], (entry["step"], scalar)
    assert {30, 60, 90} <= {log["step"] for log in logs if "samples" in log}
    assert list((tracked / "trackio/media").rglob("*.png"))


def test_without_a_project_nothing_is_logged(tracked, monkeypatch):
    monkeypatch.delenv("GANCORE_TRACKIO")
    train(tracked, f"--domain synthetic --data ring --steps 2 --out run {TINY}")
    assert not (tracked / "trackio").exists() and not (tracked / "run/trackio.txt").exists()


def train(folder: Path, line: str) -> str:
    return python(folder, "-m", "gancore", "train", *line.split(), "--json")


def read(folder: Path) -> dict[str, list]:
    """Configuration and log entries of each run, as Trackio has them."""
    return json.loads(python(folder, "-c", READ))


def python(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=os.environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
