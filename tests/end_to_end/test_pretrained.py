"""A model from its training to its id: packed, evaluated, published, registered, listed, sampled."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
import torch
import yaml
from refusals import names, refused

import gancore
from gancore.errors import CheckpointError
from gancore.models.card import Publication
from gancore.models.folder import read_model_folder
from gancore.models.publish import draw_picture, pack_model, publish_model
from gancore.plugins import plugins

ID = "synthetic/dots"
PUBLICATION = Publication(
    ID,
    summary="a tiny ring",
    notice=["Data: ours."],
    reproduce=["gancore train --config dots.yaml"],
    configuration="domain: synthetic\n",
    commit="0123abc",
    processor_seconds=12.0,
    limits=["It has seen two steps."],
)


@pytest.fixture(scope="module")
def run(cache, tmp_path_factory):
    tiny = ["data.train_examples=1000", "data.validation_examples=100", "model.width=16"]
    out = tmp_path_factory.mktemp("run") / "dots"
    settings = {"recipe": "mlpgan", "data": "ring", "steps": 2, "device": "cpu", "progress": "none"}
    gancore.train("synthetic", **settings, out=out, overrides=tiny)
    pack_model(out / "model", out.parent / "packed")
    evaluation = gancore.evaluate(out.parent / "packed", metrics=["density_error", "copies"], n=64)
    return out, out.parent / "packed", replace(evaluation, model=ID)


@pytest.fixture
def published(run, tmp_path, monkeypatch):
    """The folder of the model of a plugin that registers it."""
    trained, packed, evaluation = run
    target = tmp_path / "models" / "dots"
    target.parent.mkdir()
    publish_model(trained, packed, target, evaluation, PUBLICATION, "CC0-1.0", "density_error")
    found = gancore.packaged_models(tmp_path / "models")
    registered = plugins().entries
    monkeypatch.setattr(
        plugins(), "entries", lambda hook: found if hook == "gancore_models" else registered(hook)
    )
    return target


def test_half_precision_is_half_the_size_and_loads_as_before(run):
    trained, packed, _ = run
    before, after = (read_model_folder(folder) for folder in (trained / "model", packed))
    parameters = {name for name, _ in gancore.load(packed).sampler.named_parameters()}
    assert {after.tensors[name].dtype for name in parameters} == {torch.float16}
    assert all(
        after.tensors[name].dtype == before.tensors[name].dtype
        for name in after.tensors
        if name not in parameters
    )
    model = gancore.load(packed, "cpu")
    assert {parameter.dtype for parameter in model.sampler.parameters()} == {torch.float32}
    same, again = (model.sample(40, seed=3).data for _ in range(2))
    assert torch.equal(same, again)
    exact = gancore.load(trained, "cpu").sample(40, seed=3).data
    assert 0 < (same - exact).abs().max() < 0.01


def test_the_card_has_what_the_run_and_its_evaluation_say(published):
    text = (published / "README.md").read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    assert (front["license"], front["datasets"]) == ("cc0-1.0", ["ring"])
    [result] = front["model-index"][0]["results"]
    assert "density_error" in {metric["type"] for metric in result["metrics"]}
    head = next(line for line in text.splitlines() if line.startswith("| measure"))
    assert {"value", "95 % interval", "real", "collapse", "best"} <= set(head.strip("| ").split(" | "))
    for part in ("2 steps", "float16", "12 s", "Data: ours.", "0123abc", "It has seen two steps.", "copies:"):
        assert names(text, part), part
    assert "    domain: synthetic" in text and "![samples](samples.png)" in text
    assert (published / "samples.png").read_bytes().startswith(b"\x89PNG")
    assert not any(word in text for word in (str(published.parent), "packed"))


def test_an_evaluation_of_other_weights_is_refused(run, tmp_path):
    trained, _, evaluation = run
    with refused(CheckpointError, trained / "model"):
        publish_model(trained, trained / "model", tmp_path / "other", evaluation, PUBLICATION, "CC0-1.0")
    assert not (tmp_path / "other").exists()


def test_it_is_known_by_its_id_everywhere(published, gancore, tmp_path):
    assert gancore("models", "--domain", "synthetic").out.splitlines()[1].split()[:3] == [
        ID,
        "mlpgan",
        "ring",
    ]
    card = gancore("models", "show", ID)
    assert card.code == 0 and max(map(len, card.out.splitlines())) <= 80 and "license:" not in card.out
    digests = []
    for options in ([ID], ["--model", ID]):
        out = tmp_path / f"samples-{len(digests)}"
        assert gancore("generate", *options, "-n", 16, "--out", out).code == 0
        files = sorted(path for path in out.iterdir() if path.suffix != ".png")
        digests.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in files])
    assert digests[0] == digests[1] and digests[0]
    tiny = ["--set", "data.train_examples=1000", "--set", "model.width=16", "--steps", 1, "--quiet"]
    tuned = gancore("train", "--domain", "synthetic", "--init-from", ID, *tiny, "--out", tmp_path / "tuned")
    assert tuned.code == 0


def test_what_names_no_model_is_refused_with_advice(published, gancore):
    assert names(gancore("generate", "synthetic/dos", "--out", "x").error, ID)
    assert names(gancore("models", "show", "tides/harbour").error, "gancore models")
    assert names(gancore("generate", ID, "--model", ID).error, "--model")
    assert gancore("generate").code == 2
    assert names(gancore("models", "pack", ID, "--out", "x", "--dtype", "float8").error, "float16")


def test_a_model_without_a_preview_has_no_picture(published, monkeypatch):
    model = gancore.load(published)
    assert len(draw_picture(model)) > 100
    monkeypatch.setattr(type(model.domain), "preview", lambda self, samples: None)
    assert draw_picture(model) is None
