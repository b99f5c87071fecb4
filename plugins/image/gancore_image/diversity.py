"""How alike the pictures of one class are: MS-SSIM of random pairs, beside that of real pairs.

Odena, Olah and Shlens 2017: a class whose pairs are more alike than real ones has lost diversity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gancore import ConfigError, Evidence, Interval, Measure, Sampled
from gancore.evaluation.intervals import around
from gancore.evaluation.store import content_of
from gancore.runtime.randomness import Key
from gancore_image.levels import levels
from gancore_image.similarity import ms_ssim, scales

FEWEST = 2
"""Pairs of a class; one has no spread."""
PIXELS_AT_ONCE = 1 << 22


class Grouping(NamedTuple):
    """The class of each sample, int64 (n), the name of each, and where they come from."""

    fake: Tensor
    real: Tensor
    names: Sequence[str]
    origin: str


def grouping(evidence: Evidence) -> Grouping:
    """By what the samples were asked to be; else by the classifier's likeliest class; else all in one."""
    fake, real = evidence.fake, evidence.real
    if _is_label(fake.condition) and _is_label(real.condition):
        names = evidence.spec.get("classes") or []
        return Grouping(fake.condition, real.condition, names, "what was asked for")
    if fake.log_posteriors is not None and real.log_posteriors is not None:
        likeliest = (sampled.log_posteriors.argmax(1) for sampled in (fake, real))
        return Grouping(*likeliest, evidence.classes, "the classifier's likeliest")
    alone = (torch.zeros(len(sampled), dtype=torch.int64) for sampled in (fake, real))
    return Grouping(*alone, ["all"], "none: pairs are of any two pictures")


def _is_label(condition: Any) -> bool:
    return isinstance(condition, Tensor) and condition.dim() == 1 and not condition.is_floating_point()


def pairs(labels: Tensor, key: Key) -> Tensor:
    """Row numbers (pairs, 2) of two rows of a class; no row is in two pairs: they are independent."""
    order = (key / "pairs").permutation(len(labels))
    found = [torch.zeros(0, 2, dtype=torch.int64)]
    for label in labels.unique().tolist():
        own = order[labels[order] == label]
        found.append(own[: len(own) // 2 * 2].view(-1, 2))
    return torch.cat(found)


@dataclass(frozen=True)
class Paired:
    """Pairs of pictures, the same as others of the same content, so that all of them are compared once."""

    digest: str
    samples: Tensor = field(compare=False, repr=False)
    rows: Tensor = field(compare=False, repr=False)
    device: torch.device


@lru_cache(maxsize=1)
def _compared_once(paired: Paired) -> Tensor:
    """MS-SSIM of each pair, (pairs), float64."""
    at_once = max(1, PIXELS_AT_ONCE // max(1, paired.samples[0].numel()))

    def of(rows: Tensor) -> Tensor:
        x, y = (levels(paired.samples[column].to(paired.device)).double() for column in rows.T)
        return ms_ssim(x, y).cpu()

    return torch.cat([of(rows) for rows in paired.rows.split(at_once)])


def similarities(sampled: Sampled, labels: Tensor, evidence: Evidence) -> dict[int, Tensor]:
    """MS-SSIM of the pairs of each class that has two or more, float64."""
    paired = pairs(labels, evidence.key)
    digest = content_of([sampled.samples, paired])
    told = _compared_once(Paired(digest, sampled.samples, paired, evidence.device))
    own = labels[paired[:, 0]]
    by_class = {label: told[own == label] for label in own.unique().tolist()}
    return {label: values for label, values in by_class.items() if len(values) >= FEWEST}


def mean_over_classes(by_class: Mapping[int, Tensor]) -> float:
    """1/C sum_c mean of the pairs of c."""
    if not by_class:
        raise ConfigError(
            f"no class has {2 * FEWEST} samples, of which pairs could be made", "give more samples"
        )
    return float(torch.stack([values.mean() for values in by_class.values()]).mean())


def stratified(by_class: Mapping[int, Tensor]) -> Interval:
    """t interval of a mean over strata: error^2 = sum_c s_c^2 / n_c / C^2; Welch and Satterthwaite."""
    n = torch.tensor([len(values) for values in by_class.values()], dtype=torch.float64)
    variances = torch.stack([values.var() for values in by_class.values()]) / n
    error = float(variances.sum().sqrt()) / len(n)
    parts = float((variances**2 / (n - 1)).sum())
    degrees = float(variances.sum() ** 2) / parts if parts else float(n.sum()) - len(n)
    method = f"Student's t over {int(n.sum()):,} pairs in {len(n)} classes"
    return around(mean_over_classes(by_class), error, degrees, method)


def _of_fake(evidence: Evidence) -> dict[int, Tensor]:
    return similarities(evidence.fake, grouping(evidence).fake, evidence)


def _interval(evidence: Evidence) -> Interval:
    found = _of_fake(evidence)
    mean_over_classes(found)
    return stratified(found)


def _details(evidence: Evidence) -> Mapping[str, Any]:
    groups = grouping(evidence)
    fake = similarities(evidence.fake, groups.fake, evidence)
    real = similarities(evidence.real, groups.real, evidence)
    names = groups.names or [str(label) for label in range(1 + max([*fake, *real]))]
    found = scales(evidence.fake.samples.shape[-1])
    return {
        "of reference rows": mean_over_classes(real) if real else None,
        "by class": {names[label]: float(values.mean()) for label, values in fake.items()},
        "by class, of reference rows": {names[label]: float(values.mean()) for label, values in real.items()},
        "pairs": {names[label]: len(values) for label, values in fake.items()},
        "classes": groups.origin,
        "scales": len(found),
        "pixels of each scale": [scale.side for scale in found],
        "pixels of the window at each scale": [scale.window for scale in found],
        "deviation of the window, pixels": [scale.sigma for scale in found],
        "weights": [scale.weight for scale in found],
    }


diversity = Measure(
    lambda evidence: mean_over_classes(_of_fake(evidence)),
    unit="mean of pairs in a class",
    interval=_interval,
    details=_details,
    uses=frozenset({"condition", "log_posteriors"}),
    blind=frozenset({"noise"}),
    kind="diversity",
)
"""Low is diverse, and so is noise: samples as diverse as the data are as alike as reference rows."""
