"""The measure keeps gancore's contract, and has the values that it should have."""

import pytest
import torch
from vendi_score import vendi_score

from gancore.testing import PluginConformance


class TestContract(PluginConformance):
    plugin = "vendi"


def test_it_counts_groups_of_equal_rows():
    """k distant groups of equal size: k eigenvalues of 1/k, so exp(log k)."""
    rows = 1000.0 * torch.arange(5.0)[:, None].repeat(8, 3)
    assert vendi_score(rows, 1.0) == pytest.approx(5)
    assert vendi_score(torch.zeros(40, 3), 1.0) == pytest.approx(1)
