"""Features as the functions of the measures take them: (real, fake), on the device of the evaluation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gancore.errors import ConfigError
from gancore.evaluation.evidence import Evidence, Sampled
from gancore.runtime.randomness import CPU


def features_of(sampled: Sampled, device: torch.device = CPU) -> Tensor:
    """(n, d) as they were computed."""
    if sampled.features is None:
        raise ConfigError("a measure of features where there are none", "give the evidence features")
    return sampled.features.to(device)


def pair(evidence: Evidence) -> tuple[Tensor, Tensor]:
    return features_of(evidence.real, evidence.device), features_of(evidence.fake, evidence.device)


def on_features(function: Callable[[Tensor, Tensor], float]) -> Callable[[Evidence], float]:
    """A function of (real, fake) as one of evidence."""
    return lambda evidence: function(*pair(evidence))


def shuffled(evidence: Evidence) -> tuple[Tensor, Tensor]:
    """In an order of the evidence's key: rows may come sorted."""
    real, fake = pair(evidence)
    key = evidence.key / "order"
    return real[(key / "real").permutation(len(real))], fake[(key / "fake").permutation(len(fake))]
