"""Symptoms are told from their share of the samples on; what is not finite is never written."""

from __future__ import annotations

import pytest
import torch
from refusals import refused

from gancore.diagnostics import DiagnosticRule, apply_rules, require_finite
from gancore.domain import Diagnostic
from gancore.errors import DataError

SYMPTOMS = {"blue": DiagnosticRule(0.1, "of a blue mood", "sing"), "late": DiagnosticRule(0.5, "late", "run")}


def showing(count: int, n: int) -> torch.Tensor:
    return torch.arange(n) < count


@pytest.mark.parametrize("count, result", [(0, []), (1, []), (2, ["blue"]), (20, ["blue"])])
def test_a_symptom_is_told_from_its_share_on(count, result):
    found = {"blue": showing(count, 20), "late": showing(0, 20)}
    assert [finding.name for finding in apply_rules(SYMPTOMS, found)] == result


def test_a_finding_counts_and_names_the_remedy():
    found = {"late": showing(3, 4), "blue": showing(1, 4)}
    assert apply_rules(SYMPTOMS, found) == [
        Diagnostic("late", "3 of 4 samples are late", "run"),
        Diagnostic("blue", "1 of 4 samples are of a blue mood", "sing"),
    ]


def test_finite_rows_are_plain_numbers():
    rows = require_finite(torch.ones(2, 3, dtype=torch.bfloat16, requires_grad=True))
    assert rows.dtype == torch.float32 and not rows.requires_grad and rows.shape == (2, 3)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_rows_that_are_not_finite_are_counted_and_the_first_is_named(value):
    data = torch.zeros(5, 2, 3)
    data[1, 0, 2] = data[3, 1, 1] = data[3, 0, 0] = value
    with refused(DataError, 2, 5, "finite", fix="fp32"):
        require_finite(data)
