"""A training that starts from other weights keeps their network, and says what is new."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from refusals import refused
from scipy.io import wavfile

import gancore
from gancore import ConfigError
from gancore.cli import main
from gancore.config_layers import resolve_config
from gancore.games import AdversarialConfig
from gancore.model_lookup import find_origin
from gancore.origin import Origin

SMALL = ["data.train_examples=200", "data.validation_examples=50"]
SHIPPED = [model for model in gancore.list_models() if model.origin == "plugin"]


def train(out: Path, *settings: str, **options: object) -> Path:
    options = {"recipe": "mlpgan", "domain": "synthetic", "steps": 1, **options}
    gancore.train(out=out, overrides=[*SMALL, *settings], device="cpu", **options)
    return out


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    settings = ["model.width=4", "model.conditional=true", "model.lr=0.5"]
    return train(tmp_path_factory.mktemp("origin") / "run", *settings, progress="none")


def note(capsys: pytest.CaptureFixture[str], word: str = "loaded ") -> str:
    [line] = [line for line in capsys.readouterr().err.splitlines() if word in line]
    return line


def origin_of(name: str | Path) -> Origin:
    return find_origin(name, print)


def counts(line: str) -> tuple[int, int]:
    [(kept, given)] = re.findall(r"loaded (\d+) of the (\d+) tensors", line)
    return int(kept), int(given)


def test_the_same_recipe_and_data_keep_everything(run, tmp_path, capsys):
    train(tmp_path / "same", init_from=run)
    said = note(capsys)
    kept, given = counts(said)
    assert kept == given and "new" not in said and "other data" not in said


def test_of_a_model_the_discriminator_is_new(run, tmp_path, capsys):
    train(tmp_path / "tuned", init_from=run / "model")
    assert re.search(r"; new: .*\bdiscriminator \(\d+ tensors\)", note(capsys))


def test_other_classes_are_said_and_their_tensors_are_new(run, tmp_path, capsys):
    train(tmp_path / "tuned", "data.components=5", init_from=run / "model")
    said = note(capsys)
    assert re.search(r"new, as their shapes differ: generator\.\S+ \(.*5.*\), there \(.*8.*\)", said)
    assert re.search(r"other data: .*\bclasses\b", said)


def test_another_width_is_named_with_both_values_and_both_shapes(run, tmp_path, capsys):
    train(tmp_path / "wide", "model.width=6", init_from=run / "model")
    said = capsys.readouterr().err
    assert re.search(r"shapes differ: \S+ \(\d.*6.*\), there \(.*4.*\)", said)
    assert re.search(r"kept of .*: model.conditional=true; .*: model.width=6, there 4", said)


class TestSettings:
    def test_of_the_network_are_those_of_the_origin_and_of_training_those_of_the_recipe(self, run):
        config = resolve_config(origin=origin_of(run))
        usual = resolve_config("synthetic", recipe="mlpgan")
        assert (config.recipe, config.model.width, config.model.conditional) == ("mlpgan", 4, True)
        assert (config.model.lr, config.model.batch_size) == (usual.model.lr, usual.model.batch_size)
        assert config.data == usual.data  # neither the size nor the seed of the data is of the network

    def test_that_the_user_sets_win(self, run):
        config = resolve_config("synthetic", origin=origin_of(run), overrides=["model.width=6"])
        assert (config.model.width, config.model.conditional) == (6, True)

    def test_of_another_recipe_are_not_kept_and_both_are_named(self, run, tmp_path, capsys):
        config = resolve_config("synthetic", recipe="realnvp", origin=origin_of(run))
        assert config == resolve_config("synthetic", recipe="realnvp")
        train(tmp_path / "new", recipe="realnvp", init_from=run / "model")
        assert re.search("realnvp.*mlpgan", note(capsys, "no setting "))

    def test_that_other_data_do_not_have_are_left_out(self, tmp_path):
        settings = ["data.source=mixture", "data.dimension=5", "model.width=4"]
        origin = train(tmp_path / "run", *settings, progress="none")
        kept = resolve_config(origin=origin_of(origin), data="mixture")
        left = resolve_config(origin=origin_of(origin), data="ring")
        assert (kept.data.dimension, left.data.dimension, left.model.width) == (5, None, 4)

    def test_of_a_run_without_a_model_are_those_of_its_configuration(self, run, tmp_path):
        copy = Path(shutil.copytree(run, tmp_path / "run"))
        shutil.rmtree(copy / "model")
        assert resolve_config(origin=origin_of(copy)) == resolve_config(origin=origin_of(run))

    def test_are_shown_by_print_config(self, run, capsys):
        assert main(["train", "--init-from", str(run), "--print-config"]) == 0
        assert "  width: 4\n" in capsys.readouterr().out

    @pytest.mark.parametrize("model", SHIPPED, ids=lambda model: model.id)
    def test_of_every_shipped_model_are_kept(self, model):
        files = gancore.load(model.id, "cpu")
        config = resolve_config(origin=origin_of(model.id))
        assert (config.domain, config.recipe) == (files.config["domain"], files.config["recipe"])
        section = config.model.model_dump(mode="json")
        network = files.config["model"].keys() - AdversarialConfig.model_fields.keys()
        assert {key: section[key] for key in network} == {key: files.config["model"][key] for key in network}
        resolved = {key: files.spec.get(key) for key in config.data.shape_keys if key in files.spec}
        assert {key: getattr(config.data, key) for key in resolved} == resolved


def test_a_key_of_the_shape_that_does_not_exist_is_refused():
    with pytest.raises(TypeError, match="'lenght'"):

        class Misspelt(gancore.DataConfig):
            shape_keys = frozenset({"lenght"})


def test_a_killed_run_ends_as_an_undisturbed_one_without_its_origin(run, tmp_path):
    origin = Path(shutil.copytree(run / "model", tmp_path / "origin"))
    whole = train(
        tmp_path / "whole", "checkpoint.every=2", steps=4, init_from=origin, recipe=None, progress="none"
    )
    killed = Path(shutil.copytree(whole, tmp_path / "killed"))
    for folder in (origin, killed / "model", killed / "checkpoints" / "step-000000004"):
        shutil.rmtree(folder)
    gancore.train(resume=killed, progress="none", device="cpu")
    weights = [(path / "model" / "model.safetensors").read_bytes() for path in (whole, killed)]
    assert weights[0] == weights[1]


# Other data in every domain


@pytest.fixture(scope="module")
def other_data(tmp_path_factory) -> Path:
    """Recordings of three labels, 400 lines of text, and a graph of two cliques."""
    root, draw = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for label in ("low", "mid", "high"):
        (root / "recordings" / label).mkdir(parents=True)
        for number in range(12):
            clip = draw.normal(0, 3000, 9000).astype(np.int16)
            wavfile.write(root / "recordings" / label / f"{number}.wav", 8000, clip)
    words = draw.choice(["a", "red", "boat", "lies", "near", "the", "pier", "."], (400, 7))
    (root / "lines.txt").write_text("\n".join(" ".join(line) for line in words))
    pairs = [(a + c, b + c) for c in (0, 12) for a in range(12) for b in range(a)] + [(0, 12)]
    (root / "cliques.edges").write_text("\n".join(f"{a} {b}" for a, b in pairs))
    return root


TUNED = {
    "synthetic/ring": ("grid", [], ""),
    "synthetic/mixture-flow": ("ring", [], ""),
    "image/fashion": ("digits", [], ""),
    "audio/percussion": ("recordings", [], r"generator\.label\.weight \(3, 64\), there \(8, 64\)"),
    "text/captions-lm": ("lines.txt", [], r"model\.embedding \(\d+, 128\), there \(2275, 128\)"),
    "text/captions-latentgan": ("lines.txt", ["model.batch_size=8"], r"autoencoder\.\S*embedding"),
    "graph/les-miserables": ("cliques.edges", [], r"generator\.embedding \(24, 32\), there \(77, 32\)"),
}
"""Data, settings, and what is new of the model because it depends on the data; the rest is kept."""


@pytest.mark.slow
@pytest.mark.parametrize("name", TUNED)
def test_a_shipped_model_is_tuned_on_other_data(name, other_data, tmp_path, capsys):
    data, settings, new = TUNED[name]
    source = str(other_data / data) if (other_data / data).exists() else data
    gancore.train(
        init_from=name, data=source, overrides=settings, steps=1, out=tmp_path / "run", device="cpu"
    )
    said = note(capsys)
    kept, given = counts(said)
    resized = re.search(r"new, as their shapes differ: (.*?)(;|$)", said)
    assert (resized is None) == (not new) and re.search(new, said)
    assert kept == given if not new else kept >= given / 2
    assert not re.search(r"; new: .*\b(generator|model|autoencoder) ", said)


@pytest.mark.slow
def test_data_without_labels_say_how_to_tune_a_conditional_model(other_data, tmp_path):
    options = {"init_from": "audio/percussion", "data": str(other_data / "recordings"), "steps": 1}
    with refused(ConfigError, "model.conditional", fix="model.conditional=false"):
        gancore.train(**options, overrides=["data.labels=none"], out=tmp_path / "run", progress="none")


@pytest.mark.slow
def test_a_recipe_that_nothing_fits_is_refused_with_that_of_the_model(tmp_path):
    options = {"init_from": "image/fashion", "data": "digits", "steps": 1, "progress": "none"}
    with refused(ConfigError, "init-from", fix="dcgan-lite"):
        gancore.train("image", recipe="dcgan", out=tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()
