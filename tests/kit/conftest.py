"""Plugins made from the scaffold on the spot."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from kit_site import NAME, Site, forget

from gancore.testing.kit import CHECKS


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Nothing but what is installed in it is a plugin."""
    monkeypatch.setenv("GANCORE_PLUGINS", NAME)
    monkeypatch.delenv("GANCORE_DISABLE_PLUGINS", raising=False)
    monkeypatch.delenv("GANCORE_TRACEBACK", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # files may change twice within a second
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield Site(folder)
    forget()


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the check that starts processes: those take seconds to import torch."""
    quick = tuple(check for check in CHECKS if check.name != "trains_on_two_processes")
    monkeypatch.setattr("gancore.testing.kit.CHECKS", quick)
