"""The reader: any rate, any number of channels, any length; and every kind of bad file by its reason."""

import contextlib
import os
import sys

import numpy as np
import pytest
import soundfile
from gancore_audio.recordings import read_blocks, read_header, readable_suffixes
from hypothesis import example, given, settings
from hypothesis import strategies as st
from refusals import refused

from gancore.data.inventory import SkipItem, list_files


def tone(seconds=0.25, sample_rate_hz=16_000, channels=1, frequency_hz=440.0, peak=0.5):
    time = np.arange(round(seconds * sample_rate_hz)) / sample_rate_hz
    wave = peak * np.sin(2 * np.pi * frequency_hz * time)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def read(path, sample_rate_hz):
    return np.concatenate(list(read_blocks(path, read_header(path), sample_rate_hz)))


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff", "aif", "opus", "caf", "au", "WAV"])
def test_every_format_is_read(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    form = {"opus": {"format": "OGG", "subtype": "OPUS"}, "aif": {"format": "AIFF"}}.get(suffix, {})
    soundfile.write(path, tone(), 16_000, **form)
    samples = read(path, 16_000)
    assert abs(len(samples) - 4000) <= (1200 if suffix == "mp3" else 0)  # an MP3 is filled up to whole frames
    assert abs(np.abs(samples).max() - 0.5) < 0.05
    assert path.suffix.lower() in readable_suffixes()


@settings(max_examples=40, deadline=None)
@given(
    sample_rate_hz=st.integers(1000, 192_000),
    to_hz=st.integers(1000, 48_000),
    channels=st.integers(1, 16),
    frames=st.integers(100, 200_000),
)
@example(sample_rate_hz=192_000, to_hz=16_000, channels=1, frames=192_000)
@example(sample_rate_hz=44_100, to_hz=16_000, channels=8, frames=100_001)
@example(sample_rate_hz=8_000, to_hz=8_000, channels=2, frames=70_000)
def test_length_follows_the_ratio_of_the_rates(tmp_path_factory, sample_rate_hz, to_hz, channels, frames):
    path = tmp_path_factory.mktemp("read") / "a.wav"
    soundfile.write(path, np.zeros((frames, channels), dtype=np.int16), sample_rate_hz)
    clip = read_header(path)
    assert (clip.sample_rate_hz, clip.channels, clip.frames) == (sample_rate_hz, channels, frames)
    assert abs(len(read(path, to_hz)) - frames * to_hz / sample_rate_hz) <= 1


@settings(max_examples=25, deadline=None)
@given(data=st.data(), channels=st.integers(1, 16), frames=st.integers(1, 500))
def test_channels_are_mixed_by_their_mean(tmp_path_factory, data, channels, frames):
    path = tmp_path_factory.mktemp("mix") / "a.wav"
    seed = data.draw(st.integers(0, 2**32))
    samples = np.random.default_rng(seed).integers(-32768, 32767, (frames, channels), dtype=np.int16)
    soundfile.write(path, samples, 16_000)
    assert np.allclose(read(path, 16_000), samples.mean(axis=1) / 32768, atol=1e-6)


@pytest.mark.parametrize("sample_rate_hz", [8_000, 22_050, 44_100, 192_000])
def test_resampling_keeps_pitch_and_peak(tmp_path, sample_rate_hz):
    soundfile.write(tmp_path / "a.wav", tone(1.0, sample_rate_hz), sample_rate_hz)
    samples = read(tmp_path / "a.wav", 16_000)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    assert abs(spectrum.argmax() * 16_000 / len(samples) - 440) < 1.5
    assert abs(np.abs(samples[2000:-2000]).max() - 0.5) < 0.005


def test_what_lies_above_the_new_range_is_filtered_out(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(1.0, 48_000, frequency_hz=12_000), 48_000)
    assert np.abs(read(tmp_path / "a.wav", 16_000)[1000:-1000]).max() < 1e-3


def test_blocks_join_without_a_seam(tmp_path):
    """Longer than several blocks: the same as resample in one go."""
    import soxr

    noise = np.random.default_rng(0).normal(0, 0.1, 200_001).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", noise, 44_100, subtype="FLOAT")
    whole = soxr.resample(noise, 44_100, 16_000, quality="HQ")
    streamed = read(tmp_path / "a.wav", 16_000)
    common = min(len(whole), len(streamed))
    assert np.allclose(streamed[:common], whole[:common], atol=1e-4)


def write_zero_byte(path):
    path.write_bytes(b"")


def write_zero_frame(path):
    soundfile.write(path, np.zeros(0), 16_000)


def write_text(path):
    path.write_text("this is not a recording " * 50)


def write_truncated(path):
    soundfile.write(path, tone(), 16_000)
    os.truncate(path, path.stat().st_size // 2)


def write_header_only(path):
    soundfile.write(path, tone(), 16_000)
    os.truncate(path, 44)


def write_many_channels(path):
    soundfile.write(path, np.zeros((10, 17)), 16_000)


def write_eleven_hours(path):
    soundfile.write(path, np.zeros(11 * 3600 * 100, dtype=np.int16), 100)


def write_folder(path):
    path.mkdir()


@pytest.mark.parametrize(
    "write, reason",
    [
        (write_zero_byte, "empty"),
        (write_zero_frame, "samples"),
        (write_text, "audio"),
        (write_truncated, "truncated"),
        (write_header_only, "truncated"),
        (write_many_channels, 17),
        (write_eleven_hours, "hours"),
        (write_folder, "file"),
    ],
)
def test_bad_files_are_refused_by_reason(tmp_path, write, reason):
    write(tmp_path / "bad.wav")
    with refused(SkipItem, reason):
        read_header(tmp_path / "bad.wav")


@pytest.mark.parametrize(
    "suffix, frames", [("flac", 50_000), ("flac", 3000), ("aiff", 50_000), ("ogg", 16_000)]
)
def test_truncated_files_of_other_formats_are_refused(tmp_path, suffix, frames):
    path = tmp_path / f"bad.{suffix}"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, frames), 16_000)
    os.truncate(path, path.stat().st_size * 6 // 10)
    with refused(SkipItem, "truncated"):
        read(path, 16_000)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused(tmp_path, value):
    samples = tone()
    samples[3000] = value
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    with refused(SkipItem, "NaN"):
        read(tmp_path / "a.wav", 8_000)


def test_a_file_from_a_pipe_need_not_know_its_length(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(), 16_000, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert len(read(path, 16_000)) == 4000


@settings(max_examples=200, deadline=None)
@given(
    content=st.binary(max_size=300),
    header=st.sampled_from([b"", b"RIFF", b"fLaC", b"OggS", b"ID3", b"whole"]),
)
def test_no_bytes_whatever_break_the_reader(tmp_path_factory, content, header):
    path = tmp_path_factory.mktemp("fuzz") / "a.wav"
    if header == b"whole":
        soundfile.write(path, tone(0.01), 16_000)
        header = path.read_bytes()[:40]
    path.write_bytes(header + content)
    try:
        samples = read(path, 16_000)
    except SkipItem as refused:
        assert str(refused)
    else:
        assert np.isfinite(samples).all()


@settings(max_examples=150, deadline=None)
@given(
    suffix=st.sampled_from(["wav", "flac", "ogg"]), at=st.floats(0, 1), new=st.binary(min_size=1, max_size=8)
)
def test_no_damage_whatever_breaks_the_reader(tmp_path_factory, suffix, at, new):
    path = tmp_path_factory.mktemp("damage") / f"a.{suffix}"
    soundfile.write(path, tone(0.05), 16_000)
    content = bytearray(path.read_bytes())
    place = int(at * (len(content) - 1))
    content[place : place + len(new)] = new
    path.write_bytes(content)
    try:
        samples = read(path, 16_000)
    except SkipItem as refused:
        assert str(refused)
    else:
        assert np.isfinite(samples).all()


def test_hidden_files_links_in_circles_and_other_files_are_passed_over(tmp_path):
    for name in (
        "b/2.wav",
        "a/1.FLAC",
        ".hidden.wav",
        ".git/3.wav",
        "__MACOSX/4.wav",
        "notes.txt",
        "b/._2.wav",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "a" / "circle").symlink_to(tmp_path)
    (tmp_path / "nowhere.wav").symlink_to(tmp_path / "gone")
    found = (
        name
        for name in list_files(tmp_path).names
        if os.path.splitext(name)[1].lower() in readable_suffixes()
    )
    assert list(found) == [
        "a/1.FLAC",
        "b/2.wav",
        "nowhere.wav",
    ]
    with refused(SkipItem, "opened"):
        read_header(tmp_path / "nowhere.wav")


def test_a_pipe_named_wav_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    with refused(SkipItem, "file"):
        read_header(tmp_path / "pipe.wav")


def test_what_the_decoder_of_mp3_complains_of_does_not_reach_stderr(tmp_path, capfd):
    sound = np.sin(2 * np.pi * 220 * np.arange(44_100) / 22_050).astype(np.float32) / 2
    soundfile.write(tmp_path / "a.mp3", sound, 22_050)
    content = bytearray((tmp_path / "a.mp3").read_bytes())
    for place in range(2000, len(content) - 40, 1500):
        content[place : place + 40] = b"U" * 40
    (tmp_path / "a.mp3").write_bytes(content)
    with contextlib.suppress(SkipItem):
        clip = read_header(tmp_path / "a.mp3")
        list(read_blocks(tmp_path / "a.mp3", clip, clip.sample_rate_hz))
    print("still there", file=sys.stderr)
    assert capfd.readouterr().err == "still there\n"
