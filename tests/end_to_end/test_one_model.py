"""One configuration and seed gives one model: in threads, and whatever the caller of Python has set."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from tiny_runs import weights

import gancore
from gancore.errors import OutOfMemoryError, TrainingError

SMALL = ["data.train_examples=200", "data.validation_examples=50", "model.width=8", "model.batch_size=16"]
SMALL += ["validation.samples=16", "logging.preview_samples=2"]


def train(folder: Path, seed: int = 0, **options) -> bytes:
    arguments = {"recipe": "mlpgan", "steps": 6, "device": "cpu", "progress": "none", "overrides": SMALL}
    gancore.train("synthetic", seed=seed, out=folder, **{**arguments, **options})
    return weights(folder)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> list[bytes]:
    """The weights of three seeds, trained one after another."""
    folder = tmp_path_factory.mktemp("alone")
    return [train(folder / str(seed), seed) for seed in range(3)]


@pytest.mark.slow
def test_in_threads_of_one_process(undisturbed, tmp_path):
    threads = [threading.Thread(target=train, args=(tmp_path / str(seed), seed)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [weights(tmp_path / str(seed)) for seed in range(3)] == undisturbed


def test_under_any_setting_of_the_caller(undisturbed, tmp_path):
    torch.set_default_dtype(torch.float64)
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu"), torch.no_grad():
            assert train(tmp_path / "run") == undisturbed[0]
        samples = gancore.load(tmp_path / "run").sample(4).data
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_float32_matmul_precision("highest")
    assert samples.dtype == torch.float32
    assert torch.equal(samples, gancore.load(tmp_path / "run").sample(4).data)


@pytest.mark.slow
def test_what_a_training_sets_is_gone_after_it(undisturbed, tmp_path):
    assert train(tmp_path / "run", deterministic=True) == undisturbed[0]
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("width", [20_000_000, 99_999_999_999_999])
def test_a_model_that_no_memory_holds_is_said_in_one_line_and_leaves_no_run(width, tmp_path):
    with pytest.raises(OutOfMemoryError) as error:
        train(tmp_path / "run", overrides=[*SMALL, f"model.width={width}"])
    assert "model.batch_size" in error.value.fix and isinstance(error.value, TrainingError)
    assert not (tmp_path / "run").exists()
