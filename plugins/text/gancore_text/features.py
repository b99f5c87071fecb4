"""Feature extractors of texts: hashed n-grams."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gancore import FeatureExtractor, Spec
from gancore.data import digest_json
from gancore_text.representation import texts_of
from gancore_text.tokenizer import split_words

SIZE = 128
"""Features; so few that the covariance of 300 rows has full rank."""
ORDERS = (1, 2)
"""Words of the n-grams. Single words alone do not show their order."""
KEY = b"gancore-text"
_MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
"""Multipliers of the finaliser of splitmix64 (Steele et al. 2014)."""
_STEP = np.uint64(0x9E3779B97F4A7C15)

Hashes = npt.NDArray[np.uint64]


@lru_cache(maxsize=200_000)
def hash_token(token: str) -> int:
    """64 bits of a keyed hash: the same in every process and on every machine."""
    return int.from_bytes(hashlib.blake2b(token.encode(), digest_size=8, key=KEY).digest(), "little")


def mix(values: Hashes) -> Hashes:
    """A bijection of 64-bit numbers that changes half of the bits if one bit changes."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(_MIX[0])
    values = (values ^ (values >> np.uint64(27))) * np.uint64(_MIX[1])
    mixed: Hashes = values ^ (values >> np.uint64(31))
    return mixed


def hash_ngrams(tokens: Sequence[str], orders: Sequence[int]) -> Hashes:
    """Hashes of the n-grams of these orders."""
    single = np.array([hash_token(token) for token in tokens], dtype=np.uint64)
    found, parts = single, []
    for k in range(1, max(orders, default=0) + 1):
        if k > 1:
            found = mix(found[:-1] + _STEP * single[k - 1 :])
        if k in orders:
            parts.append(found)
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint64)


class HashedNgrams(FeatureExtractor):
    """Counts of n-grams of words, hashed into SIZE numbers with signs (Weinberger et al. 2009): (n, SIZE).

    The product of two rows is on average the number of n-grams that both texts have. Counts are neither
    weighted by rarity nor divided by their norm: planted faults are seen less then (docs/text-measures.md),
    because norms hide lengths, and rare n-grams are noise to a distance of distributions.
    """

    name = "ngrams"

    @property
    def digest(self) -> str:
        return digest_json(self.name, 1, ORDERS, SIZE, KEY.decode())

    def embed(self, samples: Tensor, spec: Spec) -> Tensor:
        rows = np.zeros((len(samples), SIZE), dtype=np.float32)
        for row, text in zip(rows, texts_of(samples), strict=True):
            hashes = mix(hash_ngrams(split_words(text), ORDERS))
            signs = np.where(hashes >> np.uint64(63), 1, -1)
            np.add.at(row, (hashes % np.uint64(SIZE)).astype(np.int64), signs)
        return torch.from_numpy(rows).to(samples.device)
