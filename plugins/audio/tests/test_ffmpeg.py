"""AAC and WMA are read with ffmpeg where it is installed; elsewhere they are counted and ffmpeg is named."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest
import soundfile
from gancore_audio.config import AudioConfig
from gancore_audio.dataset import open_audio
from gancore_audio.recordings import read_blocks, read_header

from gancore.data.inventory import SkipItem
from gancore.domain import Source
from gancore.errors import DataError

RATE_HZ, SECONDS, TONE_HZ = 16_000, 2, 440
CODECS = {"m4a": "aac", "aac": "aac", "wma": "wmav2"}
needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")


def write_tone(path, hz=TONE_HZ, channels=2):
    tone = np.sin(2 * np.pi * hz * np.arange(RATE_HZ * SECONDS) / RATE_HZ)
    wav = path.with_suffix(".source")
    soundfile.write(wav, np.outer(tone, np.full(channels, 0.5)), RATE_HZ, format="WAV")
    codec = CODECS[path.suffix[1:]]
    subprocess.run(["ffmpeg", "-v", "error", "-i", wav, "-c:a", codec, path], check=True)
    wav.unlink()


def write_noise(folder, count):
    rng = np.random.default_rng(0)
    for index in range(count):
        soundfile.write(folder / f"{index}.wav", 0.1 * rng.normal(size=8000), RATE_HZ)


@needs_ffmpeg
@pytest.mark.parametrize("suffix", CODECS)
def test_a_tone_has_its_length_and_pitch(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    write_tone(path)
    header = read_header(path)
    sound = np.concatenate(list(read_blocks(path, header, RATE_HZ)))
    assert (header.sample_rate_hz, header.channels, header.frames) == (RATE_HZ, 2, len(sound))
    assert abs(len(sound) - RATE_HZ * SECONDS) <= 2 * 2048  # the encoder fills whole frames
    spectrum = np.abs(np.fft.rfft(sound))
    assert spectrum.argmax() * RATE_HZ / len(sound) == pytest.approx(TONE_HZ, abs=1)


@needs_ffmpeg
def test_a_folder_counts_them_among_its_clips(tmp_path):
    write_noise(tmp_path, 6)
    write_tone(tmp_path / "tone.m4a")
    data = open_audio(Source("mixed", tmp_path), AudioConfig())
    assert sum(map(len, data.splits.values())) == 7
    assert not any(line.startswith(("not used", "ffmpeg")) for line in data.summary)


@needs_ffmpeg
@pytest.mark.parametrize("content", [b"", b"no sound", "half", "playlist"])
def test_what_cannot_be_decoded_is_skipped(tmp_path, content):
    path, secret = tmp_path / "a.m4a", tmp_path / "secret.wav"
    write_noise(tmp_path, 1)
    (tmp_path / "0.wav").rename(secret)
    if content == "half":
        write_tone(path)
        content = path.read_bytes()[: path.stat().st_size // 2]
    if content == "playlist":
        content = f"#EXTM3U\n#EXTINF:1,\nfile://{secret}\n".encode()
    path.write_bytes(content)
    with pytest.raises(SkipItem):
        read_header(path)


def test_without_ffmpeg_they_are_counted_and_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    write_noise(tmp_path, 6)
    for index in range(3):
        (tmp_path / f"{index}.m4a").write_bytes(b"sound")
    lines = open_audio(Source("mixed", tmp_path), AudioConfig()).summary
    assert any(line.startswith("not used: 3 files") and ".m4a 3" in line for line in lines)
    assert any(line.startswith("ffmpeg") and "3 files" in line for line in lines)


def test_without_ffmpeg_a_folder_of_nothing_else_names_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "a.m4a").write_bytes(b"sound")
    with pytest.raises(DataError, match="ffmpeg"):
        open_audio(Source("mixed", tmp_path), AudioConfig())
    with pytest.raises(SkipItem, match="ffmpeg"):
        read_header(tmp_path / "a.m4a")
