"""Interpolated Kneser-Ney smoothing: a language model of n-grams that is counted, not trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from gancore import View
from gancore.nn import sample_categorical, until_end
from gancore.random import Key
from gancore_text.tokenizer import END

NONE = -1
"""Node of an n-gram that was not seen."""
FEW_DISCOUNTS = (0.5, 1.0, 1.5)
"""Discounts of n-grams that occur once, twice and more often, where counts of counts give none."""
_ROWS = 4096

Discounts = tuple[float, float, float]


class KneserNey(nn.Module):
    """p(w | h) = (a(hw) - D(a(hw))) / sum_v a(hv) + gamma(h) p(w | h without its first token).

    Chen and Goodman 1999, modified and interpolated. h is what precedes w: at most ``order`` - 1 tokens,
    beginning with a start token. For n-grams of ``order`` tokens, and those at the start, a is the count; for
    others the number of different tokens that precede the n-gram (Kneser and Ney 1995). Below the single
    tokens lies the uniform distribution over ``vocab_size`` tokens, so that every token has a probability.

    Sequences are (rows, length) ids below ``vocab_size``: they end with the first END, and only END follows.

    N-grams that were seen are nodes of a tree: node 0 is the empty one, node 1 + i is ``keys[i]``, which is
    (node of all tokens but the last) * (vocab_size + 1) + (last token). Keys are sorted. ``alpha``: the first
    term of a node, as the last token of its n-gram; ``gamma``: of a node, as what precedes a token.
    """

    data_shaped = ("keys", "alpha", "gamma")
    one_step = True

    def __init__(self, order: int, vocab_size: int, length: int) -> None:
        super().__init__()
        self.order, self.vocab_size, self.length = order, vocab_size, length
        self.keys: Tensor
        self.alpha: Tensor
        self.gamma: Tensor
        self.register_buffer("keys", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("alpha", torch.zeros(0, dtype=torch.float64))
        self.register_buffer("gamma", torch.ones(1, dtype=torch.float64))

    def fit(self, views: Mapping[str, View], key: Key) -> bool:
        """Count the encoded texts of all views."""
        parts = [
            view.get_batch(torch.arange(start, min(start + _ROWS, len(view))), key).data
            for view in views.values()
            for start in range(0, len(view), _ROWS)
        ]
        self.fit_tokens(torch.cat(parts))
        return True

    def fit_tokens(self, tokens: Tensor, discounts: Sequence[Discounts] | None = None) -> None:
        """Count sequences (rows, length). ``discounts``: of each order from 1; None: estimated."""
        base, device = self.vocab_size + 1, tokens.device
        starts = torch.full_like(tokens[:, :1], self.vocab_size)
        stream = torch.cat([starts, tokens], 1)
        kept = torch.cat([torch.ones_like(starts, dtype=torch.bool), until_end(tokens, END)], 1)
        nodes = torch.zeros_like(stream)
        keys: list[Tensor] = []
        counts: list[Tensor] = []
        adjusted: list[Tensor] = []
        first_node = 1
        for order in range(1, self.order + 1):
            longer = nodes if order == 1 else torch.cat([torch.full_like(starts, NONE), nodes[:, :-1]], 1)
            at = (longer != NONE) & kept
            found, inverse, count = torch.unique(
                longer[at] * base + stream[at], return_inverse=True, return_counts=True
            )
            if order > 1:  # what an n-gram is without its first token
                shorter = torch.empty_like(found)
                shorter[inverse] = nodes[at] - (first_node - len(counts[-1]))
                adjusted.append(_continuations(shorter, counts[-1]))
            nodes = torch.full_like(nodes, NONE)
            nodes[at] = first_node + inverse
            first_node += len(found)
            keys.append(found)
            counts.append(count)
        adjusted.append(counts[-1])
        self.keys = torch.cat(keys)
        alpha, gamma = torch.zeros(0).double(), torch.ones(1).double()
        self.alpha, self.gamma = alpha.to(device), gamma.to(device).repeat(len(self.keys) + 1)
        self._smooth(keys, adjusted, discounts)

    def _smooth(
        self, keys: Sequence[Tensor], adjusted: Sequence[Tensor], discounts: Sequence[Discounts] | None
    ) -> None:
        alphas = []
        for number, (key, counts) in enumerate(zip(keys, adjusted, strict=True)):
            parent, last = key // (self.vocab_size + 1), key % (self.vocab_size + 1)
            counts = torch.where(last == self.vocab_size, 0, counts).double()  # no token is a start
            given = estimate_discounts(counts) if discounts is None else discounts[number]
            discount = torch.tensor([0.0, *given], dtype=torch.float64, device=counts.device)
            removed = discount[counts.clamp(max=3).long()].minimum(counts)
            totals = torch.zeros_like(self.gamma).index_add_(0, parent, counts)
            freed = torch.zeros_like(self.gamma).index_add_(0, parent, removed)
            alphas.append((counts - removed) / totals[parent].clamp_min(1))
            self.gamma = torch.where(totals > 0, freed / totals.clamp_min(1), self.gamma)
        self.alpha = torch.cat(alphas)

    def log_prob(self, tokens: Tensor) -> Tensor:
        """Exact, in nats, (rows) float32; -inf if anything but ends follows the first end."""
        mask = until_end(tokens, END)
        log_prob = self.log_probs(tokens).sum(1)
        return torch.where((mask | (tokens == END)).all(1), log_prob, -torch.inf).float()

    def log_probs(self, tokens: Tensor) -> Tensor:
        """log p(x_t | x_<t), in nats, (rows, length) float64; 0 after the first end."""
        contexts, columns = self._initial(len(tokens)), []
        for t in range(tokens.shape[1]):
            columns.append(self._probability(contexts, tokens[:, t]))
            contexts = self._advance(contexts, tokens[:, t])
        return torch.where(until_end(tokens, END), torch.stack(columns, 1).log(), 0.0)

    @torch.no_grad()
    def sample(self, n: int, key: Key, temperature: float = 1.0) -> Tensor:
        """(n, length), int64; row i is a function of the key's row i. ``temperature`` divides log p."""
        uniform = (key / "x").uniform(n, self.length)
        tokens = torch.full((n, self.length), END, device=self.keys.device)
        contexts, ended = self._initial(n), torch.zeros(n, dtype=torch.bool, device=self.keys.device)
        for t in range(self.length):
            logits = self._distribution(contexts).log() / temperature
            drawn = sample_categorical(logits, uniform[:, t].to(logits.device))
            tokens[:, t] = torch.where(ended, END, drawn)
            ended = ended | (drawn == END)
            if bool(ended.all()):
                break
            contexts = self._advance(contexts, tokens[:, t])
        return tokens

    def _initial(self, rows: int) -> list[Tensor]:
        """Nodes of what precedes the first token, by its number of tokens below ``order``: (rows) each."""
        root = torch.zeros(rows, dtype=torch.int64, device=self.keys.device)
        unseen = torch.full_like(root, NONE)
        return self._advance([root] + [unseen] * (self.order - 1), torch.full_like(root, self.vocab_size))

    def _advance(self, contexts: Sequence[Tensor], tokens: Tensor) -> list[Tensor]:
        return [contexts[0], *(self._child(context, tokens) for context in contexts[:-1])]

    def _child(self, nodes: Tensor, tokens: Tensor) -> Tensor:
        """The node of an n-gram and one more token, (rows); NONE if it was not seen."""
        wanted = nodes * (self.vocab_size + 1) + tokens
        at = torch.searchsorted(self.keys, wanted)
        found = (nodes != NONE) & (at < len(self.keys))
        found &= self.keys[at.clamp(max=max(0, len(self.keys) - 1))] == wanted if len(self.keys) else False
        return torch.where(found, at + 1, NONE)

    def _probability(self, contexts: Sequence[Tensor], tokens: Tensor) -> Tensor:
        """p(token | contexts), (rows)."""
        p = torch.full(tokens.shape, 1 / self.vocab_size, dtype=torch.float64, device=tokens.device)
        for context in contexts:
            child = self._child(context, tokens)
            seen = context != NONE
            gamma = torch.where(seen, self.gamma[context.clamp_min(0)], 1.0)
            alpha = self.alpha[child.clamp_min(1) - 1] if len(self.alpha) else torch.zeros_like(p)
            p = gamma * p + torch.where(child != NONE, alpha, 0.0)
        return p

    def _distribution(self, contexts: Sequence[Tensor]) -> Tensor:
        """p(. | contexts), (rows, vocab_size)."""
        root, *longer = contexts
        shape, device = (1, self.vocab_size + 1), self.keys.device
        p = torch.full(shape, 1 / self.vocab_size, dtype=torch.float64, device=device)
        self._interpolate(p, root[:1])  # the empty n-gram, which is the same for all rows
        p = p.repeat(len(root), 1)
        for context in longer:
            self._interpolate(p, context)
        return p[:, : self.vocab_size]

    def _interpolate(self, p: Tensor, context: Tensor) -> None:
        """From p(. | shorter contexts), (rows, vocab_size + 1), to p(. | context), in place."""
        rows, base = p.shape
        seen = context != NONE
        p *= torch.where(seen, self.gamma[context.clamp_min(0)], 1.0)[:, None]
        first = torch.searchsorted(self.keys, context * base)
        count = torch.where(seen, torch.searchsorted(self.keys, (context + 1) * base) - first, 0)
        row = torch.repeat_interleave(torch.arange(rows, device=p.device), count)
        before = count.cumsum(0) - count
        child = torch.arange(len(row), device=p.device) + (first - before)[row]
        p[row, self.keys[child] % base] += self.alpha[child]


def _continuations(shorter: Tensor, counts: Tensor) -> Tensor:
    """How many different tokens precede each n-gram; its count where none does, as at the start.

    ``shorter``: of each longer n-gram, the number of the n-gram that remains without its first token.
    """
    preceding = torch.bincount(shorter, minlength=len(counts))
    return torch.where(preceding > 0, preceding, counts)


def estimate_discounts(counts: Tensor) -> Discounts:
    """D1, D2, D3 from the numbers n1 ... n4 of n-grams of these counts (Chen and Goodman 1999, equation 26).

    Y = n1 / (n1 + 2 n2), D1 = 1 - 2 Y n2 / n1, D2 = 2 - 3 Y n3 / n2, D3 = 3 - 4 Y n4 / n3, each at least 0;
    FEW_DISCOUNTS where one of the numbers is 0.
    """
    n1, n2, n3, n4 = (float((counts == k).sum()) for k in (1, 2, 3, 4))
    if not (n1 and n2 and n3 and n4):
        return FEW_DISCOUNTS
    y = n1 / (n1 + 2 * n2)
    found = 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3
    return max(0.0, found[0]), max(0.0, found[1]), max(0.0, found[2])
