"""The tables of docs/reference are those of the registries."""

from __future__ import annotations

import sys

import pytest
from forks import Fork, import_all
from places import ROOT


@pytest.mark.slow
def test_the_reference_is_current(tmp_path):
    import_all()

    def check() -> int:
        sys.path.insert(0, str(ROOT / "tools/site"))
        from reference import main

        return main(["--check"])

    checked = Fork(tmp_path, check)
    assert checked.join(300) == 0, checked.log.read_text()
