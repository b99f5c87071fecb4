"""Names of files by patterns: braces and wildcards, and which names are URLs. Imports nothing heavy."""

from __future__ import annotations

import itertools
import os
import re

from gancore.errors import DataError
from gancore.text import escape_unprintable

MAX_FILES = 100_000
"""The largest number of files that a pattern may name."""
LOCAL_SCHEMES = ("file://", "local://")
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_WILDCARDS = re.compile(r"[*?\[]")


def has_wildcards(text: str) -> bool:
    return bool(_WILDCARDS.search(text))


def is_url(given: str) -> bool:
    return "://" in given


def is_remote(given: str) -> bool:
    """Whether the files are not on this machine."""
    return is_url(given) and not given.startswith((*LOCAL_SCHEMES, "memory://"))


def is_pattern(given: str) -> bool:
    """Whether the text has braces or wildcards, and is not the path of a file."""
    has_marks = _BRACES.search(given) is not None or has_wildcards(given)
    return has_marks and not os.path.exists(os.path.expanduser(given))


def expand_braces(pattern: str) -> list[str]:
    """All texts that the braces of a pattern stand for: ``{000..299}`` and ``{a,b}``, as in a shell.

    Raises:
        DataError: they are more than MAX_FILES.
    """
    parts, begin, count = [], 0, 1
    for found in _BRACES.finditer(pattern):
        choices = _choices(found[1], pattern)
        count *= len(choices)
        parts += [[pattern[begin : found.start()]], choices]
        begin = found.end()
        if count > MAX_FILES:
            raise too_many(pattern)
    return ["".join(words) for words in itertools.product(*parts, [pattern[begin:]])]


def _choices(inside: str, pattern: str) -> list[str]:
    if numbers := _RANGE.fullmatch(inside):
        first, last = int(numbers[1]), int(numbers[2])
        if abs(last - first) >= MAX_FILES:
            raise too_many(pattern)
        padded = any(text.startswith("0") and len(text) > 1 for text in numbers.groups())
        width = max(map(len, numbers.groups())) if padded else 0
        step = 1 if last >= first else -1
        return [f"{number:0{width}d}" for number in range(first, last + step, step)]
    return inside.split(",") if "," in inside else [f"{{{inside}}}"]


def too_many(pattern: str) -> DataError:
    return DataError(f"{escape_unprintable(pattern)} names more than {MAX_FILES:,} files", "name fewer")
