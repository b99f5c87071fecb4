"""The scaffold's plugin, installed in a folder that stands on the path, and changed where wanted."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path

from gancore.plugins import registry
from gancore.scaffold import names_of, render
from gancore.testing import CheckResult, ConformanceKit

NAME = "tides"


def forget() -> None:
    """What was imported of the plugin, and the registry that knows it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == f"gancore_{NAME}"]:
        del sys.modules[name]
    importlib.invalidate_caches()
    registry.plugins.cache_clear()


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
        forget()

    def check(self, *changes: Change, recipe: str | None = None) -> list[CheckResult]:
        """What the kit says of the plugin so changed."""
        self.install(*changes)
        return list(ConformanceKit.for_name(NAME).run(recipe))
