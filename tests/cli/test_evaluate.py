"""``gancore evaluate``: what it hands over, and what it prints."""

from __future__ import annotations

import inspect
import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest

import gancore
from gancore.api import evaluate as verb
from gancore.cli import main
from gancore.evaluation.report import build_table
from gancore.evaluation.result import EvaluationResult, MetricResult
from gancore.progress import silent

ABOUT = {
    "n": 2000,
    "n_real": 300,
    "seed": 7,
    "split": "test",
    "source": "buoys",
    "note": "",
    "features": {"name": "harmonics", "hash": "ab" * 32},
    "classifier": {
        "name": "harbours",
        "hash": "cd" * 32,
        "accuracy": {"value": 0.975, "low": 0.951, "high": 0.989, "n": 300},
    },
    "anchors": {"n": 350, "real": "350 of valid", "noise": "permuted", "collapse": "5% of them"},
}
COMMON = {"higher_is_better": False, "n": 2000, "n_real": 300}
READINGS = (
    MetricResult(
        "kid", 0.01234567, 0.01, 0.015, "U", "kernel", anchors={"real": 0.001, "noise": 0.5}, **COMMON
    ),
    MetricResult(
        "recall", 0.5, unit="share", higher_is_better=True, trust="no: noise not distinguished from real"
    ),
    MetricResult("modes", 8.0, unit="", higher_is_better=None, trust="yes, blind to collapse by definition"),
    MetricResult("odd", math.nan, math.inf, math.inf, "none", "", **COMMON),
    MetricResult("nll", None, skipped="the model has no likelihood", trust="not taken"),
)


@pytest.fixture
def api(monkeypatch):
    """Stands for gancore.api and remembers what it was asked."""
    api = SimpleNamespace(requests={}, evaluation=EvaluationResult("runs/a", READINGS, ABOUT))

    def evaluate(model, **arguments):
        api.requests = {"model": model, **arguments}
        arguments.get("announce", lambda line: None)("making samples")
        return api.evaluation

    api.evaluate = evaluate
    monkeypatch.setattr(gancore, "api", api, raising=False)
    return api


def test_every_option_arrives(api):
    words = (
        "evaluate runs/a --data buoys --metrics kid,recall --feature-extractor harmonics -n 50 --split valid "
        "--seed 7 --device cpu --data-root d --out o.jsonl --update-card --quiet"
    )
    assert main([*words.split()]) == 0
    assert api.requests == {
        "model": "runs/a",
        "data": "buoys",
        "metrics": ["kid", "recall"],
        "feature_extractor": "harmonics",
        "n": 50,
        "split": "valid",
        "seed": 7,
        "device": "cpu",
        "data_root": Path("d"),
        "out": Path("o.jsonl"),
        "update_card": True,
        "announce": silent,
    }


def test_unless_told_otherwise_it_asks_what_the_function_does(api):
    assert main(["evaluate", "runs/a", "--quiet"]) == 0
    defaults = {name: p.default for name, p in inspect.signature(verb).parameters.items()}
    del defaults["temperature"]  # an argument of Python; the command has --temperatures
    assert api.requests == {**defaults, "model": "runs/a"}


def test_the_table_has_a_row_for_what_was_taken_and_a_line_for_what_it_rests_on(api, capsys):
    assert main(["evaluate", "runs/a"]) == 0
    output = capsys.readouterr()
    assert output.err == "making samples\n"
    lines = [line.split() for line in output.out.splitlines()]
    assert lines[0][0] == "runs/a:"
    rows = {line[0]: line[1:] for line in lines if line}
    assert rows["metric"] == [
        "value",
        "95",
        "%",
        "interval",
        "real",
        "noise",
        "collapse",
        "best",
        "unit",
        "trust",
    ]
    assert rows["kid"] == ["0.01235", "0.01", "to", "0.015", "0.001", "0.5", "low", "kernel", "yes"]
    assert rows["recall"] == ["0.5", "high", "share", "no:", "noise", "not", "distinguished", "from", "real"]
    assert rows["modes"] == ["8", "yes,", "blind", "to", "collapse"]
    assert rows["odd"][:4] == ["nan", "inf", "to", "inf"]
    assert "nll" not in rows
    text = " ".join(output.out.split())
    for said in (
        "n: 2,000 samples (seed 7), 300 rows of test of buoys; intervals are over samples, not over",
        "controls: 350 rows each; 350 of valid; noise: permuted; collapse: 5% of them",
        "features: harmonics (abababababab)",
        "classifier: harbours (cdcdcdcdcdcd), right on 97.5 % of 300 rows of test (95.1 to 98.9)",
        "left out: nll: the model has no likelihood",
        "blind: by its definition, the metric does not distinguish that control from real rows",
    ):
        assert said in text


def test_where_nothing_could_be_taken_there_is_no_table(api, capsys):
    api.evaluation = EvaluationResult(
        "runs/a", READINGS[-1:], {**ABOUT, "features": None, "classifier": None}
    )
    assert main(["evaluate", "runs/a", "--quiet"]) == 0
    output = capsys.readouterr().out
    assert "metric" not in output.split("\n")[0]
    assert "left out: nll" in output and "features:" not in output


def test_as_json_it_prints_what_it_would_write(api, capsys, tmp_path):
    assert main(["evaluate", "runs/a", "--json", "--quiet"]) == 0
    output = capsys.readouterr().out
    api.evaluation.write(tmp_path / "there.jsonl")
    assert output == (tmp_path / "there.jsonl").read_text()
    assert [json.loads(line) for line in output.splitlines()][1]["metric"] == "kid"


@pytest.mark.parametrize(
    "words",
    [["evaluate"], ["evaluate", "a", "-n", "0"], ["evaluate", "a", "--seed", "-1"], ["evaluate", "a", "b"]],
)
def test_what_is_no_question_is_one_line(capsys, words):
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")


def test_a_run_that_is_not_there_is_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "runs/a"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: no run, model folder or named model 'runs/a'")


def test_at_eighty_columns_every_trust_and_unit_can_be_read():
    from rich.console import Console

    long = MetricResult(
        "classifier_frechet", 12345.67, 11111.11, 13333.33, "U", "squared distance", trust=READINGS[1].trust
    )
    console = Console(width=80, highlight=False)
    with console.capture() as caught:
        console.print(build_table(EvaluationResult("runs/a", (*READINGS, long), ABOUT), 80))
    lines = caught.get().splitlines()
    assert max(map(len, lines)) <= 80 and "\u2026" not in caught.get()
    words = " ".join(caught.get().split())
    for word in ("unit", "trust", "kernel", "share", "distance", "noise", "1.235e+04", "real"):
        assert word in words
