"""The guide shows what `gancore plugins new` writes, and what the kit checks, word for word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gancore.scaffold import names_of, render
from gancore.testing import CHECKS

GUIDE = (Path(__file__).parents[2] / "docs" / "guide-plugin.md").read_text()
BLOCK = re.compile(r"^```\w+\n# gancore-tides/([\w./-]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILES = render(names_of("tides"))


def test_every_file_of_the_project_is_shown_as_it_is_written():
    assert dict(BLOCK.findall(GUIDE)) == {path: text for path, text in FILES.items() if path != "README.md"}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_every_check_stands_there_with_its_sentence(check):
    assert f"\n| `{check.name}` | {check.holds} |\n" in GUIDE


def test_no_check_stands_there_that_is_not_made():
    result = re.findall(r"^\| `(\w+)` \| ", GUIDE, re.MULTILINE)
    assert result == [check.name for check in CHECKS]
