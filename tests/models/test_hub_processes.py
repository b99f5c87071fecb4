"""The commands for the hub, each a program of its own: no test has imported anything for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import local_hub

import gancore


@pytest.mark.slow
def test_a_model_is_sent_shown_and_sampled_by_programs(tmp_path):
    def run(*words: str) -> str:
        command = [sys.executable, "-m", "gancore", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with local_hub() as hub:
        environment = os.environ | {
            **{"HF_ENDPOINT": hub.address, "HF_TOKEN": "secret", "HF_HUB_DISABLE_TELEMETRY": "1"},
            **{
                "HF_HOME": str(tmp_path / "home"),
                "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
            },
        }
        run("models", "push", "synthetic/ring", "hub:ada/ring")
        assert "model.safetensors" in hub.repos["ada/ring"]["main"]
        assert "mlpgan" in run("models", "show", "hub:ada/ring")
        files = run("generate", "hub:ada/ring", "-n", "4", "--out", "samples", "--device", "cpu").split()
    assert all((tmp_path / Path(file)).is_file() for file in files) and files
    assert (tmp_path / "home" / "hub").is_dir()
    gancore.generate("synthetic/ring", n=4, out=tmp_path / "own", device="cpu")
    for file in files:
        assert (tmp_path / file).read_bytes() == (tmp_path / "own" / Path(file).name).read_bytes()
