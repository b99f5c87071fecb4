"""Memory that processes cannot share is named, with the way out."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from gancore.errors import ConfigError
from gancore.training import launch
from gancore.training.launch import TrainJob


def test_shared_memory_that_cannot_be_written_is_named(monkeypatch):
    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(launch, "CONTEXT", SimpleNamespace(Value=denied))
    with pytest.raises(ConfigError) as error:
        launch.spawn_workers(TrainJob(Path("run"), None), 2)
    assert "/dev/shm" in error.value.message and "--devices 1" in error.value.fix
