"""Open a source: clean, filter and split its texts, find the vocabularies of train, and summarise."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gancore import Batch, Data, Source, Spec, View
from gancore.data import (
    SPLITS,
    Labels,
    PackedArray,
    PreparedData,
    Split,
    class_fields,
    class_indices,
    open_prepared,
    other_suffix_lines,
    skipped_lines,
)
from gancore.random import Key
from gancore.text import count_noun
from gancore_text.cleaning import (
    COVERED_SHARE,
    Example,
    clean_lines,
    cut_windows,
    place,
    require_examples,
    require_few_labels,
)
from gancore_text.config import TextConfig
from gancore_text.diagnosis import agreement
from gancore_text.local_tokenizer import check_tokenizer, read_tokenizer
from gancore_text.sources import TextSource, resolve_text
from gancore_text.spelling import spelling_log_probs
from gancore_text.splitting import count_shared, divide, leave_out_shared
from gancore_text.tokenizer import TOKENIZERS, LocalTokenizer, TokenizerName, Vocabularies, make_tokenizer

_FORMAT = 3
MOST_COMPARED = 20_000
"""Texts of train whose pairs of words are counted."""


@dataclass(frozen=True)
class TextTable:
    """The texts by column, in the order of the packed array, and what train says of them."""

    files: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    """Line, row or window of each text, from 1."""
    labels: list[str | None] = field(default_factory=list)
    splits: list[Split] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    duplicates: int = 0
    shared: dict[str, int] = field(default_factory=dict)
    """How many texts of valid and of test are also in train: of a known distribution only."""
    max_characters: int = 0
    max_bytes: int = 1
    usual_bytes: int = 0
    agreement: float = 0.0
    words: list[str] = field(default_factory=list)
    characters: list[str] = field(default_factory=list)
    rare_words: dict[str, int] = field(default_factory=dict)
    bpe: str = ""
    token_lengths: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class TextView(View):
    """Texts as canonical samples: (batch, bytes) uint8, UTF-8, with zeros after the end."""

    packed: PackedArray
    items: Tensor
    max_bytes: int
    places: Sequence[str]
    labels: Tensor | None

    def __len__(self) -> int:
        return len(self.items)

    def get_batch(self, indices: Tensor, key: Key) -> Batch:
        items = self.items[indices]
        rows = self.packed.windows(items, torch.zeros_like(items), self.max_bytes, "cpu")
        return Batch(rows.clone(), self.get_conditions(indices)).to(key.device)

    def get_conditions(self, indices: Tensor) -> Tensor | None:
        return None if self.labels is None else self.labels[indices]

    def get_origins(self, indices: Tensor, key: Key) -> Sequence[str]:
        return [self.places[row] for row in indices.tolist()]


def open_text(source: Source, config: TextConfig) -> Data:
    """Raises DataError if no text can be used."""
    texts = resolve_text(source, config)
    tokenizer = read_tokenizer(config.tokenizer) if config.tokenizer else ""
    prepared = _prepare(texts, source, config, tokenizer)
    table = prepared.metadata
    classes = sorted({label for label in table.labels if label is not None})
    train, valid, test = (_view(split, prepared, texts, classes) for split in SPLITS)
    facts = class_fields(classes, train.labels)
    return Data(
        train,
        valid,
        test,
        spec=_spec(source, table, texts, tokenizer, facts),
        summary=_summary(source, texts, prepared, classes, config),
        fingerprint=prepared.folder.name,
    )


def _view(
    split: Split, prepared: PreparedData[TextTable], texts: TextSource, classes: Sequence[str]
) -> TextView:
    table = prepared.metadata
    rows = [row for row, own in enumerate(table.splits) if own == split]
    noun = "window" if texts.windows else "line"
    places = [place(texts.file_names[table.files[row]], table.numbers[row], noun) for row in rows]
    labels = class_indices([table.labels[row] for row in rows], classes)
    return TextView(prepared.packed, torch.tensor(rows), table.max_bytes, places, labels)


def _prepare(
    texts: TextSource, source: Source, config: TextConfig, tokenizer: str
) -> PreparedData[TextTable]:
    def build(folder: Path) -> TextTable:
        return _build(folder, texts, source.name, config, tokenizer)

    settings = config.model_dump(mode="json", exclude={"source", "tokenizer", "seed", "unit"})
    digest = hashlib.sha256(tokenizer.encode()).hexdigest()
    key = [_FORMAT, texts.content_hash, texts.windows, settings, digest]
    return open_prepared("text", key, TextTable, build, source.announce)


def _build(folder: Path, texts: TextSource, name: str, config: TextConfig, tokenizer: str) -> TextTable:
    cleaned = (
        cut_windows(texts.texts(), config, texts.file_names)
        if texts.windows
        else clean_lines(texts.texts(), config, texts.file_names, texts.drawn)
    )
    require_examples(cleaned, name)
    splits = divide(cleaned.examples, config, texts.windows)
    pairs = list(zip(cleaned.examples, splits, strict=True))
    if not texts.drawn:
        pairs = leave_out_shared(cleaned.examples, splits, cleaned.dropped)
    examples = [example for example, _ in pairs]
    if config.label_column:
        require_few_labels(sorted({e.label or "" for e in examples}), config.label_column)
    encoded = [example.text.encode() for example in examples]
    with PackedArray.create(folder, "uint8") as writer:
        for content in encoded:
            writer.append(np.frombuffer(content, dtype=np.uint8))
    train = [example.text for example, split in pairs if split == "train"]
    table = _table(pairs, train, texts, config)
    changed = cleaned.changed.lines()
    if tokenizer:
        changed += _check_local(config, tokenizer, examples)
    table.dropped.extend(cleaned.dropped.lines())
    table.changed.extend(changed)
    table.token_lengths.update(_token_lengths([e.text for e in examples], table, tokenizer))
    return table


def _table(
    pairs: Sequence[tuple[Example, Split]], train: Sequence[str], texts: TextSource, config: TextConfig
) -> TextTable:
    examples = [example for example, _ in pairs]
    sizes = sorted(len(text.encode()) for text in train)
    vocabularies = Vocabularies(train, config.min_count, config.max_words, config.bpe_size, texts.words)
    return TextTable(
        files=[example.file for example in examples],
        numbers=[example.number for example in examples],
        labels=[example.label for example in examples],
        splits=[split for _, split in pairs],
        duplicates=len(examples) - len({example.text for example in examples}),
        shared=count_shared(pairs) if texts.drawn else {},
        max_characters=max(len(example.text) for example in examples),
        max_bytes=max(len(example.text.encode()) for example in examples),
        usual_bytes=sizes[int(COVERED_SHARE * (len(sizes) - 1))],
        agreement=agreement(train[:MOST_COMPARED]),
        words=vocabularies.words,
        characters=vocabularies.characters,
        rare_words=vocabularies.rare_words,
        bpe=vocabularies.bpe,
    )


def _check_local(config: TextConfig, tokenizer: str, examples: Sequence[Example]) -> list[str]:
    found = LocalTokenizer(tokenizer)
    count = check_tokenizer(config.tokenizer or "", found, [example.text for example in examples])
    return [f"{count:,} unknown to data.tokenizer as a whole"] if count else []


def _token_lengths(texts: Sequence[str], table: TextTable, tokenizer: str) -> dict[str, int]:
    spec = Spec(
        {"words": table.words, "characters": table.characters, "bpe": table.bpe, "tokenizer": tokenizer}
    )
    names: list[TokenizerName] = [name for name in TOKENIZERS if name != "local" or tokenizer]
    tokenizers = {name: make_tokenizer(name, spec) for name in names}
    return {name: max(len(t.encode(text)) for text in texts) for name, t in tokenizers.items()}


def _spec(
    source: Source, table: TextTable, texts: TextSource, tokenizer: str, classes: Mapping[str, Any]
) -> Spec:
    facts: dict[str, Any] = {
        "source": source.name,
        "licence": source.entry.licence if source.entry else "",
        "max_bytes": table.max_bytes,
        "usual_bytes": table.usual_bytes,
        "agreement": table.agreement,
        "words": table.words,
        "characters": table.characters,
        "bpe": table.bpe,
        "tokenizer": tokenizer,
        "token_lengths": table.token_lengths,
        **classes,
    }
    return Spec(facts, {"spelling": spelling_log_probs(table.rare_words), **texts.tensors})


def _summary(
    source: Source,
    texts: TextSource,
    prepared: PreparedData[TextTable],
    classes: Sequence[str],
    config: TextConfig,
) -> list[str]:
    table = prepared.metadata
    lengths = table.token_lengths
    licence = f", licence {source.entry.licence}" if source.entry else ""
    noun = "window" if texts.windows else "text"
    of = f" of {count_noun(len(texts.file_names), 'file')}" if len(texts.file_names) > 1 else ""
    local = f", {lengths['local']} tokens of data.tokenizer" if "local" in lengths else ""
    labels = Labels(table.labels, f"column {config.label_column!r}")
    splits = ", ".join(f"{table.splits.count(split):,} {split}" for split in SPLITS)
    return [
        f"data: {source.name}, {count_noun(len(table.splits), noun)}{of}{licence}",
        f"length: at most {table.max_characters} characters; "
        f"{lengths['word']} words, {lengths['bpe']} byte pairs{local}",
        f"vocabulary: {len(table.words):,} words, {len(table.characters)} characters",
        labels.summary_line(classes),
        f"splits: {splits}{' (by position)' if texts.windows else ''}",
        _repeated_line(table, texts),
        *(f"changed: {line}" for line in table.changed),
        f"left out: {', '.join(table.dropped) or 'none'}",
        *other_suffix_lines(texts.other_suffixes),
        *(skipped_lines(texts.skipped, prepared.folder) if texts.skipped else []),
    ]


def _repeated_line(table: TextTable, texts: TextSource) -> str:
    line = f"repeated: {count_noun(table.duplicates, 'text')}"
    if texts.drawn:
        return (
            f"{line}; {table.shared['valid']} of valid and {table.shared['test']} of test are also in train"
        )
    return f"{line}, equal ones in one split"
