"""``gancore synthetic``: the field of a run, the points of a source, mistakes in one line."""

import numpy as np
import pytest
import torch
from gancore_synthetic.export import _arrows
from gancore_synthetic.field_plot import scalar_field
from PIL import Image
from refusals import refused

import gancore
from gancore import ConfigError
from gancore.cli import main
from gancore.games import Game, Sampler

TINY = [
    "data.train_examples=500",
    "data.validation_examples=50",
    "model.width=8",
    "logging.preview_samples=2",
    "validation.samples=16",
]


def train(folder, recipe="mlpgan", *more, data="ring"):
    gancore.train("synthetic", recipe=recipe, data=data, steps=3, out=folder, overrides=[*TINY, *more])
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(tmp_path_factory.mktemp("run") / "ring", "mlpgan", "model.conditional=true")


def test_the_field_of_a_discriminator_is_drawn(run, tmp_path, capsys):
    assert main(["synthetic", "field", str(run), "--out", str(tmp_path / "new/f.png"), "--label", "3"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "new/f.png")
    assert np.asarray(Image.open(tmp_path / "new/f.png")).std() > 10


def test_a_likelihood_model_has_a_field_too(tmp_path):
    folder = train(tmp_path / "flow", "realnvp")
    assert main(["synthetic", "field", str(folder), "--out", str(tmp_path / "f.png")]) == 0
    loaded = gancore.load_game(folder)
    game, step = loaded.game, loaded.step
    title, value = scalar_field(game, lambda rows: None)
    assert title.startswith("log p") and step == 3 and value(torch.zeros(4, 2)).shape == (4,)


def test_a_packs_field_is_that_of_equal_points(tmp_path):
    folder = tmp_path / "pack"
    shared = [word for word in TINY if "width" not in word]
    more = ["model.pack=2", "model.batch_size=4"]
    gancore.train("synthetic", recipe="pacgan", data="ring", steps=2, out=folder, overrides=[*shared, *more])
    game = gancore.load_game(folder).game
    points = torch.randn(3, 2)
    logits = scalar_field(game, lambda rows: None)[1](points)
    pairs = points.repeat_interleave(2, dim=0)
    torch.testing.assert_close(logits, game.discriminator(pairs))


def test_the_game_is_the_checkpoints(run):
    """Samples of the rebuilt game are those of the published model."""
    game = gancore.load_game(run).game
    model = gancore.load(run, "cpu")
    label = torch.zeros(5, dtype=torch.int64)
    z = torch.randn(5, 4)
    torch.testing.assert_close(game.sampler().eval().render(z, label), model.sampler.render(z, label))


def test_arrows_point_along_the_gradient():
    spots = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
    arrows = _arrows(lambda x: x.square().sum(1), spots)
    torch.testing.assert_close(
        arrows / arrows.norm(dim=1, keepdim=True), spots / spots.norm(dim=1, keepdim=True)
    )
    assert arrows.norm(dim=1).diff().min() > 0 and arrows.norm(dim=1).max() <= 1


@pytest.mark.slow
def test_a_source_is_shown(tmp_path):
    out = tmp_path / "t.png"
    words = ["synthetic", "show", "spirals", "--set", "data.turns=2", "-n", "100", "--out", str(out)]
    assert main(words) == 0
    assert np.asarray(Image.open(out)).std() > 10


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["field", "nowhere"], "is not a run folder"),
        (["show", "rnig"], "rnig"),
        (["show", "ring", "--set", "data.turns=2"], "ring has no parameter 'turns'"),
    ],
)
def test_mistakes_are_one_line(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["synthetic", *words]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and message in said[0] and said[0].startswith("error: ")


@pytest.mark.slow
def test_labels_must_suit_the_run(run, tmp_path, capsys):
    out = str(tmp_path / "f.png")
    assert main(["synthetic", "field", str(run), "--out", out]) == 2
    assert main(["synthetic", "field", str(run), "--out", out, "--label", "9"]) == 2
    plain = train(tmp_path / "plain")
    assert main(["synthetic", "field", str(plain), "--out", out, "--label", "1"]) == 2
    high = train(tmp_path / "high", data="manifold")
    assert main(["synthetic", "field", str(high), "--out", out]) == 2
    errors = capsys.readouterr().err
    assert errors.count("error: ") == 4 and "points in the plane" in errors


def test_a_game_without_discriminator_and_density_has_no_field():
    class Other(Game):
        def sampler(self):
            return Sampler()

    with refused(ConfigError, "Other", fix="run"):
        scalar_field(Other(), lambda rows: None)
