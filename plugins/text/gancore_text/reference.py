"""English sentences from Python's own language reference, which every Python brings along."""

from __future__ import annotations

import re

MIN_WORDS, MAX_WORDS = 4, 40
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'*(])")
_STRONG, _EMPHASIS = re.compile(r"\*\*([^*]+)\*\*"), re.compile(r"(?<![\w*])\*([^*\s][^*]*)\*(?![\w*])")
_FOOTNOTE, _NOTE = re.compile(r" ?\[\d+\]"), re.compile(r"^(Note|Tip|Warning|See also): ")
_VERSION = re.compile(r"^(Changed|Added|New|Deprecated|Removed) (in|since) version|^Changed in ")
_ABBREVIATION = re.compile(r"\b(e\.g|i\.e|etc|vs|cf)\.$")
_LETTERS = re.compile(r"[^A-Za-z]+")
_PLAIN = re.compile(r"[A-Za-z0-9 ,.;:!?'\"()/+-]+")
_CODE = re.compile(r"\"[^\"]*[^\w.() -][^\"]*\"|--|\.\.\.|::|\+ |;.*;")


def reference_sentences() -> list[str]:
    """Distinct sentences of Python's language reference: prose, without code, marks and headings.

    They depend on the version of Python.
    """
    from pydoc_data.topics import topics

    sentences = (
        _without_marks(sentence)
        for name in sorted(topics)
        for paragraph in re.split(r"\n\s*\n", topics[name])
        if _is_prose(paragraph)
        for sentence in _SENTENCE_END.split(" ".join(paragraph.split()))
    )
    return list(dict.fromkeys(filter(_is_sentence, sentences)))


def _is_prose(paragraph: str) -> bool:
    lines = paragraph.splitlines()
    indented = sum(line.startswith(("    ", ">>>", "   >>>")) for line in lines)
    symbols = sum(paragraph.count(mark) for mark in ("::=", "==", "--", "|", "+-", ">>>"))
    return indented == 0 and symbols == 0 and " " in paragraph


def _without_marks(sentence: str) -> str:
    for curly, straight in (("\u2018", "'"), ("\u2019", "'"), ("\u201c", '"'), ("\u201d", '"')):
        sentence = sentence.replace(curly, straight)
    sentence = _EMPHASIS.sub(r"\1", _STRONG.sub(r"\1", sentence)).removeprefix("* ")
    return _NOTE.sub("", _FOOTNOTE.sub("", sentence)).strip()


def _is_sentence(text: str) -> bool:
    """It begins with a capital, ends with a full stop, is of words, and leaves nothing open."""
    words = text.split()
    letters = len(_LETTERS.sub("", text))
    return (
        MIN_WORDS <= len(words) <= MAX_WORDS
        and text[0].isupper()
        and text.endswith((".", "!", "?"))
        and _PLAIN.fullmatch(text) is not None
        and not _CODE.search(text)
        and not _VERSION.match(text)
        and not _ABBREVIATION.search(text)
        and text.count('"') % 2 == 0
        and text.count("(") == text.count(")")
        and letters >= 0.7 * len(text)
    )
