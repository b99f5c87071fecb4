"""Comparisons in an empty cache; one thread, as tests run side by side."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from needs import lack

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache for all tests, and none of the user's."""
    import torch

    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("GANCORE_CACHE", str(folder))
        patch.setenv("OMP_NUM_THREADS", "1")
        for name in ("GANCORE_PLUGINS", "GANCORE_DISABLE_PLUGINS", "GANCORE_TRACEBACK"):
            patch.delenv(name, raising=False)
        yield folder


@pytest.fixture(scope="session")
def browser():
    """A real Chromium, headless."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        lack("a browser", "apt-get install chromium, or put another Chromium on the path")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()
