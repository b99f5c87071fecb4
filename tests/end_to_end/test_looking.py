"""Looking at a model of sounds: nothing of this is for one domain only."""

from __future__ import annotations

import json
import os
import signal

import pytest
import soundfile
import torch
from PIL import Image
from tiny_runs import Child, digest, press_ctrl_c


def spectrum(path):
    """Magnitudes, which are alike where phases are not."""
    sound = torch.from_numpy(soundfile.read(path)[0])
    return torch.stft(sound, 256, window=torch.hann_window(256).double(), return_complex=True).abs()


def names(folder, kind="wav"):
    return sorted(path.name for path in folder.glob(f"*.{kind}"))


def test_sounds_of_each_label_stand_in_rows(gancore, conditional_run, tmp_path):
    assert gancore("generate", conditional_run, "-n", 2, "--each-label", "--out", "all").code == 0
    (label, *_), sounds = (
        sorted({name.split("-")[2][:-4] for name in names(tmp_path / "all")}),
        names(tmp_path / "all"),
    )
    assert len(sounds) == 2 * len({name.split("-")[2] for name in sounds}) > 4
    gancore("generate", conditional_run, "-n", 2, "--label", label, "--out", "alone")
    row = [(tmp_path / "all" / name).read_bytes() for name in sounds if name.endswith(f"-{label}.wav")]
    assert row == [(tmp_path / "alone" / name).read_bytes() for name in names(tmp_path / "alone")]
    with Image.open(tmp_path / "all" / "overview.png") as picture:
        assert picture.width < 400 < picture.height  # two columns


def test_truncated_sounds_are_others_and_alike(gancore, run, tmp_path):
    for psi in (0.001, 2):
        gancore("generate", run, "-n", 4, "--truncation", psi, "--out", f"{psi}")
    alike, others = ([spectrum(tmp_path / f / n) for n in names(tmp_path / f)] for f in ("0.001", "2"))
    apart = [float((pair[0] - pair[1]).norm()) for pair in (alike, others)]
    assert 0 <= apart[0] < apart[1] / 4  # making up phases enlarges small differences
    assert not torch.equal(alike[0], others[0])


def test_a_sound_stands_beside_those_of_train_that_sound_like_it(gancore, run, tmp_path):
    answer = gancore("neighbours", run, "-n", 3, "-k", 2, "--out", "beside", "--json")
    output = json.loads(answer.out)
    assert output["features"]["name"] == "log-mel" and len(output["samples"]) == 3
    assert len(names(tmp_path / "beside")) == 9
    assert json.loads((tmp_path / "beside" / "neighbours.json").read_text())["samples"] == output["samples"]


def test_what_is_printed_is_one_line_that_a_person_can_judge_by(gancore, run):
    answer = gancore("neighbours", run, "-n", 3, "-k", 2, "--quiet")
    assert answer.err == "" and len(answer.out.splitlines()) == 1
    assert "of 3 samples" in answer.out and "held-out rows" in answer.out


def test_a_run_that_was_stopped_and_resumed_has_the_film_of_one_that_never_was(
    gancore, train, after_step, run, tmp_path
):
    after_step(5, press_ctrl_c)
    assert train("--out", "stopped", "--steps", 8).code == 130
    assert "1 frames, steps 4 to 4" in gancore("animate", "stopped").out
    assert gancore("train", "--resume", "stopped", "--quiet").code == 0
    for folder, file in (("stopped", "a.gif"), (run, "b.gif")):
        assert gancore("animate", folder, "--out", file, "--quiet").out == ""
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 2


@pytest.mark.parametrize("force", [False, True])
def test_a_kill_while_samples_are_written_leaves_no_torn_file(run, tmp_path, force):
    from gancore_audio.domain import AudioDomain

    out = tmp_path / "made"
    words = ["generate", run, "-n", 3, "--out", out, "--quiet"]
    before = {}
    if force:
        assert Child(tmp_path, *words, "--seed", 1).wait().code == 0
        before = digest(out)
        words.append("--overwrite")

    def write(self, samples, folder):
        (folder / "0001.wav").write_bytes(b"RIFF torn")
        os.kill(os.getpid(), signal.SIGKILL)

    assert Child(tmp_path, *words, first=lambda: setattr(AudioDomain, "write", write)).wait().code == -9
    assert {name: result for name, result in digest(out).items() if not name.startswith(".tmp-")} == before
    assert Child(tmp_path, *words).wait().code == 0
    assert not [path.name for path in out.iterdir() if path.name.startswith(".")]


def test_gaps_are_refused_by_a_model_that_fills_none(gancore, run, tmp_path):
    answer = gancore("generate", run, "-n", 2, "--infill", "a ___", "--out", "t")
    assert answer.code == 2 and "gaps" in answer.error and "--infill" in answer.error
    answer = gancore("generate", run, "-n", 2, "--infill", "a ___", "--truncation", 0.5, "--out", "t")
    assert answer.code == 2 and "--temperature" in answer.error
    assert not (tmp_path / "t").exists()


def test_a_temperature_is_refused_by_a_model_that_has_none(gancore, run, tmp_path):
    answer = gancore("generate", run, "-n", 2, "--temperature", 0.5, "--out", "t")
    assert answer.code == 2 and "temperature" in answer.error and "--temperature" in answer.error
    assert not (tmp_path / "t").exists()
