"""`gancore runs` and `gancore models` on folders as training leaves them, and on ruins."""

import json

import pytest
from refusals import refused

from gancore.cli import main
from gancore.errors import ConfigError
from gancore.listing import last_losses, models, runs
from gancore.training.run import RunFolder, RunStatus


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
    content = {"format": "gancore-model", "version": 1, "domain": "toy", "recipe": "lite"}
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
    [run] = runs(folder / "first")
    assert (run.name, run.path) == ("first", folder / "first")


def test_a_run_that_was_killed_is_interrupted(folder):
    RunFolder(folder / "first").write_status(RunStatus("running"))
    assert {run.name: run.status for run in runs(folder)}["first"] == "interrupted"


def test_no_runs_yet(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["runs"]) == 0
    assert capsys.readouterr().out == "no runs in runs; `gancore train` makes one\n"
    (tmp_path / "file").write_text("")
    with refused(ConfigError, "file", "directory", fix="runs"):
        runs("file")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"{", b"[1]\n" * 3, b"\xff\n", b"[" * 9000])
def test_metrics_that_say_nothing_have_no_losses(tmp_path, content):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(content)
    assert last_losses(path) == {}
    assert last_losses(tmp_path / "missing") == {}


def test_models_are_those_of_runs_and_of_plugins(folder, capsys):
    found = {model.name: model for model in models()}
    assert found["runs/first"].step == 90
    assert found["toy/one"].licence == "CC0"
    assert models("other") == []
    assert main(["models", "--domain", "toy"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["model", "runs/first", "toy/one"]
    assert "trained on data 'fsdd'" in lines[1]
    assert main(["models", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2


@pytest.mark.parametrize("content", ["{", "[]", '{"domain": 3, "recipe": "lite"}', "{}"])
def test_a_damaged_model_is_not_listed(folder, content):
    (folder / "first" / "model" / "config.json").write_text(content)
    assert [model.name for model in models()] == ["toy/one"]
