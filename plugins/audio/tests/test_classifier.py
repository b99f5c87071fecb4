"""The judge of sounds: what it hears, what it is deaf to, how often it is right on recordings not seen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from gancore_audio.classifier import (
    ClassifierConfig,
    SoundClassifier,
    SoundClassifierRecipe,
    shift_with_silence,
)
from gancore_audio.config import AudioConfig
from gancore_audio.domain import AudioDomain
from gancore_audio.sources import SOURCES
from needs import data_root
from refusals import refused

import gancore
from gancore import ConfigError, Spec
from gancore.cli import main
from gancore.data.sources import resolve_source
from gancore.metrics.intervals import clopper_pearson
from gancore.models.model import build_game
from gancore.random import Key, RowRange, noise_scope
from gancore.training.loop import play
from gancore.training.setup import set_up

SPEC = Spec({"sample_rate_hz": 8000, "length": 1024, "classes": ["a", "b", "c"]})


def net(sample_rate_hz: int = 8000, length: int = 1024, **config) -> SoundClassifier:
    torch.manual_seed(0)
    return SoundClassifier(ClassifierConfig(width=4, **config), sample_rate_hz, length, 3)


@pytest.mark.parametrize(
    ("sample_rate_hz", "length"),
    [(8000, 256), (8000, 4096), (16_000, 16_384), (44_100, 65_536), (4000, 1040)],
)
def test_it_hears_any_rate_and_length(sample_rate_hz, length):
    sounds = Key.of("sounds").normal(3, 1, length)
    judge = net(sample_rate_hz, length).eval()
    assert judge.embed(sounds).shape == (3, 64)
    assert judge(sounds).shape == (3, 3) and judge(sounds).isfinite().all()
    assert judge(torch.zeros(2, 1, length)).isfinite().all()


def test_moved_sounds_are_those_of_a_loop():
    sounds, shifts = Key.of("sounds").normal(5, 1, 20), torch.tensor([0, 3, -3, 19, -19])
    moved = shift_with_silence(sounds, shifts)
    for row, sound, shift in zip(moved[:, 0], sounds[:, 0], shifts.tolist(), strict=True):
        expected = [float(sound[t - shift]) if 0 <= t - shift < 20 else 0.0 for t in range(20)]
        assert row.tolist() == expected


def test_training_varies_sounds_as_its_configuration_says():
    """In place by at most 25 ms, in level by at most 12 dB, noise of -80 to -30 dB; keyed, row by row."""
    judge = net(length=4096)
    click = torch.zeros(400, 1, 4096)
    click[:, :, 2000] = 0.9
    with noise_scope(Key.of("vary"), RowRange.all(400)):
        varied = judge._augment(click)
    places = varied[:, 0].abs().argmax(1) - 2000
    assert places.min() >= -200 and places.max() <= 200 and places.float().std() > 100
    decibels = 20 * (varied.abs().amax((1, 2)) / 0.9).log10()
    assert -12.5 < decibels.min() < -10 and decibels.max() < 0.5
    hiss = 20 * varied[:, 0, :1000].std(1).log10()
    assert -81 < hiss.min() < -75 and -35 < hiss.max() < -29
    with noise_scope(Key.of("vary"), RowRange(100, 150, 400)):
        assert torch.equal(judge._augment(click[100:150]), varied[100:150])


def test_a_model_that_is_not_trained_hears_every_sound_as_it_is():
    judge, sounds = net().eval(), Key.of("sounds").normal(4, 1, 1024)
    assert torch.equal(judge(sounds), judge(sounds))
    assert (judge(sounds) - judge(0.5 * sounds)).abs().max() > 0


@pytest.mark.parametrize("classes", [[], ["alone"]])
def test_data_without_labels_are_refused(classes):
    with refused(ConfigError, "classifier", "labels", fix="data.labels"):
        SoundClassifierRecipe().build(ClassifierConfig(), Spec({**SPEC.fields, "classes": classes}))


def trained(source: str, steps: int, root: Path | None = None, seed: int = 0, **config):
    """The judge after so many steps, and how many windows of test it names right, of how many."""
    data = AudioDomain().open(resolve_source(source, SOURCES, root, lambda line: None), AudioConfig(**config))
    section = ClassifierConfig(steps=steps)
    game = build_game(SoundClassifierRecipe(), section, data.spec, seed)
    play(set_up(game, data.view("train"), batch_size=section.batch_size, seed=seed), steps)
    judge = game.sampler().eval()
    batch = data.view("test").get_batch(torch.arange(len(data.view("test"))), Key.of("test"))
    with torch.no_grad():
        right = int((judge.log_posteriors(batch.data).argmax(1) == batch.condition).sum())
    return judge, right, len(batch)


@pytest.mark.slow
def test_it_tells_synthesised_percussion_apart():
    _, right, n = trained("percussion", 40)
    assert right >= 0.9 * n, f"{right} of {n}"


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, 1])
def test_it_names_at_least_97_of_100_spoken_digits(seed):
    """On the official test set; windows of 4,096 samples at 8 kHz, as generators make them."""
    root = data_root("fsdd")
    steps = ClassifierConfig().steps
    _, right, n = trained("fsdd", steps, root, seed, length=4096)
    low, high, _ = clopper_pearson(right, n)
    print(f"{right} of {n}: {right / n:.3f}, {low:.3f} to {high:.3f}")
    assert right >= 0.97 * n


# A run of it, as a user sees it.


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judge") / "run"
    settings = ["data.sample_rate_hz=8000", "data.length=1024", "model.width=4", "model.batch_size=16"]
    every = ["logging.preview_every=5", "validation.every=5", "validation.select=nll"]
    words = [word for setting in [*settings, *every] for word in ("--set", setting)]
    code = main(
        [
            "train",
            "--domain",
            "audio",
            "--recipe",
            "classifier",
            "--steps",
            "10",
            "--out",
            str(folder),
            *words,
        ]
    )
    assert code == 0
    return folder


def test_a_run_selects_by_the_likelihood_of_labels_and_previews_nothing(run):
    lines = (run / "metrics.jsonl").read_text()
    assert '"valid/nll"' in lines and '"accuracy"' in lines and "valid/mel" not in lines
    assert not any((run / "samples").glob("*"))
    card = (run / "model" / "README.md").read_text()
    assert "log_posteriors" in card and "gancore generate" not in card and "| nll |" in card


def test_generate_refuses_it_in_one_line(run, capsys):
    assert main(["generate", str(run), "-n", "2"]) == 2
    output = capsys.readouterr().err.strip()
    assert (
        output.count("\n") == 0 and "'classifier' trains a classifier, which generates no samples" in output
    )


def test_the_model_judges_from_its_folder(run):
    model = gancore.load(run)
    sounds = Key.of("sounds").normal(4, 1, 1024)
    said = model.sampler.log_posteriors(sounds)
    assert said.shape == (4, 8)
    assert torch.allclose(said.exp().sum(1), torch.ones(4))


def test_its_end_names_no_command_that_would_refuse_it(run, capsys):
    assert main(["train", "--resume", str(run)]) == 0
    output = capsys.readouterr().out
    assert "steps in" in output and "gancore generate" not in output
