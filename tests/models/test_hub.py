"""Models go to the hub and come back: the same bytes, only the files of a model, every refusal one line."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import pytest
import yaml
from hub_server import Hub, local_hub
from huggingface_hub import ModelCard, constants
from refusals import refused

import gancore
from gancore.cli import main
from gancore.errors import CheckpointError, ConfigError
from gancore.hub import parse_hub_name
from gancore.models.folder import MODEL_FILES


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("hub") / "run"
    gancore.train(
        "synthetic", recipe="mlpgan", steps=1, out=out, overrides=["model.width=4"], progress="none"
    )
    return out / "model"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with local_hub() as made:
        monkeypatch.setenv("HF_ENDPOINT", made.address)
        monkeypatch.setenv("HF_TOKEN", "secret")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no_token"))
        yield made


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name in MODEL_FILES}


def test_a_model_goes_to_the_hub_and_comes_back(hub: Hub, folder, capsys):
    (folder / "notes.txt").write_text("private")
    assert main(["models", "push", str(folder), "hub:ada/rings", "--quiet"]) == 0
    assert hub.repos["ada/rings"]["main"] == files_of(folder)  # and not the notes
    assert main(["models", "pull", "hub:ada/rings", "--quiet"]) == 0
    pulled = gancore.load("hub:ada/rings", device="cpu")
    assert pulled.sample(4, seed=3).data.equal(gancore.load(folder, device="cpu").sample(4, seed=3).data)


def test_a_page_of_a_model_goes_to_a_space(hub: Hub, folder):
    assert main(["models", "push", str(folder), "hub:ada/play", "--space", "--quiet"]) == 0
    sent = hub.repos["ada/play"]["main"]
    assert {"app.py", "requirements.txt", "README.md"} <= sent.keys()
    assert sent["model/model.safetensors"] == (folder / "model.safetensors").read_bytes()
    assert b"sdk: gradio" in sent["README.md"]
    assert any(request.startswith("POST /api/spaces/ada/play/commit") for request in hub.requests)


def test_a_revision_is_a_branch_a_tag_or_a_commit(hub: Hub, folder):
    old = hub.add("ada/rings", files_of(folder), "v1")
    hub.add("ada/rings", {"config.json": b"{}", "model.safetensors": b""}, "main")
    for revision in ("v1", old):
        assert gancore.load("hub:ada/rings", revision=revision).config["recipe"] == "mlpgan"
    assert gancore.load("hub:ada/rings@v1").config["recipe"] == "mlpgan"
    with refused(CheckpointError, "config.json"):
        gancore.load("hub:ada/rings")


def test_only_the_files_of_a_model_are_fetched(hub: Hub, folder):
    hub.add("ada/rings", {**files_of(folder), "app.py": b"print()", "model.pkl": b"\x80\x04."})
    fetched = gancore.api.pull_model("hub:ada/rings")
    assert {path.name for path in fetched.iterdir()} <= MODEL_FILES
    asked = {request.rpartition("/")[2] for request in hub.requests}
    assert asked <= MODEL_FILES


def test_what_is_in_the_cache_needs_no_hub(hub: Hub, folder, monkeypatch):
    hub.add("ada/rings", files_of(folder))
    gancore.load("hub:ada/rings")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    assert gancore.load("hub:ada/rings").config["recipe"] == "mlpgan"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert gancore.load("hub:ada/rings").config["recipe"] == "mlpgan"
    with refused(CheckpointError, "hub:ada/others", fix="HF_HUB_OFFLINE"):
        gancore.load("hub:ada/others")


def test_refusals_of_the_hub_are_one_line_each(hub: Hub, folder, monkeypatch):
    hub.add("ada/rings", files_of(folder))
    hub.add("ada/empty", {"README.md": b"nothing"})
    hub.add("ada/secret", files_of(folder))
    hub.private.add("ada/secret")
    with refused(CheckpointError, "hub:ada/nowhere", fix="HF_TOKEN"):
        gancore.load("hub:ada/nowhere")
    with refused(CheckpointError, "hub:ada/rings", "v9", fix="tag"):
        gancore.load("hub:ada/rings", revision="v9")
    with refused(CheckpointError, "hub:ada/empty", "config.json"):
        gancore.load("hub:ada/empty")
    monkeypatch.setenv("HF_TOKEN", "wrong")
    with refused(CheckpointError, "hub:ada/secret", fix="HF_TOKEN"):
        gancore.load("hub:ada/secret")
    with refused(CheckpointError, "hub:ada/rings", fix="HF_TOKEN"):
        gancore.api.push_model(folder, "hub:ada/rings")


def test_a_file_that_claims_to_be_huge_is_not_fetched(hub: Hub, folder):
    hub.add("ada/bomb", files_of(folder))
    hub.sizes["model.safetensors"] = 1 << 50
    with refused(CheckpointError, "hub:ada/bomb", "model.safetensors"):
        gancore.load("hub:ada/bomb")
    assert not any(r.startswith("GET") and r.endswith("model.safetensors") for r in hub.requests)


@pytest.mark.parametrize(
    "name", ["hub:", "hub:ada", "hub:../etc", "hub:a/../b", "hub:a/b/c", "hub:a/b@../c", "hub:a/b\x1b[2J"]
)
def test_a_name_of_another_form_is_refused(name):
    with refused(ConfigError, fix="hub:OWNER/NAME"):
        parse_hub_name(name)


def test_a_revision_belongs_to_the_hub(folder):
    with refused(ConfigError, "revision", fix="hub:OWNER/NAME"):
        gancore.load(folder, revision="v1")
    with refused(ConfigError, "v1", "v2"):
        parse_hub_name("hub:ada/rings@v1", "v2")


def test_the_card_is_one_of_the_hub(folder):
    card = ModelCard((folder / "README.md").read_text())
    assert card.data.library_name == "gancore" and card.data.license and "gan" in card.data.tags
    assert yaml.safe_load(str(card.data))["library_name"] == "gancore"


@pytest.mark.parametrize(
    "card", ["# no front matter", "---\nlicense: mit\n---\n", "---\n[1, 2\n---\n", "\x00"]
)
def test_a_card_that_the_hub_cannot_read_is_not_sent(hub: Hub, folder, tmp_path, card):
    copy = tmp_path / "model"
    copy.mkdir()
    for name, data in files_of(folder).items():
        (copy / name).write_bytes(data)
    (copy / "README.md").write_text(card)
    with refused(ConfigError, "README.md", fix="--update-card"):
        gancore.api.push_model(copy, "hub:ada/rings")
    assert hub.requests == []


def test_without_the_library_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    assert main(["models", "pull", "hub:ada/rings"]) == 2
    assert "gancore[hub]" in capsys.readouterr().err
    assert huggingface_hub.__version__
