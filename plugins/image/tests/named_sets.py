"""Where the tests find the named data sets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def root_of(name: str) -> Path:
    """The data root that holds ``name``; without it the test is skipped, in CI it fails."""
    here = Path(__file__).resolve().parents[4] / "shared" / "data"
    root = Path(os.environ.get("GANCORE_DATA", here))
    if not (root / name).is_dir():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no {name} under {root}; set GANCORE_DATA")
    return root
