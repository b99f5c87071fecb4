"""How far apart two laws are at least, on a scale of its own: a bound on their Jensen-Shannon divergence.

Krimmel et al. 2025, "PolyGraph Discrepancy": a judge who tells samples from real rows by probabilities q has,
on rows that he has not seen, D = 1 + (E_fake log2 q + E_real log2 (1 - q)) / 2 <= JS(fake, real), in bits: 0
for equal laws, 1 for disjoint ones. The true posterior alone reaches it, so what a judge does not learn is
missing, and nothing is made up. There the judge is TabPFN on descriptors of graphs; here it is a logistic
regression on any features: coordinates, their squares, and shares of neighbours.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from gancore.errors import ConfigError
from gancore.evaluation.evidence import Evidence, Sampled
from gancore.evaluation.intervals import around
from gancore.evaluation.measure import Interval, Measure
from gancore.evaluation.measures.two_sample import Scores, with_squares
from gancore.evaluation.pairs import at_random, once
from gancore.runtime.randomness import Key

MOST_ROWS = 1000
FEWEST = 20
FOLDS, INNER = 4, 3
COMPONENTS = 64
NEIGHBOURS = (5, 25)
STRENGTHS = (1e-3, 1e-2, 1e-1)
"""C of the logistic regression: the inverse of the penalty on standardised columns."""
TEMPERED = (0.0, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0, 8.0)
"""By which the log-odds are multiplied: what held-out rows of the judge's own bear out."""
BITS = 1 / 0.6931471805599453


class Rows(NamedTuple):
    """Samples and real rows (N): coordinates (N, d), which are samples, squared distances (N, N)."""

    x: Tensor
    is_fake: Tensor
    squared: Tensor

    def weights(self, rows: Tensor) -> Tensor:
        """Of these rows, so that both laws count alike; 1 on average."""
        fake = self.is_fake[rows]
        return torch.where(fake, 0.5 / fake.double().mean(), 0.5 / (~fake).double().mean())


def rows_of(fake: Sampled, real: Sampled, key: Key) -> Rows:
    """At most so many of each, by the key, in its order."""
    if fake.features is None or real.features is None:
        raise ConfigError("a bound on a divergence without features", "choose features")
    if min(len(fake), len(real)) < FEWEST:
        raise ConfigError(
            f"judges taught by {min(len(fake), len(real))} rows", f"give at least {FEWEST} of each"
        )
    parts = [
        x[at_random(x, key / name)[:MOST_ROWS]]
        for name, x in (("fake", fake.features), ("real", real.features))
    ]
    x = components(torch.cat(parts).double())
    is_fake = torch.arange(len(x)) < len(parts[0])
    return Rows(x, is_fake, torch.cdist(x.float(), x.float()).square())


def components(x: Tensor) -> Tensor:
    """Leading principal components (N, r) of (N, d), unscaled: labels have no part in them."""
    x = (x - x.mean(0)) / x.std(0).clamp(min=1e-12)
    if x.shape[1] <= COMPONENTS:
        return x
    left, sizes, _ = torch.linalg.svd(x, full_matrices=False)
    found: Tensor = (left * sizes)[:, :COMPONENTS]
    return found


