"""Trained models of the domain of dots, and a cache of their own."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import dots

import gancore
from gancore.plugins import plugins

Train = Callable[..., Path]


@pytest.fixture
def of_dots() -> Iterator[None]:
    """The domain of dots, and a plugin of measures for it, are registered."""
    registry = plugins()
    before = list(registry._found)
    registry.register(dots.OfDots(), "dots")
    registry.register(dots.OfOthers(), "others")
    yield
    registry._found[:] = before


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What tests share: trained runs, and a cache with a trained judge."""
    return tmp_path_factory.mktemp("shelf")


@pytest.fixture
def cache(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shared cache folder; and nothing has been counted yet."""
    monkeypatch.setenv("GANCORE_CACHE", str(shelf / "cache"))
    dots.CALLS.clear()
    return shelf / "cache"


@pytest.fixture
def empty_cache(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing was ever evaluated, or judged."""
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def train(of_dots: None, cache: Path, shelf: Path, tmp_path: Path) -> Train:
    """A run of its own of a model of dots: settings of its section, and of the data by ``data_...``."""

    def train(name: str = "run", recipe: str = "copyist", data: str | None = None, **changes: object) -> Path:
        kept = shelf / "-".join([recipe, data or "trio", *map(str, sorted(changes.items()))]).replace(
            "/", "_"
        )
        if not kept.exists():
            keys = [key.replace("data_", "data.", 1) if "data_" in key else f"model.{key}" for key in changes]
            overrides = [f"{key}={v}".lower() for key, v in zip(keys, changes.values(), strict=True)]
            settings = {"recipe": recipe, "data": data, "steps": 1, "device": "cpu", "overrides": overrides}
            gancore.train("dots", **settings, out=kept, progress="none")
        shutil.copytree(kept, tmp_path / name)
        dots.CALLS.clear()
        return tmp_path / name

    return train
