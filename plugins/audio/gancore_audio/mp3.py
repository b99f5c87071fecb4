"""Count the frames of an MP3 file that has no info frame, and pass the count to the decoder.

libsndfile estimates the length of such a file from its first frame and reads no further, so that files are
truncated or seem so. Here the frames are counted by their headers (ISO/IEC 11172-3, 2.4.1.3; 13818-3), and
the decoder reads the file with an info frame in front, which has the count.
"""

from __future__ import annotations

import io
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_KBPS = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates of Layer III, for MPEG-1 or not, by the four bits of the header."""
_RATES_HZ = (44_100, 48_000, 32_000)
_DIVISORS = {3: 1, 2: 2, 0: 4}
"""Divisors of the rates of MPEG-1, by the version bits of the header: 1, 2, 2.5."""
_INFO_TAGS = (b"Xing", b"Info", b"VBRI")
_LARGE_BITRATE_INDEX = 9
"""Index of a bit rate whose frames have room for a tag at every sampling rate."""
_RESYNC_BYTES = 1 << 16
"""Bytes after a damaged frame in which the next one is searched."""


@dataclass(frozen=True)
class _Frame:
    offset: int
    size: int
    side: int
    """Bytes of the header and the side information, after which an info frame has its tag."""
    stream_id: int
    """The header bits that all frames of a stream share: version, layer, rate."""


def open_with_frame_count(path: Path) -> BinaryIO | None:
    """The stream of ``path`` for the decoder; None if the file itself suffices.

    Raises:
        OSError: it cannot be opened.
    """
    with path.open("rb") as file:
        begin = file.read(4)
        if begin[:3] != b"ID3" and _frame(begin, 0) is None:
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            frames = _frames(data)
            first = next(frames, None)
            if first is None or _has_info(data, first):
                return None
            count = 1 + sum(1 for _ in frames)
            head = data[first.offset : first.offset + 4]
    info = _info_frame(head, count, path.stat().st_size - first.offset)
    return io.BufferedReader(_Prepended(info, path.open("rb"), first.offset))


def _info_frame(head: bytes, count: int, size: int) -> bytes:
    """A silent frame, like ``head``, with the count of the other frames and of their bytes."""
    header = bytes(
        [head[0], head[1] | 1, _LARGE_BITRATE_INDEX << 4 | head[2] & 0x0C, head[3]]
    )  # without a checksum
    frame = _frame(header, 0)
    assert frame is not None
    words = (3, count, size + frame.size)  # both counts are present
    tag = b"Info" + b"".join(min(word, 0xFFFF_FFFF).to_bytes(4, "big") for word in words)
    return (header + bytes(frame.side - 4) + tag).ljust(frame.size, b"\0")


def _has_info(data: mmap.mmap, first: _Frame) -> bool:
    return any(tag in data[first.offset : first.offset + first.size] for tag in _INFO_TAGS)


def _frames(data: mmap.mmap) -> Iterator[_Frame]:
    """Every whole frame of the stream; damaged parts of up to ``_RESYNC_BYTES`` are skipped."""
    at, stream_id = _skip_id3(data), None
    while (frame := _next_frame(data, at, stream_id)) is not None:
        at, stream_id = frame.offset + frame.size, frame.stream_id
        if at > len(data):
            return
        yield frame


def _next_frame(data: mmap.mmap, at: int, stream_id: int | None) -> _Frame | None:
    """The frame at ``at``, or the next one that is followed by another one or ends the file."""
    frame = _frame(data[at : at + 4], at)
    if frame and stream_id is not None and frame.stream_id == stream_id:
        return frame
    stop = at + _RESYNC_BYTES
    while (at := data.find(b"\xff", at, stop)) >= 0:
        frame = _frame(data[at : at + 4], at)
        if frame and stream_id in (None, frame.stream_id):
            follows = at + frame.size
            after = _frame(data[follows : follows + 4], follows)
            if follows == len(data) or (after and after.stream_id == frame.stream_id):
                return frame
        at += 1
    return None


def _skip_id3(data: mmap.mmap) -> int:
    """The offset after the ID3v2 tags at the front."""
    at = 0
    while data[at : at + 3] == b"ID3" and at + 10 <= len(data):
        size = 0
        for byte in data[at + 6 : at + 10]:
            size = size << 7 | byte & 0x7F
        at += 10 + size + (10 if data[at + 5] & 0x10 else 0)
    return at


def _frame(head: bytes, at: int) -> _Frame | None:
    """The frame of Layer III with this header, None if it is invalid or of free bit rate."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return None
    version, bits, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version not in _DIVISORS or not 0 < bits < 15 or rate == 3:
        return None
    first, mono = version == 3, head[3] >> 6 == 3
    sample_rate_hz = _RATES_HZ[rate] // _DIVISORS[version]
    size = (144 if first else 72) * 1000 * _KBPS[first][bits] // sample_rate_hz + (head[2] >> 1 & 1)
    side = (17 if mono else 32) if first else (9 if mono else 17)
    return _Frame(at, size, 4 + side, version << 2 | rate)


class _Prepended(io.RawIOBase):
    """``front``, followed by the bytes of ``file`` from ``begin`` on."""

    def __init__(self, front: bytes, file: BinaryIO, begin: int) -> None:
        self._front, self._file, self._begin, self._at = front, file, begin, 0
        self._size = len(front) + file.seek(0, io.SEEK_END) - begin

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence])
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        room = memoryview(buffer).cast("B")
        part = self._front[self._at : self._at + len(room)]
        if not part:
            self._file.seek(self._begin + self._at - len(self._front))
            part = self._file.read(len(room))
        room[: len(part)] = part
        self._at += len(part)
        return len(part)

    def close(self) -> None:
        self._file.close()
        super().close()
