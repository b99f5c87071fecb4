"""Text from foreign files - labels, names - made fit for JSON, file names, drawings and terminals."""

from __future__ import annotations

import hashlib
import unicodedata

LONGEST_LABEL = 100
_JOINERS = "\u200c\u200d"
"""Join or part letters of some scripts and emoji; they print nothing, but change what is printed."""


def label_text(text: object) -> str:
    """A label as gancore keeps it: one line, composed (NFC), printable, at most ``LONGEST_LABEL`` characters.

    Runs of white space become one space; what does not print (control sequences, bytes that are not UTF-8)
    becomes an escape. A longer label ends in eight characters of its SHA-256, so that labels which
    differ keep differing. Applied again, nothing changes.
    """
    label = printable(unicodedata.normalize("NFC", " ".join(str(text).split())))
    if len(label) <= LONGEST_LABEL:
        return label
    digest = hashlib.sha256(label.encode()).hexdigest()[:8]
    return f"{label[: LONGEST_LABEL - 9]}~{digest}"


def printable(name: str) -> str:
    """A name as it may be printed: bytes that are no text, and control characters, are escaped."""
    return "".join(c if c.isprintable() or c in _JOINERS else _escaped(c) for c in name)


def shortened(text: str, limit: int = 80) -> str:
    """One printable line of at most ``limit`` characters, to stand beside a picture."""
    line = printable(text[: 4 * limit])
    return line if len(line) <= limit else f"{line[: limit - 3]}..."


def counted(count: int, noun: str) -> str:
    """``1 row``, ``1,200 rows``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
