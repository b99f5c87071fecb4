"""The commands ``gancore ...`` that a document shows: lines of its blocks, and inline code.

What a line leaves to its reader has a form: ``...`` (more words), ``<name>``, ``$name`` or CAPITALS (a word).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

FENCED = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^ *```[ ]*$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
SHELL = ("sh", "text", "console", "")
"""Kinds of blocks whose lines may be commands; others are Python or files."""
ELLIPSIS = re.compile(r"\.\.\.|…|\[.*\]")
PLACEHOLDER = re.compile(r"<[^<>]*>|\$\{?\w+\}?|[A-Z][A-Z_]*[0-9]?|hub:OWNER/NAME(@REVISION)?")
STARTERS = ("$", "srun", "nohup", "exec", "do", "-m", "&&", "||", "|", "&", ";")
"""What may stand before a command; so may an assignment, ``NAME=VALUE``."""


@dataclass(frozen=True)
class QuotedCommand:
    """A command in a document. A mention is inline code: it may leave out what the command requires."""

    place: str
    words: tuple[str, ...]
    is_mention: bool

    def __str__(self) -> str:
        return f"{self.place}: gancore {shlex.join(self.words)}"

    @property
    def is_cut(self) -> bool:
        """Whether words are left out."""
        return self.is_mention or any(ELLIPSIS.fullmatch(word) for word in self.words)


def quoted_commands(text: str, name: str) -> Iterator[QuotedCommand]:
    """All of a document. ``name``: how places begin, before the number of the line."""
    for block in FENCED.finditer(text):
        if block[2] in SHELL:
            first = text.count("\n", 0, block.start(3)) + 1
            for number, line in logical_lines(block[3], first):
                yield from commands_in(line, f"{name}:{number}", is_mention=False)
    prose = FENCED.sub(lambda block: "\n" * block[0].count("\n"), text)
    for code in INLINE.finditer(prose):
        number = prose.count("\n", 0, code.start()) + 1
        yield from commands_in(" ".join(code[1].split()), f"{name}:{number}", is_mention=True)


def logical_lines(body: str, first: int) -> Iterator[tuple[int, str]]:
    """Lines with their numbers; one that ends with a backslash and the next are one."""
    start, parts = first, list[str]()
    for number, line in enumerate(body.splitlines(), first):
        start = start if parts else number
        parts.append(line.removesuffix("\\"))
        if not line.endswith("\\"):
            yield start, " ".join(parts)
            parts = []


def commands_in(line: str, place: str, is_mention: bool) -> Iterator[QuotedCommand]:
    """The commands of a line of a shell, also those in a quoted argument of another program (ssh)."""
    try:
        words = shell_words(line)
    except ValueError:  # an apostrophe of prose or of output
        assert not re.match(r"\s*(\$ )?gancore ", line), f"{place}: a quote is not closed"
        return
    for at, word in enumerate(words):
        if word == "gancore" and len(words) > at + 1 and all(is_starter(each) for each in words[:at][-1:]):
            rest = words[at + 1 :]
            end = next((n for n, each in enumerate(rest) if re.fullmatch(r"[|&;<>()]+", each)), len(rest))
            yield QuotedCommand(place, tuple(rest[:end]), is_mention)
        elif "gancore " in word:
            yield from commands_in(word, place, is_mention)


def shell_words(line: str) -> list[str]:
    """As a shell splits it: ``|``, ``&``, ``;``, ``>`` and so on are words of their own.

    A list of words in YAML, ``[gancore, train]``, is read as the command that it is.
    """
    line = re.sub(r"\[(gancore, [^]]*)\]", lambda listed: f"; {listed[1].replace(',', ' ')}", line)
    lexer = shlex.shlex(re.sub(r"<([\w -]+)>", r"'<\1>'", line), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(lexer)


def is_starter(word: str) -> bool:
    return word in STARTERS or re.fullmatch(r"\w+=\S*", word) is not None
