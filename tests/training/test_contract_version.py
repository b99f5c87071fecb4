"""Runs and models of contract version 1 are refused in one line that names both versions.

``version_1_run.zip`` is the folder of a training of two steps by gancore 0.1 (recipe mlpgan, width 2).
"""

import zipfile
from pathlib import Path

import pytest
from refusals import refused

import gancore
from gancore import CheckpointError
from gancore.config_layers import resolve_config
from gancore.training.checkpoint import latest_checkpoint
from gancore.training.resume import existing_run, find_unfinished

LINE = "written with contract version 1, this gancore reads 2"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    with zipfile.ZipFile(Path(__file__).with_name("version_1_run.zip")) as archive:
        archive.extractall(tmp_path / "runs" / "old")
    return tmp_path / "runs" / "old"


def test_its_checkpoint_is_refused(run):
    found, reasons = latest_checkpoint(run / "checkpoints")
    assert (found, reasons) == (None, [f"step-000000002: {LINE}"])


@pytest.mark.parametrize(
    "read",
    [
        lambda run: gancore.load(run),
        lambda run: gancore.load(run / "model"),
        lambda run: gancore.load_game(run),
        lambda run: gancore.load_game(run, step=2),
        lambda run: existing_run(run),
        lambda run: gancore.train(resume=run, steps=4, progress="none"),
        lambda run: gancore.train("synthetic", recipe="mlpgan", init_from=run, steps=1, progress="none"),
    ],
)
def test_whatever_reads_it_names_both_versions(read, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with refused(CheckpointError, 1, 2) as caught:
        read(run)
    assert LINE in caught.value.message and "\n" not in str(caught.value)


def test_auto_does_not_find_it_and_goes_not_on_in_its_folder(run):
    config = resolve_config("synthetic", recipe="mlpgan")
    assert find_unfinished(config, None, run.parent) is None
    with refused(CheckpointError, 1, 2):
        find_unfinished(config, run, run.parent)
