"""Checkpoints come back bit-equal, or are refused with a reason and the one before is used."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused

from gancore.errors import CheckpointError
from gancore.files import encode_json, sha256
from gancore.training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint

FILES = ["game.safetensors", "optimizers.safetensors", "state.json", "manifest.json"]


def save(folder: Path, step: int, keep: int = 10, permanent=()) -> Path:
    tensors = {
        "game": {"w": torch.full((3, 2), float(step))},
        "optimizers": {"moment": torch.arange(4) + step},
    }
    return save_checkpoint(
        folder, step, tensors, {"step": step, "best": 0.5}, {"config_hash": "c0"}, keep, permanent
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    def raw(x: torch.Tensor) -> bytes:
        return x.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()

    return one.dtype == other.dtype and one.shape == other.shape and raw(one) == raw(other)


def test_every_kind_of_tensor_comes_back_bit_equal(tmp_path):
    base = torch.randn(6, 4)
    tensors = {
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
        "bool": torch.tensor([True, False]),
        "int64": torch.tensor([2**62, -1]),
        "bfloat16": torch.randn(5).bfloat16(),
        "half": torch.randn(5).half(),
        "float64": torch.randn(5, dtype=torch.float64),
        "uint8": torch.arange(256).to(torch.uint8),
        "nan": torch.tensor([float("nan"), float("inf"), -0.0]),
        "transposed": base.T,
        "strided": base[::2, 1:3],
        "expanded": torch.tensor([[1.0], [2.0]]).expand(2, 5),
        "shared": base,
        "tied": base,
        "part": base[1:2],
        "parameter": torch.nn.Parameter(torch.randn(3)),
    }
    path = save_checkpoint(tmp_path, 1, {"game": tensors, "none": {}}, {}, {}, keep=1)
    loaded = load_checkpoint(path)
    assert loaded.tensors["none"] == {}
    assert loaded.tensors["game"].keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert same_bits(loaded.tensors["game"][name], tensor.detach()), name


def test_loaded_tensors_share_no_memory(tmp_path):
    base = torch.zeros(3)
    path = save_checkpoint(tmp_path, 1, {"game": {"a": base, "b": base}}, {}, {}, keep=1)
    game = load_checkpoint(path).tensors["game"]
    game["a"].add_(1)
    assert game["b"].tolist() == [0, 0, 0]


def test_state_and_manifest_come_back(tmp_path):
    state = {"steps": 12, "loss": 0.1 + 0.2, "name": "é", "list": [1, None, True], "deep": {"x": {}}}
    about = {"config_hash": "abc", "seed": 3}
    path = save_checkpoint(tmp_path, 12, {}, state, about, keep=1)
    loaded = load_checkpoint(path)
    assert (loaded.step, loaded.state, loaded.path) == (12, state, path)
    assert loaded.manifest["metadata"] == about
    assert loaded.manifest["versions"]["torch"] == torch.__version__
    assert path.name == "step-000000012"


def test_what_cannot_be_stored_is_one_line_and_leaves_nothing(tmp_path):
    with refused(CheckpointError, "game", "torch.complex128"):
        save_checkpoint(tmp_path, 1, {"game": {"x": torch.zeros(2, dtype=torch.complex128)}}, {}, {}, keep=1)
    with refused(CheckpointError, "game", "sparse"):
        save_checkpoint(tmp_path, 1, {"game": {"x": torch.zeros(2).to_sparse()}}, {}, {}, keep=1)
    assert names(tmp_path) == []


def test_equal_state_gives_equal_bytes(tmp_path):
    one, other = save(tmp_path / "one", 5), save(tmp_path / "other", 5)
    assert names(one) == sorted(FILES)
    for name in FILES:
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_no_folder_or_an_empty_one_has_no_checkpoint(tmp_path):
    assert latest_checkpoint(tmp_path / "none") == (None, [])
    assert latest_checkpoint(tmp_path) == (None, [])


def test_the_newest_step_wins_whatever_the_times_of_the_files(tmp_path):
    for step in (100, 20, 3):
        save(tmp_path, step)
    assert latest_checkpoint(tmp_path)[0].step == 100


@pytest.mark.parametrize(("keep", "protect", "left"), [(2, (), [4, 5]), (1, (), [5]), (2, (1,), [1, 4, 5])])
def test_old_checkpoints_go_when_the_new_one_stands(keep, protect, left, tmp_path):
    for step in range(1, 6):
        save(tmp_path, step, keep, protect)
    assert names(tmp_path) == [f"step-{step:09d}" for step in left]


def test_a_torn_checkpoint_does_not_count_as_kept(tmp_path):
    save(tmp_path, 1)
    (save(tmp_path, 2) / "game.safetensors").write_bytes(b"")
    save(tmp_path, 3, keep=2)
    assert names(tmp_path) == ["step-000000001", "step-000000003"]


def test_a_later_checkpoint_that_was_refused_does_not_push_out_the_new_one(tmp_path):
    save(tmp_path, 1)
    (save(tmp_path, 9) / "state.json").unlink()
    save(tmp_path, 5, keep=1)
    assert latest_checkpoint(tmp_path)[0].step == 5
    assert names(tmp_path) == ["step-000000005", "step-000000009"]


def test_saving_the_same_step_again_changes_nothing(tmp_path):
    path = save(tmp_path, 4)
    before = {name: (path / name).stat().st_ino for name in FILES}
    save(tmp_path, 4)
    assert {name: (path / name).stat().st_ino for name in FILES} == before


def test_saving_a_damaged_step_again_mends_it(tmp_path):
    path = save(tmp_path, 4)
    (path / "game.safetensors").write_bytes(b"x")
    save(tmp_path, 4)
    assert latest_checkpoint(tmp_path)[1] == []
    assert names(tmp_path) == ["step-000000004"]


def test_leftovers_of_dead_processes_are_swept_and_those_of_living_ones_stay(tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    for pid in (dead.pid, os.getpid(), os.getppid()):
        for kind in ("tmp", "trash"):
            (tmp_path / f".{kind}-step-000000003-{pid}").mkdir()
            (tmp_path / f".{kind}-step-000000003-{pid}" / "game.safetensors").write_bytes(b"half")
    save(tmp_path, 4)
    assert names(tmp_path) == [f".{kind}-step-000000003-{os.getppid()}" for kind in ("tmp", "trash")] + [
        "step-000000004"
    ]


@pytest.fixture(scope="module")
def two_steps(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    save(folder, 1)
    save(folder, 2)
    return folder


def check_refused(folder: Path, path: Path, changed: bytes) -> str:
    """With ``changed`` in ``path`` (of step 2), step 1 is used; the reason why."""
    original = path.read_bytes()
    path.write_bytes(changed)
    try:
        found, refused = latest_checkpoint(folder)
    finally:
        path.write_bytes(original)
    assert found.step == 1 and found.tensors["game"]["w"].unique().tolist() == [1.0]
    assert len(refused) == 1 and "\n" not in refused[0]
    assert refused[0].startswith("step-000000002: ")
    return refused[0]


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=60, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), mask=st.integers(1, 255))
def test_a_changed_byte_anywhere_is_refused(name, place, mask, two_steps):
    path = two_steps / "step-000000002" / name
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= mask
    check_refused(two_steps, path, bytes(data))


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=20, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), more=st.binary(min_size=1, max_size=9))
def test_a_truncated_or_longer_file_is_refused(name, place, more, two_steps):
    path = two_steps / "step-000000002" / name
    data = path.read_bytes()
    check_refused(two_steps, path, data[: int(place * len(data))])
    check_refused(two_steps, path, data + more)


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_checkpoint_is_refused(name, two_steps):
    other = (two_steps / "step-000000001" / name).read_bytes()
    reason = check_refused(two_steps, two_steps / "step-000000002" / name, other)
    assert ("holds step 1" if name == "manifest.json" else name) in reason or "damaged" in reason


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused_by_name(name, tmp_path):
    save(tmp_path, 1)
    (save(tmp_path, 2) / name).unlink()
    found, refused = latest_checkpoint(tmp_path)
    assert (found.step, refused) == (1, [f"step-000000002: {name} is missing"])


def signed(content: dict) -> bytes:
    """A manifest whose own digest is right."""
    return encode_json({**content, "sha256": sha256(encode_json(content))})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "other"}, "not the manifest of a gancore checkpoint"),
        ({"version": 1}, "contract version 1, this gancore reads 2"),
        ({"version": 99}, "contract version 99, this gancore reads 2"),
        ({"step": "two"}, "not what a checkpoint has there"),
        ({"files": ["state.json"]}, "not what a checkpoint has there"),
        ({"files": {}}, "not what a checkpoint has there"),
        (
            {"files": {"state.json": {"bytes": 1, "sha256": ""}, "../x.safetensors": {}}},
            "not what a checkpoint has there",
        ),
    ],
)
def test_a_foreign_manifest_is_refused(change, reason, two_steps):
    path = two_steps / "step-000000002" / "manifest.json"
    content = json.loads(path.read_bytes())
    del content["sha256"]
    assert reason in check_refused(two_steps, path, signed({**content, **change}))


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"9" * 10_000, b'{"a": 1}']
)
def test_a_manifest_that_is_no_object_is_refused(text, two_steps):
    check_refused(two_steps, two_steps / "step-000000002" / "manifest.json", text)


def test_a_checkpoint_under_another_step_is_refused(tmp_path):
    shutil.copytree(save(tmp_path, 1), tmp_path / "step-000000007")
    found, refused = latest_checkpoint(tmp_path)
    assert (found.step, refused) == (1, ["step-000000007: holds step 1"])


def test_a_file_in_place_of_a_folder_is_refused(tmp_path):
    save(tmp_path, 1)
    (tmp_path / "step-000000007").write_text("x")
    assert latest_checkpoint(tmp_path)[0].step == 1


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_pickle_with_a_right_manifest_is_refused_and_not_run(two_steps, tmp_path):
    pickled = pickle.dumps(Trap(tmp_path / "ran"))
    manifest = two_steps / "step-000000002" / "manifest.json"
    content = json.loads(manifest.read_bytes())
    del content["sha256"]
    content["files"]["game.safetensors"] = {"bytes": len(pickled), "sha256": sha256(pickled)}
    weights = two_steps / "step-000000002" / "game.safetensors"
    original = weights.read_bytes()
    weights.write_bytes(pickled)
    try:
        assert "never unpickles" in check_refused(two_steps, manifest, signed(content))
    finally:
        weights.write_bytes(original)
    assert not (tmp_path / "ran").exists()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    with refused(CheckpointError, 1, tmp_path / "file", fix="--out"):
        save(tmp_path / "file" / "checkpoints", 1)
