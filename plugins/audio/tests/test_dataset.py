"""From a folder to keyed windows: shapes, splits, fades, padding, the data contract, and one-line errors."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from gancore_audio.config import AudioSchema
from gancore_audio.dataset import AudioConfig, data_from_arrays, open_audio
from gancore_audio.sources import SOURCES
from needs import data_root, gpu
from refusals import refused

from gancore.data.dataset import validate_spec
from gancore.data.sources import Source, resolve_source
from gancore.errors import DataError
from gancore.random import Key, RowRange

SPLITS = ("train", "valid", "test")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "cache"))


def noise(seed, frames):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, frames).astype(np.float32)


def write(path, samples, sample_rate_hz=16_000, **form):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, sample_rate_hz, **form)


@pytest.fixture
def folder(tmp_path):
    """Forty recordings of 0.1 to 0.3 s in two class folders."""
    for number in range(40):
        kind = "high" if number % 2 else "low"
        write(tmp_path / "data" / kind / f"{number:02}.wav", noise(number, 1600 + 80 * number))
    return tmp_path / "data"


def opened(path, **config):
    return open_audio(Source(path.name, path), AudioConfig(**config))


def from_arrays(*lengths, **config):
    clips = [(f"clip {index}", None, noise(index, length)) for index, length in enumerate(lengths)]
    return data_from_arrays(clips, 16_000, AudioConfig(**config))


def test_a_batch_is_windows_with_labels(folder):
    data = opened(folder)
    batch = data.view("train").get_batch(torch.arange(8), Key.of(0))
    assert batch.data.shape == (8, 1, 4096) and batch.data.dtype == torch.float32
    assert batch.data.abs().max() <= 1
    assert batch.condition.dtype == torch.int64
    names = data.splits["train"][:8]
    assert [data.spec["classes"][label] for label in batch.condition] == [
        name.split("/")[0] for name in names
    ]


def test_the_spec_tells_what_building_needs(folder):
    facts = dict(opened(folder).spec)
    assert facts["sample_rate_hz"] == 16_000 and facts["length"] == 4096 and facts["channels"] == 1
    assert facts["classes"] == ["high", "low"] and abs(sum(facts["class_shares"]) - 1) < 1e-5
    assert "classes" not in dict(opened(folder, labels="none").spec)


@pytest.mark.parametrize("window", ["random", "start"])
def test_a_cut_of_the_joined_batch_is_the_batch_of_the_cut(folder, window):
    view = opened(folder, length=1024, crop=window).view("train")
    indices, key = torch.arange(len(view)), Key.of(3, "real")
    joined = view.get_batch(indices, key.with_rows(RowRange.all(len(view))))
    for start, stop in [(0, 5), (5, 17), (17, len(view))]:
        part = view.get_batch(indices[start:stop], key.with_rows(RowRange(start, stop, len(view))))
        assert torch.equal(part.data, joined.data[start:stop])
        assert torch.equal(part.condition, joined.condition[start:stop])


def test_the_same_key_gives_the_same_windows_and_another_key_others(folder):
    view = opened(folder, length=256).view("train")
    indices = torch.arange(len(view))
    once, again, other = (view.get_batch(indices, Key.of(step)).data for step in (1, 1, 2))
    assert torch.equal(once, again) and not torch.equal(once, other)


def test_short_clips_are_filled_up_at_the_end_only():
    data = from_arrays(*[1000] * 9, length=1600, fade_ms=5)
    batch = data.view("train").get_batch(torch.arange(len(data.view("train"))), Key.of(0)).data
    assert (batch[:, :, 1000:] == 0).all() and (batch[:, :, :1000] != 0).float().mean() > 0.99
    assert (batch.abs().amax(-1) > 0.99).all()  # a whole clip keeps its peak: nothing is faded


def test_windows_that_cut_into_a_clip_are_faded_there():
    ones = [
        (f"{n}", None, np.full(20_000, 0.5, dtype=np.float32) + noise(n, 20_000) * 1e-3) for n in range(9)
    ]
    view = data_from_arrays(ones, 16_000, AudioConfig(length=1600, fade_ms=5)).view("train")
    fade = torch.linspace(0, 1, 80)
    for row in view.get_batch(torch.arange(len(view)), Key.of(0)).data[:, 0]:
        starts_clip, ends_clip = bool(row[0] > 0.5), bool(row[-1] > 0.5)
        assert row[80:-80].min() > 0.98
        assert starts_clip or (row[0] < 0.01 and (row[:80] - fade).abs().max() < 0.25)
        assert ends_clip or (row[-1] < 0.01 and (row[-80:] - fade.flip(0)).abs().max() < 0.25)
    assert (view.get_batch(torch.arange(3), Key.of(0)).data[:, 0].amax(-1) > 0.98).all()


def test_the_start_of_a_clip_is_all_that_start_shows():
    data = from_arrays(*[5000] * 9, length=1600, crop="start", fade_ms=0)
    assert sum(len(data.view(split)) for split in SPLITS) == 9
    indices = torch.arange(len(data.view("train")))
    batches = [data.view("train").get_batch(indices, Key.of(step)).data for step in range(2)]
    assert torch.equal(*batches)


def test_long_recordings_count_by_their_length_and_every_part_is_seen():
    data = from_arrays(1600, 1600, 1600, 160_000, length=1600)
    assert sum(len(data.view(split)) for split in SPLITS) == 3 + 100
    view = max((data.view(split) for split in SPLITS), key=len)
    rows = torch.arange(len(view))
    starts = torch.stack([view._draw_starts(rows, Key.of(step)) for step in range(50)])
    assert starts.min() < 400 and starts.max() > 158_000
    assert (view.segments.first_starts[rows] <= starts).all() and (
        starts <= view.segments.last_starts[rows]
    ).all()


def test_splits_are_disjoint_and_no_copy_crosses_over(folder):
    for number in range(10):  # the same sound twice, in another folder and format
        source = folder / ("high" if number % 2 else "low") / f"{number:02}.wav"
        (folder / f"high/copy-{number}.wav").write_bytes(source.read_bytes())
    data = opened(folder)
    names = {split: set(data.splits[split]) for split in SPLITS}
    assert sum(map(len, names.values())) == len(set.union(*names.values())) == 50
    for number in range(10):
        kind = "high" if number % 2 else "low"
        copies = {f"{kind}/{number:02}.wav", f"high/copy-{number}.wav"}
        assert sum(bool(copies & found) for found in names.values()) == 1
    assert "50 clips (40 distinct)" in data.summary[0]


def test_new_recordings_move_no_old_one_to_another_split(folder):
    before = opened(folder).splits
    for number in range(100, 130):
        write(folder / "low" / f"{number}.wav", noise(number, 2000))
    after = opened(folder).splits
    assert all(set(before[split]) <= set(after[split]) for split in SPLITS)


@pytest.mark.parametrize("count", [3, 4, 7])
def test_few_recordings_still_fill_every_split(count):
    data = from_arrays(*[1600] * count)
    assert all(len(data.splits[split]) for split in SPLITS)


@pytest.mark.parametrize("count", [1, 2])
def test_one_long_recording_is_divided_in_time_without_overlap(tmp_path, count):
    for number in range(count):
        write(tmp_path / "data" / f"{number}.wav", np.arange(1 + number, 30_001 + number, dtype=np.int16))
    data = opened(tmp_path / "data", length=1600, normalize="none", fade_ms=0)
    heard = {}
    for split in SPLITS:
        view = data.view(split)
        rows = torch.cat(
            [view.get_batch(torch.arange(len(view)), Key.of(step)).data.flatten() for step in range(30)]
        )
        heard[split] = set((rows * 32768).round().long().tolist()) - {0}
    assert heard["train"] and heard["valid"] and heard["test"]
    assert max(heard["train"]) <= 24_001 and min(heard["valid"]) >= 24_001 - 1
    assert max(heard["valid"]) <= 27_001 and min(heard["test"]) >= 27_001 - 1


def test_a_single_file_is_a_source(tmp_path):
    write(tmp_path / "one.flac", noise(0, 48_000))
    data = opened(tmp_path / "one.flac", length=1600)
    assert len(data.view("train")) == 24 and data.splits["train"] == ["one.flac [0.00-2.40 s]"]


@pytest.mark.parametrize(
    "lengths, expected",
    [([1000] * 4, 1024), ([1025] * 4, 4096), ([100, 100, 1024, 60_000], 1024), ([200_000] * 3, 65_536)],
)
def test_the_default_length_covers_three_quarters_of_the_clips(lengths, expected):
    assert from_arrays(*lengths, min_seconds=0).spec["length"] == expected


@pytest.mark.parametrize(
    "rates, expected",
    [
        ([8000, 8000, 44_100], 8000),
        ([44_100, 44_100, 8000], 16_000),
        ([8000, 11_025], 11_025),
        ([100, 100, 100], 100),
    ],
)
def test_the_default_rate_is_the_commonest_up_to_16_khz(tmp_path, rates, expected):
    """And a model may be of it, as a user may ask for it."""
    for number, sample_rate_hz in enumerate(rates):
        write(tmp_path / "data" / f"{number}.wav", noise(number, 2 * sample_rate_hz), sample_rate_hz)
    spec = opened(tmp_path / "data").spec
    assert spec["sample_rate_hz"] == expected == AudioConfig(sample_rate_hz=expected).sample_rate_hz
    validate_spec(AudioSchema, spec.fields, "model")


def test_the_fingerprint_changes_with_data_and_settings_alone(folder):
    first = opened(folder).fingerprint
    assert opened(folder).fingerprint == first
    assert opened(folder, length=1024).fingerprint != first
    assert opened(folder, labels="none").fingerprint != first
    write(folder / "low" / "00.wav", noise(99, 1600))
    assert opened(folder).fingerprint != first


BAD = {
    "zero-byte.wav": lambda path: path.write_bytes(b""),
    "zero-frame.wav": lambda path: soundfile.write(path, np.zeros(0), 16_000),
    "text.wav": lambda path: path.write_text("no audio at all"),
    "truncated.wav": lambda path: (soundfile.write(path, noise(0, 5000), 16_000), os.truncate(path, 4000)),
    "silent.wav": lambda path: soundfile.write(path, np.zeros(5000), 16_000),
    "nan.wav": lambda path: soundfile.write(path, np.full(5000, np.nan), 16_000, subtype="FLOAT"),
}
GOOD = {
    "192khz.wav": (noise(1, 192_000), 192_000),
    "eight-channels.wav": (np.repeat(noise(2, 16_000)[:, None], 8, axis=1), 16_000),
}


def test_bad_files_are_named_with_their_reasons_and_good_ones_used(folder):
    for name, spoil in BAD.items():
        spoil(folder / "low" / name)
    for name, (samples, sample_rate_hz) in GOOD.items():
        write(folder / "low" / name, samples, sample_rate_hz)
    data = opened(folder)
    assert "42 clips" in data.summary[0]
    lines = "\n".join(data.summary)
    assert "skipped: 6 files, 1 of them silent" in lines
    for name in BAD:
        assert f"low/{name}: it" in lines
    assert set().union(*data.splits.values()) >= {f"low/{name}" for name in GOOD}


def test_many_skipped_files_are_counted_and_listed_in_a_file(folder):
    for number in range(30):
        (folder / f"empty-{number:02}.wav").write_bytes(b"")
    lines = opened(folder).summary
    assert len([line for line in lines if "empty-" in line]) == 20
    listed = Path(lines[-1].split(" in ")[-1]).read_text().splitlines()
    assert "10 more" in lines[-1] and len(listed) == 30


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_folder_of_nothing_but_bad_files_is_one_line_with_the_reason(tmp_path, name):
    (tmp_path / "data").mkdir()
    BAD[name](tmp_path / "data" / name)
    with refused(DataError, 1, name) as error:
        opened(tmp_path / "data")
    assert "\n" not in str(error.value)


def test_folders_without_audio_and_without_enough_are_refused(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "notes.txt").write_text("")
    with refused(DataError, tmp_path / "data", fix=".wav"):
        opened(tmp_path / "data")
    with refused(DataError, "gone", fix="path"):
        opened(tmp_path / "gone")
    write(tmp_path / "data" / "short.wav", noise(0, 3000))
    with refused(DataError, 1, fix=3):
        opened(tmp_path / "data")


def test_clips_without_a_label_are_left_out_by_name(folder):
    write(folder / "loose.wav", noise(77, 2000))
    data = opened(folder, labels="folder")
    assert "  loose.wav: it has no label" in data.summary


def test_the_contract_tells_all(folder):
    words = "\n".join(opened(folder).summary)
    for word in (
        "40 clips",
        "7.9 s",
        "16,000 Hz",
        "peak: median -6",
        "2 from sub-folder: high, low",
        "padding",
        "train",
    ):
        assert word in words


@pytest.mark.slow
def test_the_built_in_percussion_opens_with_its_classes():
    data = open_audio(resolve_source(None, SOURCES, None, print), AudioConfig())
    assert len(data.spec["classes"]) == 8 and data.spec["sample_rate_hz"] == 16_000
    assert len(data.view("train")) > 100 and data.spec["licence"] == "CC0-1.0"


@pytest.mark.slow
def test_spoken_digits_keep_their_official_test_set():
    data = open_audio(resolve_source("fsdd", SOURCES, data_root("fsdd"), print), AudioConfig())
    assert data.spec["classes"] == list("0123456789") and data.spec["sample_rate_hz"] == 8000
    assert len(data.splits["test"]) == 300 and len(data.splits["train"]) + len(data.splits["valid"]) == 2700
    assert all(int(name.rpartition("_")[2].split(".")[0]) < 5 for name in data.splits["test"])
    assert data.spec["licence"] == "CC-BY-SA-4.0"


def test_drums_of_all_rates_are_labelled_by_their_index():
    data = open_audio(resolve_source("drums", SOURCES, data_root("drums"), print), AudioConfig())
    assert "472 clips" in data.summary[0] and "kick" in data.spec["classes"]
    assert data.summary[-1] == "skipped: none"


def test_digits_of_speech_commands_are_found_by_their_sample():
    data = open_audio(resolve_source("sc09", SOURCES, data_root("sc09_sample"), print), AudioConfig())
    assert len(data.spec["classes"]) == 10 and data.spec["length"] == 16_384


def test_speech_commands_keeps_to_the_digits_and_its_lists(tmp_path):
    for number in range(8):
        for word in ("zero", "nine", "bed", "_background_noise_"):
            write(tmp_path / "sc09" / word / f"{number}.wav", noise(number, 1600 + ord(word[0])))
    (tmp_path / "sc09" / "testing_list.txt").write_text("zero/3.wav\nbed/1.wav\n")
    (tmp_path / "sc09" / "validation_list.txt").write_text("nine/5.wav\n")
    data = open_audio(resolve_source("sc09", SOURCES, tmp_path, print), AudioConfig())
    assert data.spec["classes"] == ["nine", "zero"]
    assert data.splits["test"] == ["zero/3.wav"] and data.splits["valid"] == ["nine/5.wav"]
    assert len(data.splits["train"]) == 14


@gpu
def test_resident_and_streamed_batches_are_equal(folder):
    view = opened(folder, length=1024).view("train")
    indices, key = torch.arange(len(view)), Key.of(5)
    streamed = view.get_batch(indices, key).data
    resident = view.to("cuda").get_batch(indices, key.to("cuda")).data
    assert resident.is_cuda and torch.equal(resident.cpu(), streamed)
    assert torch.equal(view.get_batch(indices, key.to("cuda")).data, resident)


def test_recordings_replaced_by_others_of_equal_size_and_date_are_read_anew(tmp_path):
    marks = []
    for seed in (0, 100):
        for number in range(12):
            path = tmp_path / "data" / f"{number}.wav"
            path.unlink(missing_ok=True)
            write(path, noise(seed + number, 2048))
            os.utime(path, (315_532_800, 315_532_800))
        marks.append(opened(tmp_path / "data").fingerprint)
    assert marks[0] != marks[1]


def test_folders_named_for_splits_are_the_splits_and_labels_lie_below(tmp_path):
    for number in range(30):
        split = ("train", "train", "test")[number % 3]
        write(tmp_path / "data" / split / ("a", "b")[number // 3 % 2] / f"{number}.wav", noise(number, 1600))
    data = opened(tmp_path / "data")
    assert data.spec["classes"] == ["a", "b"]
    assert len(data.splits["test"]) == 10 and all(name.startswith("test/") for name in data.splits["test"])
    assert data.splits["valid"] and all(name.startswith("train/") for name in data.splits["valid"])


def test_a_table_that_labels_half_of_the_recordings_costs_none(tmp_path):
    for number in range(20):
        write(tmp_path / "data" / f"{number}.wav", noise(number, 1600))
    rows = "".join(f"{number}.wav,{'ab'[number % 2]}\n" for number in range(10))
    (tmp_path / "data" / "metadata.csv").write_text(f"file_name,label\n{rows}")
    lines = opened(tmp_path / "data").summary
    assert (
        "20 clips" in lines[0] and any("10 of 20" in line for line in lines) and "skipped: none" in lines[-1]
    )
    assert "10 clips" in opened(tmp_path / "data", labels="metadata").summary[0]
