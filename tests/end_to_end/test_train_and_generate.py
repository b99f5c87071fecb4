"""From nothing to a run, a model and sounds."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from refusals import refused
from tiny_runs import SETTINGS, digest, weights

import gancore
from gancore import api
from gancore.api import load
from gancore.run_folder import read_metrics


def wavs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.wav"))}


class TestARunFolder:
    def test_holds_everything_that_was_promised(self, run):
        expected = {"config.yaml", "metrics.jsonl", "events", "samples", "checkpoints", "model"}
        assert {path.name for path in run.iterdir()} == expected | {"run.json", "run.lock", "data.json"}
        assert {path.name for path in (run / "model").iterdir()} == {
            "model.safetensors",
            "config.json",
            "README.md",
        }
        assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-000000008"]

    def test_says_what_it_saw_of_the_data_and_which_recordings_each_split_holds(self, run):
        seen = json.loads((run / "data.json").read_text())
        splits = [set(seen["splits"][split]) for split in ("train", "valid", "test")]
        assert min(map(len, splits)) > 10
        assert not splits[0] & splits[1] and not splits[0] & splits[2] and not splits[1] & splits[2]
        assert any(line.startswith("rate: ") for line in seen["contract"])

    def test_has_a_log_line_and_a_measured_line_for_every_such_step(self, run):
        lines = read_metrics(run / "metrics.jsonl")
        assert [line["step"] for line in lines if "generator/loss" in line] == list(range(1, 9))
        assert [line["step"] for line in lines if "valid/mel_distance" in line] == [4, 8]
        assert lines[-2]["samples"] == 64

    def test_has_previews_of_the_same_latents_as_sounds_and_pictures(self, run):
        first, last = run / "samples" / "step-000000004", run / "samples" / "step-000000008"
        names = {"0001.wav", "0001.png", "0002.wav", "0002.png", "overview.png"}
        assert {path.name for path in first.iterdir()} == names
        assert digest(first).keys() == digest(last).keys()
        assert digest(first) != digest(last)

    def test_says_in_run_json_what_it_is(self, run):
        status = json.loads((run / "run.json").read_text())
        assert (status["status"], status["step"], status["total"]) == ("done", 8, 8)
        assert (status["domain"], status["recipe"]) == ("audio", "specgan")
        assert status["source"] == "percussion"  # which nobody named
        assert status["started"] < status["updated"]
        assert 0 < status["seconds"] < 60

    def test_has_the_resolved_configuration(self, run):
        config = yaml.safe_load((run / "config.yaml").read_text())
        assert config["model"]["width"] == 2
        assert config["model"]["loss"] == "relativistic"  # nobody gave it
        assert config["train"]["steps"] == 8

    def test_has_a_card_with_budget_data_and_licence(self, run):
        card = (run / "model" / "README.md").read_text()
        assert "8 steps, 64 samples" in card
        assert "CC0-1.0" in card

    def test_the_same_command_gives_the_same_weights_and_another_seed_others(self, train, run, tmp_path):
        train("--out", tmp_path / "again", "--steps", 8)
        train("--out", tmp_path / "other", "--steps", 8, "--seed", 1)
        assert weights(tmp_path / "again") == weights(run)
        assert weights(tmp_path / "other") != weights(run)

    def test_stands_in_runs_where_none_is_named(self, train, tmp_path):
        assert train("--steps", 2).code == 0
        assert train("--steps", 2).code == 0
        names = sorted(path.name for path in (tmp_path / "runs").iterdir())
        assert len(names) == 2
        assert all(name.startswith("audio-specgan-20") for name in names)


class TestGenerate:
    def test_writes_sounds_and_pictures(self, gancore, run, tmp_path):
        answer = gancore("generate", run, "-n", 3, "--out", "sounds")
        written = sorted(path.name for path in (tmp_path / "sounds").iterdir())
        assert written == sorted(
            [f"000{i}.{kind}" for i in (1, 2, 3) for kind in ("wav", "png")] + ["overview.png"]
        )
        assert answer.out.splitlines()[0] == "sounds/0001.wav"
        with wave.open(str(tmp_path / "sounds" / "0001.wav")) as sound:
            assert (sound.getframerate(), sound.getnframes(), sound.getnchannels()) == (8000, 1024, 1)
        with Image.open(tmp_path / "sounds" / "0001.png") as picture:
            assert min(picture.size) > 50

    @pytest.mark.slow
    def test_same_seed_same_bytes_whatever_the_number_and_the_batch_size(self, gancore, run, tmp_path):
        gancore("generate", run, "-n", 20, "--out", "whole", "--seed", 3)
        whole = wavs(tmp_path / "whole")
        for n, size in [(1, 64), (5, 1), (5, 3), (16, 64), (20, 1)]:
            out = tmp_path / f"{n}-{size}"
            gancore("generate", run, "-n", n, "--out", out, "--seed", 3, "--batch-size", size)
            assert wavs(out) == dict(list(whole.items())[:n])

    @pytest.mark.slow
    def test_a_number_of_samples_is_its_own_at_every_size_and_across_blocks(self, run):
        """The bytes of floats, not only those of rounded sound."""
        model = load(run)
        whole = model.sample(300, seed=5).data
        for n in (1, 2, 3, 15, 17, 31, 255, 257):
            assert torch.equal(model.sample(n, seed=5, batch_size=n).data, whole[:n])

    def test_another_seed_gives_other_sounds(self, gancore, run, tmp_path):
        for seed in (0, 1):
            gancore("generate", run, "-n", 2, "--out", f"{seed}", "--seed", seed)
        one, other = wavs(tmp_path / "0"), wavs(tmp_path / "1")
        assert len(set(one.values()) | set(other.values())) == 4

    def test_takes_the_model_folder_alone_as_well(self, gancore, run, tmp_path):
        gancore("generate", run, "-n", 2, "--out", "run")
        gancore("generate", run / "model", "-n", 2, "--out", "model")
        assert digest(tmp_path / "run") == digest(tmp_path / "model")

    def test_interpolates_between_two_latents(self, gancore, run, tmp_path):
        gancore("generate", run, "-n", 1, "--out", "way", "--interpolate", 20)
        way = list(wavs(tmp_path / "way").values())
        assert len(set(way)) > 15

    def test_a_way_between_latents_goes_in_small_steps(self, run):
        way = load(run).interpolate(1, 30, seed=1).data[:, 0]
        spectra = torch.stft(way, 256, window=torch.hann_window(256), return_complex=True).abs()
        steps = (spectra[1:] - spectra[:-1]).norm(dim=(1, 2))
        assert steps.max() < 0.5 * (spectra[-1] - spectra[0]).norm()

    def test_gives_its_files_as_json(self, gancore, run):
        answer = gancore("generate", run, "-n", 1, "--json")
        assert json.loads(answer.out)["files"] == [
            "samples/0001.wav",
            "samples/0001.png",
            "samples/overview.png",
        ]

    def test_draws_one_class_from_a_model_that_knows_classes(self, gancore, conditional_run, tmp_path):
        answer = gancore("generate", conditional_run, "-n", 3, "--label", "snare", "--out", "snares")
        assert answer.code == 0
        assert sorted(wavs(tmp_path / "snares")) == [f"000{i}-snare.wav" for i in (1, 2, 3)]

    def test_labels_change_the_sound_of_a_latent(self, gancore, conditional_run, tmp_path):
        for label in ("snare", "clap"):
            gancore("generate", conditional_run, "-n", 1, "--label", label, "--out", label)
        assert wavs(tmp_path / "snare")["0001-snare.wav"] != wavs(tmp_path / "clap")["0001-clap.wav"]

    def test_a_class_is_the_same_whatever_the_number(self, gancore, conditional_run, tmp_path):
        gancore("generate", conditional_run, "-n", 20, "--out", "many")
        gancore("generate", conditional_run, "-n", 3, "--out", "few", "--batch-size", 1)
        assert wavs(tmp_path / "few").items() <= wavs(tmp_path / "many").items()
        assert len({name.split("-")[1] for name in wavs(tmp_path / "many")}) > 3  # labels of all kinds

    def test_refuses_a_label_that_the_model_does_not_know(self, gancore, conditional_run):
        assert "snare" in gancore("generate", conditional_run, "--label", "snaer").error

    @pytest.mark.parametrize("label", ["99", "-1"])
    def test_refuses_a_label_out_of_range(self, gancore, conditional_run, label):
        assert label in gancore("generate", conditional_run, f"--label={label}").error

    def test_refuses_a_label_where_the_model_has_none(self, gancore, run, tmp_path):
        assert "without labels" in gancore("generate", run, "--label", "snare", "--out", "x").error
        assert not (tmp_path / "x").exists()


class TestListing:
    def test_runs_shows_how_far_each_is(self, gancore, run):
        answer = gancore("runs", run.parent)
        assert answer.code == 0
        assert "8/8" in answer.out
        assert "done" in answer.out
        [entry] = [r for r in json.loads(gancore("runs", run.parent, "--json").out) if r["name"] == "whole"]
        assert entry["step"] == entry["total"] == 8
        assert entry["losses"].keys() >= {"generator/loss", "discriminator/loss"}

    def test_models_shows_what_generate_takes(self, gancore, run):
        models = json.loads(gancore("models", "--runs", run.parent, "--json").out)
        [entry] = [model for model in models if model["origin"] == "run"]
        assert (entry["domain"], entry["recipe"], entry["step"]) == ("audio", "specgan", 8)
        assert gancore("generate", entry["id"], "-n", 1).code == 0
        assert entry["id"] in gancore("models", "--runs", run.parent).out

    def test_plugins_shows_audio(self, gancore):
        plugins = {plugin["name"]: plugin for plugin in json.loads(gancore("plugins", "--json").out)}
        assert plugins["audio"]["state"] == "ok"
        assert plugins["audio"]["registers"]["gancore_domains"] == ["audio"]
        assert "gancore-audio" in gancore("plugins").out

    def test_info_says_what_a_report_needs(self, gancore):
        facts = json.loads(gancore("info", "--json").out)
        assert facts.keys() >= {"gancore", "python", "device", "precision", "libraries", "plugins"}
        assert "torch" in gancore("info").out


class TestConfiguration:
    def test_what_print_config_shows_trains_the_same_model(self, gancore, train, run, tmp_path):
        printed = train("--steps", 8, "--print-config")
        assert printed.code == 0
        (tmp_path / "printed.yaml").write_text(printed.out)
        assert gancore("train", "--config", "printed.yaml", "--out", "again").code == 0
        assert weights(tmp_path / "again") == weights(run)
        assert (tmp_path / "again" / "config.yaml").read_text() == printed.out

    def test_print_config_trains_nothing(self, train, tmp_path):
        train("--steps", 8, "--print-config")
        assert list(tmp_path.iterdir()) == []

    def test_a_budget_in_samples_is_rounded_up_to_steps(self, train, tmp_path):
        train("--samples", 17, "--out", "run")
        assert json.loads((tmp_path / "run" / "run.json").read_text())["total"] == 3

    def test_a_budget_in_seconds_becomes_steps(self, train, tmp_path):
        train("--time", 2, "--out", "run")
        status = json.loads((tmp_path / "run" / "run.json").read_text())
        assert status["step"] == status["total"] > 0
        assert status["seconds"] > 0

    def test_json_progress_is_one_object_a_line_and_the_result_last(self, train):
        answer = train("--steps", 3, "--out", "run", "--json")
        events = [json.loads(line) for line in answer.out.splitlines()]
        assert [event["event"] for event in events if event.get("event") in ("start", "report", "close")] == [
            "start",
            "report",
            "report",
            "report",
            "close",
        ]
        assert events[-1]["step"] == 3
        assert events[-1]["status"] == "done"
        assert answer.err == ""


class TestTheSameVerbsInPython:
    def test_train_generate_and_load(self, run, tmp_path, capfd, monkeypatch):
        monkeypatch.chdir(tmp_path)
        settings = [f"{key}={value}" for key, value in SETTINGS.items()]
        result = gancore.train("audio", steps=8, device="cpu", overrides=settings, out="run", progress="none")
        assert (result.step, result.status, result.folder) == (8, "done", Path("run"))
        assert weights(result.folder) == weights(run)
        files = gancore.generate(result.folder, n=2, out="sounds")
        assert all(file.is_file() for file in files)
        assert gancore.load(result.model).sample(3).data.shape == (3, 1, 1024)
        assert [summary.step for summary in api.list_runs(tmp_path)] == [8]
        assert capfd.readouterr() == ("", "")

    def test_a_mistake_is_a_gancore_error(self):
        with refused(gancore.GancoreError, "audoi", fix="audio"):
            gancore.train("audoi")


def test_tiny_is_what_the_domain_says_it_is():
    """The settings of these tests are those that the domain is tried out by, where the recipe has them."""
    from gancore_audio.domain import AudioDomain
    from gancore_audio.wavegan import WaveGANLiteConfig

    tiny = AudioDomain().tiny_config()
    model = {key: value for key, value in tiny["model"].items() if key in WaveGANLiteConfig.model_fields}
    arguments = {"data": {**tiny["data"]}, "model": model}
    assert arguments["data"].pop("source") == "percussion"
    own = {section: {} for section in arguments}
    for name, value in SETTINGS.items():
        section, _, key = name.partition(".")
        if section in own:
            own[section][key] = value
    assert own == arguments
