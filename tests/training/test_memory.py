"""A batch that does not fit into memory is refused before round 0; one that fits is trained as if unasked."""

import pytest
from refusals import refused

import gancore
from gancore.errors import ConfigError
from gancore.training import memory

SETTINGS = ["data.points=512", "data.held_out=32", "model.width=8"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "cache"))


def train(folder, rows, *more):
    return gancore.train(
        "synthetic",
        recipe="mlpgan",
        data="ring",
        overrides=[*SETTINGS, f"model.batch_size={rows}", *more],
        steps=2,
        device="cpu",
        out=folder,
        progress="none",
    )


def test_a_batch_beyond_memory_is_refused_with_what_would_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda device: 100_000)
    with refused(ConfigError, "model.batch_size", fix="model.accumulate") as caught:
        train(tmp_path / "run", 10_000)
    parts = int(caught.value.fix.rstrip(")").split()[-1])
    assert 10 < parts < 1000
    train(tmp_path / "small", 256)  # so few rows are not looked at


def test_looking_changes_no_byte_of_the_training(tmp_path, monkeypatch):
    models = []
    for room in (None, 1 << 60):
        monkeypatch.setattr(memory, "available_bytes", lambda device, room=room: room)
        run = train(tmp_path / str(room), 1024)
        models.append((run.model / "model.safetensors").read_bytes())
    assert models[0] == models[1]
