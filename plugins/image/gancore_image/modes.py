"""Modes of stacked images that the samples cover, as a classifier of single images labels them.

Metz et al. 2017 (Unrolled GAN), Srivastava et al. 2017 (VEEGAN), Lin et al. 2018 (PacGAN): of 1,000 modes, at
25,600 or 26,000 samples. Both figures depend on n and on the classifier, so those of real examples are
reported too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from gancore import (
    Data,
    FeatureContext,
    FeatureExtractor,
    Interval,
    Metric,
    MetricInputs,
    Model,
    SampleSet,
    Spec,
)
from gancore.data import digest_json
from gancore.metrics import block_jackknife, class_counts, drop_blocks, posteriors, t_interval
from gancore_image.classifier import ClassifierFeatures
from gancore_image.stacked import unstack


class StackedFeatures(FeatureExtractor):
    """The classifier of single images on each channel: concatenated features, and the modes' posteriors as
    products.
    """

    name = "stacked_classifier"
    trained_on_train = True

    def prepare(self, context: FeatureContext) -> None:
        single, self.spec = unstack(context.data), context.data.spec
        self.classifier = ClassifierFeatures()

        def train_recipe(recipe: str, changes: Mapping[str, Any], data: Data | None = None) -> Model:
            return context.train_recipe(recipe, changes, single)

        self.classifier.prepare(replace(context, data=single, train_recipe=train_recipe))

    @property
    def digest(self) -> str:
        return digest_json(self.name, self.classifier.digest)

    @property
    def classes(self) -> list[str]:
        return list(self.spec["classes"])

    def embed(self, samples: Tensor, spec: Spec) -> Tensor:
        return torch.cat(
            [self.classifier.embed(channel, spec) for channel in torch.split(samples, 1, dim=1)], 1
        )

    def log_posteriors(self, samples: Tensor, spec: Spec) -> Tensor:
        """log p(abc) = log p(a) + log p(b) + log p(c), (n, K^3)."""
        a, b, c = (
            self.classifier.log_posteriors(channel, spec) for channel in torch.split(samples, 1, dim=1)
        )
        return (a[:, :, None, None] + b[:, None, :, None] + c[:, None, None, :]).flatten(1)


def mode_counts(sampled: SampleSet) -> Tensor:
    """Number of samples in each mode, (K), float64."""
    return class_counts(posteriors(sampled))


def n_covered(counts: Tensor) -> int:
    """Number of modes with a sample."""
    return int((counts > 0).sum())


def expected_modes(shares: Tensor, n: int) -> float:
    """Of n draws of the distribution: sum_k 1 - (1 - p_k)^n."""
    return float((1 - (1 - shares) ** n).sum())


def kl_divergence(counts: Tensor, shares: Tensor) -> float:
    """KL(q || p) = sum_k q_k log(q_k / p_k) in nats, q the shares of the modes among the samples."""
    q = counts / counts.sum()
    return float((torch.special.xlogy(q, q) - torch.special.xlogy(q, shares)).sum())


def mode_shares(spec: Spec) -> Tensor:
    """p: share of each mode in the data (K), float64, by construction."""
    p = torch.tensor(spec["class_shares"], dtype=torch.float64)
    return p / p.sum()


def _modes_interval(inputs: MetricInputs) -> Interval:
    """Efron and Stein 1981: leaving out a sample loses a mode if no other sample is in it, so the variance of
    the number of modes is at most the expected number of such modes; one is added, since 0 proves nothing.
    """
    counts = mode_counts(inputs.fake)
    value, n = n_covered(counts), len(inputs.fake)
    error = (int((counts == 1).sum()) + 1) ** 0.5
    method = f"Efron-Stein bound of the variance, {n:,} samples; of the expectation at this n"
    low, high, _ = t_interval(value, error, n, method)
    return Interval(max(low, 1.0), min(high, float(min(n, len(counts)))), method)


def _kl_interval(inputs: MetricInputs) -> Interval:
    predicted, p = posteriors(inputs.fake).argmax(1), mode_shares(inputs.spec)
    order = (inputs.key / "order").permutation(len(predicted))

    def value(left_out: tuple[int, ...]) -> float:
        rows = drop_blocks(order, left_out, 10)
        return kl_divergence(predicted[rows].bincount(minlength=len(p)).double(), p)

    low, high, method = block_jackknife(value, target="of the expectation at this n")
    return Interval(max(low, 0.0), high, method)


def _details(inputs: MetricInputs) -> Mapping[str, Any]:
    fake, real, p = mode_counts(inputs.fake), mode_counts(inputs.real), mode_shares(inputs.spec)
    n, m, k = len(inputs.fake), len(inputs.real), len(p)
    even = torch.full_like(p, 1 / k)
    return {
        "modes": k,
        "samples": n,
        "modes of as many draws of the data": expected_modes(p, n),
        "modes of reference rows": n_covered(real),
        "reference rows": m,
        "KL from the data's modes, nats": kl_divergence(fake, p),
        "KL from even modes, nats": kl_divergence(fake, even),
        "KL of reference rows, nats": kl_divergence(real, p),
        "KL of as many draws of the data, nats, about": (k - 1) / (2 * n),
    }


REQUIRES: frozenset[Literal["log_posteriors"]] = frozenset({"log_posteriors"})
modes = Metric(
    lambda inputs: float(n_covered(mode_counts(inputs.fake))),
    unit="modes",
    higher_is_better=True,
    interval=_modes_interval,
    details=_details,
    requires=REQUIRES,
    insensitive_to=frozenset({"noise"}),
    kind="diversity",
)
"""Insensitive to noise: the classifier assigns some mode to noise as well."""
mode_kl = Metric(
    lambda inputs: kl_divergence(mode_counts(inputs.fake), mode_shares(inputs.spec)),
    unit="nats",
    interval=_kl_interval,
    details=_details,
    requires=REQUIRES,
    insensitive_to=frozenset({"noise"}),
    kind="diversity",
)
