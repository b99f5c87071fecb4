"""Recordings on disk: which files there are, what their headers say, and their samples as one channel.

A file that cannot be used is :class:`Refused` with a reason; its neighbours are read all the same.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gancore.data.refusal import Refused
from gancore_audio.mpeg import open_counted

if TYPE_CHECKING:
    import soundfile

SUFFIXES = frozenset(
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
LONGEST_SECONDS = 36_000.0
MOST_CHANNELS = 16
RATES_HZ = range(100, 1_000_001)
BLOCK_FRAMES = 1 << 16

Block = NDArray[np.float32]

# What libsndfile notes of a chunk that promises more bytes than the file has.
_CUT_CHUNK = re.compile(r"^\s*(?:data|SSND)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)
_CUT_STREAM = "without an End-Of-Stream"
_LENGTH_UNKNOWN = 0x7FFF_0000  # programs that write to a pipe promise this much or more


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording as its header describes it."""

    rate_hz: int
    channels: int
    frames: int

    @property
    def seconds(self) -> float:
        return self.frames / self.rate_hz


def is_recording(name: str) -> bool:
    """Whether a file is audio by its suffix."""
    return os.path.splitext(name)[1].lower() in SUFFIXES


def inspect(path: Path) -> Clip:
    """What the header says.

    Raises:
        Refused: not a file, empty, cut short, not audio, without samples, too many channels, too long.
    """
    import soundfile

    _check_file(path)
    try:
        with _opened(path) as file:
            clip = Clip(file.samplerate, file.channels, file.frames)
            notes = file.extra_info
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise Refused(f"it is not audio that can be read ({_plain(error)})") from None
    _check_whole(clip, notes)
    _check_usable(clip)
    return clip


@contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    import soundfile

    with contextlib.closing(open_counted(path) or io.BytesIO()) as counted:
        whole = os.fsencode(path) if isinstance(counted, io.BytesIO) else counted
        with _silent():
            file = soundfile.SoundFile(whole)
        with file:
            yield file


@contextmanager
def _silent() -> Iterator[None]:
    """Nothing reaches stderr meanwhile: libmpg123 writes there what is odd in a file, past Python."""
    try:
        kept = os.dup(2)
    except OSError:  # stderr is closed
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _check_file(path: Path) -> None:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise Refused("it is not a file")
        if not status.st_size:
            raise Refused("it is empty (0 bytes)")
        path.open("rb").close()
    except OSError as error:
        raise Refused(f"it cannot be opened ({error.strerror})") from None


def _check_whole(clip: Clip, notes: str) -> None:
    for promised, there in _CUT_CHUNK.findall(notes):
        if int(there) < int(promised) < _LENGTH_UNKNOWN:
            raise Refused(f"it is truncated: {int(there):,} of {int(promised):,} bytes of samples")
    if _CUT_STREAM in notes and clip.frames <= 0:
        raise Refused("it is truncated: its end is missing")


def _check_usable(clip: Clip) -> None:
    if clip.frames <= 0:
        raise Refused("it has no samples (0 frames)")
    if clip.channels > MOST_CHANNELS:
        raise Refused(f"it has {clip.channels} channels, more than {MOST_CHANNELS}")
    if clip.rate_hz not in RATES_HZ:
        raise Refused(f"its sampling rate is {clip.rate_hz:,} Hz")
    if clip.seconds > LONGEST_SECONDS:
        raise Refused(f"it is {clip.seconds / 3600:,.1f} hours long, more than {LONGEST_SECONDS / 3600:g}")


def read_blocks(path: Path, clip: Clip, rate_hz: int) -> Iterator[Block]:
    """The samples of ``path`` as float32 blocks (time), mixed to one channel by their mean, at ``rate_hz``.

    Memory does not grow with the length of the recording.

    Raises:
        Refused: it cannot be decoded, ends early, or holds NaN or infinity.
    """
    import soundfile

    resample = _resampler(clip.rate_hz, rate_hz)
    left = clip.frames
    try:
        with _opened(path) as file:
            while left:
                with _silent():
                    block = file.read(min(BLOCK_FRAMES, left), dtype="float32", always_2d=True)
                left -= len(block)
                if not len(block):
                    raise Refused(f"it is truncated: {clip.frames - left:,} of {clip.frames:,} frames")
                yield resample(_mix(block), not left)
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        raise Refused(
            f"it is damaged or truncated: {clip.frames - left:,} of {clip.frames:,} frames can be read"
            f" ({_plain(error)})"
        ) from None


def _mix(block: NDArray[np.float32]) -> Block:
    with np.errstate(over="ignore", invalid="ignore"):
        mono = block.mean(axis=1, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise Refused("it holds samples that are NaN or infinite")
    return mono


def _resampler(from_hz: int, to_hz: int) -> Callable[[Block, bool], Block]:
    if from_hz == to_hz:
        return lambda block, last: block
    import soxr

    stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality="HQ")
    return lambda block, last: np.asarray(stream.resample_chunk(block, last=last), dtype=np.float32)


def _plain(error: Exception) -> str:
    """libsndfile's own words, without the path that soundfile puts before them."""
    return str(getattr(error, "error_string", error)).strip().rstrip(".")
