"""Samples become files that any player reads, the same bytes each time."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch
from gancore_audio.export import read_wav, write_samples, write_wav
from PIL import Image
from refusals import refused

from gancore.data.dataset import Spec
from gancore.errors import DataError
from gancore.samples import Samples


def three_sounds(**spec) -> Samples:
    sounds = torch.rand(3, 1, 1024, generator=torch.Generator().manual_seed(0)) * 2 - 1
    labels = torch.tensor([1, 0, 1]) if "classes" in spec else None
    return Samples(sounds, Spec({"sample_rate_hz": 8000, **spec}), labels)


def test_each_sample_has_a_wav_and_a_picture_and_all_share_an_overview(tmp_path):
    written = write_samples(three_sounds(classes=["kick", "hi hat/open"]), tmp_path / "new" / "out")
    names = [path.name for path in written]
    assert names == [
        *("0001-hi_hat_open.wav", "0001-hi_hat_open.png", "0002-kick.wav", "0002-kick.png"),
        *("0003-hi_hat_open.wav", "0003-hi_hat_open.png", "overview.png"),
    ]
    assert all(path.is_file() for path in written)
    with Image.open(written[-1]) as overview:
        assert overview.width > 300


def test_soundfile_reads_the_very_values_that_were_written(tmp_path):
    samples = three_sounds()
    first = write_samples(samples, tmp_path)[0]
    levels, sample_rate_hz = soundfile.read(first, dtype="int16")
    assert sample_rate_hz == 8000 and first.name == "0001.wav"
    assert np.array_equal(levels, np.rint(samples.data[0, 0].double().numpy() * 32767))
    ours, our_rate_hz = read_wav(first)
    assert our_rate_hz == 8000 and np.abs(ours - samples.data[0, 0].numpy()).max() <= 0.5 / 32767 + 1e-7


def test_halves_round_to_even_and_what_is_beyond_full_scale_is_clamped(tmp_path):
    write_wav(tmp_path / "a.wav", np.array([0.5, 1.5, 2.5, -0.5, 40000, -40000]) / 32767, 16000)
    levels, _ = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert levels.tolist() == [0, 2, 2, 0, 32767, -32767]


def test_reading_and_writing_again_changes_nothing(tmp_path):
    for path in write_samples(three_sounds(), tmp_path / "a"):
        if path.suffix == ".wav":
            write_wav(tmp_path / "again.wav", *read_wav(path))
            assert (tmp_path / "again.wav").read_bytes() == path.read_bytes()


def test_the_same_samples_give_the_same_bytes(tmp_path):
    first, second = (write_samples(three_sounds(), tmp_path / name) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_half_precision_samples_can_be_written(tmp_path):
    samples = three_sounds()
    assert write_samples(Samples(samples.data.bfloat16(), samples.spec), tmp_path)


def test_values_that_are_not_finite_are_named(tmp_path):
    samples = three_sounds()
    samples.data[1, 0, 5] = float("nan")
    with refused(DataError, 1, 3, 2, "finite", fix="fp32"):
        write_samples(samples, tmp_path)


def test_a_folder_that_cannot_be_made_is_an_oserror(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        write_samples(three_sounds(), tmp_path / "file" / "out")


def test_what_is_not_a_mono_16_bit_wav_is_refused_in_one_line(tmp_path):
    soundfile.write(tmp_path / "stereo.wav", np.zeros((10, 2)), 8000, subtype="PCM_16")
    (tmp_path / "text.wav").write_text("not a sound")
    (tmp_path / "empty.wav").write_bytes(b"")
    for name in ("stereo.wav", "text.wav", "empty.wav"):
        with refused(DataError, tmp_path / name, 16, "WAV"):
            read_wav(tmp_path / name)
