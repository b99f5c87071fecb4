"""Recordings in files: which there are, what their headers say, and their samples as one channel.

A file that cannot be used is :class:`SkipItem` with a reason; the other files are read all the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gancore.data import (
    Announce,
    InspectedFile,
    ItemFiles,
    SkipItem,
    SkippedItem,
    first_skipped,
    other_suffix_lines,
)
from gancore.errors import DataError
from gancore_audio.ffmpeg import DEMUXERS, decodable_suffixes, decoded, missing_decoder_lines
from gancore_audio.mp3 import open_with_frame_count

if TYPE_CHECKING:
    import soundfile

LIBSNDFILE_SUFFIXES = frozenset(
    {
        ".wav",
        ".flac",
        ".ogg",
        ".oga",
        ".mp3",
        ".aif",
        ".aiff",
        ".aifc",
        ".opus",
        ".caf",
        ".au",
        ".w64",
        ".rf64",
    }
)
MAX_SECONDS = 36_000.0
MAX_CHANNELS = 16
RATES_HZ = range(100, 1_000_001)
BLOCK_FRAMES = 1 << 16

AudioBlock = NDArray[np.float32]

# libsndfile's note on a chunk whose header declares more bytes than the file has.
_CUT_CHUNK = re.compile(r"^\s*(?:data|SSND)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)
_CUT_STREAM = "without an End-Of-Stream"
_LENGTH_UNKNOWN = 0x7FFF_0000  # programs that write to a pipe declare this much or more


@dataclass(frozen=True, slots=True)
class AudioHeader:
    """A recording as its header describes it."""

    sample_rate_hz: int
    channels: int
    frames: int

    @property
    def seconds(self) -> float:
        return self.frames / self.sample_rate_hz


def readable_suffixes() -> frozenset[str]:
    """The suffixes of audio that can be read here; some need the program ffmpeg."""
    return LIBSNDFILE_SUFFIXES | decodable_suffixes()


def read_header(path: Path) -> AudioHeader:
    """The header of a recording.

    Raises:
        SkipItem: not a file, empty, truncated, not audio, without samples, too many channels, too long.
    """
    import soundfile

    _check_file(path)
    try:
        with _open(path) as file:
            clip = AudioHeader(file.samplerate, file.channels, file.frames)
            notes = file.extra_info
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise SkipItem(f"it is not readable audio ({_message(error)})") from None
    _check_not_truncated(clip, notes)
    _check_limits(clip)
    return clip


@contextmanager
def _open(path: Path) -> Iterator[soundfile.SoundFile]:
    import soundfile

    if path.suffix.lower() in DEMUXERS:
        with decoded(path, MAX_SECONDS + 1) as wav, soundfile.SoundFile(wav) as file:
            yield file
        return
    with contextlib.closing(open_with_frame_count(path) or io.BytesIO()) as counted:
        stream = os.fsencode(path) if isinstance(counted, io.BytesIO) else counted
        with _silence_stderr():
            file = soundfile.SoundFile(stream)
        with file:
            yield file


@contextmanager
def _silence_stderr() -> Iterator[None]:
    """Silence stderr: libmpg123 writes its warnings there, bypassing Python."""
    try:
        stderr = os.dup(2)
    except OSError:  # stderr is closed
        yield
        return
    try:
        with open(os.devnull, "wb") as devnull:
            os.dup2(devnull.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def _check_file(path: Path) -> None:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise SkipItem("it is not a file")
        if not status.st_size:
            raise SkipItem("it is empty (0 bytes)")
        path.open("rb").close()
    except OSError as error:
        raise SkipItem(f"it cannot be opened ({error.strerror})") from None


def _check_not_truncated(clip: AudioHeader, notes: str) -> None:
    for declared, actual in _CUT_CHUNK.findall(notes):
        if int(actual) < int(declared) < _LENGTH_UNKNOWN:
            raise SkipItem(f"it is truncated: {int(actual):,} of {int(declared):,} bytes of samples")
    if _CUT_STREAM in notes and clip.frames <= 0:
        raise SkipItem("it is truncated: its end is missing")


def _check_limits(clip: AudioHeader) -> None:
    if clip.frames <= 0:
        raise SkipItem("it has no samples (0 frames)")
    if clip.channels > MAX_CHANNELS:
        raise SkipItem(f"it has {clip.channels} channels, more than {MAX_CHANNELS}")
    if clip.sample_rate_hz not in RATES_HZ:
        raise SkipItem(f"its sampling rate is {clip.sample_rate_hz:,} Hz")
    if clip.seconds > MAX_SECONDS:
        raise SkipItem(f"it is {clip.seconds / 3600:,.1f} hours long, more than {MAX_SECONDS / 3600:g}")


def read_blocks(path: Path, clip: AudioHeader, sample_rate_hz: int) -> Iterator[AudioBlock]:
    """The samples of ``path`` as float32 blocks (time), mixed to one channel by their mean, at
    ``sample_rate_hz``.

    Memory does not grow with the length of the recording.

    Raises:
        SkipItem: it cannot be decoded, ends early, or has NaN or infinity.
    """
    import soundfile

    resample = _resampler(clip.sample_rate_hz, sample_rate_hz)
    left = clip.frames
    try:
        with _open(path) as file:
            while left:
                with _silence_stderr():
                    block = file.read(min(BLOCK_FRAMES, left), dtype="float32", always_2d=True)
                left -= len(block)
                if not len(block):
                    raise SkipItem(f"it is truncated: {clip.frames - left:,} of {clip.frames:,} frames")
                yield resample(_to_mono(block), not left)
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        raise SkipItem(
            f"it is damaged or truncated: {clip.frames - left:,} of {clip.frames:,} frames can be read"
            f" ({_message(error)})"
        ) from None


def _to_mono(block: NDArray[np.float32]) -> AudioBlock:
    with np.errstate(over="ignore", invalid="ignore"):
        mono: AudioBlock = block.mean(axis=1, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise SkipItem("it has samples that are NaN or infinite")
    return mono


def _resampler(from_hz: int, to_hz: int) -> Callable[[AudioBlock, bool], AudioBlock]:
    if from_hz == to_hz:
        return lambda block, last: block
    import soxr

    stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality="HQ")
    return lambda block, last: np.asarray(stream.resample_chunk(block, last=last), dtype=np.float32)


def _message(error: Exception) -> str:
    """libsndfile's message, without the path that soundfile prepends."""
    return str(getattr(error, "error_string", error)).strip().rstrip(".")


