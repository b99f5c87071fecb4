"""``gancore lab``: what it lists, what it runs, what it returns."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from gancore_lab import EXPERIMENTS, Check, Experiment, ExperimentResult
from matplotlib.figure import Figure

from gancore import ExperimentEntry, hookimpl
from gancore.cli import main
from gancore.plugins import plugins


def coin(predicted: float) -> Experiment:
    """Of another plugin: takes no time."""
    return Experiment(
        question="Does a coin that always falls on heads do so?",
        prediction="always",
        source="its maker",
        settings={"throws": 10},
        quick_settings={"throws": 2},
        run=lambda settings, seed: ExperimentResult(
            [Check("share of heads", 1.0, "=", predicted, 0.01)],
            notes=[f"{settings['throws']} throws, {seed}"],
        ),
        plot=lambda outcome: Figure(),
        seconds=(0.1, 90.0),
    )


def broken(settings, seed):
    raise RuntimeError("the coin was lost")


class Coins:
    @hookimpl
    def gancore_experiments(self):
        return [
            ExperimentEntry("heads", "coin_lab:HEADS", "a coin"),
            ExperimentEntry("tails", "coin_lab:TAILS", "a coin and a wrong prediction"),
            ExperimentEntry("lost", "coin_lab:LOST", "a coin that is lost"),
            ExperimentEntry("missing", "coin_lab:NOWHERE", "a coin that is not there"),
            ExperimentEntry("number", "coin_lab:NUMBER", "no coin"),
        ]


@pytest.fixture
def coins(monkeypatch):
    lost = Experiment("?", "?", "?", {}, broken, lambda outcome: Figure())
    module = SimpleNamespace(HEADS=coin(1.0), TAILS=coin(0.0), LOST=lost, NUMBER=3)
    monkeypatch.setitem(sys.modules, "coin_lab", module)
    plugins.cache_clear()
    plugins().register(Coins(), "coins")
    yield
    plugins.cache_clear()


def test_it_lists_experiments_with_their_question_and_time(coins, capsys):
    assert main(["lab"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["experiment", "quick", "full", "question"]
    named = {line.split()[0]: line for line in lines[1:]}
    assert named.keys() >= EXPERIMENTS.keys()
    assert named["heads"].split("  ")[-1] == "Does a coin that always falls on heads do so?"
    assert "90 s" in named["heads"]
    assert "cannot be loaded" in named["missing"] and "coin_lab:NOWHERE" in named["missing"]


def test_the_list_as_json(coins, capsys):
    assert main(["lab", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["heads"]["quick_seconds"] == 0.1 and rows["dirac"]["question"].endswith("?")
    assert "Experiment" in rows["number"]["error"]


def test_one_experiment_shows_its_numbers_and_files(coins, tmp_path, capsys):
    assert main(["lab", "heads", "--out", str(tmp_path), "--seed", "7"]) == 0
    shown = capsys.readouterr().out
    assert "heads: reproduced: 1 of 1 predictions hold" in shown
    assert "share of heads  1          1" in shown and "10 throws, 7" in shown
    assert (tmp_path / "heads/result.json").is_file() and (tmp_path / "heads/picture.png").is_file()


def test_a_prediction_that_fails_is_shown_and_returns_1(coins, tmp_path, capsys):
    assert main(["lab", "tails", "--quick", "--out", str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert "NOT reproduced: 0 of 1 predictions hold; not: share of heads: 1 (predicted 0)" in shown
    assert "MISSED" in shown and "2 throws" in shown


def test_several_are_summed_up_and_none_stops_the_others(coins, tmp_path, capsys):
    assert main(["lab", "lost", "number", "heads", "heads", "--out", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "lost: failed: RuntimeError: the coin was lost"
    assert lines[1].startswith(
        "number: failed: PluginError: the experiment 'number' is 'coin_lab:NUMBER', a int"
    )
    assert lines[2].startswith("heads: reproduced")
    assert lines[-1] == "1 of 3 reproduced"


def test_after_the_time_no_further_experiment_starts(coins, tmp_path, capsys):
    words = ["lab", "heads", "tails", "--time", "0.000001s", "--out", str(tmp_path)]
    assert main(words) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("heads: reproduced")
    assert lines[1] == "tails: not run: --time 0.000001s is used up"
    assert lines[-1] == "1 of 2 reproduced"


def test_steps_are_a_setting(capsys):
    assert main(["lab", "bilinear", "--steps", "3e1", "--print-config"]) == 0
    assert "\n  steps: 30\n" in capsys.readouterr().out


def test_results_as_json(coins, tmp_path, capsys):
    assert main(["lab", "heads", "tails", "--json", "--out", str(tmp_path)]) == 1
    heads, tails = json.loads(capsys.readouterr().out)
    assert heads["reproduced"] is True and tails["reproduced"] is False
    assert json.loads(Path(heads["result"]).read_text())["name"] == "heads"


def test_alone_its_error_is_that_of_the_command(coins, tmp_path, capsys):
    assert main(["lab", "number", "--out", str(tmp_path)]) == 2
    assert "gancore_lab.Experiment" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lab", "dirak"], "there is no experiment 'dirak'; did you mean 'dirac'?"),
        (["lab", "dirac", "zzz"], "known: all, bilinear, dirac"),
        (["lab", "dirac", "--seed", "-1"], "--seed"),
        (["lab", "dirac", "--time", "soon"], "--time 'soon': not a number"),
        (["lab", "dirac", "--steps", "1.5"], "--steps '1.5': an integer is expected"),
        (["lab", "dirac", "--steps", "5"], "steps"),
    ],
)
def test_a_mistake_is_one_line_and_returns_2(words, message, capsys):
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_named(coins, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["lab", "heads", "--out", str(tmp_path / "file")]) == 2
    assert "file" in capsys.readouterr().err
