"""Comparisons in an empty cache; one thread, as tests run side by side."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from chromium import browser  # noqa: F401


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
