"""Comparisons in an empty cache; one thread, as tests run side by side."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

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
    """A real Chromium, headless. Where there is none, tests are skipped, but never in CI."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        if os.environ.get("CI"):
            pytest.fail(f"no browser: none of {', '.join(BROWSERS)} is on the path; .ci/run installs one")
        pytest.skip("no Chromium is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()
