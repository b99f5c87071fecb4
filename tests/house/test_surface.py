"""Plugins import the public surface alone: those shipped, the tutorial's, and those that `new` writes."""

from __future__ import annotations

import re
from importlib import import_module
from string import Template

import pytest
from places import CORE, PACKAGES, ROOT, shown, sources

from gancore.plugins.surface import SURFACE, imports_outside_surface, surface_warning

EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))
TEMPLATES = sorted((CORE / "scaffold/project").rglob("*.py.template"))
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def outside(source: str) -> list[str]:
    return [name for _, name in imports_outside_surface(source)]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_shipped_plugins_import_the_surface(package):
    broken = [
        f"{shown(path)}:{line} {name}"
        for path in sources(package)
        for line, name in imports_outside_surface(path.read_text())
    ]
    assert broken == []


def test_the_tutorial_the_examples_and_the_scaffold_import_the_surface():
    guides = [path.read_text() for path in sorted(ROOT.glob("docs/guide-*.md"))]
    tutorial = BLOCK.findall("\n".join(guides))
    assert len(tutorial) > 5 and EXAMPLES and TEMPLATES
    texts = {f"block {number} of the guide": text for number, text in enumerate(tutorial)}
    texts |= {shown(path): path.read_text() for path in EXAMPLES}
    texts |= {
        shown(path): Template(path.read_text()).safe_substitute(
            title="T", name="t", package="p", class_name="C"
        )
        for path in TEMPLATES
    }
    assert {name: outside(text) for name, text in texts.items() if outside(text)} == {}


@pytest.mark.parametrize("module", SURFACE)
def test_public_names_exist(module):
    home = import_module(module)
    assert [name for name in home.__all__ if not hasattr(home, name)] == []
    assert len(set(home.__all__)) == len(home.__all__)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from gancore.data.inventory import list_files", ["gancore.data.inventory.list_files"]),
        ("def f():\n    import gancore.files", ["gancore.files"]),
        ("from gancore.games import AdversarialGame, no_such_name", ["gancore.games.no_such_name"]),
        ("from gancore import games, files", ["gancore.files"]),
        ("from gancore.nn import flows\nfrom gancore.nn.flows import Flow", []),
        ("from gancore.nn.flows import _private", ["gancore.nn.flows._private"]),
        ("import gancore\nimport gancoreless\nfrom . import gancore", []),
    ],
)
def test_imports_outside_the_surface_are_found(source, expected):
    assert outside(source) == expected


def test_the_guide_lists_the_surface():
    guide = (ROOT / "docs/guide-plugin.md").read_text()
    table = guide.partition("## What is public")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(gancore[\w.]*)`", table, re.MULTILINE) == list(SURFACE)


def test_a_plugin_outside_the_surface_is_named_in_one_line(tmp_path, monkeypatch):
    source = "import gancore\nfrom gancore.files import sha256\nimport gancore.trees\n"
    (tmp_path / "gancore_deep.py").write_text(source)
    (tmp_path / "gancore_fine.py").write_text("from gancore import hookimpl\n")
    monkeypatch.syspath_prepend(tmp_path)
    line = surface_warning("gancore_deep")
    assert "gancore.files.sha256 (gancore_deep.py:2) and 1 more" in line and "\n" not in line
    assert surface_warning("gancore_fine") == surface_warning("gancore_of_nobody") == ""
