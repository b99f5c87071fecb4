"""Classifier two-sample tests: can samples be told from real rows? Lopez-Paz and Oquab 2017.

Accuracy with equal numbers of both; 1/2 where nobody can. Two judges: the nearest neighbour, leaving each row
out in turn, and small trained networks, each row judged by those that have not seen it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from gancore.errors import ConfigError
from gancore.evaluation.distances import nearest
from gancore.evaluation.evidence import Evidence, Sampled
from gancore.evaluation.intervals import around, subset_error
from gancore.evaluation.measure import Interval, Measure
from gancore.evaluation.measures.ranking import area, chance_of_area, chance_of_calls, share_above
from gancore.evaluation.pairs import at_random, once
from gancore.evaluation.tails import doubt_of_scale
from gancore.runtime.randomness import Key

MOST_ROWS = 1000
"""The nearest neighbour sees at most so many of each: time grows with their square."""

PERMUTATIONS = 999
SUBSETS, FRACTION, NEIGHBOURS = 40, 0.25, 24
"""A row has one of its 24 nearest in a quarter of the rows in 999 of 1,000 subsets."""

HIDDEN, STEPS, BATCH, RATE = 32, 200, 100, 3e-3
FEWEST = 16
SPLITS = 2
"""Of all rows, at random, both halves of which are judged by judges taught by the other."""


class Pair(NamedTuple):
    """Equal numbers of samples and of real rows, in an order of the key's."""

    fake: Tensor
    real: Tensor
    key: Key


def pair(fake: Sampled, real: Sampled, key: Key, most: int | None = None) -> Pair:
    if fake.features is None or real.features is None:
        raise ConfigError("a two-sample test without features", "choose features")
    m = min(len(fake), len(real), most or len(fake))
    if m < FEWEST:
        raise ConfigError(f"a two-sample test on {m} rows of each", f"give at least {FEWEST}")
    chosen = (at_random(x, key / name)[:m] for x, name in ((fake.features, "fake"), (real.features, "real")))
    return Pair(fake.features[next(chosen)], real.features[next(chosen)], key)


# The nearest neighbour.


def neighbours_of(pair: Pair, k: int) -> tuple[Tensor, Tensor]:
    """Labels (2m), true for samples, and the k nearest of each row among all others (2m, k).

    Rows are shuffled first, so that where rows repeat neither label comes first.
    """
    x, is_fake = torch.cat([pair.fake, pair.real]), torch.arange(2 * len(pair.fake)) < len(pair.fake)
    order = (pair.key / "order").permutation(len(x))
    return is_fake[order], nearest(x[order], x[order], min(k, len(x) - 1), exclude_self=True)[1]


def agreement(is_fake: Tensor, neighbour: Tensor) -> Tensor:
    """Which rows have a nearest neighbour of their own label; labels are (..., 2m)."""
    return is_fake == is_fake[..., neighbour]


def subset_agreement(is_fake: Tensor, neighbours: Tensor, chosen: Tensor) -> float:
    """The accuracy within the chosen rows (booleans), from everybody's lists of neighbours."""
    inside = chosen[neighbours[chosen]]
    first = inside.double().argmax(1, keepdim=True)
    neighbour = neighbours[chosen].gather(1, first).flatten()
    known = inside.any(1)
    return float((is_fake[chosen] == is_fake[neighbour])[known].double().mean())


def leave_one_out_interval(evidence: Evidence) -> Interval:
    """Subsets without replacement: one row's neighbour is another's too, so that hits are no binomial."""
    found = pair(evidence.fake, evidence.real, evidence.key, MOST_ROWS)
    is_fake, neighbours = neighbours_of(found, NEIGHBOURS)
    m, values = len(found.fake), []
    for number in range(SUBSETS):
        chosen = torch.zeros(2 * m, dtype=torch.bool)
        for label in (False, True):
            rows = (is_fake == label).nonzero().flatten()
            chosen[
                rows[(found.key / "subset" / number / int(label)).permutation(m)[: round(FRACTION * m)]]
            ] = True
        values.append(subset_agreement(is_fake, neighbours, chosen))
    value = float(agreement(is_fake, neighbours[:, 0]).double().mean())
    error = subset_error(torch.tensor(values), FRACTION)
    method = (
        f"{SUBSETS} subsets of {round(FRACTION * m)} rows without replacement; of the expectation at this n"
    )
    low, high, _ = around(value, max(error, 1 / m), SUBSETS - 1, method)
    return Interval(max(low, 0.0), min(high, 1.0), method)


def _leave_one_out(evidence: Evidence) -> float:
    is_fake, neighbours = neighbours_of(pair(evidence.fake, evidence.real, evidence.key, MOST_ROWS), 1)
    return float(agreement(is_fake, neighbours[:, 0]).double().mean())


