"""Exported graphs give the samples of gancore, for every recipe whose samples are functions of latents."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from refusals import refused

import gancore
from gancore.cli import main
from gancore.errors import ConfigError
from gancore.games import AdversarialGame
from gancore.models.export import SCRIPT, export_graph, refusal
from gancore.models.model import Model
from gancore.plugins import plugins
from gancore.random import Key
from gancore.testing.fixtures import DomainFixture, RecipeFixture

CHEAPER = {"griffin_lim_iterations": 2}
"""Fewer rounds of what is repeated: each is the same operations."""


def fixtures() -> dict[str, RecipeFixture]:
    """Every installed recipe, by ``domain/recipe``."""
    homes = [
        DomainFixture(plugins().load_domain(entry.name)) for entry in plugins().entries("gancore_domains")
    ]
    made = [
        RecipeFixture(home, *plugins().load_recipe(home.domain, name))
        for home in homes
        for name in plugins().recipe_entries(home.domain)
    ]
    return {fixture.subject: fixture for fixture in made}


ALL = fixtures()
DECLARED = {name: fixture for name, fixture in ALL.items() if "latents" in fixture.entry.capabilities}
TOKENS, STEPS, NOISE, CLASSES = "one token after another", "step by step", "draws noise", "classifier"
REFUSED = {
    "audio/wavenet": TOKENS,
    "audio/audiovae": NOISE,
    "audio/classifier": CLASSES,
    "image/pixelcnn": STEPS,
    "image/imagevae": NOISE,
    "image/classifier": CLASSES,
    "text/lstm-lm": TOKENS,
    "text/relgan": TOKENS,
    "text/gumbelgan": TOKENS,
    "text/gpt2": TOKENS,
    "text/textvae": NOISE,
    "text/ngram": TOKENS,
    "text/maskgan": TOKENS,
    "text/seqgan": TOKENS,
    "text/scratchgan": TOKENS,
    "graph/configuration": STEPS,
    "graph/erdos-renyi": STEPS,
    "graph/dcsbm": STEPS,
    "graph/cell": STEPS,
    "graph/walk-lm": STEPS,
    "graph/netgan": STEPS,
    "graph/graphrnn": STEPS,
    "synthetic/vae": NOISE,
    "synthetic/kde": STEPS,
}
"""The reason why a recipe is not exported. A recipe that is not here must be, within 1e-4."""
EXPORTED = sorted(ALL.keys() - REFUSED.keys())
LABELLED = [name for name in EXPORTED if "conditional" in ALL[name].recipe.Config.model_fields]
FLOWS_OF_GANS = {"audio/audioflow", "image/glow", "synthetic/realnvp"}
"""They have the networks of the flow GAN of their domain."""
CASES = [
    pytest.param(
        name, name in LABELLED, id=name, marks=pytest.mark.long if name in FLOWS_OF_GANS else pytest.mark.slow
    )
    for name in EXPORTED
]
"""With labels where a recipe takes them."""


def model_of(fixture: RecipeFixture, conditional: bool) -> Model:
    """The model of a tiny game that was not trained, each parameter moved away from where it began."""
    known = fixture.recipe.Config.model_fields
    changes = {name: value for name, value in CHEAPER.items() if name in known}
    made = fixture.changed(**changes, **({"conditional": True} if conditional else {}))
    sampler = made.sampler()
    with torch.no_grad():
        for name, parameter in sampler.named_parameters():
            spread = float(parameter.std()) if parameter.numel() > 1 else 0.0
            parameter.add_(Key.of("moved", name).normal(*parameter.shape) * max(0.05, 0.3 * spread))
    home = made.domain_fixture
    config = {"domain": home.domain.name, "recipe": made.entry.name}
    return Model(sampler, home.data.spec, home.domain, config, torch.device("cpu"))


@pytest.mark.parametrize(("name", "conditional"), CASES)
def test_onnxruntime_gives_the_samples_of_every_recipe_with_latents(name, conditional, tmp_path):
    made = export_graph(model_of(ALL[name], conditional), tmp_path / "generator.onnx", "onnx")
    exact = {
        key: value for key, value in made.differences.items() if not (made.amplified and key == "samples")
    }
    assert exact and max(exact.values()) <= 1e-4
    session = onnxruntime.InferenceSession(made.file, providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == (
        ["latents", "labels"] if conditional else ["latents"]
    )
    assert all(isinstance(each.shape[0], str) for each in session.get_inputs())  # any number of rows


@pytest.mark.slow
def test_every_gan_is_exported_or_refused_for_its_tokens_or_its_steps():
    """No GAN whose generator is a function of latents is left out."""
    games = {name: ALL[name].build() for name in REFUSED}
    gans = {name for name, game in games.items() if isinstance(game, AdversarialGame)}
    assert {REFUSED[name] for name in gans} <= {TOKENS, STEPS}
    assert not any(games[name].sampler().can("latents") for name in gans)


def reason_of(fixture: RecipeFixture) -> str:
    if reason := refusal(fixture.game.sampler()):
        return reason
    with pytest.raises(ConfigError) as caught:
        export_graph(model_of(fixture, False), fixture.folder / "x.onnx", "onnx")
    return caught.value.message


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_no_function_of_latents_is_refused_for_its_reason(name):
    assert REFUSED[name] in reason_of(ALL[name])


def test_only_known_recipes_are_refused():
    assert REFUSED.keys() <= ALL.keys()
    assert {name for name in DECLARED if REFUSED.get(name) in (TOKENS, STEPS, CLASSES)} == set()


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("export") / "run"
    settings = ["model.width=8", "model.latent_dim=3", "model.conditional=true", "data.train_examples=200"]
    gancore.train("synthetic", recipe="mlpgan", steps=2, out=out, overrides=settings, progress="none")
    return out


@pytest.fixture(scope="module")
def exported(run: Path) -> Path:
    file = run.parent / "exported" / "rings.onnx"
    assert main(["export", str(run), "--out", str(file), "--quiet"]) == 0
    return file


def session_of(file: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


def test_the_command_says_what_it_compared(run, tmp_path, capsys):
    file = tmp_path / "rings.onnx"
    assert main(["export", str(run), "--out", str(file), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["inputs"] == ["latents", "labels"] and said["outputs"] == ["samples"]
    assert said["differences"]["samples"] <= 1e-4 and Path(said["script"]).name == SCRIPT


def test_the_samples_of_a_label_are_those_of_gancore(run, exported):
    model = gancore.load(run, device="cpu")
    latents = Key.of("any").normal(7, 3)
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    found = session_of(exported).run(None, {"latents": latents.numpy(), "labels": labels.numpy()})[0]
    with torch.no_grad():
        expected = model.sampler.render(latents, labels).numpy()
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


BARE = """
import runpy, sys
for name in ("gancore", "torch", "pydantic"):
    sys.modules[name] = None  # an import of it fails
