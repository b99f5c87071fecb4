"""Plugins made from the scaffold on the spot: installed in a folder of their own, changed where wanted."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gancore.plugins import registry
from gancore.scaffold import names_of, render
from gancore.testing import Kit, Result
from gancore.testing.checks import CHECKS

NAME = "tides"


@dataclass(frozen=True)
class Change:
    """One thing done otherwise: ``new`` for ``old`` in a file of the package."""

    file: str
    old: str
    new: str


@dataclass
class Site:
    """A folder of installed packages that stands on the path."""

    folder: Path

    def install(self, *changes: Change) -> None:
        """The scaffold's plugin, changed."""
        names = names_of(NAME)
        files = {path: text for path, text in render(names).items() if path.startswith(f"{names.package}/")}
        for change in changes:
            path = f"{names.package}/{change.file}"
            assert change.old in files[path], f"{path} has no {change.old!r}"
            files[path] = files[path].replace(change.old, change.new, 1)
        info = f"gancore_{NAME}-0.1.0.dist-info"
        files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: gancore-{NAME}\nVersion: 0.1.0\n"
        files[f"{info}/entry_points.txt"] = f"[gancore]\n{NAME} = {names.package}\n"
        for path, text in files.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_text(text)
        importlib.invalidate_caches()
        registry.plugins.cache_clear()

    def check(self, *changes: Change, recipe: str | None = None) -> list[Result]:
        """What the kit says of the plugin so changed."""
        self.install(*changes)
        return list(Kit.of(NAME).run(recipe))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Nothing but what is installed in it is a plugin."""
    monkeypatch.setenv("GANCORE_PLUGINS", NAME)
    monkeypatch.delenv("GANCORE_DISABLE_PLUGINS", raising=False)
    monkeypatch.delenv("GANCORE_TRACEBACK", raising=False)
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield Site(folder)
    for name in [name for name in sys.modules if name.partition(".")[0] == f"gancore_{NAME}"]:
        del sys.modules[name]
    registry.plugins.cache_clear()


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the check that starts processes: those take seconds to import torch."""
    quick = tuple(check for check in CHECKS if check.name != "trains_on_two_processes")
    monkeypatch.setattr("gancore.testing.kit.CHECKS", quick)