def leave_one_out_details(evidence: Evidence) -> Mapping[str, Any]:
    """The two labels apart, and how often permuted labels agree with the neighbours as much, or as little.

    Samples far above 1/2, real rows near it: the samples are collapsed. Below 1/2 where they are copies: of
    train they are, where ``against train`` says so.
    """
    found = pair(evidence.fake, evidence.real, evidence.key, MOST_ROWS)
    is_fake, neighbours = neighbours_of(found, 1)
    neighbour, draws = neighbours[:, 0], found.key / "permutations"
    orders = [(draws / number).permutation(len(is_fake)) for number in range(PERMUTATIONS)]
    null = agreement(is_fake[torch.stack(orders)], neighbour).double().mean(1)
    value = float(agreement(is_fake, neighbour).double().mean())
    more, less = share_above(null, value), share_above(-null, -value)
    return {
        **apart(is_fake, neighbour),
        "p value": more,
        "p value, two-sided": min(1.0, 2 * min(more, less)),
        "null": f"{PERMUTATIONS} permutations of the labels",
        "rows of each": len(found.fake),
        "against train": _against_train(evidence),
    }


def apart(is_fake: Tensor, neighbour: Tensor) -> dict[str, float]:
    hits = agreement(is_fake, neighbour).double()
    return {"of samples": float(hits[is_fake].mean()), "of real rows": float(hits[~is_fake].mean())}


def _against_train(evidence: Evidence) -> dict[str, float] | None:
    if evidence.train.features is None or len(evidence.train) < FEWEST:
        return None
    is_fake, neighbours = neighbours_of(pair(evidence.fake, evidence.train, evidence.key, MOST_ROWS), 1)
    return apart(is_fake, neighbours[:, 0])


# The trained one.

Judge = Callable[[Tensor], Tensor]


def halves(pair: Pair) -> tuple[Pair, Pair]:
    """To train on, and to be judged on."""
    m = len(pair.fake) // 2
    return Pair(pair.fake[:m], pair.real[:m], pair.key), Pair(pair.fake[m:], pair.real[m:], pair.key)


def with_squares(z: Tensor) -> Tensor:
    """Standardised coordinates and their squares, which show spread at once: (n, 2d)."""
    return torch.cat([z, ((z.square() - 1) / 2**0.5).clamp(-4, 4)], 1)


@torch.enable_grad()
def train(seen: Pair) -> Judge:
    """Logits, positive for samples: one hidden layer, a linear path around it, 200 steps of Adam.

    f(x) = relu(s W + b) v + s u, where s are standardised coordinates and squares.
    """
    x, key = torch.cat([seen.fake, seen.real]).float(), seen.key / "judge"
    is_fake = (torch.arange(len(x)) < len(seen.fake)).float()
    mean, scale = x.mean(0), x.std(0).clamp(min=1e-12)
    s = with_squares((x - mean) / scale)
    d = s.shape[1]
    W, b, v = (
        (key / "W").normal(d, HIDDEN) / d**0.5,
        torch.zeros(HIDDEN),
        (key / "v").normal(HIDDEN) / HIDDEN**0.5,
    )
    u = torch.zeros(d)
    weights = [part.requires_grad_() for part in (W, b, v, u)]

    def logits(s: Tensor) -> Tensor:
        out: Tensor = (s @ W + b).relu() @ v + s @ u
        return out

    adam = torch.optim.Adam(weights, lr=RATE)
    for rows in batches(len(x), key):
        loss = binary_cross_entropy_with_logits(logits(s[rows]), is_fake[rows])
        gradients = torch.autograd.grad(loss, weights)
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient
        adam.step()
    for weight in weights:
        weight.requires_grad_(False)
    return lambda features: logits(with_squares((features.float() - mean) / scale))


