"""A model folder carries a model and nothing that runs."""

from __future__ import annotations

import io
import json
import pickle
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from refusals import refused
from safetensors import safe_open
from torch import nn

import gancore
from gancore.data.dataset import Spec
from gancore.errors import CheckpointError
from gancore.models.card import CardData, CardMetric, model_card, with_metrics
from gancore.models.folder import read_model_folder, write_model_folder
from gancore.models.kind import model_kind
from gancore.models.model import load_weights

CONFIG = {"domain": "rings", "recipe": "gan", "model": {"width": 8}, "plugins": {"gancore-rings": "1.0"}}
WEIGHTS = {"net.weight": torch.arange(6.0).reshape(2, 3), "net.steps": torch.tensor(7)}
SPEC = Spec({"sample_rate_hz": 16000, "classes": ["a", "b"]}, {"mean": torch.ones(3)})


@pytest.fixture
def model(tmp_path) -> Path:
    write_model_folder(tmp_path / "model", WEIGHTS, CONFIG, SPEC, "# card\n")
    return tmp_path / "model"


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_model_folder(folder)
    assert "\n" not in str(caught.value) and caught.value.fix
    return str(caught.value)


def test_a_model_comes_back(model):
    loaded = read_model_folder(model)
    assert loaded.config == {**CONFIG, "gancore": gancore.__version__}
    assert loaded.tensors.keys() == WEIGHTS.keys()
    assert all(torch.equal(loaded.tensors[name], tensor) for name, tensor in WEIGHTS.items())
    assert dict(loaded.spec.fields) == dict(SPEC.fields)
    assert torch.equal(loaded.spec["mean"], SPEC["mean"])
    assert (model / "README.md").read_text() == "# card\n"


def test_a_folder_of_links_loads_as_caches_of_downloads_hold_it(model, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    for file in model.iterdir():
        (linked / file.name).symlink_to(file.resolve())
    assert read_model_folder(linked).config == read_model_folder(model).config


def test_a_spec_without_tensors_has_no_file(tmp_path):
    write_model_folder(tmp_path / "model", WEIGHTS, CONFIG, Spec({"n": 1}), "")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    assert dict(read_model_folder(tmp_path / "model").spec) == {"n": 1}


def test_equal_weights_give_equal_bytes_in_any_order(model, tmp_path):
    tied = torch.arange(6.0)
    write_model_folder(
        tmp_path / "other", {**dict(reversed(WEIGHTS.items()))}, {**CONFIG, "training": 1}, SPEC, ""
    )
    strided = {**WEIGHTS, "net.weight": tied.reshape(3, 2).T.contiguous().T.reshape(2, 3)}
    write_model_folder(tmp_path / "strided", strided, CONFIG, SPEC, "")
    data = (model / "model.safetensors").read_bytes()
    assert (tmp_path / "other" / "model.safetensors").read_bytes() == data
    assert (tmp_path / "strided" / "model.safetensors").read_bytes() == data
    with safe_open(model / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_an_empty_folder_and_an_old_model_are_replaced(tmp_path):
    (tmp_path / "model").mkdir()
    for width in (1, 2):
        write_model_folder(tmp_path / "model", WEIGHTS, {**CONFIG, "model": {"width": width}}, SPEC, "")
    assert read_model_folder(tmp_path / "model").config["model"] == {"width": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_files_that_someone_added_are_kept(model):
    for number in (1, 2):
        (model / "notes.txt").write_text("mine")
        write_model_folder(model, WEIGHTS, CONFIG, SPEC, "")
        assert (model.parent / f"model.before-{number}" / "notes.txt").read_text() == "mine"
    assert not (model / "notes.txt").exists() and read_model_folder(model)


@pytest.mark.parametrize("kind", ["folder", "file", "foreign config"])
def test_what_is_no_model_is_never_replaced(kind, tmp_path):
    place = tmp_path / "precious"
    kept = place if kind == "file" else place / ("config.json" if kind == "foreign config" else "thesis.txt")
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("{}")
    with refused(CheckpointError, "precious", fix="folder"):
        write_model_folder(place, WEIGHTS, CONFIG, SPEC, "")
    assert kept.read_text() == "{}"
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def pickles(trap: Trap) -> dict[str, bytes]:
    made = {f"protocol {protocol}": pickle.dumps(trap, protocol) for protocol in range(6)}
    for zipped in (True, False):
        buffer = io.BytesIO()
        torch.save({"weight": trap}, buffer, _use_new_zipfile_serialization=zipped)
        made[f"torch.save, zip {zipped}"] = buffer.getvalue()
    return made


@pytest.mark.parametrize("name", ["model.safetensors", "spec.safetensors"])
@pytest.mark.parametrize("checked", [True, False])
def test_a_pickle_is_refused_and_not_run(name, checked, model, tmp_path):
    if not checked:
        drop_digests(model)
    for kind, data in pickles(Trap(tmp_path / "ran")).items():
        (model / name).write_bytes(data)
        text = refusal(model)
        assert f"{name} is not a safetensors file (it looks like" in text, kind
        assert "gancore never unpickles" in text, kind
    assert not (tmp_path / "ran").exists()


def drop_digests(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    del config["files"]
    (model / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "truncated"),
        (b"1234567", "truncated"),
        (b"some text, not weights", "is not a safetensors file"),
        ((100_000_001).to_bytes(8, "little") + b"{}", "header of 100,000,001 bytes"),
        ((2**63).to_bytes(8, "little") + b"{}", "header of"),
        ((50).to_bytes(8, "little") + b"{}", "truncated"),
        ((2).to_bytes(8, "little") + b"{]", "damaged"),
    ],
)
def test_broken_weights_are_refused_with_the_reason(data, reason, model):
    drop_digests(model)
    (model / "model.safetensors").write_bytes(data)
    assert reason in refusal(model)


def test_truncated_or_exchanged_weights_are_refused(model, tmp_path):
    path = model / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    assert "model.safetensors is damaged" in refusal(model)
    write_model_folder(tmp_path / "other", {"net.weight": torch.zeros(2, 3)}, CONFIG, SPEC, "")
    path.write_bytes((tmp_path / "other" / "model.safetensors").read_bytes())
    assert "sha256 differs" in refusal(model)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "spec.safetensors"])
