"""From a run to its game: networks, data and optimizers as a checkpoint left them, and its Jacobian."""

from dataclasses import replace

import pytest
import torch
from linear_gan import LinearGAN
from refusals import refused

import gancore
from gancore import CheckpointError, ConfigError, DataError
from gancore.games import Adam, Player, TrainingStep
from gancore.training.loop import play

SHOWN = ["validation.samples=16", "logging.preview_samples=2"]


def points(seed=0):
    return torch.randn(100, 2, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "linear"
    settings = [
        *SHOWN,
        "train.precision=fp32",
        "checkpoint.every=3",
        "checkpoint.keep=1",
        "model.batch_size=8",
    ]
    gancore.train(
        "synthetic",
        recipe=LinearGAN,
        data=points(),
        steps=10,
        out=folder,
        overrides=settings,
        progress="none",
    )
    return folder


@pytest.mark.slow
def test_checkpoints_of_every_so_many_steps_stay(run):
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == [
        f"step-{step:09d}" for step in (3, 6, 9, 10)
    ]
    with refused(CheckpointError, 4, 3, 9, fix="checkpoint.every"):
        gancore.load_game(run, step=4)


def test_checkpoints_of_every_step_fit_into_a_budget_in_seconds(tmp_path):
    """A step takes far less than a checkpoint: without counting these it would be a minute."""
    settings = [*SHOWN, "checkpoint.every=1", "model.batch_size=8"]
    arguments = {"recipe": LinearGAN, "data": points(), "time": 1.0, "progress": "none"}
    made = gancore.train("synthetic", out=tmp_path / "a", overrides=settings, **arguments)
    assert made.seconds + made.spent["checkpoints"] < 4
    assert len(list((tmp_path / "a/checkpoints").iterdir())) == made.step
    assert not list((tmp_path / "a").rglob(".tmp-*"))


def test_a_game_has_the_raw_networks_and_the_average(run):
    loaded = gancore.load_game(run)
    assert loaded.step == 10 and loaded.spec["shape"] == [2]
    sampler = gancore.load(run, "cpu").sampler
    assert torch.equal(loaded.ema.weight, sampler.generator.weight)
    assert not torch.equal(loaded.generator.weight, loaded.ema.weight)
    assert loaded.discriminator(points()).shape == (100,)
    assert loaded.network("discriminator.net") is loaded.network("net") is loaded.game.discriminator.net
    with refused(ConfigError, "encoder"):
        loaded.encoder  # noqa: B018


def test_its_table_goes_on_as_the_run_did(run):
    """With the data, the state of the optimizers and the draws that the run had at that step."""
    early, late = gancore.load_game(run, step=6), gancore.load_game(run, step=9)
    play(early.setup, 3)
    for name, tensor in late.game.state_dict().items():
        assert torch.equal(early.game.state_dict()[name], tensor), name
    assert torch.equal(early.jacobian(rows=16), late.jacobian(rows=16)), "of where it stands now"


def gradients(table):
    """The field at the parameters as they stand, of 16 rows, as one vector."""
    now = TrainingStep(replace(table, batch_size=16), table.game.phases[0], 6, 6, 0.6)
    found = now.gradients(now.main_moves, now.draw(0))
    dense = [t for move in now.main_moves for t in found[move].materialize(now.params(move.player))]
    return torch.cat([t.flatten() for t in dense])


def test_its_jacobian_is_the_derivative_of_its_field(run):
    loaded = gancore.load_game(run, step=6)
    J, table, h = loaded.jacobian(rows=16), loaded.setup, 1e-2
    params = [p for player in ("discriminator", "generator") for p in table.optimizers[player].params]
    columns = []
    for p in params:
        for i in range(p.numel()):
            ends = []
            for sign in (1, -2):
                with torch.no_grad():
                    p.view(-1)[i] += sign * h
                ends.append(gradients(table))
            with torch.no_grad():
                p.view(-1)[i] += h
            columns.append((ends[0] - ends[1]) / (2 * h))
    assert J.dtype is torch.float64
    torch.testing.assert_close(J, torch.stack(columns, 1).double(), atol=2e-3, rtol=1e-2)


def test_an_autoencoder_has_its_encoder(tmp_path, monkeypatch):
    settings = [
        *SHOWN,
        "data.train_examples=100",
        "data.validation_examples=20",
        "model.width=4",
        "model.batch_size=8",
    ]
    gancore.train("synthetic", recipe="vae", steps=2, out=tmp_path / "a", overrides=settings, progress="none")
    loaded = gancore.load_game(tmp_path / "a")
    assert isinstance(loaded.encoder, torch.nn.Module)
    with refused(ConfigError, "discriminator"):
        loaded.discriminator  # noqa: B018
    monkeypatch.setattr("gancore.games.jacobian.MAX_PARAMETERS", 10)
    with refused(ConfigError, "parameters", 10, fix="gancore.games.TrainingStep.jacobian"):
        loaded.jacobian()


def test_other_data_are_refused(run, tmp_path):
    loaded = gancore.load_game(run)
    (file,) = (run / "data").iterdir()
    kept = file.read_bytes()
    try:
        file.unlink()
        with refused(DataError, file.name):
            loaded.setup  # noqa: B018
    finally:
        file.write_bytes(kept)


def test_a_rule_of_another_kind_is_refused(run, monkeypatch):
    build = LinearGAN.build

    def other(self, config, spec):
        game = build(self, config, spec)
        game.players["generator"] = Player(["generator"], Adam(0.1))
        return game

    monkeypatch.setattr(LinearGAN, "build", other)
    with refused(CheckpointError, "optimizers"):
        gancore.load_game(run).setup  # noqa: B018


def test_its_data_are_looked_for_where_they_are_said_to_be(run, tmp_path):
    with refused(DataError, tmp_path / "none"):
        gancore.load_game(run, data_root=tmp_path / "none").data  # noqa: B018


def test_what_is_no_run_is_refused(tmp_path):
    with refused(CheckpointError, str(tmp_path)):
        gancore.load_game(tmp_path)
