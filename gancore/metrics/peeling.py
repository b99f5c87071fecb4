"""Critic peeling: what is wrong with the samples, one direction of feature space after another.

Odena, "Open Questions about Generative Adversarial Networks" (Distill 2019), sketches it: train a critic,
remove the direction that it uses from the features, train the next. Here a critic is a direction w with the
two normal distributions of u = w . x, one of the samples and one of the real rows; it detects differences of
mean or spread along w, but neither differences of shape alone nor differences outside the 128 leading
principal components.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from gancore.metrics.intervals import t_interval
from gancore.metrics.metric import Interval, Metric, MetricInputs, once
from gancore.metrics.two_sample import (
    BalancedPair,
    Fold,
    RowScores,
    auc,
    auc_p_value,
    balanced_pair,
    combine_folds,
    cross_validation_folds,
    placements,
    split_in_half,
)
from gancore.random import Key

MAX_DIRECTIONS = 6
"""Directions that are removed one after another."""

COMPONENTS = (8, 32, 128)
"""Numbers of leading components that a critic tries: few if there are few rows, more if that helps."""

LEVEL = 0.05
SHOWN_ROWS = 8
SPLITS = 6
VARIANCE_FACTOR = 3.0
"""Factor on the variance over rows: measured 1.4 to 2.9 at 50 rows of seven distributions."""
OVERSAMPLED, POWERS = 16, 3
RIDGE = 1e-3
"""Added to covariances of whitened coordinates."""


@dataclass(frozen=True)
class Normal1D:
    """The normal distribution of u = w . x, in one dimension."""

    mean: float
    variance: float

    @classmethod
    def of(cls, u: Tensor) -> Normal1D:
        return cls(float(u.mean()), max(float(u.var()), 1e-12))

    def log_density(self, u: Tensor) -> Tensor:
        """Without the constant."""
        density: Tensor = -0.5 * ((u - self.mean).square() / self.variance + log(self.variance))
        return density


@dataclass(frozen=True)
class Critic:
    """``direction`` (d) has unit length on features minus ``centre``, divided by ``scale``."""

    direction: Tensor
    centre: Tensor
    scale: Tensor
    fake: Normal1D
    real: Normal1D

    def along(self, features: Tensor) -> Tensor:
        """u = w . x (n)."""
        u: Tensor = ((features.double() - self.centre) / self.scale) @ self.direction
        return u

    def __call__(self, features: Tensor) -> Tensor:
        """Log-likelihood ratio log p_fake(u) - log p_real(u) (n): positive for samples."""
        u = self.along(features)
        return self.fake.log_density(u) - self.real.log_density(u)


@dataclass(frozen=True)
class Defect:
    """A critic with its scores on the held-out half.

    ``shift``: of the samples' mean, in standard deviations of the real rows; ``spread``: ratio of standard
    deviations. ``fake_rows``, ``real_rows``: indices of the rows that show it most, among all rows.
    """

    critic: Critic
    auc: float
    accuracy: float
    shift: float
    spread: float
    p_value: float
    fake_rows: Sequence[int]
    real_rows: Sequence[int]


def leading_components(z: Tensor, r: int, seed: Tensor) -> Tensor:
    """Orthonormal (d, r): subspace iteration from a random start (d, r + 16), Halko et al. 2011, alg. 4.4."""
    d = z.shape[1]
    if d <= 2 * seed.shape[1]:
        axes: Tensor = torch.linalg.eigh(z.T @ z).eigenvectors
        return axes.flip(1)[:, :r]
    basis = seed.to(z.dtype)
    for _ in range(POWERS):
        basis = torch.linalg.qr(z.T @ (z @ basis)).Q
    axes = torch.linalg.svd(z @ basis, full_matrices=False).Vh.T
    return basis @ axes[:, :r]


def candidates(fake: Tensor, real: Tensor) -> list[Tensor]:
    """Unit directions w (r) for whitened rows (n, r): one for means, two for spreads.

    If only means differ, Fisher's discriminant is best: in whitened coordinates their difference. If spreads
    differ, an eigenvector of S_f w = ratio S_r w, with the largest or the smallest ratio.
    """
    ridge = RIDGE * torch.eye(fake.shape[1], dtype=fake.dtype)
    inverse = torch.linalg.inv(torch.linalg.cholesky(real.T.cov() + ridge))
    ratios = torch.linalg.eigh(inverse @ (fake.T.cov() + ridge) @ inverse.T).eigenvectors
    found = [fake.mean(0) - real.mean(0), inverse.T @ ratios[:, 0], inverse.T @ ratios[:, -1]]
    return [w / w.norm().clamp(min=1e-300) for w in found]


def all_candidates(fake: Tensor, real: Tensor) -> list[Tensor]:
    """Those within the first 8, 32, 128 coordinates; each (r)."""
    r = fake.shape[1]
    sizes = dict.fromkeys(min(size, r) for size in COMPONENTS)
    return [pad(w, (0, r - size)) for size in sizes for w in candidates(fake[:, :size], real[:, :size])]


def best_direction(fake: Tensor, real: Tensor) -> Tensor:
    """The kind of candidate that, fitted on one half of these rows, separates the other half best.

    If it were selected on the rows that it was fitted on, the kind that fits noise best would win.
    """
    half = len(fake) // 2
    made = all_candidates(fake[:half], real[:half])
    areas = [holdout_auc(fake @ w, real @ w, half) for w in made]
    return all_candidates(fake, real)[max(range(len(areas)), key=areas.__getitem__)]


def holdout_auc(fake: Tensor, real: Tensor, half: int) -> float:
    """AUC of the likelihood ratio of u (n) on the second half, with distributions fitted on the first."""
    f, r = Normal1D.of(fake[:half]), Normal1D.of(real[:half])
    scores = [f.log_density(u[half:]) - r.log_density(u[half:]) for u in (fake, real)]
    return auc(*scores)


def train_critics(train: BalancedPair, limit: int = MAX_DIRECTIONS) -> list[Critic]:
    """Critics one after another, each in the complement of the others: uncorrelated with them over the
    training rows.
    """
    both, m = torch.cat([train.fake, train.real]).double(), len(train.fake)
    centre, scale = both.mean(0), feature_scale(both, train.real.double())
    z = (both - centre) / scale
    whiten = whitening(z, train.key / "components")
    x, critics = z @ whiten, []
    previous = torch.zeros(whiten.shape[1], 0, dtype=torch.float64)
    for _ in range(min(limit, whiten.shape[1])):
        basis = complement(previous)
        rest = x @ basis
        w = basis @ best_direction(rest[:m], rest[m:])
        critics.append(fit_critic(whiten @ w, centre, scale, train))
        previous = torch.cat([previous, w.unsqueeze(1)], 1)
    return critics


def complement(previous: Tensor) -> Tensor:
    """Orthonormal complement (r, r - k) of k orthonormal columns (r, k).

    A ratio of spreads along the removed directions would be one of rounding errors.
    """
    r, k = previous.shape
    axes: Tensor = torch.linalg.qr(torch.cat([previous, torch.eye(r, dtype=previous.dtype)], 1)).Q
    return axes[:, k:]


def feature_scale(both: Tensor, real: Tensor) -> Tensor:
    """Standard deviations (d) of real rows; a hundredth of those of both sets where real rows hardly vary."""
    return torch.maximum(real.std(0), 0.01 * both.std(0)).clamp(min=1e-12)


def whitening(z: Tensor, key: Key) -> Tensor:
    """(d, r): the leading components, of unit variance over the rows (n, d)."""
    r = min(max(COMPONENTS), z.shape[1], len(z) // 8)
    V = leading_components(z, r, key.normal(z.shape[1], r + OVERSAMPLED))
    spread = (z @ V).std(0)
    kept = spread > 1e-6 * spread.max()
    return V[:, kept] / spread[kept]


def fit_critic(direction: Tensor, centre: Tensor, scale: Tensor, train: BalancedPair) -> Critic:
    critic = Critic(direction / direction.norm(), centre, scale, Normal1D(0, 1), Normal1D(0, 1))
    fake, real = (Normal1D.of(critic.along(x)) for x in (train.fake, train.real))
    return Critic(critic.direction, centre, scale, fake, real)


def evaluate_critic(critic: Critic, test: BalancedPair, inputs: MetricInputs) -> Defect:
    fake, real = critic(test.fake), critic(test.real)
    u, v = critic.along(test.fake), critic.along(test.real)
    all_scores = [critic(sampled.require_features()) for sampled in (inputs.fake, inputs.real)]
    return Defect(
        critic,
        auc=auc(fake, real),
        accuracy=float((fake > 0).double().mean() + (real <= 0).double().mean()) / 2,
        shift=float((u.mean() - v.mean()) / v.std()),
        spread=float(u.std() / v.std()),
        p_value=auc_p_value(fake, real),
        fake_rows=all_scores[0].argsort(descending=True)[:SHOWN_ROWS].tolist(),
        real_rows=all_scores[1].argsort()[:SHOWN_ROWS].tolist(),
    )


def peel(inputs: MetricInputs) -> list[Defect]:
    """Defects in the order found, until a critic does no better than chance at 5 % on the held-out half.

    If the two distributions are equal, the list is empty in 95 % of cases.
    """
    train, test = split_in_half(balanced_pair(inputs.fake, inputs.real, inputs.key))
    found = []
    for critic in train_critics(train):
        defect = evaluate_critic(critic, test, inputs)
        if defect.p_value > LEVEL:
            break
        found.append(defect)
    return found


@once
def _row_scores(inputs: MetricInputs) -> RowScores:
    """Scores of rows by critics that were not trained on them; their means, of samples and real rows (m), are
    the value.
    """
    pair = balanced_pair(inputs.fake, inputs.real, inputs.key)
    parts = ((fold.rows, *_separation(fold)) for fold in cross_validation_folds(pair, SPLITS))
    return combine_folds(len(pair.fake), parts, SPLITS)


def _separation(fold: Fold) -> tuple[Tensor, Tensor]:
    """The contribution of each test row, summed over the critics."""
    of_fake, of_real = (torch.zeros(len(fold.rows), dtype=torch.float64) for _ in range(2))
    for critic in train_critics(fold.train):
        fake, real = critic(fold.test.fake), critic(fold.test.real)
        of_fake += 2 * placements(fake, real) - 1
        of_real += 1 - 2 * placements(real, fake)
    return of_fake, of_real


def _interval(inputs: MetricInputs) -> Interval:
    """DeLong et al. 1988: sums of AUCs from the same rows; covers the expectation at this n.

    The error is at least that of one row, because complete separation of a few rows does not prove complete
    separation.
    """
    found = _row_scores(inputs)
    m = len(found.fake)
    method = f"DeLong, rows of {SPLITS} splits, both halves judged; of the expectation at this n"
    return t_interval(
        float(found.fake.mean()), max(found.standard_error(VARIANCE_FACTOR), 1 / m), m - 1, method
    )


def _details(inputs: MetricInputs) -> Mapping[str, Any]:
    defects = peel(inputs)
    return {
        "significant directions": len(defects),
        "defects": [
            {
                "area under ROC": defect.auc,
                "accuracy": defect.accuracy,
                "shift, standard deviations": defect.shift,
                "spread, ratio": defect.spread,
                "p value": defect.p_value,
                "samples that show it most": list(defect.fake_rows),
                "reference rows that show it least": list(defect.real_rows),
            }
            for defect in defects
        ],
    }


peeling = Metric(
    compute=lambda inputs: float(_row_scores(inputs).fake.mean()),
    interval=_interval,
    unit=f"sum of 2 AUC - 1 over {MAX_DIRECTIONS} directions",
    details=_details,
    requires=frozenset({"features"}),
    equal_sizes=True,
)
"""Total separability over all directions: leaving out those that chance explains would leave out low ones and
bias the value up. The number of significant directions is in the details.
"""
