"""A batch that does not fit into memory is refused before step 0; one that fits is trained as if unasked."""

import pytest
from refusals import refused
from torch import nn
from toy_games import DenseDiscriminator, points, set_up

import gancore
from gancore.errors import ConfigError
from gancore.games import adversarial_game, normal
from gancore.nn.spectral_normalization import spectral_norm
from gancore.training import checks

SETTINGS = ["data.train_examples=512", "data.validation_examples=32", "model.width=8"]


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
    monkeypatch.setattr(checks, "available_memory_bytes", lambda device: 100_000)
    with refused(ConfigError, "model.batch_size", fix="model.micro_batches") as caught:
        train(tmp_path / "run", 10_000)
    parts = int(caught.value.fix.rstrip(")").split()[-1])
    assert 10 < parts < 1000
    train(tmp_path / "small", 256)  # so few rows are not looked at


class Watched(DenseDiscriminator):
    """It notes how many rows it is shown, and refuses all but whole batches if so asked."""

    def __init__(self, wanted=None):
        super().__init__()
        self.wanted, self.seen = wanted, []

    def logits(self, embedded, condition=None):
        self.seen.append(len(embedded))
        assert self.wanted in (None, len(embedded))
        return super().logits(embedded, condition)


class Wide(DenseDiscriminator):
    """Its normalised matrix, of 1 MB, is made anew at each forward pass; a row keeps some 10 kB."""

    def __init__(self):
        super().__init__()
        middle = spectral_norm(nn.Linear(500, 500, bias=False))
        self.layers = nn.Sequential(nn.Linear(2, 500), nn.Tanh(), middle, nn.Tanh(), nn.Linear(500, 1))


def checked(judge, rows, room, monkeypatch):
    """The discriminator after a look at a step of so many rows, with so many bytes free."""
    monkeypatch.setattr(checks, "available_memory_bytes", lambda device: room)

    def build():
        return adversarial_game(generator=lambda: nn.Linear(3, 2), discriminator=judge, prior=normal(3))

    setup = set_up(build, points(), batch_size=rows)
    checks.check_memory(setup)
    return setup.game.discriminator


def test_few_rows_are_tried_whatever_divides_the_batch(monkeypatch):
    assert max(checked(Watched, 100_003, 1 << 60, monkeypatch).seen) < 100
    with refused(ConfigError, "model.batch_size"):
        checked(Watched, 100_003, 100_000, monkeypatch)


def test_what_is_kept_once_whatever_the_rows_is_not_counted_by_rows(monkeypatch):
    checked(Wide, 1024, 50_000_000, monkeypatch)
    with refused(ConfigError, "model.batch_size"):
        checked(Wide, 1024, 5_000_000, monkeypatch)


def test_a_cost_that_takes_whole_batches_alone_is_let_through(monkeypatch):
    assert checked(lambda: Watched(1024), 1024, 1, monkeypatch).seen


def test_looking_changes_no_byte_of_the_training(tmp_path, monkeypatch):
    models = []
    for room in (None, 1 << 60):
        monkeypatch.setattr(checks, "available_memory_bytes", lambda device, room=room: room)
        run = train(tmp_path / str(room), 1024)
        models.append((run.model / "model.safetensors").read_bytes())
    assert models[0] == models[1]
