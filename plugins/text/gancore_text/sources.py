"""The sources of text: named data sets, files and folders, and texts that are built in or drawn."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from gancore import Source, SourceEntry
from gancore.data import (
    DataFile,
    FolderListing,
    SkippedItem,
    Split,
    source_files,
    splits_of_files,
)
from gancore.errors import DataError
from gancore.text import count_noun, escape_unprintable
from gancore_text.config import TextConfig
from gancore_text.distribution import TextDistribution
from gancore_text.files import SUFFIXES, TextFiles, TextHeader, find_texts, inspect_files
from gancore_text.records import Columns, Record, read_records, read_running_text

_TEXYGEN = "https://raw.githubusercontent.com/geek-ai/Texygen/master/data"
_COCO = {
    f"{_TEXYGEN}/image_coco.txt": "2c0fd1f0f43aac6a9dc3926a535516ccf395de535e15ac1fd17cd569420736f5",
    f"{_TEXYGEN}/testdata/test_coco.txt": "72e25c9fb4d2cd43182ac602c92f6ffc377762147f9709572943b0b09174bcae",
}
_COCO_LICENCE, _COCO_HOME = "CC-BY-4.0 (captions)", "https://github.com/geek-ai/Texygen"
SOURCES: Mapping[str, SourceEntry] = {
    entry.name: entry
    for entry in (
        SourceEntry("python_reference", "English sentences from Python's language reference", "PSF-2.0"),
        SourceEntry("markov", "words of a Markov chain, whose entropy is known", "CC0-1.0"),
        SourceEntry(
            "image_coco",
            "10,000 captions of COCO images, as in Texygen; all splits are cut from its train file",
            _COCO_LICENCE,
            _COCO,
            1.1,
            _COCO_HOME,
        ),
        SourceEntry(
            "image_coco_test",
            "the 10,000 captions of Texygen's test file, which have another distribution than its train file",
            _COCO_LICENCE,
            _COCO,
            1.1,
            _COCO_HOME,
            folder="image_coco",
        ),
        SourceEntry(
            "emnlp2017_news",
            "10,000 + 10,000 sentences of WMT news; the test file of Texygen, and a part of the train file",
            "none stated",
            homepage="https://github.com/pclucas14/GansFallingShort (data/news/valid.txt as train_10k.txt) "
            "and https://github.com/geek-ai/Texygen (test_emnlp.txt)",
        ),
        SourceEntry(
            "tiny_shakespeare",
            "a million characters of Shakespeare's plays, in windows",
            "public domain",
            {
                "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt": (
                    "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
                )
            },
            1.1,
            "https://github.com/karpathy/char-rnn",
        ),
        SourceEntry(
            "oracle",
            "sequences of SeqGAN's oracle, a fixed LSTM of 5,000 words whose log-probability is known",
            "none stated",
            homepage="https://github.com/LantaoYu/SeqGAN (target_params.npz in a folder seqgan_oracle)",
            folder="seqgan_oracle",
        ),
    )
}


@dataclass(frozen=True)
class Layout:
    """The files of a named set, each with its official split, and whether they are running text."""

    files: Mapping[str, Split | None]
    windows: bool = False


LAYOUTS: Mapping[str, Layout] = {
    "image_coco": Layout({"image_coco.txt": None}),
    "image_coco_test": Layout({"test_coco.txt": None}),
    "emnlp2017_news": Layout({"train_10k.txt": None, "test_emnlp.txt": "test"}),
    "tiny_shakespeare": Layout({"input.txt": None}, windows=True),
}


@dataclass(frozen=True, slots=True)
class SourceText:
    """A text of a source with the index of its file and, if it has one, its official split."""

    record: Record
    file: int = 0
    split: Split | None = None


@dataclass(frozen=True)
class TextSource:
    """Texts to prepare: a hash of their content, how to read them, and what is known of them.

    ``texts()`` gives lines or rows; of running text (``windows``) pieces that are joined to one text a file.
    ``drawn``: texts of a known distribution, which are all kept. ``words``: its words; ``tensors``: its
    parameters, for the spec.
    """

    content_hash: str
    texts: Callable[[], Iterator[SourceText]]
    file_names: Sequence[str] = ("",)
    skipped: Sequence[SkippedItem] = ()
    other_suffixes: Counter[str] = field(default_factory=Counter)
    windows: bool = False
    drawn: bool = False
    words: Sequence[str] = ()
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


def resolve_text(source: Source, config: TextConfig) -> TextSource:
    """The texts of ``source``.

    Raises:
        DataError: there is no text that can be read.
    """
    if source.name == "markov" and source.is_built_in:
        from gancore_text.markov import MarkovChain

        return _drawn_source(source.name, "", MarkovChain.draw(config.seed), config)
    if source.is_built_in:
        return _reference_source()
    if source.path is not None and source.entry and source.name == "oracle":
        return _oracle_source(source.path / "target_params.npz", config)
    return _file_source(source, config)


def _reference_source() -> TextSource:
    from gancore_text.reference import reference_sentences

    sentences = reference_sentences()
    digest = hashlib.sha256("\n".join(sentences).encode()).hexdigest()
    return TextSource(
        digest, lambda: (SourceText(Record(number, text)) for number, text in enumerate(sentences, start=1))
    )


def _oracle_source(path: Path, config: TextConfig) -> TextSource:
    from gancore_text.oracle import Oracle

    oracle = Oracle.load(path)
    digest = hashlib.sha256(oracle.parameters.numpy().tobytes()).hexdigest()
    return _drawn_source("oracle", digest, oracle, config)


def _drawn_source(name: str, digest: str, distribution: TextDistribution, config: TextConfig) -> TextSource:
    def texts() -> Iterator[SourceText]:
        drawn = distribution.draw_texts(config.seed)
        return (
            SourceText(Record(number, text), 0, split) for number, (split, text) in enumerate(drawn, start=1)
        )

    return TextSource(
        f"{name} {digest} {config.seed}",
        texts,
        drawn=True,
        words=distribution.words,
        tensors={name: distribution.parameters},
    )


def _file_source(source: Source, config: TextConfig) -> TextSource:
    layout = LAYOUTS[source.name] if source.entry and source.path else Layout({})
    windows = config.unit == "window" or (config.unit == "auto" and layout.windows)
    files = _found_files(source, layout)
    names = [found.name for found in files.found]
    if missing := sorted(set(layout.files) - set(names)):
        where = escape_unprintable(str(source.path))
        raise DataError(f"{where} lacks {', '.join(missing)}", f"get {source.name} again")
    named = splits_of_files(names)
    splits = [
        layout.files.get(file.name, file.split or own) for file, own in zip(files.files, named, strict=True)
    ]
    content = [(found.name, found.content_hash) for found in files.found]
    return TextSource(
        hashlib.sha256(json.dumps(content).encode()).hexdigest(),
        lambda: _read_files(source, files, splits, Columns(config.column, config.label_column), windows),
        names,
        files.skipped,
        files.other_suffixes,
        windows,
    )


def _found_files(source: Source, layout: Layout) -> TextFiles:
    """The files of a path, of a pattern or URL, or of a data set of the hub."""
    if source.path is None:
        files = source_files(source, tuple(SUFFIXES - {".gz"}))
        location = source.location or source.name
        return inspect_files(files, location, FolderListing([], []), source.announce)
    if source.entry and not source.path.is_dir():
        raise DataError(
            f"{escape_unprintable(str(source.path))} is not a folder", "give the folder of the set"
        )
    return find_texts(source.path, source.announce, list(layout.files) or None)


def _read_files(
    source: Source, files: TextFiles, splits: Sequence[Split | None], columns: Columns, windows: bool
) -> Iterator[SourceText]:
    source.announce(f"Preparing {source.name}, {count_noun(len(files.found), 'file')}, once")
    for number, (file, found, split) in enumerate(zip(files.files, files.found, splits, strict=True)):
        for record in _records(file, found.header, columns, windows):
            yield SourceText(record, number, split)


def _records(file: DataFile, header: TextHeader, columns: Columns, windows: bool) -> Iterator[Record]:
    if not windows:
        return read_records(file, header, columns)
    return (Record(number, piece) for number, piece in enumerate(read_running_text(file, header), start=1))
