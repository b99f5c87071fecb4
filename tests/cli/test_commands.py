"""What each command hands to the API, and what it prints."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

import gancore
from gancore.cli import main


@pytest.fixture
def api(monkeypatch):
    """Stands for gancore.api and remembers what it was asked."""
    requests: dict[str, dict] = {}

    def train(domain=None, **arguments):
        requests["train"] = {"domain": domain, **arguments}
        return SimpleNamespace(
            folder=Path("runs/a"),
            model=Path("runs/a/model"),
            step=7,
            status=api.status,
            seconds=61.0,
            stop_signal=api.stop_signal,
            rank=api.rank,
            is_generator=True,
            spent={},
            verdict="",
            usual_steps=api.usual_steps,
        )

    def generate(model, **arguments):
        requests["generate"] = {"model": model, **arguments}
        return [Path("samples/0.txt"), Path("samples/1.txt")]

    api = SimpleNamespace(
        train=train,
        generate=generate,
        requests=requests,
        status="done",
        stop_signal="",
        rank=0,
        usual_steps=0,
    )
    monkeypatch.setattr(gancore, "api", api, raising=False)
    return api


def given(api) -> dict:
    nothing = (None, False, [])
    return {name: value for name, value in api.requests["train"].items() if value not in nothing}


def test_train_hands_over_what_was_said_and_nothing_else(api, capsys):
    assert main(["train", "--domain", "toy"]) == 0
    assert given(api) == {"domain": "toy", "progress": "live"}
    assert capsys.readouterr().out.splitlines() == [
        "7 steps in 61 s; model: runs/a/model",
        "next: gancore generate runs/a -n 16 --out samples",
    ]


def test_a_short_run_is_followed_by_the_command_that_continues_it(api, capsys):
    api.usual_steps = 20000
    assert main(["train", "--domain", "toy"]) == 0
    (note,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert note.endswith("gancore train --resume runs/a --steps 20000")


def test_every_option_of_train_arrives(api):
    words = (
        "train --domain toy --recipe lite --data d --data-root r --out o --steps 1 --samples 2 --time 3.5 "
        "--seed 0 --device cpu --devices 2 --precision bf16 --deterministic --resume auto --init-from i "
        "--force --config c.yaml --set a.b=1 --set c.d=2 --strict-plugins --quiet"
    )
    assert main(words.split()) == 0
    assert api.requests["train"] == {
        "domain": "toy",
        "recipe": "lite",
        "data": "d",
        "data_root": Path("r"),
        "out": Path("o"),
        "steps": "1",
        "samples": "2",
        "time": "3.5",
        "seed": 0,
        "device": "cpu",
        "devices": 2,
        "precision": "bf16",
        "deterministic": True,
        "resume": "auto",
        "init_from": Path("i"),
        "force": True,
        "config": Path("c.yaml"),
        "overrides": ["a.b=1", "c.d=2"],
        "strict_plugins": True,
        "progress": "none",
    }


@pytest.mark.parametrize(("signal", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_stopped_run_says_how_to_go_on(api, capsys, signal, code):
    api.status, api.stop_signal = "stopped", signal
    assert main(["train", "--domain", "toy"]) == code
    assert (
        capsys.readouterr().out == "stopped at step 7, saved; continue with: gancore train --resume runs/a\n"
    )


def test_of_several_processes_the_first_alone_speaks(api, capsys):
    api.rank = 1
    assert main(["train", "--domain", "toy"]) == 0
    assert main(["train", "--domain", "toy", "--json"]) == 0
    assert capsys.readouterr().out == ""


def test_the_last_line_of_train_as_json_is_the_result(api, capsys):
    assert main(["train", "--resume", "runs/a", "--json"]) == 0
    assert api.requests["train"]["progress"] == "json"
    assert api.requests["train"]["domain"] is None  # the run knows its own
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert document == {
        "folder": "runs/a",
        "model": "runs/a/model",
        "step": 7,
        "status": "done",
        "seconds": 61.0,
        "spent": {},
        "verdict": "",
    }


def test_quiet_prints_nothing(api, capsys):
    assert main(["train", "--domain", "toy", "--quiet"]) == 0
    assert main(["generate", "runs/a", "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_print_config_prints_yaml_that_is_a_config_and_trains_nothing(api, capsys, tmp_path):
    words = ["train", "--domain", "toy", "--set", "model.width=3", "--seed", "5", "--print-config"]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert yaml.safe_load(text)["model"]["width"] == 3
    assert "# channels of the first layer" in text
    assert api.requests == {}
    path = tmp_path / "again.yaml"
    path.write_text(text)
    assert main(["train", "--config", str(path), "--print-config"]) == 0
    assert capsys.readouterr().out == text


def test_print_config_of_a_resumed_run_starts_from_the_run(capsys, tmp_path):
    (tmp_path / "config.yaml").write_text("domain: toy\nmodel: {width: 9}\n")
    assert main(["train", "--resume", str(tmp_path), "--print-config"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["model"]["width"] == 9


def test_generate_hands_over_and_prints_the_files(api, capsys):
    words = "generate runs/a -n 2 --out o --seed 3 --label x --each-label --interpolate 4 --truncation 0.5"
    words += " --temperature 0.7 --infill a___b --format f --format g"
    assert main([*words.split(), "--batch-size", "5", "--device", "cpu"]) == 0
    api.requests["generate"].pop("announce")
    assert api.requests["generate"] == {
        "model": "runs/a",
        "n": 2,
        "out": Path("o"),
        "seed": 3,
        "label": "x",
        "each_label": True,
        "interpolate": 4,
        "truncation": 0.5,
        "temperature": 0.7,
        "infill": "a___b",
        "formats": ["f", "g"],
        "batch_size": 5,
        "device": "cpu",
        "overwrite": False,
    }
    assert capsys.readouterr().out == "samples/0.txt\nsamples/1.txt\n"
    assert main(["generate", "toy/one", "--json"]) == 0
    assert api.requests["generate"]["model"] == "toy/one"
    assert json.loads(capsys.readouterr().out) == {"files": ["samples/0.txt", "samples/1.txt"]}


def test_plugins_lists_what_each_registers(capsys):
    assert main(["plugins"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["plugin", "version", "distribution", "state", "registers"]
    assert row.split(maxsplit=2) == ["toy", "ok", "1 domains, 1 models, 1 commands"]
    assert main(["plugins", "--verbose"]) == 0
    assert "domains: toy; models: toy/one; commands: toys" in capsys.readouterr().out
    assert main(["plugins", "--json"]) == 0
    [plugin] = json.loads(capsys.readouterr().out)
    assert plugin["registers"]["gancore_domains"] == ["toy"]


def test_strict_plugins_stops_at_a_fault(toys, capsys):
    toys.register(SimpleNamespace(gancore_domains=lambda: []), "unmarked")
    assert "has gancore_domains without a mark" in capsys.readouterr().err
    assert main(["plugins"]) == 0
    row = capsys.readouterr().out.splitlines()[2]
    assert row.split()[:2] == ["unmarked", "broken"]


def test_commands_of_plugins_join_those_of_gancore(capsys):
    assert main(["--help"]) == 0
    assert "play with toys" in capsys.readouterr().out
    assert main(["toys", "--times", "3"]) == 0
    assert capsys.readouterr().out == "wound 3 times\n"
    assert main(["toys", "--tmes", "3"]) == 2
    assert "No such option: --tmes" in capsys.readouterr().err


def test_info_tells_versions_device_and_folders(capsys, monkeypatch):
    monkeypatch.setenv("GANCORE_DATA", "/somewhere")
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["gancore"] == gancore.__version__
    assert facts["data root"] == "/somewhere (GANCORE_DATA)"
    assert facts["precision"].split()[0] in ("bf16", "fp32")
    assert facts["threads"] >= 1
    assert facts["visible GPUs"] == 0 or facts["torch build"].startswith("CUDA")
    assert facts["variables"]["GANCORE_DATA"] == "/somewhere"
    assert main(["info"]) == 0
    assert "torch " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "word", "offered"),
    [
        ("gancore train --domain ", 3, ["toy"]),
        ("gancore train --domain toy --recipe ", 5, ["lite", "plain"]),
        ("gancore train --domain toy --recipe p", 5, ["plain"]),
        ("gancore train --domain nothing --recipe ", 5, []),
        ("gancore tr", 1, ["train"]),
    ],
)
def test_a_shell_completes(line, word, offered, capsys, monkeypatch):
    monkeypatch.setenv("_GANCORE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(word))
    with pytest.raises(SystemExit) as left:
        main([])
    assert left.value.code in (0, None)
    assert capsys.readouterr().out.split() == offered
