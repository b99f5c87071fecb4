"""Distributions made on the spot: a folder with modules and a ``dist-info``, put on ``sys.path``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

from gancore.plugins import PluginRegistry

TIDES = """
    from gancore import hookimpl, DomainEntry

    @hookimpl
    def gancore_domains():
        return [DomainEntry("tides", "tides_domain:Tides", "water levels")]
    """

TIDES_DOMAIN = """
    from gancore import Domain, RecipeEntry

    class Tides(Domain):
        name = "tides"
        recipes = {
            "moon": RecipeEntry("moon", "tides_recipes:Moon", "the default"),
            "sun": RecipeEntry("sun", "tides_recipes:Sun", "another"),
        }
    """

TIDES_RECIPES = """
    from gancore import Recipe

    class Moon(Recipe):
        pass

    class Sun(Recipe):
        pass
    """


@dataclass
class Site:
    """A folder of installed distributions that only its own registry sees."""

    folder: Path

    def install(
        self,
        distribution: str,
        modules: Mapping[str, str],
        entry_points: str | None = None,
        version: str = "1.2",
        author: str = "",
        requires: str = "",
    ) -> None:
        """Write the modules and the metadata; by default the first module is a plugin of its own name."""
        name = next(iter(modules), "")
        for module, source in modules.items():
            (self.folder / f"{module}.py").write_text(dedent(source))
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        about = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        about += f"Author: {author}\n" if author else ""
        (info / "METADATA").write_text(about + (f"Requires-Dist: {requires}\n" if requires else ""))
        if entry_points is None:
            entry_points = f"[gancore]\n{name} = {name}\n"
        (info / "entry_points.txt").write_text(entry_points)
        importlib.invalidate_caches()

    def install_tides(self) -> None:
        """A plugin without fault."""
        modules = {"tides": TIDES, "tides_domain": TIDES_DOMAIN, "tides_recipes": TIDES_RECIPES}
        self.install("gancore-tides", modules)

    def plugins(self, strict: bool = False) -> PluginRegistry:
        """A registry of what is installed here and nowhere else."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "path", [str(self.folder)])
            return PluginRegistry(strict=strict)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.delenv("GANCORE_PLUGINS", raising=False)
    monkeypatch.delenv("GANCORE_DISABLE_PLUGINS", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Site(tmp_path)
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]
