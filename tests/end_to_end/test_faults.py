"""Full disks, damaged files, folders in use: one line, and what was good stays."""

from __future__ import annotations

import contextlib
import json
import pickle
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import torch
from tiny_runs import TINY, Child, checkpoints, digest, weights

from gancore.training.callbacks import Callbacks
from gancore.training.checkpoint import load_checkpoint

EVERY_STEP = ("--set", "checkpoint.seconds=0.000001", "--set", "checkpoint.keep=3")


def shrink(run: Path, keep: int) -> None:
    """As if the run had been killed after its checkpoint of step ``keep``."""
    for path in checkpoints(run):
        if int(path.name[5:]) > keep:
            shutil.rmtree(path)


@pytest.fixture
def early(train, tmp_path) -> Path:
    """A run of 8 steps with its checkpoints of steps 5, 6 and 7."""
    assert train("--out", "early", "--steps", 8, *EVERY_STEP, "--set", "checkpoint.keep=4").code == 0
    shrink(tmp_path / "early", 7)
    assert [path.name[-1] for path in checkpoints(tmp_path / "early")] == ["5", "6", "7"]
    return tmp_path / "early"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 20 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=20m", "none", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs to mount a file system; run as root outside a container")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


class TestAFullDisk:
    def test_is_one_line_and_the_last_good_checkpoint_stays(self, gancore, early, run, small_disk):
        shutil.copytree(early, small_disk / "run")
        before = digest(small_disk / "run" / "checkpoints")
        ballast = small_disk / "ballast"
        with pytest.raises(OSError, match="No space left"), ballast.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        error = gancore("train", "--resume", small_disk / "run").error
        assert "the disk is full" in error
        assert digest(small_disk / "run" / "checkpoints") == before
        ballast.unlink()
        assert gancore("train", "--resume", small_disk / "run").code == 0
        assert weights(small_disk / "run") == weights(run)

    @pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
    def test_while_training_says_which_checkpoint_stays(self, gancore, early, run, small_disk, monkeypatch):
        shutil.copytree(early, small_disk / "run")
        on_step_end = Callbacks.on_step_end

        def fill(self, state):
            with contextlib.suppress(OSError), (small_disk / "ballast").open("wb", buffering=0) as file:
                while file.write(bytes(4096)):
                    pass
            on_step_end(self, state)

        with monkeypatch.context() as patch:
            patch.setattr(Callbacks, "on_step_end", fill)
            error = gancore("train", "--resume", small_disk / "run").error
        assert "checkpoint of step 8 could not be written" in error
        assert "(step-000000007 stays)" in error
        (small_disk / "ballast").unlink()
        assert gancore("train", "--resume", small_disk / "run").code == 0
        assert weights(small_disk / "run") == weights(run)

    def test_at_generating_is_one_line(self, gancore, run, small_disk):
        (small_disk / "ballast").write_bytes(bytes(20 * 2**20 - 50_000))
        assert "No space left" in gancore("generate", run, "-n", 32, "--out", small_disk / "sounds").error


def test_a_limit_on_the_size_of_files_is_one_line(early, gancore, run, tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, resource.RLIM_INFINITY))

    before = digest(early / "checkpoints")
    error = Child(tmp_path, "train", "--resume", early, "--quiet", first=limit).wait().error
    assert "checkpoint of step 8" in error
    assert "(step-000000007 stays)" in error
    assert digest(early / "checkpoints") == before
    assert gancore("train", "--resume", early).code == 0
    assert weights(early) == weights(run)


