"""Texts that are drawn from a known distribution: their log-probability is exact."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from gancore.data import Split


class TextDistribution:
    """Texts of ``length`` words of ``words``, with a space between them.

    Define ``sample`` and ``log_prob`` on the numbers of the words. ``sizes``: texts of each split.
    ``parameters`` are what a spec holds, so that a metric can make the distribution again.
    """

    words: ClassVar[Sequence[str]]
    length: ClassVar[int]
    sizes: ClassVar[Mapping[Split, int]]
    parameters: Tensor

    def sample(self, n: int, seed: int) -> Tensor:
        """(n, length) int64."""
        raise TypeError(f"{type(self).__name__} must define sample(n, seed)")

    def log_prob(self, numbers: Tensor) -> Tensor:
        """log p of sequences (n, length), in nats, exact, (n)."""
        raise TypeError(f"{type(self).__name__} must define log_prob(numbers)")

    def log_prob_of_texts(self, texts: Iterable[str]) -> Tensor:
        """log p of texts, in nats, exact, (n) float64; -inf of those that are not ``length`` known words."""
        rows = [self.numbers_of(text) for text in texts]
        log_probs = torch.full((len(rows),), -torch.inf, dtype=torch.float64)
        valid = [at for at, row in enumerate(rows) if row is not None]
        if valid:
            log_probs[valid] = self.log_prob(torch.tensor([rows[at] for at in valid])).double()
        return log_probs

    def numbers_of(self, text: str) -> list[int] | None:
        """The numbers of the words of a text; None if it is not ``length`` words of ``words``."""
        numbers = [self._numbers[word] for word in text.split(" ") if word in self._numbers]
        return numbers if len(numbers) == text.count(" ") + 1 == self.length else None

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words)}

    def text_of(self, numbers: Iterable[int]) -> str:
        return " ".join(self.words[number] for number in numbers)

    def draw_texts(self, seed: int) -> list[tuple[Split, str]]:
        """The texts of all splits, drawn independently."""
        splits: list[Split] = [split for split, size in self.sizes.items() for _ in range(size)]
        rows = self.sample(len(splits), seed).tolist()
        return [(split, self.text_of(row)) for split, row in zip(splits, rows, strict=True)]
