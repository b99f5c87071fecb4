"""Texts as token ids: canonical samples are UTF-8, so that nats a text compare across tokenizers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from gancore import Batch, Spec
from gancore.games import HostStep, Representation
from gancore_text.spelling import spelling_log_prob
from gancore_text.tokenizer import END, TokenizerName, VocabularyTokenizer, make_tokenizer


def texts_of(data: Tensor) -> list[str]:
    """The texts of canonical samples: (n, bytes) uint8, UTF-8, with zeros after the end."""
    rows = data.cpu().numpy()
    return [bytes(row).split(b"\0", 1)[0].decode("utf-8", "replace") for row in rows]


def canonical(texts: Sequence[str], max_bytes: int) -> Tensor:
    """Texts as canonical samples, (n, max_bytes); longer ones are cut between characters."""
    data = np.zeros((len(texts), max_bytes), dtype=np.uint8)
    for row, text in zip(data, texts, strict=True):
        encoded = _cut(text, max_bytes)
        row[: len(encoded)] = np.frombuffer(encoded, dtype=np.uint8)
    return torch.from_numpy(data)


def _cut(text: str, max_bytes: int) -> bytes:
    encoded = text.replace("\0", "").encode("utf-8", "replace")
    return encoded[:max_bytes].decode("utf-8", "ignore").encode()


class TokenIds(Representation):
    """(n, bytes) uint8 as (n, length) int64: the ids of the tokens, then END up to ``length``.

    ``log_det`` is log p(text | its ids): what the spellings of its unknown tokens cost, in nats
    (:mod:`gancore_text.spelling`). ``length`` counts the first END. A longer text is cut; its likelihood is
    not defined, and the data have none.
    """

    many_to_one = True

    def __init__(self, name: TokenizerName, spec: Spec) -> None:
        super().__init__()
        self.name, self.tokenizer = name, make_tokenizer(name, spec)
        self.length, self.max_bytes = spec["token_lengths"][name] + 1, spec["max_bytes"]
        self.lower_bound = not self.tokenizer.is_unique
        self.spelling: Tensor
        self.register_buffer("spelling", spec["spelling"].clone(), persistent=False)

    @property
    def vocab_size(self) -> int:
        return self.tokenizer.size

    def encode(self, batch: Batch) -> Batch:
        ids = np.full((len(batch), self.length), END, dtype=np.int64)
        for row, text in zip(ids, texts_of(batch.data), strict=True):
            tokens = self.tokenizer.encode(text)[: self.length - 1]
            row[: len(tokens)] = tokens
        return Batch(torch.from_numpy(ids).to(batch.data.device), batch.condition)

    def decode(self, outputs: Tensor) -> Tensor:
        """Ids (n, length), or rows of a simplex (n, length, vocabulary), read by their largest entry."""
        texts = [self.tokenizer.decode(before_end(row)) for row in self.decode_tensors(outputs).tolist()]
        return canonical(texts, self.max_bytes).to(outputs.device)

    def decode_tensors(self, outputs: Tensor) -> Tensor:
        """Ids (n, length)."""
        return outputs.argmax(-1) if outputs.is_floating_point() else outputs

    def host_step(self) -> HostStep:
        if not isinstance(self.tokenizer, VocabularyTokenizer):
            return HostStep(f"token ids to texts, by the tokenizer {self.name!r} of the model")
        pieces, prefix = self.tokenizer.pieces, self.tokenizer.prefix
        what = "token ids to texts: the pieces before the first end, joined"
        return HostStep(what, pieces, END, prefix, self.max_bytes)

    def log_det(self, batch: Batch) -> Tensor:
        unknown = (self.tokenizer.unknown(text) for text in texts_of(batch.data))
        table = self.spelling.cpu()
        costs = [sum(spelling_log_prob(token, table) for token in tokens) for tokens in unknown]
        return torch.tensor(costs, device=batch.data.device)


def before_end(ids: Iterable[int]) -> list[int]:
    """The ids before the first END."""
    found = []
    for number in ids:
        if number == END:
            break
        found.append(number)
    return found
