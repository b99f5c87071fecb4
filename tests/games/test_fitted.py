"""Fitted models: state whose shapes the data decide, and a fit that a budget times once."""

import pytest
import torch
from refusals import refused
from torch import nn
from toy_games import Rows, differing, play, points, set_up, whole

from gancore.errors import CheckpointError
from gancore.games import fitted_game
from gancore.models.model import load_weights
from gancore.random import Key
from gancore.training.checkpoint import Checkpoint, latest_checkpoint, load_networks, save_checkpoint
from gancore.training.loop import prepare_game, train
from gancore.training.setup import restored
from gancore.training.state import TrainState
from gancore.training.timing import seconds_per_step


class Distinct(nn.Module):
    """The distinct rounded rows of train with their counts, one more of them in each step."""

    data_shaped = ("found", "counts")

    def __init__(self, steps=1):
        super().__init__()
        self.steps, self.fits = steps, 0
        self.register_buffer("found", torch.zeros(0, 2))
        self.register_buffer("counts", torch.zeros(0))
        self.register_buffer("made", torch.zeros(()))

    def fit(self, views, key):
        (view,) = views.values()
        batch = view.get_batch(torch.arange(len(view)), key)
        rows = batch.data.round()[: len(view) * (int(self.made) + 1) // self.steps]
        self.found, counts = rows.unique(dim=0, return_counts=True)
        self.counts = counts.float()
        self.made += 1
        self.fits += 1
        return int(self.made) == self.steps

    def sample(self, n, key):
        return self.found[torch.multinomial(self.counts, n, True)]


def build(steps=3):
    return fitted_game(Distinct(steps))


def loaded(folder, game):
    checkpoint, _ = latest_checkpoint(folder)
    load_networks(game, checkpoint, "")
    return checkpoint


def test_a_resumed_fit_equals_an_uninterrupted_one(tmp_path):
    uninterrupted = play(build, points(), 3)
    assert len(uninterrupted.game.model.found) > 3
    stopped = set_up(build, points())
    prepare_game(stopped)
    state = TrainState([3])
    train(stopped, state, lambda now: setattr(now, "stop_signal", "x" * (now.step == 2)))
    tensors = {"game": stopped.game.state_dict(), "optimizers": {}}
    save_checkpoint(tmp_path, 2, tensors, {"state": state.to_json()}, {}, keep=1)
    resumed = set_up(build, points())
    checkpoint: Checkpoint = loaded(tmp_path, resumed.game)
    train(resumed, TrainState.from_json(checkpoint.state["state"], 1), lambda now: None)
    assert differing(whole(uninterrupted), whole(resumed)) == []


def test_a_model_folder_decides_these_shapes_and_no_others():
    fitted = play(build, points(), 3).game.sampler()
    tensors = {name: tensor.clone() for name, tensor in fitted.state_dict().items()}
    fresh = build().sampler()
    load_weights(fresh, tensors, "here")
    assert torch.equal(fresh.model.found, fitted.model.found)
    for name, wrong in (
        ("model.made", torch.zeros(5)),
        ("model.found", torch.zeros(5)),
        ("model.found", torch.zeros(5, 2, dtype=torch.int64)),
    ):
        with refused(CheckpointError, name):
            load_weights(build().sampler(), {**tensors, name: wrong}, "here")


def test_what_is_tried_before_the_first_step_leaves_no_trace():
    table = set_up(build, points())
    before = whole(table)
    with restored(table):
        table.game.model.fit(table.batches.encoded_views, Key.of("tried"))
        assert len(table.game.model.found) > 0
    assert differing(before, whole(table)) == []


def test_a_budget_in_seconds_fits_once_to_time_it():
    table = set_up(lambda: build(1), points())
    prepare_game(table)
    (phase,) = table.game.phases
    assert 0 < seconds_per_step(table, phase, 100.0) < 100
    assert table.game.model.fits == 1


@pytest.mark.parametrize("steps", [1, 4])
def test_a_fit_ends_when_it_is_complete(steps):
    table = play(lambda: build(steps), Rows(points()), 6)
    assert table.game.model.fits == steps
    samples = table.game.sampler().sample(5, Key.of(1))
    assert samples.shape == (5, 2)
