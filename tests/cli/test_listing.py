"""`gancore runs` and `gancore models` on folders as training leaves them, and on ruins."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused

from gancore.cli import main
from gancore.errors import ConfigError, GancoreError, PluginError
from gancore.failure import report_failure
from gancore.run_folder import RunFolder, RunStatus
from gancore.summaries import last_losses, list_models, list_runs
from gancore.text import escape_control


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = RunFolder.create(tmp_path / "runs", "first")
    run.write_status(RunStatus("done", "toy", "lite", "fsdd", step=90, total=100, seconds=300.0))
    run.metrics_file.write_text(
        '{"step": 80, "generator/loss": 2.0}\n'
        '{"step": 90, "generator/loss": 0.71234567, "discriminator/loss": 1, "other/loss": null}\n'
        '{"step": 90, "valid/distance": 3.5}\n'
        '{"step": 91, "generator/lo'
    )
    run.model.mkdir()
    content = {"format": "gancore-model", "version": 2, "domain": "toy", "recipe": "lite"}
    (run.model / "config.json").write_text(json.dumps(content))
    ruin = RunFolder.create(tmp_path / "runs", "ruin")
    ruin.status_file.write_text("{")
    (tmp_path / "runs" / "no run").mkdir()
    return tmp_path / "runs"


def test_runs_are_listed_with_their_last_whole_log_line(folder, capsys):
    assert main(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["run", "domain", "recipe", "step", "state", "time", "last", "losses"]
    row = next(line for line in lines if line.startswith("first"))
    assert row.split() == [
        *["first", "toy", "lite", "90/100", "done", "5", "min"],
        *["generator/loss=0.7123", "discriminator/loss=1"],
    ]
    assert next(line for line in lines if line.startswith("ruin")).split()[2] == "damaged"
    assert len(lines) == 3


def test_runs_as_json(folder, capsys):
    assert main(["runs", str(folder), "--json"]) == 0
    first = next(run for run in json.loads(capsys.readouterr().out) if run["name"] == "first")
    assert (first["source"], first["total"], first["path"]) == ("fsdd", 100, str(folder / "first"))
    assert first["losses"] == {"generator/loss": 0.71234567, "discriminator/loss": 1}


def test_a_run_folder_itself_is_listed_alone(folder):
    [run] = list_runs(folder / "first")
    assert (run.name, run.path) == ("first", folder / "first")


def test_a_run_that_was_killed_is_interrupted(folder):
    RunFolder(folder / "first").write_status(RunStatus("running"))
    assert {run.name: run.status for run in list_runs(folder)}["first"] == "interrupted"


def test_no_runs_yet(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["runs"]) == 0
    assert capsys.readouterr().out == "no runs in runs; `gancore train` makes one\n"
    (tmp_path / "file").write_text("")
    with refused(ConfigError, "file", "directory", fix="runs"):
        list_runs("file")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"{", b"[1]\n" * 3, b"\xff\n", b"[" * 9000])
def test_metrics_that_say_nothing_have_no_losses(tmp_path, content):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(content)
    assert last_losses(path) == {}
    assert last_losses(tmp_path / "missing") == {}


def test_models_are_those_of_runs_and_of_plugins(folder, capsys):
    found = {model.id: model for model in list_models()}
    assert found["runs/first"].step == 90
    assert found["toy/one"].licence == "CC0"
    with refused(PluginError, "other", fix="installed"):
        list_models("other")
    assert main(["models", "--domain", "toy"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["id", "runs/first", "toy/one", "`gancore"]
    assert lines[1].split()[1:3] == ["lite", "fsdd"]
    assert main(["models", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2


@pytest.mark.parametrize("content", ["{", "[]", '{"domain": 3, "recipe": "lite"}', "{}"])
def test_a_damaged_model_is_not_listed(folder, content):
    (folder / "first" / "model" / "config.json").write_text(content)
    assert [model.id for model in list_models()] == ["toy/one"]


HOSTILE = "\x1b]0;PWNED\x07\x1b[31m\x9b2J\r\u202e"


@given(st.text() | st.text(st.characters(categories=["Cc"])))
def test_printed_text_holds_no_control_but_lines_and_tabs(text):
    assert all(
        letter.isprintable() or letter in "\t\n" or ord(letter) > 0x9F for letter in escape_control(text)
    )
    assert json.loads(escape_control(json.dumps(text, ensure_ascii=False))) == text


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_text_of_a_foreign_run_does_not_command_the_terminal(folder, capsys, options):
    status = folder / "first" / "run.json"
    status.write_text(json.dumps(json.loads(status.read_text()) | {"recipe": HOSTILE, "domain": HOSTILE}))
    assert main(["runs", *options]) == 0
    shown = capsys.readouterr().out
    assert "PWNED" in shown and not set(HOSTILE) & {"\x1b", "\x07", "\x9b", "\r", "\u202e"} & set(shown)


def test_a_foreign_name_in_an_error_does_not_command_the_terminal(capsys):
    report_failure(GancoreError(HOSTILE, HOSTILE))
    shown = capsys.readouterr().err
    assert "PWNED" in shown and not {"\x1b", "\x07", "\x9b", "\u202e"} & set(shown)


def test_recipes_are_listed_with_what_they_provide_and_their_keys(capsys):
    assert main(["recipes", "--domain", "toy", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(each["name"], each["default"]) for each in found] == [("lite", True), ("plain", False)]
    keys = {key["key"]: key for key in found[0]["keys"]}
    assert keys["model.width"] == {
        "key": "model.width",
        "default": 16,
        "allowed": "an integer >= 1 and <= 4096",
        "about": "channels of the first layer",
    }
    assert keys["model.penalty"]["default"] == {"gamma": 1.0, "every": 16}


def test_a_named_recipe_is_shown_with_its_keys(capsys):
    assert main(["recipes", "lite"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:2] == ["model.width", "16"] for line in lines)
    assert main(["recipes"]) == 0
    assert "plain" in capsys.readouterr().out


def test_a_recipe_that_is_none_names_the_nearest(capsys):
    assert main(["recipes", "lait"]) == 2
    assert "'lite'" in capsys.readouterr().err


def test_the_state_of_a_run_says_what_is_wrong_with_its_model(tmp_path, capsys):
    run = RunFolder.create(tmp_path, "white")
    run.write_status(RunStatus("done", "toy", "lite", verdict="collapsed: all alike"))
    assert main(["runs", str(tmp_path)]) == 0
    assert "done (collapsed)" in capsys.readouterr().out
    assert main(["runs", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["verdict"] == "collapsed: all alike"
