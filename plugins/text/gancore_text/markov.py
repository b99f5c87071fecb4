"""A Markov chain of words: texts of a known distribution, with exact entropy and divergence."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gancore_text.distribution import TextDistribution

WORDS = tuple(consonant + vowel for consonant in "bdfgklmnpr" for vowel in "aeo")
LENGTH = 12
CONCENTRATION, SMALLEST = 0.1, 1e-9
"""Of the Dirichlet distribution that each row is drawn from: about five words follow a word. No probability
is below SMALLEST, so that divergences are finite."""


class MarkovChain(TextDistribution):
    """p(x) = p(x_1) prod_t p(x_t | x_(t-1)) over texts of LENGTH of WORDS.

    ``parameters``: (1 + words, words) float64; the distribution of x_1, then a row for each word before.
    """

    words = WORDS
    length = LENGTH
    sizes = {"train": 8_000, "valid": 1_000, "test": 1_000}

    def __init__(self, parameters: Tensor) -> None:
        self.parameters = parameters
        self.initial, self.transition = parameters[0], parameters[1:]

    @classmethod
    def draw(cls, seed: int) -> MarkovChain:
        """The chain of a seed: every row is drawn from a symmetric Dirichlet distribution."""
        rows = np.random.default_rng(seed).dirichlet([CONCENTRATION] * len(WORDS), len(WORDS) + 1)
        positive = torch.from_numpy(rows.clip(SMALLEST))
        return cls(positive / positive.sum(1, keepdim=True))

    def sample(self, n: int, seed: int) -> Tensor:
        """(n, LENGTH) int64."""
        generator = torch.Generator().manual_seed(seed)
        state = torch.multinomial(self.initial, n, replacement=True, generator=generator)
        states = [state]
        for _ in range(LENGTH - 1):
            state = torch.multinomial(self.transition[state], 1, generator=generator)[:, 0]
            states.append(state)
        return torch.stack(states, 1)

    def log_prob(self, numbers: Tensor) -> Tensor:
        """(n) float64."""
        steps: Tensor = self.transition[numbers[:, :-1], numbers[:, 1:]]
        log_probs: Tensor = self.initial[numbers[:, 0]].log() + steps.log().sum(1)
        return log_probs

    def entropy(self) -> float:
        """Of a text, in nats, exact."""
        return self._expected(-torch.special.xlogy(self.initial, self.initial).sum(), self._row_entropies())

    def kl_divergence(self, other: MarkovChain) -> float:
        """KL(self || other) of the distributions of texts, in nats, exact."""
        first = _divergence(self.initial, other.initial)
        return self._expected(first, _divergence(self.transition, other.transition))

    def _row_entropies(self) -> Tensor:
        entropies: Tensor = -torch.special.xlogy(self.transition, self.transition).sum(1)
        return entropies

    def _expected(self, first: Tensor, rows: Tensor) -> float:
        """``first`` plus the expectation of ``rows[x_t]`` over t = 1 ... LENGTH - 1."""
        total, occupied = first.clone(), self.initial
        for _ in range(LENGTH - 1):
            total += occupied @ rows
            occupied = occupied @ self.transition
        return float(total)


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    """Kullback-Leibler divergence along the last axis."""
    divergence: Tensor = (torch.special.xlogy(p, p) - torch.special.xlogy(p, q)).sum(-1)
    return divergence
