"""Functions for text: clean labels and names of untrusted files, shorten and format messages."""

from __future__ import annotations

import difflib
import hashlib
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

__all__ = [
    "clean_label",
    "count_noun",
    "escape_control",
    "escape_unprintable",
    "format_duration",
    "format_size",
    "short_repr",
    "shorten",
    "suggestion",
    "truncate",
    "truncate_middle",
]

MAX_LABEL_LENGTH = 100
JOINERS = "\u200c\u200d"
"""Characters that join or separate letters of some scripts and emoji, and are not visible themselves."""

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


# Escape


def escape_control(text: str) -> str:
    """Escape control characters and characters that change the writing direction, as JSON does.

    Text of untrusted files could otherwise send commands to the terminal. Line breaks and tabs are kept. JSON
    text keeps its value.
    """
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def escape_unprintable(text: str, keep: str = JOINERS) -> str:
    """Escape every character that is not printable: control characters, bytes that are not UTF-8.

    The output is one line. Characters in ``keep`` are kept.
    """
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def clean_label(text: object) -> str:
    """The stored form of a label: a printable line in Unicode NFC, at most ``MAX_LABEL_LENGTH`` characters.

    White space becomes one space; characters that are not printable are escaped. A longer label ends in eight
    characters of its SHA-256, so that different labels stay different. The function is idempotent.
    """
    label = escape_unprintable(unicodedata.normalize("NFC", " ".join(str(text).split())))
    if len(label) <= MAX_LABEL_LENGTH:
        return label
    digest = hashlib.sha256(label.encode()).hexdigest()[:8]
    return f"{label[: MAX_LABEL_LENGTH - 9]}~{digest}"


# Shorten


def truncate(text: str, limit: int) -> str:
    """Shorten ``text`` to at most ``limit`` characters; a shortened text ends in three dots."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def truncate_middle(text: str, limit: int = 1000) -> str:
    """Remove the middle of ``text`` if it is longer than ``limit``, for values of any size in messages."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]} [{len(text) - 2 * half:,} characters left out] {text[-half:]}"


def shorten(text: str, limit: int = 80, keep: str = JOINERS) -> str:
    """One printable line of at most ``limit`` characters, for titles."""
    return truncate(escape_unprintable(text[: 4 * limit], keep), limit)


def short_repr(value: Any, limit: int = 60) -> str:
    """``repr`` of a value, shortened for a message of one line."""
    try:
        text = escape_unprintable(repr(value), keep="")
    except (RecursionError, ValueError):  # nested too deeply, or an integer that is too long to print
        text = f"a {type(value).__name__}"
    return truncate(text, limit)


# Format


def count_noun(count: int, noun: str) -> str:
    """A number with a noun: ``1 row``, ``1,200 rows``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def format_duration(seconds: float) -> str:
    """A time as text: ``48 s``, ``12 min``, ``3.2 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def format_size(count: int) -> str:
    """A number of bytes as ``1.5 MiB`` or ``2.0 GiB``."""
    return f"{count / 2**30:,.1f} GiB" if count >= 1 << 30 else f"{count / 2**20:,.1f} MiB"


def suggestion(name: str, known: Iterable[str]) -> str:
    """A fix for an unknown name: ``did you mean 'width'?`` if a name is similar, otherwise all names."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(known)}" if known else "none is known"
