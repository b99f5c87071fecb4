"""The guide shows what `gancore plugins new` writes, and what the kit checks, word for word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gancore.scaffold import names_of, render
from gancore.testing import CHECKS

DOCS = Path(__file__).parents[2] / "docs"
GUIDES = ("guide-plugin.md", "guide-recipe.md", "guide-publish.md")
GUIDE = "\n".join((DOCS / name).read_text() for name in GUIDES)
TABLES = (DOCS / "plugin-checks.md").read_text()
BLOCK = re.compile(r"^```\w+\n# gancore-tides/([\w./-]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILES = render(names_of("tides"))


def test_every_file_of_the_project_is_shown_as_it_is_written():
    shown = {path: text for path, text in FILES.items() if path.endswith((".py", ".toml"))}
    assert dict(BLOCK.findall(GUIDE)) == shown


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_every_check_stands_there_with_its_sentence(check):
    assert f"\n| `{check.name}` | {check.holds} |\n" in TABLES


def test_no_check_stands_there_that_is_not_made():
    listed = re.findall(r"^\| `(\w+)` \| ", TABLES, re.MULTILINE)
    assert listed == [check.name for check in CHECKS]
