"""What a test needs and not every machine has: a browser, data, a GPU, root.

A reason to skip reads ``needs WHAT; HOW TO GET IT``; the last line of a test run gathers them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest
import torch

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU; run on a machine that has one")
"""For a test that CI, too, goes without."""


def lack(what: str, fix: str) -> NoReturn:
    """Skip the test that needs ``what``; in CI, fail it."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(f"needs {what}; {fix}")


def data_root(pattern: str) -> Path:
    """The folder of named data sets, where it holds paths that match ``pattern``, such as ``fsdd``."""
    root = Path(os.environ.get("GANCORE_DATA") or SHARED)
    if not any(root.glob(pattern)):
        lack(f"the data set {pattern.partition('/')[0]}", "set GANCORE_DATA to the folder that holds it")
    return root


def data_files(pattern: str) -> list[Path]:
    """The files of named data sets that match, sorted."""
    return sorted(data_root(pattern).glob(pattern))