def test_a_missing_file_is_named(name, model):
    (model / name).unlink()
    assert f"{name} is missing" in refusal(model)


def test_no_folder_is_said_to_be_none(tmp_path):
    assert "no model folder" in refusal(tmp_path / "none")
    (tmp_path / "file").write_text("x")
    assert "cannot be read" in refusal(tmp_path / "file")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "other"}, "not that of a gancore model"),
        ({"version": 1}, "contract version 1, this gancore reads 2"),
        ({"version": 3}, "contract version 3, this gancore reads 2"),
        ({"domain": 3}, "domain must be a name"),
        ({"recipe": ["os:system"]}, "recipe must be a name"),
        ({"model": []}, "model must be an object"),
        ({"plugins": {"x": 1}}, "plugins must map"),
        ({"plugins": "x"}, "plugins must map"),
        ({"spec": None}, "spec must be an object"),
        ({"files": []}, "files must be an object"),
    ],
)
def test_a_config_that_no_model_has_is_refused(change, reason, model):
    path = model / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert reason in refusal(model)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b'{"a":' * 50_000])
def test_a_config_that_is_no_json_object_is_refused(text, model):
    (model / "config.json").write_bytes(text)
    assert "config.json" in refusal(model)


@pytest.mark.parametrize("change", [{"domain": None}, {"plugins": {"x": 1}}, {"spec": {}}])
def test_what_could_not_be_loaded_is_not_saved(change, tmp_path):
    with refused(CheckpointError, "config"):
        write_model_folder(tmp_path / "model", WEIGHTS, {**CONFIG, **change}, SPEC, "")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def shared_model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "model"
    write_model_folder(folder, WEIGHTS, CONFIG, SPEC, "")
    return folder


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "spec.safetensors"])
@settings(max_examples=60, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), mask=st.integers(1, 255))
def test_a_changed_byte_is_refused_or_leaves_the_weights_as_they_were(name, place, mask, shared_model):
    path = shared_model / name
    original = path.read_bytes()
    data = bytearray(original)
    data[int(place * len(data))] ^= mask
    path.write_bytes(data)
    try:
        loaded = read_model_folder(shared_model)
    except CheckpointError:
        return
    finally:
        path.write_bytes(original)
    assert name == "config.json"
    assert all(torch.equal(loaded.tensors[key], tensor) for key, tensor in WEIGHTS.items())


FACTS = CardData(
    domain="rings",
    recipe="wgan",
    kind="GAN",
    source="shapes: `old`",
    steps=1200,
    samples=38_400,
    seconds=61.4,
    device="cpu",
    seed=3,
    data=["3,000 clips, 1,500 s", "skipped: a\n# not a heading.txt"],
    data_licence="CC BY 4.0, Some Owner",
    parameters=70_123,
    plugins={"gancore-rings": "1.0"},
    training_plugins={"gancore-losses": "2.0"},
    metrics=[
        CardMetric("distance", 4.1234567, "dB", n=256, split="valid", interval=(3.9, 4.4)),
        CardMetric("a|b", 1),
    ],
    limits=["It knows circles alone."],
)


def test_the_card_says_what_is_known():
    text = model_card(FACTS)
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["license"] == "other" and {"gan", "rings"} <= set(front["tags"])
    for part in (
        "CC BY 4.0, Some Owner",
        "    3,000 clips, 1,500 s\n",
        "1,200 steps, 38,400 samples, 61 s",
        "- seed: 3",
        "- needs: gancore-rings 1.0",
        "- only trained with: gancore-losses 2.0",
        "70,123",
        "| distance (dB) | 4.123 | 3.9 to 4.4 |",
        "- distance: 256 samples and valid",
        "| a/b | 1 | not known |",
        "gancore generate MODEL -n 16",
        "It knows circles alone.",
        "Nothing in this folder is executed",
        "licence of the weights is not stated",
    ):
        assert part in text
    assert "\n# not a heading" not in text


