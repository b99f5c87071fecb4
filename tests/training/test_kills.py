"""A kill or a full disk at any file operation leaves the old content or the new, whole, and no litter."""

from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from refusals import refused

from gancore.data.dataset import Spec
from gancore.errors import CheckpointError, PluginError
from gancore.files import atomic_write, write_files_atomic
from gancore.models.folder import read_model_folder, write_model_folder
from gancore.training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint

OPERATIONS = ("open", "write", "fsync", "mkdir", "rename", "replace", "unlink", "rmdir")
NEEDS_ROOM = ("open", "write", "fsync", "mkdir", "rename", "replace")


@contextmanager
def fault_at(number: int, fault: Callable[[str, tuple], None], names=OPERATIONS) -> Iterator[list[str]]:
    """From file operation ``number`` on, call ``fault`` before each; yields the names of those made."""
    made: list[str] = []
    originals = {name: getattr(os, name) for name in names}

    def watched(name: str) -> Callable:
        def operation(*arguments, **options):
            reading = name == "open" and not arguments[1] & os.O_CREAT
            if not reading:
                made.append(name)
                if len(made) > number:
                    fault(name, arguments)
            return originals[name](*arguments, **options)

        return operation

    for name in names:
        setattr(os, name, watched(name))
    try:
        yield made
    finally:
        for name, original in originals.items():
            setattr(os, name, original)


