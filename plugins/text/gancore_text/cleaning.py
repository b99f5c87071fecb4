"""Texts as they are stored, and those that are left out, counted by reason."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gancore.data import Split
from gancore.errors import DataError
from gancore.text import clean_label, count_noun, escape_unprintable
from gancore_text.config import TextConfig
from gancore_text.files import file_kind
from gancore_text.sources import SourceText

COVERED_SHARE, LONGEST = 0.99, 400
"""By default texts are kept up to the length that this share of them has, at most so many characters."""
_SPACES = re.compile(r"[ \t\n\v\f\r]+")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass
class Example:
    """A text to store. ``file`` is the index of its file, ``number`` its line, row or window."""

    text: str
    file: int
    number: int
    split: Split | None = None
    label: str | None = None


@dataclass
class Tally:
    """How many texts are left out or changed, by reason, and the place of the first."""

    names: Sequence[str]
    noun: str = "line"
    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, example: Example) -> None:
        self.counts[reason] = self.counts.get(reason, 0) + 1
        self.first.setdefault(reason, place(self.names[example.file], example.number, self.noun))

    def lines(self) -> list[str]:
        return [f"{count:,} {reason} (first: {self.first[reason]})" for reason, count in self.counts.items()]


def place(file: str, number: int, noun: str = "line") -> str:
    """Where a text is: ``poems.txt, line 12``."""
    where = f"{'row' if file_kind(file) == 'table' else noun} {number:,}"
    return f"{escape_unprintable(file)}, {where}" if file else where


@dataclass
class Cleaned:
    """The texts that are kept, those left out and those changed; ``limit``: the most characters of a text."""

    examples: list[Example]
    dropped: Tally
    changed: Tally
    limit: int


def clean_lines(texts: Iterable[SourceText], config: TextConfig, names: Sequence[str], keep: bool) -> Cleaned:
    """Lines and rows, cleaned one by one. ``keep``: no text is too short or too long."""
    dropped, changed = Tally(names), Tally(names)
    examples = []
    for found in texts:
        record = found.record
        example = Example(record.text, found.file, record.number, found.split, _label(record.label))
        if record.problem:
            dropped.add(record.problem, example)
            continue
        example.text = _SPACES.sub(" ", _plain(example, changed, config)).strip(" ")
        if reason := _problem(example, config, keep):
            dropped.add(reason, example)
        else:
            examples.append(example)
    limit = config.max_characters or _covering_length([len(example.text) for example in examples])
    if keep:
        limit = max((len(example.text) for example in examples), default=0)
    for example in examples:
        if len(example.text) > limit and config.cut_long:
            changed.add(f"longer than {limit} characters, which are cut", example)
            example.text = example.text[:limit].strip(" ")
        elif len(example.text) > limit:
            dropped.add(f"longer than {limit} characters", example)
    return Cleaned([example for example in examples if len(example.text) <= limit], dropped, changed, limit)


def cut_windows(texts: Iterable[SourceText], config: TextConfig, names: Sequence[str]) -> Cleaned:
    """Running text, the pieces of each file joined, cut into windows of ``config.window`` characters.

    What is left at the end of a file is no whole window, and left out.
    """
    dropped, changed = Tally(names, "window"), Tally(names, "window")
    examples: list[Example] = []
    pieces: dict[int, list[Example]] = {}
    for found in texts:
        piece = Example(found.record.text, found.file, found.record.number, found.split)
        piece.text = _plain(piece, changed, config)
        pieces.setdefault(found.file, []).append(piece)
    for file, parts in pieces.items():
        whole = "".join(part.text for part in parts)
        count, rest = divmod(len(whole), config.window)
        for number in range(count):
            text = whole[number * config.window : (number + 1) * config.window]
            examples.append(Example(text, file, number + 1, parts[0].split))
        if rest:
            reason = "the end of a file, shorter than a window"
            dropped.add(reason, Example("", file, count + 1))
    usable = [example for example in examples if example.text.strip()]
    for example in examples:
        if not example.text.strip():
            dropped.add("blank", example)
    return Cleaned(usable, dropped, changed, config.window)


def _plain(example: Example, changed: Tally, config: TextConfig) -> str:
    """Without NUL, which ends a stored text; in lower case if configured."""
    text = example.text
    if "\0" in text:
        changed.add("with NUL characters, which are removed", example)
        text = text.replace("\0", "")
    return text.lower() if config.lowercase else text


def _problem(example: Example, config: TextConfig, keep: bool) -> str:
    if not example.text:
        return "empty"
    if _SURROGATE.search(example.text):
        return "with half of a surrogate pair"
    if len(example.text) < config.min_characters and not keep:
        return f"shorter than {config.min_characters} characters"
    return "without a label" if config.label_column and example.label is None else ""


def _label(label: str | None) -> str | None:
    return clean_label(label) or None if label is not None else None


def _covering_length(lengths: list[int]) -> int:
    if not lengths:
        return LONGEST
    return min(LONGEST, sorted(lengths)[math.ceil(COVERED_SHARE * len(lengths)) - 1])


def require_examples(cleaned: Cleaned, name: str) -> None:
    """Raises DataError, with all reasons: no text is left."""
    if not cleaned.examples:
        raise DataError(
            f"no text of {name} can be used: {', '.join(cleaned.dropped.lines()) or 'it is empty'}",
            "give other texts, or set data.min_characters and data.max_characters",
        )


MOST_LABELS = 1_000


def require_few_labels(labels: Sequence[str], column: str) -> None:
    """Raises DataError: a column of names or numbers, not of labels."""
    if len(labels) > MOST_LABELS:
        raise DataError(
            f"data.label_column {column!r} has {count_noun(len(labels), 'different label')}",
            f"name a column of at most {MOST_LABELS:,} labels",
        )
