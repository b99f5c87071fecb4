"""The toy plugin in place of whatever is installed."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from toy_plugin import registry

import gancore.evaluation.runner  # all who know the registry by name, before another stands in its place
import gancore.plugins


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    found = registry()
    monkeypatch.setattr(gancore.plugins, "plugins", lambda: found)
    return found