@dataclass(frozen=True)
class AudioInventory:
    """The recordings of ``files``."""

    files: ItemFiles
    found: Sequence[InspectedFile[AudioHeader]]
    skipped: Sequence[SkippedItem]

    @property
    def most_common_rate_hz(self) -> int:
        """The most common sampling rate; of equally common ones the highest."""
        counts = Counter(found.header.sample_rate_hz for found in self.found)
        return max(counts, key=lambda sample_rate_hz: (counts[sample_rate_hz], sample_rate_hz))


def find_recordings(files: ItemFiles, announce: Announce) -> AudioInventory:
    """Every recording of ``files``.

    Raises:
        DataError: there is none, or none can be used.
    """

    def read(name: str) -> tuple[AudioHeader, str]:
        with files.as_path(name) as path:
            clip = read_header(path)
            with path.open("rb") as file:
                return clip, hashlib.file_digest(file, "sha256").hexdigest()[:32]

    if not files.names:
        lines = [
            *other_suffix_lines(files.other_suffixes),
            *missing_decoder_lines(files.other_suffixes),
            *(f"{name}: {reason}" for name, reason in files.refused[:3]),
        ]
        raise DataError(
            f"no audio in {files.location}" + (f" ({'; '.join(lines)})" if lines else ""),
            f"give files that end in {', '.join(sorted(readable_suffixes()))}, or shards (.tar, .parquet)",
        )
    inspected = files.inspect("audio", AudioHeader, read, announce)
    skipped = [*files.refused, *inspected.skipped]
    if not inspected.found:
        raise DataError(
            f"none of the {len(files.names)} audio files in {files.location} can be used: "
            f"{first_skipped(skipped)}",
            f"give recordings that other programs can play, as {', '.join(sorted(readable_suffixes()))}",
        )
    return AudioInventory(files, inspected.found, skipped)
