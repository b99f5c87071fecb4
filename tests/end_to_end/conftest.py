"""gancore as its users meet it: the audio domain, very small, through the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiny_runs import TINY, Answer, Gancore


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory):
    """One cache for all tests, and none of the user's; one thread, as tests run side by side."""
    import torch

    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("GANCORE_CACHE", str(folder))
        patch.setenv("OMP_NUM_THREADS", "1")
        for name in ("GANCORE_PLUGINS", "GANCORE_DISABLE_PLUGINS", "GANCORE_TRACEBACK"):
            patch.delenv(name, raising=False)
        yield folder


@pytest.fixture
def gancore(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Gancore:
    """``gancore("runs", "--json")`` in this process and in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> Answer:
        from gancore.cli import main

        capfd.readouterr()
        code = main([str(word) for word in words])
        return Answer(code, *capfd.readouterr())

    return call


@pytest.fixture
def train(gancore: Gancore) -> Gancore:
    """``train("--out", folder, "--steps", 8)``: a tiny training."""
    return lambda *words: gancore("train", *TINY, *words)


@pytest.fixture
def after_step(monkeypatch):
    """``after_step(5, action)``: what happens, once, when step 5 is over, before its callbacks."""
    from gancore.training.callbacks import Callbacks

    on_step_end = Callbacks.on_step_end
    actions = {}

    def act(self, state):
        actions.pop(state.step, lambda: None)()
        on_step_end(self, state)

    monkeypatch.setattr(Callbacks, "on_step_end", act)
    return actions.__setitem__


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 8 steps that tests read and do not change."""
    from gancore.cli import main

    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert main(["train", *TINY, "--out", str(folder), "--steps", "8", "--quiet"]) == 0
    return folder


@pytest.fixture(scope="session")
def conditional_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that was trained on the labels."""
    from gancore.cli import main

    folder = tmp_path_factory.mktemp("runs") / "conditional"
    words = ["train", *TINY, "--out", str(folder), "--steps", "4", "--quiet"]
    assert main([*words, "--set", "model.conditional=true"]) == 0
    return folder
