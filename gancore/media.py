"""Files of samples by media type: what a page embeds as data URIs, and what it quotes."""

from __future__ import annotations

import base64
import mimetypes
import os
from dataclasses import dataclass
from pathlib import Path

from gancore.files import open_regular, read_regular

IMAGE = "image"
PLAYED_KINDS = frozenset({"audio", "video"})
EMBEDDED_KINDS = PLAYED_KINDS | {IMAGE}
"""First parts of media types for which HTML has an element."""
MAX_TEXT_LINES, MAX_TEXT_CHARACTERS = 60, 6000
"""The part of a text file that is quoted, in lines and in characters."""
LARGEST_BYTES = 1 << 26
"""Largest size of an embedded file, in bytes."""


@dataclass(frozen=True)
class MediaFile:
    """A file of a gallery.

    ``kind`` is text, other, or the first part of the media type (image, audio, video).
    """

    path: Path
    kind: str
    media_type: str
    text: str = ""
    truncated: bool = False

    @property
    def data_uri(self) -> str:
        content = base64.b64encode(read_regular(self.path, LARGEST_BYTES)).decode()
        return f"data:{self.media_type};base64,{content}"

    @property
    def size(self) -> int:
        """The number of characters that the file adds to the page."""
        return len(self.text) if self.kind == "text" else -(-self.path.stat().st_size // 3) * 4


def read_file(path: Path) -> MediaFile:
    """Read a file: media that browsers show are embedded, text is quoted, other files are only named."""
    media_type = mimetypes.guess_type(path.name)[0] or ""
    kind = media_type.partition("/")[0]
    if kind in EMBEDDED_KINDS:
        return MediaFile(path, kind, media_type)
    text = _text(path)
    if text is None:
        return MediaFile(path, "other", media_type)
    lines = text.splitlines()[:MAX_TEXT_LINES]
    quoted = "\n".join(lines)[:MAX_TEXT_CHARACTERS]
    return MediaFile(path, "text", "text/plain", quoted, len(quoted) < len(text.rstrip("\n")))


def _text(path: Path) -> str | None:
    """The beginning of the file; None if it is not text."""
    try:
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            head = file.read(4 * MAX_TEXT_CHARACTERS)
        if b"\0" in head:
            return None
        return head.decode("utf-8", "ignore" if len(head) == 4 * MAX_TEXT_CHARACTERS else "strict")
    except (OSError, UnicodeDecodeError):
        return None