def test_measures_can_be_told_anew_and_nothing_else_changes():
    facts = replace(FACTS, data=["## Measures", "3,000 clips"])
    other = [CardMetric("recall", 0.5, n=9)]
    assert with_metrics(model_card(facts), other) == model_card(replace(facts, metrics=other))
    assert with_metrics(model_card(facts), []) == model_card(replace(facts, metrics=[]))
    assert with_metrics("# A card of its own\n", other).startswith("# A card of its own\n\n## Measures\n\n| ")


def front(text):
    return yaml.safe_load(text.split("---\n")[1])


def test_a_run_of_anyone_has_its_data_and_figures_in_the_metadata_of_the_hub():
    found = front(model_card(FACTS))
    assert found["datasets"] == ["shapes: `old`"] and found["tags"] == ["gan", "gancore", "rings", "wgan"]
    (result,) = found["model-index"][0]["results"]
    assert result["dataset"]["name"] == "shapes: `old`" and result["task"]["type"] == "generation"
    assert {m["name"]: m["value"] for m in result["metrics"]} == {"distance": 4.12346, "a|b": 1.0}
    bare = model_card(replace(FACTS, metrics=[]))
    assert "model-index" not in front(bare)
    evaluated = with_metrics(bare, [CardMetric("distance", 2.5), CardMetric("recall", float("nan"))])
    assert front(evaluated)["model-index"][0]["results"][0]["metrics"][0]["value"] == 2.5
    assert front(evaluated)["model-index"][0]["name"] == "wgan trained on shapes: `old`"
    foreign = with_metrics("---\ntags: [other]\n---\n\n# Mine\n", [CardMetric("distance", 2.5)])
    assert front(foreign) == {"tags": ["other"]}


@pytest.mark.parametrize(
    ("players", "likelihood", "classifies", "tag"),
    [
        (2, False, False, "gan"),
        (2, True, False, "gan"),  # a flow that plays against an opponent
        (1, True, False, "likelihood-model"),
        (0, False, False, "fitted-model"),
        (1, False, False, None),
        (1, False, True, "classifier"),
    ],
)
def test_only_an_adversarial_model_is_tagged_as_a_gan(players, likelihood, classifies, tag):
    facts = replace(FACTS, kind=model_kind(players, likelihood), is_classifier=classifies)
    assert front(model_card(facts))["tags"] == [*([tag] if tag else []), "gancore", "rings", "wgan"]


def test_the_card_does_not_make_up_what_is_not_known():
    text = model_card(CardData("rings", "gan", "mine", 1, 2, 3, "cpu", 0, licence="CC0-1.0"))
    assert "Not measured" in text and "not stated" in text
    assert "parameters" not in text and "of the weights is not stated" not in text and "--label" not in text
    assert yaml.safe_load(text.split("---\n")[1])["license"] == "CC0-1.0"


@settings(max_examples=60, deadline=None)
@example("\x85")
@example("a: b\n---\n")
@given(st.text(max_size=40))
def test_no_licence_breaks_the_front_matter(licence):
    text = model_card(CardData("rings", "gan", "mine", 1, 2, 3, "cpu", 0, licence=licence))
    front = text.removeprefix("---\n").split("\n---\n\n# ")[0]
    assert yaml.safe_load(front)["license"] == (" ".join(licence.split()) or "other")


def test_no_name_on_a_card_becomes_html_or_a_link():
    name = "<img src=x onerror=alert(1)> [here](http://example.org) & `code`"
    measure = CardMetric(name, 1.0, split=name)
    facts = CardData(
        "d", name, name, 1, 1, 1.0, "cpu", 0, data_licence=name, metrics=[measure], limits=[name]
    )
    text = model_card(facts).split("---\n", 2)[2]
    spoken = [line for line in text.splitlines() if "onerror" in line and not line.startswith("Source: `")]
    assert len(spoken) >= 4
    assert all("\\<img" in line and "\\[here\\]" in line and "\\&" in line for line in spoken)
    assert not re.search(r"(?<!\\)<img", re.sub(r"`[^`]*`", "", "\n".join(spoken).replace("\\`", "")))


def test_a_card_shows_ordinary_names_as_they_are():
    text = model_card(CardData("image", "dcgan-lite", "fashion_mnist", 1, 1, 1.0, "cpu", 0))
    assert "# dcgan-lite trained on fashion_mnist\n" in text


class Fitted(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2))
        self.register_buffer("log_probs", torch.zeros(3))


def test_a_buffer_may_hold_minus_infinity_and_a_parameter_no_more_than_a_buffer_nan():
    impossible = torch.tensor([0.0, -torch.inf, 0.0])
    model = Fitted()
    load_weights(model, {"scale": torch.ones(2), "log_probs": impossible}, "m")
    assert torch.equal(model.log_probs, impossible)
    for name, value in (("scale", torch.inf), ("scale", torch.nan), ("log_probs", torch.nan)):
        broken = {k: t.clone() for k, t in Fitted().state_dict().items()}
        broken[name][0] = value
        with refused(CheckpointError, "m", name):
            load_weights(Fitted(), broken, "m")