sys.argv[1:] = {words!r}
runpy.run_path({script!r}, run_name="__main__")
"""


def bare(script: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The program beside an export, in an interpreter that can import neither gancore nor torch."""
    program = BARE.format(words=list(words), script=str(script))
    return subprocess.run(
        [sys.executable, "-c", program], cwd=script.parent, capture_output=True, text=True, timeout=120
    )


def test_the_program_beside_it_samples_without_gancore(exported, tmp_path):
    out = tmp_path / "samples.npy"
    done = bare(exported.parent / SCRIPT, "-n", "9", "--seed", "4", "--label", "2", "--out", str(out))
    assert done.returncode == 0, done.stderr
    samples = np.load(out)
    assert samples.shape[0] == 9 and np.isfinite(samples).all() and samples.std() > 0
    latents = np.random.default_rng(4).standard_normal((9, 3), dtype=np.float32)
    labels = np.full(9, 2)
    assert np.array_equal(samples, session_of(exported).run(None, {"latents": latents, "labels": labels})[0])
    wrong = bare(exported.parent / SCRIPT, "--label", "none")
    assert wrong.returncode == 1 and "Traceback" not in wrong.stderr and "none" in wrong.stderr


@pytest.mark.slow
def test_the_program_writes_the_texts_of_gancore(tmp_path):
    model = model_of(ALL["text/embedgan"], False)
    made = export_graph(model, tmp_path / "texts.onnx", "onnx")
    latents = Key.of("any").normal(5, model.sampler.prior.size)
    np.save(tmp_path / "latents.npy", latents.numpy())
    program = runpy.run_path(str(made.script))
    info = json.loads(session_of(made.file).get_modelmeta().custom_metadata_map["gancore"])
    ids = session_of(made.file).run(None, {"latents": latents.numpy()})[0]
    found = [program["join_pieces"](row, info["host_step"]) for row in ids]
    with torch.no_grad():
        rows = model.sampler.render(latents).numpy()
    assert found == [bytes(row).split(b"\0", 1)[0].decode() for row in rows] and any(found)


def test_a_program_of_torch_gives_the_same(run, tmp_path):
    file = tmp_path / "rings.pt2"
    made = gancore.export_model(run, file, form="torch")
    assert made.script is None and made.differences["samples"] <= 1e-4
    latents, labels = Key.of("any").normal(3, 3), torch.tensor([0, 1, 2])
    with torch.no_grad():
        expected = gancore.load(run, device="cpu").sampler.render(latents, labels)
    assert torch.allclose(torch.export.load(file).module()(latents, labels)[0], expected, rtol=1e-4)


def test_nothing_that_exists_is_replaced_unasked(run, tmp_path):
    file = tmp_path / "rings.onnx"
    file.write_text("mine")
    with refused(ConfigError, "rings.onnx", fix="--overwrite"):
        gancore.export_model(run, file)
    file.unlink()
    (tmp_path / SCRIPT).write_text("mine")
    with refused(ConfigError, SCRIPT, fix="--overwrite"):
        gancore.export_model(run, file)
    assert [path.name for path in tmp_path.iterdir()] == [SCRIPT]


def test_a_format_that_is_none_is_refused(run, tmp_path):
    with refused(ConfigError, "form", "tflite"):
        gancore.export_model(run, tmp_path / "x", form="tflite")


def test_without_the_libraries_the_extra_is_named(run, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with refused(ConfigError, "onnxruntime", fix="gancore[export]"):
        gancore.export_model(run, tmp_path / "x.onnx")
