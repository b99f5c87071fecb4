"""The count of how often intervals hold the truth goes on where it stopped, and judges by what it says."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch

from gancore.random import Key

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks/interval_coverage.py"))


def line(value: float, low: float, high: float, caveat: str = "") -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "doubt": caveat}


def test_the_truth_of_a_pair_is_the_mean_of_the_others():
    """3 is to hold (0 + 0 + 0) / 3 and does not; each 0 is to hold 1 and does."""
    found = SCRIPT["summarise_lines"]([line(0, -1, 1), line(0, -1, 1), line(0, -1, 1), line(3, 2, 4)])
    assert (found["pairs"], found["held"], found["trusted"], found["missed"]) == (4, 0.75, 1, 0.25)
    assert not found["passes"]


def test_what_is_not_trusted_need_not_hold():
    lines = [line(0, 5, 6, "heavy tail")] * 20
    assert SCRIPT["summarise_lines"](lines)["passes"] and SCRIPT["summarise_lines"](lines)["held"] == 0
    assert not SCRIPT["summarise_lines"]([line(0, 5, 6)] * 20)["passes"]
    assert SCRIPT["summarise_lines"]([line(0, 5, 6)] * 2 + [line(0, -1, 1)] * 18)["passes"]


def test_it_goes_on_where_it_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "coverage.jsonl"
    SCRIPT["run"](path, ["equal", "t3"], [(50, 50)], ["kid", "mmd_gaussian"], 2)
    whole = path.read_text().splitlines()
    assert len(whole) == 8
    path.write_text("\n".join(whole[:5]) + "\n")
    SCRIPT["run"](path, ["equal", "t3"], [(50, 50)], ["kid", "mmd_gaussian"], 2)
    values = [[(each["law"], each["measure"], each["pair"], each["value"]) for each in SCRIPT["read"](path)]]
    path.write_text("\n".join(whole) + "\n")
    values += [[(each["law"], each["measure"], each["pair"], each["value"]) for each in SCRIPT["read"](path)]]
    assert values[0] == values[1]
    SCRIPT["report"](path, None)
    assert "mmd_gaussian" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("law", "mean", "variance"), [("equal", 0, 1), ("shifted", 0.5, 1), ("narrowed", 0, 0.64), ("t3", 0, 3)]
)
def test_laws_are_what_they_are_called(law: str, mean: float, variance: float):
    """Of the samples' first coordinate; Student's t with three degrees has the variance 3."""
    fake, _ = SCRIPT["LAWS"][law](Key.of("law", law), 20_000, 2)
    middle = fake[:, 0].clamp(-4, 4) if law == "t3" else fake[:, 0]
    assert float(middle.mean()) == pytest.approx(mean, abs=0.04)
    if law != "t3":
        assert float(fake[:, 0].var()) == pytest.approx(variance, rel=0.05)
    else:  # half of the law lies within 0.765
        assert float((fake[:, 0].abs() < 0.7649).double().mean()) == pytest.approx(0.5, abs=0.02)


def test_modes_are_dropped_among_samples_alone():
    fake, real = SCRIPT["LAWS"]["dropped"](Key.of("modes"), 2000, 2000)
    counts = [torch.bincount(x.argmax(1), minlength=10) for x in (fake, real)]
    assert counts[0][7:].sum() < 20 and counts[1].min() > 130
