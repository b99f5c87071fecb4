"""What cannot be used is named with a reason, and its neighbours are used all the same."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from gancore.texts import printable

Refusal: TypeAlias = tuple[str, str]
"""The name of what cannot be used, and the reason."""

SHOWN = 20
"""Refusals told one by one; the rest stands in a file."""


class Refused(Exception):  # noqa: N818 - a verdict on an item, never shown to the user as an error
    """An item that cannot be used; the message is the reason."""


def some(refusals: Sequence[Refusal], most: int = 3) -> str:
    """The first few in a line, and how many more there are."""
    told = "; ".join(f"{printable(name)}: {reason}" for name, reason in refusals[:most])
    return told + (f"; and {len(refusals) - most} more" if len(refusals) > most else "")


def refusal_lines(refusals: Sequence[Refusal], folder: Path, heading: str = "") -> list[str]:
    """For a data contract: how many were skipped, and each with its reason.

    Those beyond ``SHOWN`` go into ``skipped.txt`` in ``folder``. ``heading``: instead of the bare count.
    """
    if not refusals:
        return ["skipped: none"]
    lines = [f"skipped: {heading or f'{len(refusals):,}'}"]
    lines += [f"  {printable(name)}: {reason}" for name, reason in refusals[:SHOWN]]
    if len(refusals) > SHOWN:
        path = folder / "skipped.txt"
        lines.append(f"  and {len(refusals) - SHOWN:,} more, all in {path}")
        with contextlib.suppress(OSError):  # a cache may lie where nobody can write
            path.write_text("".join(f"{printable(name)}\t{reason}\n" for name, reason in refusals))
    return lines
