"""Features as the functions of the measures take them: (real, fake), on the device of the evaluation.

Rows come in the order of what they hold, so that a value depends on neither their order nor their numbers.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from gancore.errors import ConfigError
from gancore.evaluation.evidence import Evidence, Sampled
from gancore.runtime.randomness import CPU, Key
from gancore.trees import leaves

LEADING = 8

Result = TypeVar("Result")


def canonical(rows: Tensor) -> Tensor:
    """Row numbers (n) of (n, ...) in an order that depends on what the rows hold alone: lexicographic.

    By the first :data:`LEADING` columns, so that no scale matters; equal ones by their bytes.
    """
    flat = np.ascontiguousarray(rows.detach().cpu().reshape(len(rows), -1).numpy())
    if not flat.size:
        return torch.arange(len(rows))
    words = flat.view(np.dtype((np.void, flat.shape[1] * flat.itemsize)))
    by_bytes = np.empty(len(flat), dtype=np.int64)
    by_bytes[words.ravel().argsort(kind="stable")] = np.arange(len(flat))
    return torch.from_numpy(np.lexsort((by_bytes, *flat[:, :LEADING].T[::-1])))


def at_random(rows: Tensor, key: Key) -> Tensor:
    """Row numbers (n) in an order of the key's, which depends on what the rows hold, not on their order."""
    return canonical(rows)[key.permutation(len(rows))]


def order_of(sampled: Sampled) -> Tensor:
    """Row numbers (n) in the order of their features, or posteriors, or samples: what there is."""
    given = (sampled.features, sampled.log_posteriors, *leaves(sampled.samples))
    return canonical(next(rows for rows in given if rows is not None))


def in_order(evidence: Evidence) -> Evidence:
    """With samples and reference by :func:`order_of`, and likelihoods as the reference; train as it is."""
    fake, real = order_of(evidence.fake), order_of(evidence.real)
    return replace(
        evidence,
        fake=evidence.fake.rows(fake),
        real=evidence.real.rows(real),
        log_prob=None if evidence.log_prob is None else evidence.log_prob[real],
    )


def features_of(sampled: Sampled, device: torch.device = CPU) -> Tensor:
    """(n, d) as they were computed, in the order of what they hold."""
    if sampled.features is None:
        raise ConfigError("a measure of features where there are none", "give the evidence features")
    return sampled.features[canonical(sampled.features)].to(device)


def pair(evidence: Evidence) -> tuple[Tensor, Tensor]:
    return features_of(evidence.real, evidence.device), features_of(evidence.fake, evidence.device)


def on_features(function: Callable[[Tensor, Tensor], float]) -> Callable[[Evidence], float]:
    """A function of (real, fake) as one of evidence."""
    return lambda evidence: function(*pair(evidence))


def once(function: Callable[[Evidence], Result]) -> Callable[[Evidence], Result]:
    """What is costly is found once for the value, its interval and its details: they see the same evidence.

    Kept of the last evidence alone, and only as long as that is there.
    """
    kept: list[tuple[weakref.ref[Evidence], Result]] = []

    @wraps(function)
    def found(evidence: Evidence) -> Result:
        for seen, result in kept[-1:]:
            if seen() is evidence:
                return result
        result = function(evidence)
        kept[:] = [(weakref.ref(evidence), result)]
        return result

    return found


def shuffled(evidence: Evidence) -> tuple[Tensor, Tensor]:
    """In an order of the evidence's key, for blocks and parts."""
    real, fake = pair(evidence)
    key = evidence.key / "order"
    return real[(key / "real").permutation(len(real))], fake[(key / "fake").permutation(len(fake))]
