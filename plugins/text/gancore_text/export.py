"""Samples as files: one text file, a text a line."""

from __future__ import annotations

from pathlib import Path

from gancore import Samples
from gancore.text import escape_unprintable
from gancore_text.representation import texts_of


def write_samples(samples: Samples, folder: Path) -> list[Path]:
    """``samples.txt``: a text a line.

    Raises:
        OSError: the folder cannot be written, or is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "samples.txt"
    lines = [" ".join(text.split()) for text in texts_of(samples.data)]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return [path]


def shown(samples: Samples) -> list[str]:
    """The texts as printable lines."""
    return [escape_unprintable(text) for text in texts_of(samples.data)]
