"""The domain holds to gancore's contract: each check of the kit is a test."""

import pytest

from gancore.testing import DomainConformance


@pytest.mark.slow
class TestGraph(DomainConformance):
    domain = "graph"