def batches(n: int, key: Key) -> Tensor:
    """Rows of each step (steps, batch): pass after pass over all n, in ever new order."""
    size = min(BATCH, n)
    passes = -(-STEPS * size // n)
    orders = [(key / "pass" / number).permutation(n) for number in range(passes)]
    return torch.cat(orders)[: STEPS * size].reshape(STEPS, size)


class Verdict(NamedTuple):
    """Logits of the held-out half (m each)."""

    fake: Tensor
    real: Tensor

    @property
    def calls(self) -> tuple[int, int]:
        """Samples and real rows that were called samples."""
        return int((self.fake > 0).sum()), int((self.real > 0).sum())

    @property
    def right(self) -> int:
        called, wrongly = self.calls
        return called + len(self.real) - wrongly

    @property
    def accuracy(self) -> float:
        return self.right / (len(self.fake) + len(self.real))


class Fold(NamedTuple):
    """What is learnt from, what is judged, and which rows of the whole pair these are (m'), of each kind."""

    seen: Pair
    unseen: Pair
    rows: Tensor


def crossed(whole: Pair, splits: int = SPLITS) -> Iterator[Fold]:
    """Both halves of several splits at random: each row is judged once in each split."""
    m = len(whole.fake)
    for split in range(splits):
        key = whole.key / "split" / split
        order = key.permutation(m)
        for half, rows in enumerate((order[: m // 2], order[m // 2 :])):
            others = order[m // 2 :] if half == 0 else order[: m // 2]
            seen = Pair(whole.fake[others], whole.real[others], key / half)
            yield Fold(seen, Pair(whole.fake[rows], whole.real[rows], key / half), rows)


class Scores(NamedTuple):
    """What each row (m) adds to a mean over all, by judges that have not seen it; float64."""

    fake: Tensor
    real: Tensor

    def error(self, teaching: float = 2) -> float:
        """Standard error of the sum of the two means, from ``teaching`` times the variance over rows.

        Rows of one half teach the judges of the other, and what they teach by chance, they are told by: of
        equal laws all is of second order, and each pair of rows counts in both halves, so that the variance
        is twice that over rows. Farther off it is less, unless judges choose among directions.
        """
        spread = self.fake.var() / len(self.fake) + self.real.var() / len(self.real)
        return float((teaching * spread).sqrt())


def gathered(m: int, parts: Iterable[tuple[Tensor, Tensor, Tensor]], splits: int = SPLITS) -> Scores:
    """Of each fold which rows it judges, and what these add, of samples and of real: means over splits."""
    found = Scores(torch.zeros(m, dtype=torch.float64), torch.zeros(m, dtype=torch.float64))
    for rows, fake, real in parts:
        found.fake[rows] += fake / splits
        found.real[rows] += real / splits
    return found


def judged(fake: Sampled, real: Sampled, key: Key) -> Verdict:
    return verdict_of(next(crossed(pair(fake, real, key))))


def _folds(evidence: Evidence) -> Iterator[Fold]:
    return crossed(pair(evidence.fake, evidence.real, evidence.key))


def verdict_of(fold: Fold) -> Verdict:
    """By a judge whom the rows seen have taught."""
    judge = train(fold.seen)
    return Verdict(judge(fold.unseen.fake), judge(fold.unseen.real))


@once
def _first(evidence: Evidence) -> Verdict:
    return verdict_of(next(_folds(evidence)))


@once
def _hits(evidence: Evidence) -> Scores:
    """Which rows are called what they are."""

    def parts() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for number, fold in enumerate(_folds(evidence)):
            said = verdict_of(fold) if number else _first(evidence)
            yield fold.rows, (said.fake > 0).double(), (said.real <= 0).double()

    return gathered(min(len(evidence.fake), len(evidence.real)), parts())


def _trained(evidence: Evidence) -> float:
    found = _hits(evidence)
    return float(found.fake.mean() + found.real.mean()) / 2


def trained_interval(evidence: Evidence) -> Interval:
    """Of the expectation at this n; never narrower than of one row more or less."""
    found = _hits(evidence)
    m, value = len(found.fake), float(found.fake.mean() + found.real.mean()) / 2
    method = f"rows of {SPLITS} splits, both halves judged; of the expectation at this n"
    low, high, _ = around(value, max(found.error() / 2, 1 / m), m - 1, method)
    return Interval(max(low, 0.0), min(high, 1.0), method)


def trained_details(evidence: Evidence) -> Mapping[str, Any]:
    """Of one half of the rows, so that p values hold given its judge.

    ``against train``: lower than the value where train is memorised.
    """
    verdict = _first(evidence)
    found: dict[str, Any] = {
        "area under ROC": area(verdict.fake, verdict.real),
        "p value of accuracy": chance_of_calls(*verdict.calls, len(verdict.fake)),
        "p value of area": chance_of_area(verdict.fake, verdict.real),
        "held-out rows of each": len(verdict.fake),
    }
    if evidence.train.features is not None and len(evidence.train) >= FEWEST:
        against = judged(evidence.fake, evidence.train, evidence.key)
        found["against train"] = {
            "accuracy": against.accuracy,
            "area under ROC": area(against.fake, against.real),
            "held-out rows of each": len(against.fake),
        }
    return found


leave_one_out = Measure(
    compute=_leave_one_out,
    interval=leave_one_out_interval,
    unit="accuracy",
    ideal=0.5,
    details=leave_one_out_details,
    doubt=doubt_of_scale,
    paired=True,
    most=MOST_ROWS,
    needs=frozenset({"features"}),
    uses=frozenset({"train"}),
)
trained = Measure(
    compute=_trained,
    interval=trained_interval,
    unit="accuracy",
    ideal=0.5,
    details=trained_details,
    paired=True,
    needs=frozenset({"features"}),
    uses=frozenset({"train"}),
)
