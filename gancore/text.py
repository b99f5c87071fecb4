"""Text helpers: clean labels and names from untrusted files, shorten and format messages."""

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
"""Join or part letters of some scripts and emoji; they print nothing, but change what is printed."""

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


# Escape


def escape_control(text: str) -> str:
    """Escape control characters, and those that turn the writing direction, as JSON does.

    Text of untrusted files could otherwise send commands to the terminal. Line breaks and tabs stay; JSON
    stays equal JSON.
    """
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def escape_unprintable(text: str, keep: str = JOINERS) -> str:
    """Escape every character that does not print: control characters, bytes that are not UTF-8.

    The result is one line. The characters of ``keep`` stay as they are.
    """
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def clean_label(text: object) -> str:
    """A label as gancore stores it: one line, composed (NFC), printable, at most ``MAX_LABEL_LENGTH`` long.

    Runs of white space become one space; characters that do not print (control sequences, bytes that are
    not UTF-8) become escapes. A longer label ends in eight characters of its SHA-256, so that different
    labels stay different. A second application changes nothing.
    """
    label = escape_unprintable(unicodedata.normalize("NFC", " ".join(str(text).split())))
    if len(label) <= MAX_LABEL_LENGTH:
        return label
    digest = hashlib.sha256(label.encode()).hexdigest()[:8]
    return f"{label[: MAX_LABEL_LENGTH - 9]}~{digest}"


# Shorten


def truncate(text: str, limit: int) -> str:
    """``text`` with at most ``limit`` characters; a longer one ends in three dots."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def truncate_middle(text: str, limit: int = 1000) -> str:
    """``text`` without its middle if it is longer than ``limit``: an echoed value may have any size."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]} [{len(text) - 2 * half:,} characters left out] {text[-half:]}"


def shorten(text: str, limit: int = 80, keep: str = JOINERS) -> str:
    """One printable line of at most ``limit`` characters, for example a title beside a picture."""
    return truncate(escape_unprintable(text[: 4 * limit], keep), limit)


def short_repr(value: Any, limit: int = 60) -> str:
    """``repr`` of a value for a one-line message."""
    try:
        text = escape_unprintable(repr(value), keep="")
    except (RecursionError, ValueError):  # nested too deep, or an integer too long to print
        text = f"a {type(value).__name__}"
    return truncate(text, limit)


# Format


def count_noun(count: int, noun: str) -> str:
    """``1 row``, ``1,200 rows``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def format_duration(seconds: float) -> str:
    """``48 s``, ``12 min``, ``3.2 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def format_size(count: int) -> str:
    """A number of bytes as ``1.5 MiB`` or ``2.0 GiB``."""
    return f"{count / 2**30:,.1f} GiB" if count >= 1 << 30 else f"{count / 2**20:,.1f} MiB"


def suggestion(name: str, known: Iterable[str]) -> str:
    """A fix for an unknown name: ``did you mean 'width'?`` if one of ``known`` is similar, else all."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(known)}" if known else "none is known"
