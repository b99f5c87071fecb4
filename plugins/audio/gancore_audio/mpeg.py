"""MP3 files without an info frame: how many frames they hold, counted, and told to the decoder.

libsndfile estimates the length of such a file from its first frame and reads no further, so that files are
cut or seem truncated. Here the frames are counted by their headers (ISO/IEC 11172-3, 2.4.1.3; 13818-3), and
the decoder gets the file with an info frame in front, which holds the count.
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
"""Of MPEG-1 or not, Layer III, by the header's four bits."""
_RATES_HZ = (44_100, 48_000, 32_000)
_DIVISORS = {3: 1, 2: 2, 0: 4}
"""Of the rates of MPEG-1, by the header's bits of the version: 1, 2, 2.5."""
_INFO_TAGS = (b"Xing", b"Info", b"VBRI")
_ROOMY = 9
"""Bits of a bit rate whose frames have room for a tag at every sampling rate."""
_LOST_BYTES = 1 << 16
"""So far the next frame is looked for where one is damaged."""


@dataclass(frozen=True)
class _Frame:
    at: int
    size: int
    side: int
    """Bytes of the header and the side information, behind which an info frame has its tag."""
    kind: int
    """What all frames of a stream share of their headers: version, layer, rate."""


def open_counted(path: Path) -> BinaryIO | None:
    """``path`` as the decoder should see it; None where the file itself will do.

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
            head = data[first.at : first.at + 4]
    info = _info_frame(head, count, path.stat().st_size - first.at)
    return io.BufferedReader(_Behind(info, path.open("rb"), first.at))


def _info_frame(head: bytes, count: int, size: int) -> bytes:
    """A frame without sound, of the kind of ``head``, with the count of the others and of their bytes."""
    roomy = bytes([head[0], head[1] | 1, _ROOMY << 4 | head[2] & 0x0C, head[3]])  # without a checksum
    frame = _frame(roomy, 0)
    assert frame is not None
    words = (3, count, size + frame.size)  # both counts are given
    tag = b"Info" + b"".join(min(word, 0xFFFF_FFFF).to_bytes(4, "big") for word in words)
    return (roomy + bytes(frame.side - 4) + tag).ljust(frame.size, b"\0")


def _has_info(data: mmap.mmap, first: _Frame) -> bool:
    return any(tag in data[first.at : first.at + first.size] for tag in _INFO_TAGS)


def _frames(data: mmap.mmap) -> Iterator[_Frame]:
    """Every whole frame of the first one's kind; damaged stretches of up to ``_LOST_BYTES`` are left out."""
    at, kind = _behind_tags(data), None
    while (frame := _next_frame(data, at, kind)) is not None:
        at, kind = frame.at + frame.size, frame.kind
        if at > len(data):
            return
        yield frame


def _next_frame(data: mmap.mmap, at: int, kind: int | None) -> _Frame | None:
    """The frame at ``at``, or the nearest one behind it that another one follows, or that ends the file."""
    frame = _frame(data[at : at + 4], at)
    if frame and kind is not None and frame.kind == kind:
        return frame
    stop = at + _LOST_BYTES
    while (at := data.find(b"\xff", at, stop)) >= 0:
        frame = _frame(data[at : at + 4], at)
        if frame and kind in (None, frame.kind):
            follows = at + frame.size
            after = _frame(data[follows : follows + 4], follows)
            if follows == len(data) or (after and after.kind == frame.kind):
                return frame
        at += 1
    return None


def _behind_tags(data: mmap.mmap) -> int:
    """Where the ID3v2 tags at the front end."""
    at = 0
    while data[at : at + 3] == b"ID3" and at + 10 <= len(data):
        size = 0
        for byte in data[at + 6 : at + 10]:
            size = size << 7 | byte & 0x7F
        at += 10 + size + (10 if data[at + 5] & 0x10 else 0)
    return at


def _frame(head: bytes, at: int) -> _Frame | None:
    """The frame of Layer III with this header, None where it is none, or of free bit rate."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return None
    version, bits, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version not in _DIVISORS or not 0 < bits < 15 or rate == 3:
        return None
    first, mono = version == 3, head[3] >> 6 == 3
    rate_hz = _RATES_HZ[rate] // _DIVISORS[version]
    size = (144 if first else 72) * 1000 * _KBPS[first][bits] // rate_hz + (head[2] >> 1 & 1)
    side = (17 if mono else 32) if first else (9 if mono else 17)
    return _Frame(at, size, 4 + side, version << 2 | rate)


class _Behind(io.RawIOBase):
    """``front``, and behind it the bytes of ``file`` from ``begin`` on."""

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
