"""A film of a training: its previews in order, told by step, bounded, whatever became of the run."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from refusals import refused

import gancore
from gancore.errors import CheckpointError, ConfigError
from gancore.run_folder import RunFolder, RunStatus
from gancore.training import animation
from gancore.training.animation import (
    MAX_AREA,
    MAX_FRAMES,
    MAX_SIDE,
    TITLE_HEIGHT,
    encode_gif,
    evenly_spaced,
    fit_scale,
)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder.create(tmp_path, "run")
    folder.write_status(RunStatus("done", total=300, step=300))
    return folder


def preview(run: RunFolder, step: int, picture: Image.Image | None = None) -> Path:
    """As a domain writes one: a file for each sample, and one of all."""
    folder = run.samples / f"step-{step:09d}"
    folder.mkdir(parents=True)
    Image.new("RGB", (9, 9), "red").save(folder / "0001.png")
    path = folder / "overview.png"
    (picture or grey(step)).save(path)
    return path


def grey(level: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    return Image.new("L", size, level % 256)


def frames(file: Path | bytes) -> list[np.ndarray]:
    with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as gif:
        shown = []
        for number in range(gif.n_frames):
            gif.seek(number)
            shown.append(np.asarray(gif.convert("RGB")))
        return shown


def test_previews_follow_one_another_by_step_and_each_tells_its_own(run):
    for step in (100, 20, 9, 200):  # as files come: in no order
        preview(run, step)
    made = gancore.animate(run.path)
    assert made.file == run.path / "animation.gif" and made.steps == [9, 20, 100, 200]
    shown = frames(made.file)
    assert [int(frame[60, 80, 0]) for frame in shown] == [9, 20, 100, 200]
    bars = [frame[120:] for frame in shown]
    assert all(bar.shape[0] == TITLE_HEIGHT and (bar < 100).any() and (bar > 200).any() for bar in bars)
    assert len({bar.tobytes() for bar in bars}) == 4


def test_greys_are_shown_as_they_are():
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(1, 256).repeat(20, 0))
    (shown,) = frames(encode_gif([ramp.convert("RGB")], ["step 1"]))
    assert np.array_equal(shown[:20, :, 0], np.asarray(ramp))


def test_colours_are_nearly_as_they_are():
    side = np.arange(64, dtype=np.uint8) * 4
    photo = np.stack([*np.meshgrid(side, side), np.full((64, 64), 90, np.uint8)], 2)
    (shown,) = frames(encode_gif([Image.fromarray(photo)], ["step 1"]))
    assert np.abs(shown[:64, :64].astype(int) - photo).mean() < 8


def test_the_last_frame_stays_and_the_film_repeats(run):
    for step in (1, 2, 3):
        preview(run, step)
    gancore.animate(run.path)
    with Image.open(run.path / "animation.gif") as gif:
        durations = []
        for number in range(gif.n_frames):
            gif.seek(number)
            durations.append(gif.info["duration"])
        assert durations == [500, 500, 2000] and gif.info["loop"] == 0


def test_a_preview_that_a_kill_cut_short_is_left_out_and_named(run):
    for step in (10, 20, 30):
        path = preview(run, step)
    path.write_bytes(path.read_bytes()[:-40])
    (run.samples / "step-000000040").mkdir()  # the kill came before its picture
    preview(run, 50)
    messages: list[str] = []
    made = gancore.animate(run.path, announce=messages.append)
    assert made.steps == [10, 20, 50] and made.skipped == [30]
    assert len(messages) == 1 and "step-000000030" in messages[0]


def test_previews_of_several_sizes_share_a_sheet(run):
    """``logging.preview_samples`` may change when a run goes on."""
    preview(run, 1, grey(50, (200, 100)))
    preview(run, 2, grey(60, (150, 180)))
    made = gancore.animate(run.path)
    first, last = frames(made.file)
    assert first.shape == last.shape == (180 + TITLE_HEIGHT, 200, 3)
    assert first[150, 20, 0] == 255 and last[150, 20, 0] == 60


def test_many_previews_give_a_bounded_film_from_the_first_to_the_last():
    found = [(step, Path()) for step in range(1, 1001)]
    chosen = [step for step, _ in evenly_spaced(found, MAX_FRAMES)]
    assert len(chosen) == len(set(chosen)) == MAX_FRAMES and (chosen[0], chosen[-1]) == (1, 1000)
    apart = np.diff(chosen)
    assert apart.max() - apart.min() <= 1
    assert evenly_spaced(found[:MAX_FRAMES], MAX_FRAMES) == found[:MAX_FRAMES]


@pytest.mark.parametrize("size", [(100, 100), (5000, 40), (40, 5000), (1200, 1100)])
@pytest.mark.parametrize("count", [1, 10, MAX_FRAMES])
def test_sheets_are_shrunk_to_the_limits_and_no_further(size, count):
    scale = fit_scale(size, count)
    width, height = (side * scale for side in size)
    assert max(width, height) <= MAX_SIDE * 1.001 and count * width * height <= MAX_AREA * 1.001
    assert scale == 1 or max(width, height) > MAX_SIDE * 0.999 or count * width * height > MAX_AREA * 0.8


def test_a_large_preview_is_shrunk(run):
    preview(run, 1, grey(30, (1600, 800)))
    preview(run, 2, grey(90, (1600, 800)))
    shown = frames(gancore.animate(run.path).file)
    assert shown[0].shape == (400 + TITLE_HEIGHT, 800, 3) and shown[1][200, 400, 0] == 90


def test_it_is_replaced_when_it_is_made_again(run):
    preview(run, 1)
    preview(run, 2)
    gancore.animate(run.path)
    preview(run, 3)
    assert len(frames(gancore.animate(run.path).file)) == 3
    assert not list(run.path.glob(".tmp-*"))


def test_the_same_previews_give_the_same_bytes(run, tmp_path):
    preview(run, 1)
    preview(run, 2)
    one, other = (gancore.animate(run.path, out=tmp_path / name).file for name in ("a.gif", "b.GIF"))
    assert one.read_bytes() == other.read_bytes()


def test_what_cannot_be_filmed_is_refused(run, tmp_path):
    with refused(ConfigError, "samples", fix="preview"):
        gancore.animate(run.path)
    with refused(ConfigError, "nowhere", fix="gancore"):
        gancore.animate(tmp_path / "nowhere")
    preview(run, 1)
    with refused(ConfigError, "film.mp4", fix="NAME.gif"):
        gancore.animate(run.path, out=tmp_path / "film.mp4")
    with refused(CheckpointError, "animation.gif", fix="--out"):
        gancore.animate(run.path, out=tmp_path / "no" / "animation.gif")
    assert animation.find_previews(run)
