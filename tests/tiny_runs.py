"""Tiny trainings of the audio domain, and what a command leaves on the screen and on the disk."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from forks import Fork

SETTINGS = {
    "data.sample_rate_hz": 8000,
    "data.length": 1024,
    "model.width": 2,
    "model.latent_dim": 8,
    "model.batch_size": 8,
    "logging.preview_samples": 2,
    "logging.preview_every": 4,
    "validation.every": 4,
    "validation.samples": 16,
}
TINY = ["--domain", "audio", "--device", "cpu"]
TINY += [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
"""What makes a training take a second."""


@dataclass(frozen=True)
class Answer:
    """What a command left on the screen."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that a failure gets; an internal error fails the test."""
        errors = [line for line in self.err.splitlines() if "error:" in line]
        assert self.code in (2, 4, 75), self
        assert len(errors) == 1, self
        assert errors[0].startswith("error: "), self
        assert self.err.splitlines()[-1] == errors[0], self
        assert "Traceback" not in self.out + self.err, self
        assert "; " in errors[0], f"no word on how to mend it: {errors[0]}"
        return errors[0]


Gancore = Callable[..., Answer]


def start(*words: object, folder: Path, **options) -> subprocess.Popen[str]:
    """``gancore`` in a process of its own."""
    command = [sys.executable, "-m", "gancore", *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": folder}
    return subprocess.Popen(command, **{**pipes, **options})


def finish(process: subprocess.Popen[str], seconds: float = 60) -> Answer:
    out, err = process.communicate(timeout=seconds)
    return Answer(process.returncode, out, err)


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def weights(run: Path) -> bytes:
    return (run / "model" / "model.safetensors").read_bytes()


def checkpoints(run: Path) -> list[Path]:
    """Oldest first."""
    return sorted((run / "checkpoints").glob("step-*"))


def digest(folder: Path) -> dict[str, str]:
    """Every file of a folder by name, with the hash of its content."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {os.path.relpath(path, folder): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


class Child(Fork):
    """``gancore`` in a copy of this process, where everything is imported already."""

    def __init__(self, folder: Path, *words: object, first: Callable[[], object] = lambda: None) -> None:
        def gancore() -> int:
            from gancore.cli import main

            first()
            return main([str(word) for word in words])

        super().__init__(folder, gancore)

    def wait(self) -> Answer:
        """Its exit code is -9 where SIGKILL ended it; all that it said counts as stderr."""
        return Answer(self.join(), "", self.log.read_text())
