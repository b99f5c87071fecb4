"""Whether exp(log_prob) sums or integrates to one: by enumeration, or beside a law whose density is known.

The known law g is a mixture of kernels about some of the model's own samples: normal in numbers, and for
codes a step to any code of that place. With u = log p - log g, and p normalised, E_g u <= 0 <= E_p u by
Jensen, whatever g is; where g and p overlap, Bennett's ratio (1976) of both sets gives log int p itself.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gancore.runtime.randomness import Key
from gancore.trees import Tree, leaves, rebuild

MOST_ENUMERATED = 4096
WIDTHS, STEPS = (1.0, 0.3, 0.1), (1.0, 0.3, 0.03)
"""Of kernels: shares of the width that suits a normal law, and how often a code is another."""
LEAST_OVERLAP = 0.02
SIGMAS = 5.0

Density = Callable[[Tree], Tensor]
"""log p of each row, in nats, (rows,)."""


@dataclass(frozen=True)
class Total:
    """log of what exp(log_prob) sums to is between ``low`` and ``high``."""

    low: float
    high: float
    how: str


def log_total(samples: Tree, log_prob: Density, is_bound: bool) -> Total:
    """``samples`` are drawn from the law that ``log_prob`` claims to be of; a third of them makes kernels.

    Of a bound only ``low`` is found.
    """
    flat = Flat.of(samples)
    if not flat.numbers.shape[1] and (values := flat.every()) is not None:
        total = float(_finite(log_prob(flat.tree(values))).logsumexp(0))
        return Total(total, math.inf if is_bound else total, f"summed over all {len(values)} rows of codes")
    third = len(flat) // 3
    centres, chosen, shown = (flat.rows(third * i, third * (i + 1)) for i in range(3))
    known = max(_kernels(centres), key=lambda g: float(g.log_prob(chosen).mean()))
    drawn = known.draw(third)
    at_g = _finite(log_prob(drawn.tree())) - known.log_prob(drawn)
    at_p = _finite(log_prob(shown.tree())) - known.log_prob(shown)
    low = _mean(at_g, -1)
    if is_bound:
        return Total(low, math.inf, "at rows of a known law")
    found = _bennett(at_g, at_p)
    if found is not None:
        return Total(*found, "by Bennett's ratio beside a known law")
    return Total(low, _mean(at_p, 1), "beside a known law that overlaps little")


@dataclass(frozen=True)
class Flat:
    """Rows as numbers (rows, d) float64 and codes (rows, e) int64, with the tree that they were."""

    numbers: Tensor
    codes: Tensor
    like: Tree

    @classmethod
    def of(cls, tree: Tree) -> Flat:
        parts: dict[bool, list[Tensor]] = {True: [], False: []}
        for leaf in leaves(tree):
            parts[leaf.is_floating_point()].append(leaf.detach().cpu().reshape(len(leaf), -1))
        n = len(leaves(tree)[0])
        numbers = torch.cat([torch.zeros(n, 0), *parts[True]], 1).double()
        return cls(numbers, torch.cat([torch.zeros(n, 0), *parts[False]], 1).long(), tree)

    def __len__(self) -> int:
        return len(self.numbers)

    def rows(self, start: int, stop: int) -> Flat:
        return Flat(self.numbers[start:stop], self.codes[start:stop], self.like)

    def every(self) -> Tensor | None:
        """All rows of codes from 0 to the largest seen at each place; None where they are too many."""
        sizes = [int(column.max()) + 1 for column in self.codes.T]
        if math.prod(sizes) > MOST_ENUMERATED or int(self.codes.min()) < 0:
            return None
        return torch.tensor(list(itertools.product(*map(range, sizes))))

    def tree(self, codes: Tensor | None = None) -> Tree:
        """As it was; or of these codes alone."""
        rows = {True: self.numbers, False: self.codes if codes is None else codes}
        made, at = [], {True: 0, False: 0}
        for leaf in leaves(self.like):
            kind, width = leaf.is_floating_point(), leaf[0].numel()
            part = rows[kind][:, at[kind] : at[kind] + width]
            at[kind] += width
            made.append(part.reshape(len(part), *leaf.shape[1:]).to(leaf.dtype))
        return rebuild(self.like, made)


@dataclass(frozen=True)
class Kernels:
    """A mixture, equally of a kernel about each of ``centres``; ``steps``: how often a code is another."""

    centres: Flat
    root: Tensor
    """Noise times it is added: (d,), or where numbers vary together a lower triangle (d, d)."""
    steps: float
    tables: Sequence[Tensor]
    """Of each place log shares of its codes."""

    def log_prob(self, rows: Flat) -> Tensor:
        x, c = self._whitened(rows.numbers), self._whitened(self.centres.numbers)
        d = x.shape[1]
        scales = self.root if self.root.dim() == 1 else self.root.diagonal()
        each = -0.5 * torch.cdist(x, c).square() - 0.5 * d * math.log(2 * math.pi) - scales.log().sum()
        for place, table in enumerate(self.tables):
            code = rows.codes[:, place]
            inside = (code >= 0) & (code < len(table))
            other = torch.where(inside, table[code.clamp(0, len(table) - 1)], -math.inf) + math.log(
                self.steps
            )
            same = (code[:, None] == self.centres.codes[:, place]).double() * (1 - self.steps)
            each = each + torch.log(same + other.exp()[:, None])
        mixed: Tensor = each.logsumexp(1) - math.log(len(self.centres))
        return mixed

    def _whitened(self, x: Tensor) -> Tensor:
        if self.root.dim() == 1:
            return x / self.root
        white: Tensor = torch.linalg.solve_triangular(self.root, x.T, upper=False).T
        return white

    def draw(self, n: int) -> Flat:
        key = Key.of("kit", "kernels")
        chosen = (key / "centre").integers(len(self.centres), n)
        numbers = self.centres.numbers[chosen]
        noise = (key / "numbers").normal(*numbers.shape).double()
        numbers = numbers + (noise * self.root if self.root.dim() == 1 else noise @ self.root.T)
        codes = self.centres.codes[chosen].clone()
        for place, table in enumerate(self.tables):
            fresh = torch.bucketize((key / "code" / place).uniform(n).double(), table.exp().cumsum(0))
            steps = (key / "step" / place).uniform(n) < self.steps
            codes[steps, place] = fresh[steps].clamp(max=len(table) - 1)
        return Flat(numbers, codes, self.centres.like)


def _kernels(rows: Flat) -> list[Kernels]:
    """About each row, of several widths; and one about the mean of all."""
    d, n = rows.numbers.shape[1], len(rows)
    root, tables = _root(rows.numbers), [_shares(column) for column in rows.codes.T]
    width = (4 / ((d + 2) * n)) ** (1 / (d + 4))
    steps = STEPS if rows.codes.shape[1] else STEPS[:1]
    made = [Kernels(rows, root * width * w, s, tables) for w in (WIDTHS if d else WIDTHS[:1]) for s in steps]
    middle = Flat(rows.numbers.mean(0, keepdim=True), rows.codes[:1], rows.like)
    return [*made, Kernels(middle, root, 1.0, tables)]


def _root(x: Tensor) -> Tensor:
    """Of the covariance, (d, d); where rows are few, of the variances alone, (d,): a row may be long."""
    if not x.shape[1]:
        return torch.zeros(0, dtype=torch.float64)
    spread = x.var(0).clamp_min(1e-12)
    if len(x) < 10 * x.shape[1]:
        return spread.sqrt()
    covariance = torch.cov(x.T).reshape(x.shape[1], x.shape[1])
    root: Tensor = torch.linalg.cholesky(covariance + 1e-6 * spread.diag())
    return root


def _shares(codes: Tensor) -> Tensor:
    counts = torch.bincount(codes.clamp_min(0)).double() + 0.5
    shares: Tensor = (counts / counts.sum()).log()
    return shares


def _finite(values: Tensor) -> Tensor:
    """NaN, as outside of where a law lives, becomes a density of 0."""
    return values.detach().double().cpu().nan_to_num(nan=-math.inf, posinf=math.inf, neginf=-math.inf)


def _mean(u: Tensor, side: int) -> float:
    """The mean, a few standard errors to the safe side."""
    error = float(u.std()) / math.sqrt(len(u))
    safe = float(u.mean()) + side * SIGMAS * error
    return safe if math.isfinite(safe) else side * math.inf


def _bennett(at_g: Tensor, at_p: Tensor) -> tuple[float, float] | None:
    """log int p within its errors, from log p - log g at rows of g and of p; None: they lie apart."""
    both = torch.cat([at_g, at_p])
    both = both[both.isfinite()]
    if not len(both):
        return None
    low, high = float(both.min()) - 50, float(both.max()) + 50
    for _ in range(100):
        middle = (low + high) / 2
        excess = torch.sigmoid(at_g - middle).sum() - torch.sigmoid(middle - at_p).sum()
        low, high = (middle, high) if excess > 0 else (low, middle)
    of_g, of_p = torch.sigmoid(at_g - low), torch.sigmoid(low - at_p)
    if min(float(of_g.mean()), float(of_p.mean())) < LEAST_OVERLAP:
        return None
    variance = sum(float(f.square().mean() / f.mean().square() - 1) / len(f) for f in (of_g, of_p))
    error = SIGMAS * math.sqrt(max(0.0, variance))
    return low - error, low + error
