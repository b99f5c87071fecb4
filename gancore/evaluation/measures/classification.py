"""Classification accuracy score: how well a judge knows real data that has been taught by samples alone.

Ravuri and Vinyals 2019, "Classification Accuracy Score for Conditional Generative Models". The judge is the
domain's own, trained by its own defaults; on another one these are other numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gancore.domain import Batch
from gancore.errors import ConfigError
from gancore.evaluation.evidence import Evidence, Sampled
from gancore.evaluation.intervals import clopper_pearson
from gancore.evaluation.measure import Interval, Measure
from gancore.evaluation.rows import SELECTING, data_of
from gancore.trees import cut_rows, map_tree

CHUNK = 256
"""Rows that a judge sees at once."""


def hits(evidence: Evidence, teaching: Sampled) -> Tensor:
    """Which reference rows (booleans) a judge calls by their label that ``teaching`` alone has taught."""
    if evidence.judge is None:
        raise ConfigError("no judge can be trained here", "use a domain with a recipe that judges")
    labels, rows = _labels(evidence.real), Batch(teaching.samples, _labels(teaching))
    judge = evidence.judge(data_of(rows, evidence.spec, evidence.key / "selecting"))
    called = []
    for start in range(0, len(labels), CHUNK):
        part = cut_rows(evidence.real.samples, start, start + CHUNK)
        with torch.no_grad():
            said = judge.log_posteriors(map_tree(lambda leaf: leaf.to(evidence.device), part))
        called.append(said.argmax(1).cpu())
    right: Tensor = torch.cat(called) == labels
    return right


def _labels(sampled: Sampled) -> Tensor:
    labels = sampled.condition
    if not isinstance(labels, Tensor) or labels.shape != (len(sampled),) or labels.is_floating_point():
        raise ConfigError("a judge learns from one label a sample", "use it where the condition is a class")
    return labels


def ceiling(evidence: Evidence) -> Sampled:
    """Real rows of train, as many as there are samples, if there are so many."""
    order = (evidence.key / "ceiling").permutation(len(evidence.train))
    return evidence.train.rows(order[: len(evidence.fake)])


def _interval(evidence: Evidence) -> Interval:
    right = hits(evidence, evidence.fake)
    low, high, method = clopper_pearson(int(right.sum()), len(right))
    return Interval(low, high, f"{method}, given the one judge trained")


def _details(evidence: Evidence) -> Mapping[str, Any]:
    real, right = ceiling(evidence), hits(evidence, evidence.fake)
    of_real, labels = hits(evidence, real), _labels(evidence.real)
    low, high, _ = clopper_pearson(int(of_real.sum()), len(of_real))
    names, present = list(evidence.spec.get("classes") or []), sorted(set(labels.tolist()))
    return {
        "taught by real rows of train": {
            "value": float(of_real.double().mean()),
            "low": low,
            "high": high,
            "rows": len(real),
        },
        "by class": {names[c]: float(right[labels == c].double().mean()) for c in present},
        "by class, taught by real rows": {
            names[c]: float(of_real[labels == c].double().mean()) for c in present
        },
        "samples": len(evidence.fake),
        "share of them that selects the judge": SELECTING,
    }


classification_accuracy = Measure(
    compute=lambda evidence: float(hits(evidence, evidence.fake).double().mean()),
    interval=_interval,
    unit="share",
    better="higher",
    details=_details,
    needs=frozenset({"condition", "judge"}),
    quick=False,
)
