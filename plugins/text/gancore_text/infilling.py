"""Texts with gaps: prompts, generators that fill gaps and keep what is given, and their sampler."""

from __future__ import annotations

import re

import numpy as np
import torch
from torch import Tensor, nn

from gancore import Batch, Spec
from gancore.data import Tree
from gancore.errors import ConfigError
from gancore.games import ModelSampler
from gancore.nn import Recurrent, SequenceGenerator, until_end
from gancore.random import Key, noise
from gancore.text import short_repr
from gancore_text.representation import TokenIds, canonical
from gancore_text.tokenizer import END

GAP = re.compile("_{3,}")
GAP_BYTE = 0xFF
"""A gap in a partial canonical sample: a byte that UTF-8 does not have."""
FORBIDDEN = -1e4
"""Logit of the end in a gap that given tokens follow; finite, as 0 log 0 of an infinite one is no number."""
UNCONDITIONAL, SPAN = 0.25, 0.5
"""Shares of the training texts that are all gap, and that have one span of gaps; others have single ones."""
GAP_SHARE = 0.3
"""Of the tokens of a text with single gaps; of a span at most twice as many."""


def parse_prompt(prompt: str, spec: Spec) -> Tensor:
    """``"a man ___ on a ___"`` as a partial canonical sample, (1, bytes) uint8.

    Three or more underscores are a gap, which one token fills. Spaces in a row become one.

    Raises:
        ConfigError: the prompt has no gap, cannot be written as UTF-8, or is longer than the model's texts.
    """
    pieces = [piece.encode("utf-8", "replace") for piece in GAP.split(" ".join(prompt.split()))]
    if len(pieces) == 1 or "\0" in prompt:
        raise ConfigError(
            f"the prompt {short_repr(prompt)} has no gap" if len(pieces) == 1 else "the prompt has a NUL",
            "write three underscores for each missing token: 'a man ___ on a ___'",
        )
    joined = bytes([GAP_BYTE]).join(pieces)
    if len(joined) > spec["max_bytes"]:
        raise ConfigError(
            f"the prompt has {len(joined)} bytes, the model's texts at most {spec['max_bytes']}",
            "give a shorter one",
        )
    return torch.from_numpy(np.frombuffer(joined, dtype=np.uint8).copy())[None]


class GappedTokens(TokenIds):
    """Token ids whose condition is the same ids with gaps, ``vocab_size`` where a token is missing.

    Of the texts of a batch a share UNCONDITIONAL is all gap, its ends included, so that the generator is a
    language model too; a share SPAN has one span (Fedus et al. 2018), the rest single gaps. In
    evaluation all is gap.
    """

    def encode(self, batch: Batch) -> Batch:
        ids: Tensor = super().encode(batch).data
        if not self.training:
            return Batch(ids, torch.full_like(ids, self.vocab_size))
        numbers = noise(len(ids), ids.device).uniform(len(ids), self.length + 3)
        return Batch(ids, torch.where(draw_gaps(ids, numbers), self.vocab_size, ids))


def draw_gaps(ids: Tensor, numbers: Tensor) -> Tensor:
    """Where gaps are, of the shape of ``ids``; ``numbers`` (rows, length + 3) are uniform in [0, 1)."""
    kind, begin, size, single = numbers[:, :1], numbers[:, 1:2], numbers[:, 2:3], numbers[:, 3:]
    inside = ids != END
    count = inside.sum(1, keepdim=True)
    longest = (2 * GAP_SHARE * count).ceil()
    span = 1 + (size * longest).floor()
    start = (begin * (count - span + 1).clamp_min(1)).floor()
    at = torch.arange(ids.shape[1], device=ids.device)
    spans = (at >= start) & (at < start + span)
    least = torch.where(inside, single, 2.0).argmin(1, keepdim=True)
    singles = (single < GAP_SHARE) | (at == least)
    partly: Tensor = torch.where(kind < UNCONDITIONAL + SPAN, spans, singles) & inside
    return partly | (kind < UNCONDITIONAL)


