"""Broken and hostile model folders: each is refused in one line that names the fault, and nothing runs."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from refusals import refused
from safetensors.torch import load_file, save_file

import gancore
from gancore.cli import main
from gancore.errors import CheckpointError, GancoreError, PluginError

EVIL = """
import pathlib
pathlib.Path({canary!r}).touch()
import gancore.games
import gancore
class Game(gancore.games.AdversarialGame): pass
class Recipe(gancore.Recipe): pass
def build(spec): pass
"""


class Trap:
    """Unpickled, it makes the canary."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.canary,))


@dataclass(frozen=True)
class Folder:
    """A model folder that a stranger wrote, who knows the format: without digests of its files."""

    path: Path
    canary: Path

    @property
    def weights(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    def change(self, **values: Any) -> None:
        document = json.loads(self.config.read_text())
        self.config.write_text(json.dumps({**document, **values}))

    def change_section(self, section: str, **values: Any) -> None:
        document = json.loads(self.config.read_text())
        self.change(**{section: {**document[section], **values}})

    def change_tensors(self, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
        tensors = load_file(self.weights)
        change(tensors)
        save_file(tensors, self.weights)

    def change_header(self, change: Callable[[dict[str, Any]], Any]) -> None:
        data = self.weights.read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        changed = change(header) or header
        encoded = changed if isinstance(changed, bytes) else json.dumps(changed).encode()
        self.weights.write_bytes(struct.pack("<Q", len(encoded)) + encoded + data[8 + length :])

    def pickled(self, name: str, protocol: int = 4) -> None:
        (self.path / name).write_bytes(pickle.dumps(Trap(self.canary), protocol))


def first(header: dict[str, Any], place: int = 0) -> dict[str, Any]:
    """The entry of a tensor, in the order of the data."""
    entries = [entry for name, entry in header.items() if name != "__metadata__"]
    return sorted(entries, key=lambda entry: entry["data_offsets"])[place]


def as_zip_of_torch(folder: Folder) -> None:
    buffer = io.BytesIO()
    torch.save({"weight": Trap(folder.canary)}, buffer)
    folder.weights.write_bytes(buffer.getvalue())


def as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def as_link(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def as_sparse_terabyte(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def twice(header: dict[str, Any]) -> bytes:
    """The header with its first tensor named twice."""
    text = json.dumps(header)
    name = next(name for name in header if name != "__metadata__")
    return f"{{{json.dumps(name)}: {json.dumps(header[name])}, {text[1:]}".encode()


def with_doubled_key(folder: Folder) -> None:
    text = folder.config.read_text().lstrip()
    folder.config.write_text('{"recipe": "evil:Recipe", ' + text[1:])


def set_first(tensors: dict[str, torch.Tensor], value: float) -> None:
    tensors[min(tensors)].view(-1)[0] = value


def rename_first(tensors: dict[str, torch.Tensor], name: str) -> None:
    tensors[name] = tensors.pop(min(tensors))


C, P, W = CheckpointError, PluginError, "model.safetensors"
NEVER = "unpickles"
CASES: dict[str, tuple[Callable[[Folder], Any], type[GancoreError], str]] = {
    "a pickle as weights": (lambda f: f.pickled(W), C, NEVER),
    "an old pickle as weights": (lambda f: f.pickled(W, 0), C, NEVER),
    "a zip of torch as weights": (as_zip_of_torch, C, NEVER),
    "a pickle as spec": (lambda f: f.pickled("spec.safetensors"), C, "spec.safetensors"),
    "a pickle as config": (lambda f: f.pickled("config.json"), C, "config.json"),
    "a header of 4 EB": (lambda f: f.weights.write_bytes(struct.pack("<Q", 1 << 62) + b"{}"), C, "header"),
    "a header beyond the end": (lambda f: f.weights.write_bytes(struct.pack("<Q", 999) + b"{}"), C, W),
    "a header that is no JSON": (lambda f: f.weights.write_bytes(struct.pack("<Q", 2) + b"{["), C, W),
    "a header of 50,000 lists": (lambda f: f.change_header(lambda h: b'{"a":' + b"[" * 50_000), C, W),
    "a tensor named twice": (lambda f: f.change_header(twice), C, W),
    "overlapping offsets": (
        lambda f: f.change_header(lambda h: first(h, 1).update(data_offsets=first(h)["data_offsets"])),
        C,
        W,
    ),
    "offsets beyond the end": (
        lambda f: f.change_header(lambda h: first(h).update(data_offsets=[0, 1 << 50])),
        C,
        W,
    ),
    "negative offsets": (lambda f: f.change_header(lambda h: first(h).update(data_offsets=[-8, 0])), C, W),
    "a shape of 10^15 numbers": (lambda f: f.change_header(lambda h: first(h).update(shape=[10**15])), C, W),
    "a shape whose size overflows": (
        lambda f: f.change_header(lambda h: first(h).update(shape=[1 << 62, 1 << 62])),
        C,
        W,
    ),
    "an unknown dtype": (lambda f: f.change_header(lambda h: first(h).update(dtype="OBJ")), C, W),
    "no data": (lambda f: f.weights.write_bytes(b""), C, W),
    "weights of NaN": (lambda f: f.change_tensors(lambda t: set_first(t, float("nan"))), C, "NaN"),
    "weights of infinity": (lambda f: f.change_tensors(lambda t: set_first(t, float("inf"))), C, "infinity"),
    "a tensor named as a path": (
        lambda f: f.change_tensors(lambda t: rename_first(t, "../../evil")),
        C,
        "recipe",
    ),
    "a tensor named as a method": (
        lambda f: f.change_tensors(lambda t: rename_first(t, "__class__")),
        C,
        "recipe",
    ),
    "a tensor too many": (lambda f: f.change_tensors(lambda t: t.update(extra=torch.ones(2))), C, "extra"),
    "a tensor of another shape": (
        lambda f: f.change_tensors(lambda t: t.update({min(t): torch.ones(7)})),
        C,
        "recipe",
    ),
    "complex weights": (
        lambda f: f.change_tensors(lambda t: t.update({min(t): t[min(t)].to(torch.complex64)})),
        C,
        "recipe",
    ),
    "a pipe as weights": (lambda f: as_pipe(f.weights), C, W),
    "a pipe as config": (lambda f: as_pipe(f.config), C, "config.json"),
    "a folder as weights": (lambda f: as_folder(f.weights), C, W),
    "a link to endless bytes": (lambda f: as_link(f.weights, "/dev/zero"), C, "zero"),
    "a link out to a file of the system": (lambda f: as_link(f.weights, "/etc/passwd"), C, W),
    "a link to itself": (lambda f: as_link(f.weights, W), C, W),
    "weights of a terabyte": (lambda f: as_sparse_terabyte(f.weights), C, W),
    "a config of a terabyte": (lambda f: as_sparse_terabyte(f.config), C, "config.json"),
    "a config that is not UTF-8": (
        lambda f: f.config.write_bytes(b'{"domain": "\xff\xfe"}'),
        C,
        "config.json",
    ),
    "a config of 100,000 lists": (
        lambda f: f.config.write_bytes(b'{"a":' + b"[" * 100_000),
        C,
        "config.json",
    ),
    "a config with a key twice": (with_doubled_key, C, "recipe"),
    "a config that is a list": (lambda f: f.config.write_text("[]"), C, "config.json"),
    "a number of 10,000 digits": (
        lambda f: f.config.write_text('{"version": ' + "9" * 10_000 + "}"),
        C,
        "config.json",
    ),
    "another version": (lambda f: f.change(version=99), C, "99"),
    "another format": (lambda f: f.change(format="evil"), C, "config.json"),
    "a digest of other bytes": (lambda f: f.change(files={W: "0" * 64}), C, "sha256"),
    "a digest of a path outside": (lambda f: f.change(files={"../../evil": "0" * 64}), C, "evil"),
    "a domain that is a path": (lambda f: f.change(domain="../../evil"), GancoreError, "evil"),
    "a domain that is code": (lambda f: f.change(domain="os:system"), GancoreError, "os:system"),
    "a domain that is a number": (lambda f: f.change(domain=3), C, "domain"),
    "a domain with control sequences": (lambda f: f.change(domain="\x1b[2J\x07"), GancoreError, ""),
    "a recipe of the standard library": (lambda f: f.change(recipe="os:system"), P, "os"),
    "a recipe in the folder": (lambda f: f.change(recipe="evil_module:Recipe"), C, "recipe"),
    "a builder in the folder": (lambda f: f.change(recipe="evil_module:build"), C, "recipe"),
    "a game in the folder": (lambda f: f.change_section("model", game="evil_module:Game"), C, "model.game"),
    "a game of the standard library": (lambda f: f.change_section("model", game="os:system"), C, "os:system"),
    "a setting that no recipe has": (
        lambda f: f.change_section("model", __class__="evil"),
        C,
        "model.__class__",
    ),
    "a setting of another type": (lambda f: f.change_section("model", width={"a": []}), C, "model.width"),
    "a width that fills any memory": (lambda f: f.change_section("model", width=10**8), C, "memory"),
    "a spec of other types": (lambda f: f.change_section("spec", dimension="evil", shape="evil"), C, "spec"),
    "a plugin that is missing": (
        lambda f: f.change(domain="tides", plugins={"gancore-tides": "1.0"}),
        P,
        "gancore-tides",
    ),
    "a plugin named as a command": (
        lambda f: f.change(domain="tides", plugins={"x; touch evil": "1; touch evil"}),
        P,
        "touch",
    ),
}
"""A folder's fault, the error, and a word that names what is wrong."""


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("hostile") / "run"
    gancore.train(
        "synthetic", recipe="mlpgan", steps=1, out=out, overrides=["model.width=4"], progress="none"
    )
    return out / "model"


@pytest.fixture
def foreign(model: Path, tmp_path: Path, monkeypatch) -> Folder:
    """The folder is also the current one and on the path, as with ``python -m gancore``."""
    folder = Folder(shutil.copytree(model, tmp_path / "foreign"), tmp_path / "canary")
    folder.change(files={})
    (folder.path / "evil_module.py").write_text(EVIL.format(canary=str(folder.canary)))
    monkeypatch.chdir(folder.path)
    monkeypatch.syspath_prepend(str(folder.path))
    return folder


def listing(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if "__pycache__" not in path.parts
    }


def test_there_are_more_than_thirty():
    assert len(CASES) >= 50


def test_unspoiled_the_folder_loads(foreign):
    assert gancore.load(foreign.path).sample(1).data.isfinite().all()


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_folder_is_refused_in_one_line_and_nothing_runs(case, foreign, tmp_path, capsys):
    spoil, kind, named = CASES[case]
    spoil(foreign)
    before = listing(tmp_path)
    with refused(kind, *([named] if named else [])):
        gancore.load(foreign.path)
    assert main(["generate", str(foreign.path), "-n", "1", "--out", str(tmp_path / "samples")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1 and "Traceback" not in said
    assert said[:-1].isprintable()
    assert listing(tmp_path) == before  # no canary, no samples, nothing else


@pytest.mark.parametrize("case", ["a pickle as weights", "a game in the folder", "weights of NaN"])
def test_training_does_not_start_from_a_hostile_folder(case, foreign, tmp_path, capsys):
    CASES[case][0](foreign)
    words = ["--domain", "synthetic", "--recipe", "mlpgan", "--set", "model.width=4", "--steps", "1"]
    code = main(
        ["train", *words, "--init-from", str(foreign.path), "--out", str(tmp_path / "tuned"), "--quiet"]
    )
    assert not foreign.canary.exists()
    assert code == 2 or case == "a game in the folder"  # of which training reads the weights alone