def folds(rows: Rows, count: int, among: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Row numbers to learn from and to be judged; of both laws equally many in each, among those given."""
    turn = torch.empty(len(among), dtype=torch.int64)
    for label in (False, True):
        mine = (rows.is_fake[among] == label).nonzero().flatten()
        turn[mine] = torch.arange(len(mine)) % count
    for fold in range(count):
        yield among[turn != fold], among[turn == fold]


def shares(rows: Rows, seen: Tensor, asked: Tensor) -> Tensor:
    """Log-odds of samples among the nearest rows seen, one column a number of them; a row is not its own."""
    squared = rows.squared[asked][:, seen].clone()
    squared[asked[:, None] == seen] = torch.inf
    order = squared.topk(min(max(NEIGHBOURS), len(seen) - 1), largest=False).indices
    fakes = rows.is_fake[seen][order].double().cumsum(1)
    sizes = [min(k, order.shape[1]) for k in NEIGHBOURS]
    return torch.stack([((fakes[:, k - 1] + 0.5) / (k - fakes[:, k - 1] + 0.5)).log() for k in sizes], 1)


class Design(NamedTuple):
    """Standardised columns, of rows to learn from and of rows to be judged."""

    seen: Tensor
    asked: Tensor


def design(rows: Rows, seen: Tensor, asked: Tensor) -> Design:
    mean, scale = rows.x[seen].mean(0), rows.x[seen].std(0).clamp(min=1e-12)

    def columns(wanted: Tensor) -> Tensor:
        z = (rows.x[wanted] - mean) / scale
        radius = z.square().mean(1, keepdim=True).clamp(min=1e-12).log()
        return torch.cat([with_squares(z), radius, shares(rows, seen, wanted)], 1)

    made = columns(seen)
    middle, spread = made.mean(0), made.std(0).clamp(min=1e-6)
    return Design((made - middle) / spread, (columns(asked) - middle) / spread)


def log_odds(rows: Rows, seen: Tensor, made: Design, strength: float) -> Tensor:
    """Of the rows asked, by a logistic regression on the rows seen."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # stopped early is as good a judge
        judge = LogisticRegression(C=strength, max_iter=50, tol=1e-3)
        judge.fit(made.seen.numpy(), rows.is_fake[seen].numpy(), rows.weights(seen).numpy())
    return torch.from_numpy(judge.decision_function(made.asked.numpy()))


def bits(odds: Tensor, is_fake: Tensor, seen: int) -> Tensor:
    """1 + log2 of the probability of what a row is (n); no odds above those that as many rows can prove."""
    limit = float(torch.tensor(float(seen)).log())
    odds = odds.clamp(-limit, limit)
    return 1 + BITS * logsigmoid(torch.where(is_fake, odds, -odds))


def scores_of(rows: Rows) -> Tensor:
    """Of each row the bits by a judge that has not seen it (N)."""
    found = torch.empty(len(rows.x), dtype=torch.float64)
    for seen, asked in folds(rows, FOLDS, torch.arange(len(rows.x))):
        strength, tempered = chosen(rows, seen)
        odds = tempered * log_odds(rows, seen, design(rows, seen, asked), strength)
        found[asked] = bits(odds, rows.is_fake[asked], len(seen))
    return found


def chosen(rows: Rows, seen: Tensor) -> tuple[float, float]:
    """Strength and tempering that judge the rows seen best, each row by judges that have not seen it."""
    odds = torch.empty(len(STRENGTHS), len(rows.x), dtype=torch.float64)
    for taught, asked in folds(rows, INNER, seen):
        made = design(rows, taught, asked)
        for number, strength in enumerate(STRENGTHS):
            odds[number, asked] = log_odds(rows, taught, made, strength)
    weights, fake = rows.weights(seen), rows.is_fake[seen]
    won = {
        (strength, t): float((weights * bits(t * odds[number, seen], fake, len(seen))).mean())
        for number, strength in enumerate(STRENGTHS)
        for t in TEMPERED
    }
    return max(won, key=won.__getitem__)


@once
def _scores(evidence: Evidence) -> Scores:
    rows = rows_of(evidence.fake, evidence.real, evidence.key)
    found = scores_of(rows)
    return Scores(found[rows.is_fake], found[~rows.is_fake])


def _compute(evidence: Evidence) -> float:
    found = _scores(evidence)
    return float(found.fake.mean() + found.real.mean()) / 2


def _interval(evidence: Evidence) -> Interval:
    """Of the expectation; judges that say nothing prove no certainty: of two rows at least."""
    found = _scores(evidence)
    least = min(len(found.fake), len(found.real))
    value, error = float(found.fake.mean() + found.real.mean()) / 2, max(found.error() / 2, 1 / least)
    method = f"rows judged by {FOLDS} judges that have not seen them; of the expectation at this n"
    low, high, _ = around(value, error, least - 1, method)
    return Interval(low, min(high, 1.0), method)


def _details(evidence: Evidence) -> Mapping[str, Any]:
    """Bits alone of samples and of real rows, and the share of each that is called what it is."""
    found = _scores(evidence)
    return {
        "bits of samples": float(found.fake.mean()),
        "bits of real rows": float(found.real.mean()),
        "samples called samples": float((found.fake > 0).double().mean()),
        "real rows called real": float((found.real > 0).double().mean()),
    }


jensen_shannon = Measure(
    compute=_compute,
    interval=_interval,
    unit="bits, at least",
    details=_details,
    most=MOST_ROWS,
    needs=frozenset({"features"}),
)
"""A lower bound on the Jensen-Shannon divergence: 0 for equal laws, by chance a bit less; 1 for disjoint."""