class TestADamagedCheckpoint:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        "name", ["game.safetensors", "optimizers.safetensors", "state.json", "manifest.json"]
    )
    @pytest.mark.parametrize("damage", ["truncated", "flipped", "gone"])
    def test_is_passed_over_for_the_one_before(self, gancore, early, run, name, damage):
        path = checkpoints(early)[-1] / name
        data = path.read_bytes()
        if damage == "gone":
            path.unlink()
        elif damage == "truncated":
            path.write_bytes(data[: len(data) // 2])
        else:
            path.write_bytes(data[:100] + bytes([data[100] ^ 4]) + data[101:])
        answer = gancore("train", "--resume", early)
        assert answer.code == 0
        assert "checkpoint refused: step-000000007: " in answer.err
        assert "resumed from step 6" in answer.err
        assert weights(early) == weights(run)

    @pytest.mark.slow
    def test_where_all_are_is_one_line_until_force_starts_anew(self, gancore, early, run):
        for path in checkpoints(early):
            (path / "manifest.json").write_text("{}")
        error = gancore("train", "--resume", early).error
        assert "no checkpoint" in error
        assert "use --force to start" in error
        assert len(checkpoints(early)) == 3
        assert gancore("train", "--resume", early, "--force").code == 0
        assert weights(early) == weights(run)
        assert load_checkpoint(checkpoints(early)[-1]).step == 8

    def test_of_a_finished_run_makes_it_train_the_rest_again(self, gancore, run, train, tmp_path):
        train("--out", "run", "--steps", 8, *EVERY_STEP)
        (checkpoints(tmp_path / "run")[-1] / "state.json").unlink()
        assert gancore("train", "--resume", "run").code == 0
        assert weights(tmp_path / "run") == weights(run)


def test_a_run_in_use_is_left_alone(gancore, tmp_path):
    words = ("train", *TINY, "--out", "run", "--steps", 100_000, "--quiet", *EVERY_STEP)
    child = Child(tmp_path, *words)
    try:
        child.wait_for(lambda: (tmp_path / "run" / "model" / "config.json").exists())
        for resume in (("--resume", "run"), ("--out", "run", "--resume", "auto")):
            error = gancore("train", *TINY, "--steps", 100_000, *resume).error
            assert f"in use by process {child.pid}" in error
        assert "holds a run already" in gancore("train", *TINY, "--out", "run").error
        [entry] = json.loads(gancore("runs", tmp_path, "--json").out)
        assert entry["status"] == "running"
        assert gancore("generate", "run", "-n", 1).code == 0
    finally:
        child.kill(signal.SIGKILL)
        child.wait()
    [entry] = json.loads(gancore("runs", tmp_path, "--json").out)
    assert entry["status"] == "interrupted"


class Mischief:
    def __reduce__(self):
        return (Path.touch, (Path("it-was-executed"),))


class TestAModelFolder:
    @pytest.fixture
    def model(self, run, tmp_path) -> Path:
        shutil.copytree(run / "model", tmp_path / "model")
        return tmp_path / "model"

    @pytest.mark.parametrize("kind", ["pickle", "torch"])
    def test_with_a_pickle_for_its_weights_is_refused_and_nothing_runs(self, gancore, model, tmp_path, kind):
        path = model / "model.safetensors"
        if kind == "torch":
            torch.save({"w": torch.ones(3), "x": Mischief()}, path)
        else:
            path.write_bytes(pickle.dumps(Mischief()))
        assert "pickle" in gancore("generate", model).error
        assert "pickle" in gancore("train", *TINY, "--init-from", model, "--steps", 1).error
        assert not (tmp_path / "it-was-executed").exists()
        assert not (tmp_path / "samples").exists()

    def test_with_truncated_weights_is_refused(self, gancore, model):
        data = (model / "model.safetensors").read_bytes()
        (model / "model.safetensors").write_bytes(data[:-7])
        assert "model.safetensors" in gancore("generate", model).error

    def test_without_weights_is_refused(self, gancore, model):
        (model / "model.safetensors").unlink()
        assert "model.safetensors" in gancore("generate", model).error

    @pytest.mark.parametrize("text", ["", "{}", "[]", '{"domain": 3}'])
    def test_with_another_config_is_refused(self, gancore, model, text):
        (model / "config.json").write_text(text)
        assert "config.json" in gancore("generate", model).error

    @pytest.mark.parametrize(("key", "value"), [("domain", "nodomain"), ("recipe", "norecipe")])
    def test_of_a_plugin_that_is_not_here_is_refused(self, gancore, model, key, value):
        config = json.loads((model / "config.json").read_text())
        (model / "config.json").write_text(json.dumps({**config, key: value}))
        assert value in gancore("generate", model).error

    def test_whose_weights_are_of_another_recipe_is_refused(self, gancore, model):
        config = json.loads((model / "config.json").read_text())
        config["model"]["width"] = 3
        (model / "config.json").write_text(json.dumps(config))
        assert "the weights do not match the recipe" in gancore("generate", model).error


def test_a_run_without_a_model_yet_says_so(gancore, run, tmp_path):
    (tmp_path / "young").mkdir()
    shutil.copy(run / "run.json", tmp_path / "young")
    assert "has no model yet" in gancore("generate", "young").error
