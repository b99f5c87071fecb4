"""The sources of text: named data sets with their files, one file, or English from Python's own reference."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from gancore.data.sources import Source
from gancore.entries import SourceEntry
from gancore.errors import DataError
from gancore_text.records import Record, read_lines

PYTHON_REFERENCE = SourceEntry(
    "python_reference", "English sentences from Python's language reference", "PSF-2.0"
)
IMAGE_COCO = SourceEntry(
    "image_coco",
    "10,000 captions of COCO images, as in Texygen; all splits are cut from its train file",
    "CC-BY-4.0 (captions)",
    homepage="https://github.com/geek-ai/Texygen",
)
SOURCES: Mapping[str, SourceEntry] = {entry.name: entry for entry in (PYTHON_REFERENCE, IMAGE_COCO)}
FILES: Mapping[str, str] = {"image_coco": "image_coco.txt"}
"""The file of a named set, in its folder."""


@dataclass(frozen=True)
class TextSource:
    """Texts to prepare: a hash of their content, and how to read them."""

    content_hash: str
    records: Callable[[], Iterator[Record]]


def resolve_text(source: Source) -> TextSource:
    """The texts of ``source``.

    Raises:
        DataError: there is no text that can be read.
    """
    if source.path is None:
        sentences = reference_sentences()
        digest = hashlib.sha256("\n".join(sentences).encode()).hexdigest()
        return TextSource(digest, lambda: (Record(i, s) for i, s in enumerate(sentences, start=1)))
    path = source.path / FILES[source.name] if source.entry else source.path
    if not path.is_file():
        raise DataError(f"{path} is not a file", "give a text file, one text a line")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return TextSource(digest, lambda: read_lines(path))


SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


def reference_sentences() -> list[str]:
    """The sentences of Python's language reference: paragraphs of prose, without code, tables and headings."""
    from pydoc_data.topics import topics

    return [
        sentence
        for name in sorted(topics)
        for paragraph in re.split(r"\n\s*\n", topics[name])
        if _is_prose(paragraph)
        for sentence in SENTENCE_END.split(" ".join(paragraph.split()))
        if sentence.endswith((".", "!", "?"))
    ]


def _is_prose(paragraph: str) -> bool:
    lines = paragraph.splitlines()
    indented = sum(line.startswith(("    ", ">>>")) for line in lines)
    symbols = sum(paragraph.count(mark) for mark in ("::=", "==", "--", "|", "+-"))
    return indented == 0 and symbols == 0 and " " in paragraph
