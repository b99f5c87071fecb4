"""Open a source: clean, filter and split its texts, find the vocabularies of train, and summarise."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gancore.data.dataset import Batch, Data, Spec, View
from gancore.data.packed import PackedArray
from gancore.data.prepared import PreparedData, open_prepared
from gancore.data.sources import Source
from gancore.data.splits import SPLITS, Split, assign_splits
from gancore.errors import DataError
from gancore.random import Key
from gancore.text import count_noun
from gancore_text.config import TextConfig
from gancore_text.records import Record
from gancore_text.sources import TextSource, resolve_text
from gancore_text.spelling import spelling_log_probs
from gancore_text.tokenizer import TOKENIZERS, Vocabularies, make_tokenizer

_FORMAT = 1
COVERED_SHARE, LONGEST = 0.99, 400
"""By default texts are kept up to the length that this share of them has, at most so many characters."""


@dataclass(frozen=True)
class TextTable:
    """The texts by column, in the order of the packed array, and what train says of them."""

    lines: list[int] = field(default_factory=list)
    splits: list[Split] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    """How many texts are left out, by reason."""
    duplicates: int = 0
    max_characters: int = 0
    max_bytes: int = 1
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
    lines: Sequence[int]

    def __len__(self) -> int:
        return len(self.items)

    def get_batch(self, indices: Tensor, key: Key) -> Batch:
        items = self.items[indices]
        rows = self.packed.windows(items, torch.zeros_like(items), self.max_bytes, "cpu")
        return Batch(rows.clone()).to(key.device)

    def get_origins(self, indices: Tensor, key: Key) -> Sequence[str]:
        return [f"line {self.lines[row]:,}" for row in indices.tolist()]


def open_text(source: Source, config: TextConfig) -> Data:
    """Raises DataError if no text can be used."""
    texts = resolve_text(source)
    prepared = _prepare(texts, source, config)
    table, packed = prepared.metadata, prepared.packed
    rows = {split: [i for i, own in enumerate(table.splits) if own == split] for split in SPLITS}
    views = {
        split: TextView(packed, torch.tensor(r), table.max_bytes, [table.lines[i] for i in r])
        for split, r in rows.items()
    }
    return Data(
        **views,
        spec=_spec(source, table),
        summary=_summary(source, table, rows),
        fingerprint=prepared.folder.name,
    )


def _prepare(texts: TextSource, source: Source, config: TextConfig) -> PreparedData[TextTable]:
    def build(folder: Path) -> TextTable:
        return _build(folder, texts.records(), source.name, config)

    key = [_FORMAT, texts.content_hash, config.model_dump(mode="json", exclude={"source"})]
    return open_prepared("text", key, TextTable, build, source.announce)


def _build(folder: Path, records: Iterable[Record], name: str, config: TextConfig) -> TextTable:
    found, dropped = _clean(records, config)
    limit = config.max_characters or _covering_length([len(text) for _, text in found])
    kept = [(line, text) for line, text in found if len(text) <= limit]
    dropped[f"longer than {limit} characters"] = len(found) - len(kept)
    if not kept:
        raise DataError(
            f"no text of {name} can be used: {_reasons(dropped) or 'it is empty'}",
            "give other texts, or set data.min_characters and data.max_characters",
        )
    lines, all_texts = [line for line, _ in kept], [text for _, text in kept]
    identities = [hashlib.sha256(text.encode()).hexdigest()[:32] for text in all_texts]
    shares = (1 - config.valid_fraction - config.test_fraction, config.valid_fraction, config.test_fraction)
    splits = assign_splits(identities, shares)
    with PackedArray.create(folder, "uint8") as writer:
        for text in all_texts:
            writer.append(np.frombuffer(text.encode(), dtype=np.uint8))
    train = [text for text, split in zip(all_texts, splits, strict=True) if split == "train"]
    vocabularies = Vocabularies(train, config.min_count, config.max_words, config.bpe_size)
    table = TextTable(
        lines,
        splits,
        {reason: count for reason, count in dropped.items() if count},
        len(all_texts) - len(set(identities)),
        limit,
        max(len(text.encode()) for text in all_texts),
        vocabularies.words,
        vocabularies.characters,
        vocabularies.rare_words,
        vocabularies.bpe,
    )
    table.token_lengths.update(_token_lengths(all_texts, table))
    return table


def _token_lengths(texts: Sequence[str], table: TextTable) -> dict[str, int]:
    spec = Spec({"words": table.words, "characters": table.characters, "bpe": table.bpe})
    tokenizers = {name: make_tokenizer(name, spec) for name in TOKENIZERS}
    return {name: max(len(t.encode(text)) for text in texts) for name, t in tokenizers.items()}


def _clean(records: Iterable[Record], config: TextConfig) -> tuple[list[tuple[int, str]], Counter[str]]:
    dropped: Counter[str] = Counter()
    found = []
    for record in records:
        text = " ".join(record.text.split())
        text = text.lower() if config.lowercase else text
        if not text:
            dropped["empty"] += 1
        elif "\0" in text:
            dropped["with a NUL character"] += 1
        elif len(text) < config.min_characters:
            dropped[f"shorter than {config.min_characters} characters"] += 1
        else:
            found.append((record.number, text))
    return found, dropped


def _covering_length(lengths: list[int]) -> int:
    if not lengths:
        return LONGEST
    return min(LONGEST, sorted(lengths)[int(np.ceil(COVERED_SHARE * len(lengths))) - 1])


def _spec(source: Source, table: TextTable) -> Spec:
    facts: dict[str, Any] = {
        "source": source.name,
        "licence": source.entry.licence if source.entry else "",
        "max_bytes": table.max_bytes,
        "words": table.words,
        "characters": table.characters,
        "bpe": table.bpe,
        "token_lengths": table.token_lengths,
    }
    return Spec(facts, {"spelling": spelling_log_probs(table.rare_words)})


def _summary(source: Source, table: TextTable, rows: dict[Split, list[int]]) -> list[str]:
    lengths = table.token_lengths
    licence = f", licence {source.entry.licence}" if source.entry else ""
    dropped = _reasons(Counter(table.dropped))
    return [
        f"data: {source.name}, {count_noun(len(table.lines), 'text')}{licence}",
        f"length: at most {table.max_characters} characters; "
        f"{lengths['word']} words, {lengths['bpe']} byte pairs",
        f"vocabulary: {len(table.words):,} words, {len(table.characters)} characters",
        f"splits: {', '.join(f'{len(r):,} {split}' for split, r in rows.items())}",
        f"repeated: {count_noun(table.duplicates, 'text')}, equal ones in one split",
        f"skipped: {dropped or 'none'}",
    ]


def _reasons(dropped: Counter[str]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in dropped.items() if count)
