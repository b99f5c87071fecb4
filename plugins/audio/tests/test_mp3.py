"""MP3 files are read to their end, whether their encoder noted how many frames there are or not."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from gancore_audio.mp3 import _frame, open_with_frame_count
from gancore_audio.recordings import read_blocks, read_header
from hypothesis import given, settings
from hypothesis import strategies as st

SECONDS = 4


def encoded(sample_rate_hz: int, channels: int, mode: str, seconds: float = SECONDS) -> bytes:
    """Near silence, then noise: of a variable bit rate the first frames are the smallest."""
    n = int(sample_rate_hz * seconds)
    sound = np.random.default_rng(0).normal(size=(n, channels)) * np.linspace(0, 0.3, n)[:, None] ** 2
    buffer = io.BytesIO()
    form = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": mode}
    with soundfile.SoundFile(buffer, "w", sample_rate_hz, channels, **form) as file:
        file.write(sound)
    return buffer.getvalue()


def without_info(content: bytes) -> bytes:
    """The file from its second frame on: the first held the count alone."""
    first = _frame(content[:4], 0)
    assert first and any(tag in content[: first.size] for tag in (b"Xing", b"Info"))
    return content[first.size :]


def length(path) -> int:
    clip = read_header(path)
    read = sum(map(len, read_blocks(path, clip, clip.sample_rate_hz)))
    assert read == clip.frames
    return read


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize(
    ("sample_rate_hz", "channels"), [(44_100, 2), (48_000, 1), (22_050, 1), (16_000, 2), (8_000, 1)]
)
def test_a_file_without_info_frame_is_read_whole(tmp_path, mode, sample_rate_hz, channels):
    path = tmp_path / "a.mp3"
    path.write_bytes(without_info(encoded(sample_rate_hz, channels, mode)))
    assert abs(length(path) - SECONDS * sample_rate_hz) < 4 * 1152


def test_a_tag_in_front_and_one_behind_are_no_sound(tmp_path):
    plain, tagged = tmp_path / "a.mp3", tmp_path / "b.mp3"
    content = without_info(encoded(44_100, 1, "CONSTANT"))
    plain.write_bytes(content)
    tagged.write_bytes(b"ID3\4\0\0\0\0\2\0" + bytes(256) + content + b"TAG" + bytes(125))
    assert length(tagged) == length(plain)


def test_a_file_with_its_own_count_is_left_as_it_is(tmp_path):
    path = tmp_path / "a.mp3"
    path.write_bytes(encoded(44_100, 1, "VARIABLE"))
    assert open_with_frame_count(path) is None and abs(length(path) - SECONDS * 44_100) < 4 * 1152


@settings(deadline=None, max_examples=60)
@given(
    st.binary(min_size=1, max_size=400),
    st.sampled_from([b"", b"ID3", b"\xff\xfb\x90\xc4", b"ID3\4\0\0\x7f\x7f\x7f\x7f"]),
)
def test_what_is_no_mp3_is_left_to_the_decoder(tmp_path_factory, content, head):
    path = tmp_path_factory.mktemp("any") / "a.mp3"
    path.write_bytes(head + content)
    if (counted := open_with_frame_count(path)) is not None:
        assert b"Info" in counted.read()
        counted.close()