def kill(name: str, arguments: tuple) -> None:
    if name == "write":
        handle, data = arguments
        os.pwrite(handle, bytes(data)[: len(data) // 2], 0)
    os.kill(os.getpid(), signal.SIGKILL)


def was_killed(action: Callable[[], object], number: int) -> bool:
    """Do it in a fork that dies before its file operation ``number``; False: it made fewer."""
    child = os.fork()
    if child == 0:
        try:
            with fault_at(number, kill):
                action()
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


class Text:
    """A file written by atomic_write."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "run.json"

    def write(self, value: int) -> None:
        atomic_write(self.path, str(value) * 100)

    def read(self) -> int:
        text = self.path.read_text()
        assert len(text) == 100
        return int(text[0])


class Checkpoints:
    """Checkpoints of which one is kept."""

    def __init__(self, folder: Path) -> None:
        self.path = folder

    def write(self, value: int) -> None:
        weights = {"a": torch.full((50,), float(value)), "b": torch.tensor(value)}
        save_checkpoint(self.path, value, {"game": weights}, {"step": value}, {}, keep=1)

    def read(self) -> int:
        found, refused = latest_checkpoint(self.path)
        assert found is not None and refused == []
        assert found.tensors["game"]["a"].tolist() == [float(found.step)] * 50
        assert all(load_checkpoint(path) for path in self.path.glob("step-*")), "older ones are whole too"
        return found.step


class SameStep(Checkpoints):
    """A checkpoint of the same step, with other content: replaced in one act."""

    def write(self, value: int) -> None:
        save_checkpoint(self.path, 7, {"game": {"a": torch.full((50,), value)}}, {}, {}, keep=1)

    def read(self) -> int:
        found, refused = latest_checkpoint(self.path)
        assert found is not None and refused == []
        values = found.tensors["game"]["a"].unique()
        assert len(values) == 1
        return int(values)


class Model:
    """A model folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "model"

    def write(self, value: int) -> None:
        config = {"domain": "rings", "recipe": "gan", "model": {"width": value}, "plugins": {}}
        spec = Spec({}, {"mean": torch.full((3,), value)})
        write_model_folder(self.path, {"a": torch.full((50,), value)}, config, spec, "card")

    def read(self) -> int:
        model = read_model_folder(self.path)
        values = {*model.tensors["a"].tolist(), *model.spec["mean"].tolist(), model.config["model"]["width"]}
        assert len(values) == 1
        return values.pop()


WRITERS = pytest.mark.parametrize("writer", [Text, Checkpoints, SameStep, Model])


@WRITERS
def test_a_kill_at_any_file_operation_leaves_old_or_new_whole(writer, tmp_path):
    number, seen = 0, []
    while True:
        folder = tmp_path / str(number)
        folder.mkdir()
        thing = writer(folder)
        thing.write(1)
        killed = was_killed(lambda thing=thing: thing.write(2), number)
        seen.append(thing.read())
        thing.write(3)
        assert thing.read() == 3
        if not isinstance(thing, Text):  # a run folder is swept when it is locked
            assert [path for path in folder.iterdir() if path.name.startswith(".")] == []
        if not killed:
            break
        number += 1
    assert number >= 4
    assert seen == sorted(seen) and seen[0] == 1 and seen[-1] == 2


@WRITERS
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("lasting", [True, False])
def test_a_full_or_broken_disk_at_any_operation_is_one_line(writer, code, lasting, tmp_path):
    number, failures = 0, 0
    while True:
        folder = tmp_path / str(number)
        folder.mkdir()
        thing = writer(folder)
        thing.write(1)
        failed = 0

        def fail(name: str, arguments: tuple) -> None:
            nonlocal failed
            failed += 1
            if lasting or failed == 1:
                raise OSError(code, os.strerror(code))

        with fault_at(number, fail, NEEDS_ROOM):
            try:
                thing.write(2)
            except CheckpointError as error:
                failures += 1
                assert "\n" not in str(error) and str(folder) in str(error) and error.fix
        assert thing.read() in (1, 2)
        assert [path for path in folder.iterdir() if path.name.startswith(".tmp")] == []
        if not failed:
            break
        number += 1
    assert failures >= 4


def test_a_file_size_limit_keeps_the_last_checkpoint(tmp_path):
    save_checkpoint(tmp_path, 1, {"game": {"a": torch.zeros(10)}}, {}, {}, keep=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with refused(CheckpointError, 2, "step-000000001", fix="ulimit"):
            save_checkpoint(tmp_path, 2, {"game": {"a": torch.zeros(100_000)}}, {}, {}, keep=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001"]


@WRITERS
def test_every_file_and_its_folder_are_synced_before_the_name_is_given(writer, tmp_path):
    thing = writer(tmp_path)
    thing.write(1)
    with fault_at(10**9, lambda *_: None) as made:
        thing.write(2)
    names = [name for name in made if name in ("write", "fsync", "rename", "replace")]
    last_write = len(names) - 1 - names[::-1].index("write")
    files = names.count("write")
    assert names[last_write + 1] == "fsync"
    # Each file once, the folder aside (where there is one), and the folder around it at the end.
    assert names.count("fsync") == files + (1 if writer is Text else 2)


def test_a_model_folder_is_replaced_where_names_cannot_be_exchanged(tmp_path, monkeypatch):
    monkeypatch.setattr("gancore.files._exchange_names", lambda *_: False)
    model = Model(tmp_path)
    model.write(1)
    model.write(2)
    assert model.read() == 2
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def samples_into(folder, result=lambda path: path):
    def write(aside):
        (aside / "deep").mkdir()
        (aside / "deep" / "1.txt").write_text("one")
        return [result(aside / "deep" / "1.txt")]

    return write_files_atomic(folder, write, "the domain 'toy'")


@pytest.mark.parametrize(
    "result", [Path, str, Path.resolve, os.path.relpath], ids=["path", "text", "resolved", "relative"]
)
def test_a_writer_may_name_its_files_in_any_way(result, tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    for folder in (Path("out"), Path("link/out"), tmp_path / "link" / "absolute"):
        assert samples_into(folder, result) == [folder / "deep" / "1.txt"]
        assert [path.read_text() for path in folder.rglob("*.txt")] == ["one"]


@pytest.mark.parametrize(
    "result",
    [lambda path: "/tmp/1.txt", lambda path: path.name, lambda path: 1],
    ids=["elsewhere", "name", "number"],
)
def test_a_writer_that_names_other_files_is_named(result, tmp_path):
    with refused(PluginError, "toy", fix="write"):
        samples_into(tmp_path, result)
    assert list(tmp_path.iterdir()) == []


def test_only_what_was_left_of_samples_is_swept_from_somebodys_folder(tmp_path):
    dead = 2**22 + 1
    for name in (f".tmp-files-{dead}", f".trash-files-{dead}"):
        (tmp_path / name).mkdir()
    theirs = tmp_path / f".tmp-thesis-{dead}"
    theirs.write_text("theirs")
    samples_into(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [theirs.name, "deep"]
