"""How many of the modes of stacked pictures samples reach, and how evenly: what a judge of single ones calls.

Metz et al. 2017 (Unrolled GAN), Srivastava et al. 2017 (VEEGAN), Lin et al. 2018 (PacGAN): of 1,000 modes, at
25,600 or 26,000 samples. Both figures depend on n and on the judge, so those of real rows stand beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gancore import Data, Evidence, Features, Interval, Measure, Sampled, Spec, Workbench
from gancore.evaluation.intervals import around, block_jackknife, without
from gancore.evaluation.measures.scores import histogram, posteriors
from gancore.evaluation.store import digest_of
from gancore.models.model import Model
from gancore_image.features import ClassifierFeatures
from gancore_image.stacking import singles


class StackedFeatures(Features):
    """The classifier of the single pictures on each channel: its features beside each other, and modes'
    posteriors as products.
    """

    name = "stacked_classifier"
    learned = True

    def prepare(self, bench: Workbench) -> None:
        single, self.spec = singles(bench.data), bench.data.spec
        self.single = ClassifierFeatures()

        def judge(recipe: str, changes: Mapping[str, Any], data: Data | None = None) -> Model:
            return bench.judge(recipe, changes, single)

        self.single.prepare(replace(bench, data=single, judge=judge))

    @property
    def digest(self) -> str:
        return digest_of(self.name, self.single.digest)

    @property
    def classes(self) -> list[str]:
        return list(self.spec["classes"])

    def embed(self, samples: Tensor, spec: Spec) -> Tensor:
        return torch.cat([self.single.embed(channel, spec) for channel in samples.split(1, dim=1)], 1)

    def log_posteriors(self, samples: Tensor, spec: Spec) -> Tensor:
        """log p(abc) = log p(a) + log p(b) + log p(c), (n, K^3)."""
        a, b, c = (self.single.log_posteriors(channel, spec) for channel in samples.split(1, dim=1))
        return (a[:, :, None, None] + b[:, None, :, None] + c[:, None, None, :]).flatten(1)


def counts_of(sampled: Sampled) -> Tensor:
    """Rows called each mode (K), float64."""
    return histogram(posteriors(sampled))


def occupied(counts: Tensor) -> int:
    """Modes with a sample."""
    return int((counts > 0).sum())


def expected_modes(shares: Tensor, n: int) -> float:
    """Of n draws of the law: sum_k 1 - (1 - p_k)^n."""
    return float((1 - (1 - shares) ** n).sum())


def kl(counts: Tensor, shares: Tensor) -> float:
    """KL(q || p) = sum_k q_k log(q_k / p_k) in nats, q the shares of the modes among the samples."""
    q = counts / counts.sum()
    return float((torch.special.xlogy(q, q) - torch.special.xlogy(q, shares)).sum())


def shares_of(spec: Spec) -> Tensor:
    """p: how often the data have each mode (K), float64, by construction."""
    p = torch.tensor(spec["class_shares"], dtype=torch.float64)
    return p / p.sum()


def _modes_interval(evidence: Evidence) -> Interval:
    """Efron and Stein 1981: leaving out a sample loses a mode where it is alone in it, so the variance of the
    number of modes is at most the expected number of such; one more is counted, as none proves nothing.
    """
    counts = counts_of(evidence.fake)
    value, n = occupied(counts), len(evidence.fake)
    error = (int((counts == 1).sum()) + 1) ** 0.5
    method = f"Efron-Stein bound of the variance, {n:,} samples; of the expectation at this n"
    low, high, _ = around(value, error, n, method)
    return Interval(max(low, 1.0), min(high, float(min(n, len(counts)))), method)


def _kl_interval(evidence: Evidence) -> Interval:
    called, p = posteriors(evidence.fake).argmax(1), shares_of(evidence.spec)
    order = (evidence.key / "order").permutation(len(called))

    def value(left_out: tuple[int, ...]) -> float:
        rows = without(order, left_out, 10)
        return kl(called[rows].bincount(minlength=len(p)).double(), p)

    low, high, method = block_jackknife(value, covers="of the expectation at this n")
    return Interval(max(low, 0.0), high, method)


def _details(evidence: Evidence) -> Mapping[str, Any]:
    fake, real, p = counts_of(evidence.fake), counts_of(evidence.real), shares_of(evidence.spec)
    n, m, k = len(evidence.fake), len(evidence.real), len(p)
    even = torch.full_like(p, 1 / k)
    return {
        "modes": k,
        "samples": n,
        "modes of as many draws of the data": expected_modes(p, n),
        "modes of reference rows": occupied(real),
        "reference rows": m,
        "KL from the data's modes, nats": kl(fake, p),
        "KL from even modes, nats": kl(fake, even),
        "KL of reference rows, nats": kl(real, p),
        "KL of as many draws of the data, nats, about": (k - 1) / (2 * n),
    }


NEEDS = frozenset({"log_posteriors"})
modes = Measure(
    lambda evidence: float(occupied(counts_of(evidence.fake))),
    unit="modes",
    better="higher",
    interval=_modes_interval,
    details=_details,
    needs=NEEDS,
    blind=frozenset({"noise"}),
    kind="diversity",
)
"""Noise is called something, too."""
mode_kl = Measure(
    lambda evidence: kl(counts_of(evidence.fake), shares_of(evidence.spec)),
    unit="nats",
    interval=_kl_interval,
    details=_details,
    needs=NEEDS,
    blind=frozenset({"noise"}),
    kind="diversity",
)