class ContextTrunk(nn.Module):
    """A recurrent network that also reads, at each position, what both sides of a text with gaps give there.

    A :class:`gancore.nn.sequences.SteppingTrunk` whose condition is a context (rows, length) of ids with
    gaps, read by a bidirectional LSTM. Its last output is 1 where a text may not end: tokens that are given
    follow.
    """

    def __init__(self, vocab_size: int, embedding_dim: int, width: int, layers: int = 1) -> None:
        super().__init__()
        self.gap, self.in_features, self.out_features = vocab_size, embedding_dim, width + 1
        self.embedding = nn.Embedding(vocab_size + 1, embedding_dim)
        half = max(1, width // 2)
        self.encoder = nn.LSTM(embedding_dim, half, batch_first=True, bidirectional=True)
        self.project = nn.Linear(2 * half, embedding_dim)
        self.decoder = Recurrent(embedding_dim, width, layers, cell="lstm")

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        encoded, may_not_end = self.read(condition)
        outputs = self.decoder(x + encoded)
        return torch.cat([outputs, may_not_end[..., None].to(outputs.dtype)], -1)

    def read(self, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """What each position of a context gives, (rows, length, in_features); where no text may end."""
        assert context is not None  # InfillingGenerator and InfillingGame give one
        encoded: Tensor = self.project(self.encoder(self.embedding(context))[0])
        given = (context != self.gap).int()
        return encoded, given.flip(1).cumsum(1).flip(1) > given

    def initial(self, rows: int, condition: Tensor | None = None) -> tuple[Tensor, ...]:
        encoded, may_not_end = self.read(condition)
        position = torch.zeros(rows, dtype=torch.int64, device=encoded.device)
        return (*self.decoder.initial(rows), encoded, may_not_end, position)

    def step(self, state: tuple[Tensor, ...], x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        *inner, encoded, may_not_end, position = state
        rows = torch.arange(len(x), device=x.device)
        outputs, after = self.decoder.step(tuple(inner), x + encoded[rows, position])
        flags = may_not_end[rows, position, None].to(outputs.dtype)
        return torch.cat([outputs, flags], 1), (*after, encoded, may_not_end, position + 1)


class InfillingGenerator(SequenceGenerator):
    """p(x | context) = prod over gaps of p(x_t | x_<t, context); given tokens are kept with certainty.

    Without a context all is gap, and ``log_prob`` is log p(x). In a gap that given tokens follow, a text does
    not end.
    """

    def __init__(self, trunk: ContextTrunk, vocab_size: int, length: int) -> None:
        super().__init__(trunk, vocab_size, length, end=END, condition=nn.Identity())
        self.gap = trunk.gap

    def head(self, features: Tensor) -> Tensor:
        logits = super().head(features)
        logits[..., END] = logits[..., END] + FORBIDDEN * features[..., -1]
        return logits

    def initial(
        self, rows: int, condition: Tensor | None = None, latents: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        context = self._all_gap(rows) if condition is None else condition
        return (*super().initial(rows, context, latents), context)

    def step(self, state: tuple[Tensor, ...], tokens: Tensor | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        *inner, context = state
        position = inner[-1]
        logits, after = super().step(tuple(inner), tokens)
        given = context.gather(1, position[:, None])
        others = (given != self.gap) & (torch.arange(self.vocab_size, device=given.device) != given)
        return logits.masked_fill(others, -torch.inf), (*after, context)

    def features(
        self, tokens: Tensor, condition: Tensor | None = None, latents: Tensor | None = None
    ) -> Tensor:
        context = self._all_gap(len(tokens)) if condition is None else condition
        return super().features(tokens, context, latents)

    def mask(self, tokens: Tensor, condition: Tensor | None = None) -> Tensor:
        chosen = until_end(tokens, END)
        return chosen if condition is None else chosen & (condition == self.gap)

    def _all_gap(self, rows: int) -> Tensor:
        return torch.full((rows, self.length), self.gap, device=self.bias.device)


class InfillSampler(ModelSampler):
    """Texts, and texts that keep the pieces of a prompt."""

    def __init__(self, model: nn.Module, representation: GappedTokens) -> None:
        super().__init__(model, representation, conditional=False)
        self.tokens = representation
        self.capabilities |= {"infill"}

    def infill(self, partial: Tree, n: int, key: Key, temperature: float = 1.0) -> Tree:
        pieces = [piece.decode() for piece in bytes(partial[0].tolist()).split(bytes([GAP_BYTE]))]
        context = self.context(pieces)
        ids = self.model.sample(n, key, context.expand(n, -1).to(key.device), temperature)
        gaps = (context[0] == self.tokens.vocab_size).nonzero()[:, 0].tolist()
        texts = [self._joined(pieces, [row[at] for at in gaps]) for row in ids.tolist()]
        widest = max(len(self._filler(token).encode()) for token in range(self.tokens.vocab_size))
        return canonical(texts, partial.shape[1] + len(gaps) * widest).to(ids.device)

    def context(self, pieces: list[str]) -> Tensor:
        """Ids with gaps between the pieces, then ends, (1, length).

        Raises:
            ConfigError: a word is joined to a gap, or the tokens are more than the model's texts have.
        """
        ids: list[int] = []
        for number, piece in enumerate(pieces):
            ids += [self.tokens.vocab_size] * (number > 0) + self._encode(piece, number > 0)
        if len(ids) >= self.tokens.length:
            raise ConfigError(
                f"the prompt has {len(ids)} tokens, the model's texts at most {self.tokens.length - 1}",
                "give a shorter one",
            )
        ids += [END] * (self.tokens.length - len(ids))
        return torch.tensor([ids])

    def _encode(self, piece: str, after_gap: bool) -> list[int]:
        """The tokens of a piece. A word takes the space before it along, and a gap is a word."""
        tokenizer = self.tokens.tokenizer
        if self.tokens.name != "word":
            return tokenizer.encode(piece)
        if not piece.strip():
            return []
        if not after_gap or piece[0] == " ":
            return tokenizer.encode(piece.strip())
        if piece[0].isalnum():
            raise ConfigError(
                f"{short_repr(piece.split()[0])} follows a gap without a space",
                "a gap is a word: put spaces around it",
            )
        return tokenizer.encode("a" + piece)[1:]

    def _filler(self, token: int) -> str:
        """What stands in a gap; the spaces around it are those of the prompt."""
        return self.tokens.tokenizer.decode([token])

    def _joined(self, pieces: list[str], fillers: list[int]) -> str:
        rest = [self._filler(token) + piece for token, piece in zip(fillers, pieces[1:], strict=True)]
        return "".join([pieces[0], *rest])
