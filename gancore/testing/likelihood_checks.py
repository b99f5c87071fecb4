"""Checks that exp(log_prob) sums or integrates to one, by enumeration or importance sampling."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gancore.data.dataset import Batch
from gancore.errors import ConfigError, DataError
from gancore.games.likelihood import ModelSampler
from gancore.games.sampler import Sampler
from gancore.models.model import build_game
from gancore.random import Key, RowRange, noise_scope
from gancore.testing.check import CheckFailure, SkipCheck
from gancore.testing.fixtures import RecipeFixture
from gancore.trees import Tree, tree_leaves, tree_unflatten

FEW_NUMBERS = 64
MOST_NUMBERS = 65_536
"""The largest number of values of a row: samples of longer rows would fill the memory."""
DRAWN, FEW_DRAWN = 3072, 768
OFF = 0.3
"""Tolerance of the log of the total, in nats."""
FACTORS = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)


def likelihood_sums_to_one(fixture: RecipeFixture) -> None:
    """exp(log_prob) sums or integrates to one over the support of sample; a lower bound to one or less.

    Rows of few integer codes are enumerated. Otherwise the total is estimated by importance sampling with a
    mixture of kernels around samples of the model. The estimate is within 0.3 nats if the mixture overlaps
    with the model, which it does for up to some tens of numbers a row. For longer rows, the recipe is built
    again for a smaller size (``Domain.scale_spec``) with new parameters. The check is of the likelihood of
    the representation; its log_det has a check of its own. Padded rows (a boolean leaf beside other leaves)
    are not checked: masked values are arbitrary, so that a sum over all rows counts one sample many times.
    """
    sampler = fixture.sampler()
    if not sampler.can("likelihood"):
        raise SkipCheck("the recipe is not a likelihood model")
    if not sampler.can("sample"):
        raise SkipCheck("the model cannot sample: its likelihood is not compared with samples")
    density = _density(fixture, sampler)
    _require_whole_rows(density)
    total = _total(density)
    what = "exp(log_prob)" + (", a bound," if density.is_bound else "")
    if total.low > OFF or total.high < -OFF:
        side = f"at least {total.low:+.2f}" if total.low > OFF else f"at most {total.high:+.2f}"
        raise CheckFailure(
            f"the log of the sum of {what} over all samples is {side} nats, not "
            f"{'0 or less' if density.is_bound else '0'} ({total.how})",
            "return log p in nats, with all constants (such as log(2 pi) / 2), of the distribution of sample",
        )
    if not density.is_bound and total.high - total.low > 2:
        raise SkipCheck(
            f"the log of the sum is between {total.low:.3g} and {total.high:.3g} nats: "
            f"a row of {density.numbers} numbers is too long for a closer estimate"
        )


class ModelDensity:
    """``sample`` and ``log_prob`` of a sampler for one condition, before any representation."""

    def __init__(self, sampler: Sampler, condition: Callable[[int], Tree]) -> None:
        self.sampler, self.condition = sampler, condition
        self.is_bound = sampler.lower_bound
        if isinstance(sampler, ModelSampler):
            self.is_bound = bool(getattr(sampler.model, "lower_bound", False))

    @torch.no_grad()
    def sample(self, n: int) -> Tree:
        key = Key.of("kit", "law").with_rows(RowRange.all(n))
        sampler, condition = self.sampler, self.condition(n)
        if not isinstance(sampler, ModelSampler):
            return sampler.sample(n, key, condition)
        return sampler.model.sample(n, key, *_given(condition))

    @torch.no_grad()
    def log_prob(self, rows: Tree) -> Tensor:
        n = len(tree_leaves(rows)[0])
        sampler, condition = self.sampler, self.condition(n)
        with noise_scope(Key.of("kit", "law"), RowRange.all(n)):
            if not isinstance(sampler, ModelSampler):
                log_prob = sampler.log_prob(Batch(rows, condition))
            else:
                log_prob = sampler.model.log_prob(rows, *_given(condition))
        if log_prob is None:
            raise SkipCheck("log_det is None: likelihoods of the representation are not those of the data")
        made: Tensor = log_prob
        return made

    @cached_property
    def tree_signature(self) -> list[Tensor]:
        """The leaves of a batch of two samples."""
        return tree_leaves(self.sample(2))

    @property
    def numbers(self) -> int:
        return sum(leaf[0].numel() for leaf in self.tree_signature)


def _require_whole_rows(density: ModelDensity) -> None:
    """Raise SkipCheck if rows are padded and masked, or too long."""
    masks = [leaf.dtype == torch.bool for leaf in density.tree_signature]
    if any(masks) and not all(masks):
        raise SkipCheck(
            "a boolean leaf beside other leaves indicates padded rows, whose masked values have no "
            "likelihood (a binary column can be stored as integers)"
        )
    if density.numbers > MOST_NUMBERS:
        raise SkipCheck(
            f"a row of {density.numbers} numbers is too long: samples would fill the memory "
            f"(at most {MOST_NUMBERS} numbers)"
        )


def _total(density: ModelDensity) -> LogTotal:
    samples = density.sample(DRAWN if density.numbers <= FEW_NUMBERS else FEW_DRAWN)
    return log_total(samples, density.log_prob, density.is_bound)


def _given(condition: Tree) -> tuple[Tree, ...]:
    return () if condition is None else (condition,)


def _density(fixture: RecipeFixture, sampler: Sampler) -> ModelDensity:
    """The density of the recipe; for long rows, of the recipe built for shorter rows."""
    own = _density_of(fixture, sampler)
    if own.numbers <= FEW_NUMBERS:
        return own
    return next(_shorter(fixture), own)


def _density_of(fixture: RecipeFixture, sampler: Sampler) -> ModelDensity:
    domain, spec = fixture.domain_fixture.domain, fixture.domain_fixture.data.spec
    if not sampler.conditional:
        return ModelDensity(sampler, lambda n: None)
    label = str(spec["classes"][0])
    return ModelDensity(
        sampler, lambda n: domain.make_condition(label, n, spec, Key.of("kit").with_rows(RowRange.all(n)))
    )


def _shorter(fixture: RecipeFixture) -> Iterator[ModelDensity]:
    """Densities of the recipe for the smaller sizes of the domain that it can be built for.

    A recipe refuses a size with ConfigError or DataError. Any other error is a defect and is raised.
    """
    domain, data = fixture.domain_fixture.domain, fixture.domain_fixture.data
    for factor in FACTORS:
        spec = domain.scale_spec(data.spec, factor)
        if spec is None:
            continue
        try:
            game = build_game(fixture.recipe, fixture.config.model, spec, fixture.config.train.seed)
        except (ConfigError, DataError):  # the recipe needs longer rows
            continue
        density = _density_of(fixture, game.sampler().eval())
        rows = density.sample(4)
        if math.isfinite(float(density.log_prob(rows).sum())):  # not finite: the model must be fitted first
            yield density


MOST_ENUMERATED = 4096
WIDTHS, STEPS = (1.0, 0.3, 0.1), (1.0, 0.3, 0.03)
"""Kernel widths, relative to the width that is optimal for a normal density, and probabilities that a code
changes."""
LEAST_OVERLAP = 0.02
SIGMAS = 5.0

Density = Callable[[Tree], Tensor]
"""A function from rows to log p of each row, in nats, (rows,)."""


@dataclass(frozen=True)
class LogTotal:
    """Bounds of the log of the sum of exp(log_prob), in nats; ``how`` is the method."""

    low: float
    high: float
    how: str


def log_total(samples: Tree, log_prob: Density, is_bound: bool) -> LogTotal:
    """Bound the log of the sum, or integral, of exp(log_prob).

    Args:
        samples: rows drawn from the distribution of ``log_prob``. The first third are centres of kernels, the
            second third select the kernel width, the last third are compared with draws of the kernels.
        log_prob: log p of each row, in nats.
        is_bound: ``log_prob`` is a lower bound; only ``low`` is computed.
    """
    flat = FlatRows.of(samples)
    if not flat.numbers.shape[1] and (values := flat.every()) is not None:
        total = float(_finite(log_prob(flat.tree(values))).logsumexp(0))
        return LogTotal(
            total, math.inf if is_bound else total, f"summed over all {len(values)} rows of codes"
        )
    third = len(flat) // 3
    centres, chosen, shown = (flat.rows(third * i, third * (i + 1)) for i in range(3))
    known = max(_kernels(centres), key=lambda g: float(g.log_prob(chosen).mean()))
    drawn = known.draw(third)
    at_g = _finite(log_prob(drawn.tree())) - known.log_prob(drawn)
    at_p = _finite(log_prob(shown.tree())) - known.log_prob(shown)
    low = _mean(at_g, -1)
    if is_bound:
        return LogTotal(low, math.inf, "importance sampling from a known distribution")
    found = _bennett_ratio(at_g, at_p)
    if found is not None:
        return LogTotal(*found, "Bennett's acceptance ratio with a known distribution")
    return LogTotal(low, _mean(at_p, 1), "importance sampling; the known distribution overlaps little")


@dataclass(frozen=True)
class FlatRows:
    """A batch as numbers (rows, d) float64 and codes (rows, e) int64; ``like`` is the original tree."""

    numbers: Tensor
    codes: Tensor
    like: Tree

    @classmethod
    def of(cls, tree: Tree) -> FlatRows:
        parts: dict[bool, list[Tensor]] = {True: [], False: []}
        for leaf in tree_leaves(tree):
            parts[leaf.is_floating_point()].append(leaf.detach().cpu().reshape(len(leaf), -1))
        n = len(tree_leaves(tree)[0])
        numbers = torch.cat([torch.zeros(n, 0), *parts[True]], 1).double()
        return cls(numbers, torch.cat([torch.zeros(n, 0), *parts[False]], 1).long(), tree)

    def __len__(self) -> int:
        return len(self.numbers)

    def rows(self, start: int, stop: int) -> FlatRows:
        return FlatRows(self.numbers[start:stop], self.codes[start:stop], self.like)

    def every(self) -> Tensor | None:
        """All combinations of codes, each from 0 to its largest value, (n, e); None if there are too many."""
        sizes = [int(column.max()) + 1 for column in self.codes.T]
        if math.prod(sizes) > MOST_ENUMERATED or int(self.codes.min()) < 0:
            return None
        return torch.tensor(list(itertools.product(*map(range, sizes))))

    def tree(self, codes: Tensor | None = None) -> Tree:
        """The rows as a tree like the original one; with ``codes`` (n, e), n rows of these codes."""
        rows = {True: self.numbers, False: self.codes if codes is None else codes}
        made, at = [], {True: 0, False: 0}
        for leaf in tree_leaves(self.like):
            kind, width = leaf.is_floating_point(), leaf[0].numel()
            part = rows[kind][:, at[kind] : at[kind] + width]
            at[kind] += width
            made.append(part.reshape(len(part), *leaf.shape[1:]).to(leaf.dtype))
        return tree_unflatten(self.like, made)


@dataclass(frozen=True)
class KernelMixture:
    """A mixture of kernels with equal weights, one around each row of ``centres``.

    ``steps`` is the probability that a code is drawn from ``tables`` instead of copied from its centre.
    """

    centres: FlatRows
    root: Tensor
    """The scale of the normal noise: (d,), or a lower triangular matrix (d, d) for correlated numbers."""
    steps: float
    tables: Sequence[Tensor]
    """For each position, the log probabilities of its codes."""

    def log_prob(self, rows: FlatRows) -> Tensor:
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

    def draw(self, n: int) -> FlatRows:
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
        return FlatRows(numbers, codes, self.centres.like)


def _kernels(rows: FlatRows) -> list[KernelMixture]:
    """Mixtures around all rows, one for each width and probability, and one kernel around their mean."""
    d, n = rows.numbers.shape[1], len(rows)
    root, tables = _root(rows.numbers), [_shares(column) for column in rows.codes.T]
    width = (4 / ((d + 2) * n)) ** (1 / (d + 4))
    steps = STEPS if rows.codes.shape[1] else STEPS[:1]
    made = [
        KernelMixture(rows, root * width * w, s, tables) for w in (WIDTHS if d else WIDTHS[:1]) for s in steps
    ]
    middle = FlatRows(rows.numbers.mean(0, keepdim=True), rows.codes[:1], rows.like)
    return [*made, KernelMixture(middle, root, 1.0, tables)]


def _root(x: Tensor) -> Tensor:
    """The Cholesky factor of the covariance, (d, d); standard deviations, (d,), for fewer than 10 d rows."""
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
    """Log densities in float64, with NaN (outside the support of torch's distributions) as -inf."""
    return values.detach().double().cpu().nan_to_num(nan=-math.inf, posinf=math.inf, neginf=-math.inf)


def _mean(u: Tensor, side: int) -> float:
    """The mean plus (``side`` 1) or minus (-1) SIGMAS standard errors."""
    error = float(u.std()) / math.sqrt(len(u))
    safe = float(u.mean()) + side * SIGMAS * error
    return safe if math.isfinite(safe) else side * math.inf


def _bennett_ratio(at_g: Tensor, at_p: Tensor) -> tuple[float, float] | None:
    """Bounds of the log of the integral of p, by Bennett's acceptance ratio (Bennett, 1976).

    ``at_g`` and ``at_p`` are log p - log g at rows of g and of p. None if the distributions do not overlap.
    """
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
