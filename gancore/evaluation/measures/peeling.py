"""Critic peeling: what is wrong with the samples, one direction of feature space after another.

Odena, "Open Questions about Generative Adversarial Networks" (Distill 2019), sketches it: train a critic,
take the direction that it uses out of the features, train the next. Here a critic is a direction w with the
two Gaussians of u = w . x, one of the samples and one of the real rows; it sees a difference of mean or of
spread along w. It does not see one of shape alone, nor one outside the 128 leading principal components.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from gancore.evaluation.evidence import Evidence
from gancore.evaluation.intervals import around
from gancore.evaluation.measure import Interval, Measure
from gancore.evaluation.measures.ranking import area, chance_of_area, placements
from gancore.evaluation.measures.two_sample import Fold, Pair, Scores, crossed, gathered, halves, pair
from gancore.evaluation.pairs import once
from gancore.runtime.randomness import Key

MOST = 6
"""Directions that are peeled off."""

COMPONENTS = (8, 32, 128)
"""A critic looks at so many leading components: few where little is known, more where it helps."""

LEVEL = 0.05
SHOWN = 8
SPLITS = 6
TEACHING = 3.0
"""Times the variance over rows: measured 1.4 to 2.9 at 50 rows of seven laws."""
OVERSAMPLED, POWERS = 16, 3
RIDGE = 1e-3
"""Added to covariances of whitened coordinates."""


@dataclass(frozen=True)
class Gaussian:
    """Of u = w . x, in one dimension."""

    mean: float
    variance: float

    @classmethod
    def of(cls, u: Tensor) -> Gaussian:
        return cls(float(u.mean()), max(float(u.var()), 1e-12))

    def log_density(self, u: Tensor) -> Tensor:
        """Without the constant."""
        density: Tensor = -0.5 * ((u - self.mean).square() / self.variance + log(self.variance))
        return density


@dataclass(frozen=True)
class Critic:
    """``direction`` (d) has unit length on features less ``centre``, over ``scale``."""

    direction: Tensor
    centre: Tensor
    scale: Tensor
    fake: Gaussian
    real: Gaussian

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
    """A critic with what it does on the held-out half.

    ``shift`` of the samples' mean in standard deviations of the real rows, ``spread``: ratio of standard
    deviations. ``fake_rows``, ``real_rows``: indices of those that show it most, among all that were given.
    """

    critic: Critic
    area: float
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

    Where means differ alone, Fisher's discriminant is best: in whitened coordinates their difference. Where
    spreads do, an eigenvector of S_f w = ratio S_r w, with the greatest or the least ratio.
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
    """Of the candidates the kind that, made from one half of these rows, tells the other half best.

    Were it chosen on the rows that it was made from, the kind that fits noise best would win.
    """
    half = len(fake) // 2
    made = all_candidates(fake[:half], real[:half])
    areas = [gap(fake @ w, real @ w, half) for w in made]
    return all_candidates(fake, real)[max(range(len(areas)), key=areas.__getitem__)]


def gap(fake: Tensor, real: Tensor, half: int) -> float:
    """Area of the likelihood ratio of u (n) on the second half, its Gaussians fitted on the first."""
    f, r = Gaussian.of(fake[:half]), Gaussian.of(real[:half])
    scores = [f.log_density(u[half:]) - r.log_density(u[half:]) for u in (fake, real)]
    return area(*scores)


def train_critics(seen: Pair, most: int = MOST) -> list[Critic]:
    """One after another, each in what the others left: uncorrelated with them over the rows seen."""
    both, m = torch.cat([seen.fake, seen.real]).double(), len(seen.fake)
    centre, scale = both.mean(0), scale_of(both, seen.real.double())
    z = (both - centre) / scale
    whiten = whitening(z, seen.key / "components")
    x, critics = z @ whiten, []
    taken = torch.zeros(whiten.shape[1], 0, dtype=torch.float64)
    for _ in range(min(most, whiten.shape[1])):
        left = complement(taken)
        rest = x @ left
        w = left @ best_direction(rest[:m], rest[m:])
        critics.append(critic_of(whiten @ w, centre, scale, seen))
        taken = torch.cat([taken, w.unsqueeze(1)], 1)
    return critics


def complement(taken: Tensor) -> Tensor:
    """Orthonormal (r, r - k) beside k orthonormal columns (r, k): the coordinates in turn, less those.

    A ratio of spreads along what is taken would be one of roundings.
    """
    r, k = taken.shape
    axes: Tensor = torch.linalg.qr(torch.cat([taken, torch.eye(r, dtype=taken.dtype)], 1)).Q
    return axes[:, k:]


def scale_of(both: Tensor, real: Tensor) -> Tensor:
    """Standard deviations (d) of real rows; of both, a hundredth, where real rows hardly vary."""
    return torch.maximum(real.std(0), 0.01 * both.std(0)).clamp(min=1e-12)


def whitening(z: Tensor, key: Key) -> Tensor:
    """(d, r): the leading components, of unit variance over the rows (n, d)."""
    r = min(max(COMPONENTS), z.shape[1], len(z) // 8)
    V = leading_components(z, r, key.normal(z.shape[1], r + OVERSAMPLED))
    spread = (z @ V).std(0)
    kept = spread > 1e-6 * spread.max()
    return V[:, kept] / spread[kept]


def critic_of(direction: Tensor, centre: Tensor, scale: Tensor, seen: Pair) -> Critic:
    critic = Critic(direction / direction.norm(), centre, scale, Gaussian(0, 1), Gaussian(0, 1))
    fake, real = (Gaussian.of(critic.along(x)) for x in (seen.fake, seen.real))
    return Critic(critic.direction, centre, scale, fake, real)


def defect_of(critic: Critic, unseen: Pair, evidence: Evidence) -> Defect:
    fake, real = critic(unseen.fake), critic(unseen.real)
    u, v = critic.along(unseen.fake), critic.along(unseen.real)
    everybody = [critic(sampled.features) for sampled in (evidence.fake, evidence.real)]  # type: ignore[arg-type]
    return Defect(
        critic,
        area=area(fake, real),
        accuracy=float((fake > 0).double().mean() + (real <= 0).double().mean()) / 2,
        shift=float((u.mean() - v.mean()) / v.std()),
        spread=float(u.std() / v.std()),
        p_value=chance_of_area(fake, real),
        fake_rows=everybody[0].argsort(descending=True)[:SHOWN].tolist(),
        real_rows=everybody[1].argsort()[:SHOWN].tolist(),
    )


def peel(evidence: Evidence) -> list[Defect]:
    """Defects in the order found, until a critic does no better than chance at 5 % on the held-out half.

    Where the two laws are equal, the list is empty in 95 % of cases.
    """
    seen, unseen = halves(pair(evidence.fake, evidence.real, evidence.key))
    found = []
    for critic in train_critics(seen):
        defect = defect_of(critic, unseen, evidence)
        if defect.p_value > LEVEL:
            break
        found.append(defect)
    return found


@once
def _placed(evidence: Evidence) -> Scores:
    """Rows whose means are the total separability, of samples and of real rows (m): by critics of others."""
    whole = pair(evidence.fake, evidence.real, evidence.key)
    parts = ((fold.rows, *_separated(fold)) for fold in crossed(whole, SPLITS))
    return gathered(len(whole.fake), parts, SPLITS)


def _separated(fold: Fold) -> tuple[Tensor, Tensor]:
    """What each unseen row adds, summed over the critics."""
    of_fake, of_real = (torch.zeros(len(fold.rows), dtype=torch.float64) for _ in range(2))
    for critic in train_critics(fold.seen):
        fake, real = critic(fold.unseen.fake), critic(fold.unseen.real)
        of_fake += 2 * placements(fake, real) - 1
        of_real += 1 - 2 * placements(real, fake)
    return of_fake, of_real


def _interval(evidence: Evidence) -> Interval:
    """DeLong et al. 1988: sums of areas from the same rows; of the expectation at this n.

    A separation without any overlap proves no certainty: the error is at least that of one row.
    """
    found = _placed(evidence)
    m = len(found.fake)
    method = f"DeLong, rows of {SPLITS} splits, both halves judged; of the expectation at this n"
    return around(float(found.fake.mean()), max(found.error(TEACHING), 1 / m), m - 1, method)


def _details(evidence: Evidence) -> Mapping[str, Any]:
    defects = peel(evidence)
    return {
        "significant directions": len(defects),
        "defects": [
            {
                "area under ROC": defect.area,
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


peeling = Measure(
    compute=lambda evidence: float(_placed(evidence).fake.mean()),
    interval=_interval,
    unit=f"sum of 2 AUC - 1 over {MOST} directions",
    details=_details,
    needs=frozenset({"features"}),
    paired=True,
)
"""Total separability, of all directions: to leave out those that chance explains would leave out low ones and
make the value too high. How many are significant stands in the details."""
