"""MS-SSIM of random pairs of images of one class, next to that of real pairs.

Odena, Olah and Shlens 2017: a class whose pairs are more alike than real ones has lost ms_ssim_metric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d

from gancore import ConfigError, Interval, Metric, MetricInputs, SampleSet
from gancore.data import digest_tensors
from gancore.metrics import t_interval
from gancore.random import Key
from gancore_image.levels import LEVELS, to_levels

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Weights of the scales, the finest first: Wang et al. 2003, section 3.2."""
WINDOW, SIGMA = 11, 1.5
"""Pixels of the Gaussian window, and its deviation in pixels."""
MIN_SCALE_SIZE = 7
"""A scale of fewer pixels is left out, except the finest."""
K_1, K_2 = 0.01, 0.03
RANGE = LEVELS - 1


class SSIMScale(NamedTuple):
    """Side, window and its deviation in pixels, and the weight of the scale."""

    side: int
    window: int
    sigma: float
    weight: float


def scales(side: int) -> list[SSIMScale]:
    """The scales, each of half the side of the one before: five from 176 pixels on.

    Smaller images have at most four, of at least 7 pixels each: 28 to 55 pixels have three. If a scale has
    fewer than 11 pixels, its window is the largest odd one that fits, with its deviation in proportion.
    Weights of fewer than five scales are divided by their sum (that of all five is 1.0001, as published).
    """
    most = len(WEIGHTS) if side >= WINDOW << len(WEIGHTS) - 1 else len(WEIGHTS) - 1
    sides = [side >> scale for scale in range(most) if not scale or side >> scale >= MIN_SCALE_SIZE]
    windows = [min(WINDOW, side - (side + 1) % 2) for side in sides]
    total = sum(WEIGHTS[: len(sides)]) if len(sides) < len(WEIGHTS) else 1.0
    weights = [weight / total for weight in WEIGHTS[: len(sides)]]
    sigmas = [SIGMA * window / WINDOW for window in windows]
    return [SSIMScale(*scale) for scale in zip(sides, windows, sigmas, weights, strict=True)]


def ms_ssim(x: Tensor, y: Tensor) -> Tensor:
    """Pairs of images of levels 0 to 255, (n, channels, side, side), to (n), 0 to 1; 1: equal.

    l_M^w_M prod_j (c s)_j^w_j for each channel, and the mean of these: Wang, Simoncelli and Bovik 2003,
    eq. 7, with l (c s) of the coarsest scale as one mean over the image. Means of c s below
    0 (opposite structure) count as 0. From scale to scale 2x2 pixels are averaged.
    """
    found = scales(x.shape[-1])
    similarity = x.new_ones(x.shape[:2])  # (n, channels)
    for number, scale in enumerate(found):
        luminance, structure = ssim_parts(x, y, scale.window, scale.sigma)
        last = number == len(found) - 1
        mean = (luminance * structure if last else structure).mean((2, 3))
        similarity = similarity * mean.clamp_min(0) ** scale.weight
        if not last:
            x, y = avg_pool2d(x, 2), avg_pool2d(y, 2)
    return similarity.mean(1)


def ssim_parts(x: Tensor, y: Tensor, window: int, sigma: float) -> tuple[Tensor, Tensor]:
    """l and c s about each pixel that has a whole window, (n, channels, side - window + 1, the same).

    l = (2 mu_x mu_y + C_1) / (mu_x^2 + mu_y^2 + C_1), c s = (2 s_xy + C_2) / (s_x^2 + s_y^2 + C_2), moments
    under a Gaussian window, C_i = (K_i L)^2: Wang et al. 2004, eq. 6, 9 and 10 with C_3 = C_2 / 2.
    """
    c_1, c_2 = (K_1 * RANGE) ** 2, (K_2 * RANGE) ** 2
    mu_x, mu_y = gaussian_blur(x, window, sigma), gaussian_blur(y, window, sigma)
    s_xx = gaussian_blur(x * x, window, sigma) - mu_x**2
    s_yy = gaussian_blur(y * y, window, sigma) - mu_y**2
    s_xy = gaussian_blur(x * y, window, sigma) - mu_x * mu_y
    luminance = (2 * mu_x * mu_y + c_1) / (mu_x**2 + mu_y**2 + c_1)
    structure = (2 * s_xy + c_2) / (s_xx + s_yy + c_2)
    return luminance, structure


def gaussian_blur(x: Tensor, window: int, sigma: float) -> Tensor:
    """Means under a Gaussian window, for positions at which it is inside the image."""
    at = torch.arange(window, dtype=x.dtype, device=x.device) - (window - 1) / 2
    g = (-(at**2) / (2 * sigma**2)).exp()
    g = g / g.sum()
    rows = x.flatten(0, 1)[:, None]  # (n channels, 1, side, side)
    means = conv2d(conv2d(rows, g[None, None, :, None]), g[None, None, None, :])
    return means.view(*x.shape[:2], *means.shape[2:])


MIN_PAIRS = 2
"""Minimal number of pairs of a class; one pair has no variance."""
PIXELS_PER_CHUNK = 1 << 22


class ClassAssignment(NamedTuple):
    """The class of each sample, int64 (n), the name of each, and where they come from."""

    fake: Tensor
    real: Tensor
    names: Sequence[str]
    origin: str


def assign_classes(inputs: MetricInputs) -> ClassAssignment:
    """The requested labels; else the classifier's most likely classes; else one class."""
    fake, real = inputs.fake, inputs.real
    if _is_label(fake.condition) and _is_label(real.condition):
        names = inputs.spec.get("classes") or []
        return ClassAssignment(fake.condition, real.condition, names, "what was asked for")
    if fake.log_posteriors is not None and real.log_posteriors is not None:
        likeliest = fake.log_posteriors.argmax(1), real.log_posteriors.argmax(1)
        return ClassAssignment(*likeliest, inputs.classes, "the classifier's likeliest")
    alone = torch.zeros(len(fake), dtype=torch.int64), torch.zeros(len(real), dtype=torch.int64)
    return ClassAssignment(*alone, ["all"], "none: pairs are of any two images")


def _is_label(condition: Any) -> bool:
    return isinstance(condition, Tensor) and condition.dim() == 1 and not condition.is_floating_point()


def draw_pairs(labels: Tensor, key: Key) -> Tensor:
    """Indices (pairs, 2) of two samples of a class; no sample is in two pairs, so pairs are independent."""
    order = (key / "pairs").permutation(len(labels))
    found = [torch.zeros(0, 2, dtype=torch.int64)]
    for label in torch.unique(labels).tolist():
        in_class = order[labels[order] == label]
        found.append(in_class[: len(in_class) // 2 * 2].view(-1, 2))
    return torch.cat(found)


@dataclass(frozen=True)
class Paired:
    """Pairs of images; equal and hashed by content, so that results are cached."""

    digest: str
    samples: Tensor = field(compare=False, repr=False)
    rows: Tensor = field(compare=False, repr=False)
    device: torch.device


@lru_cache(maxsize=1)
def _compared_once(paired: Paired) -> Tensor:
    """MS-SSIM of each pair, (pairs), float64."""
    chunk = max(1, PIXELS_PER_CHUNK // max(1, paired.samples[0].numel()))

    def of(rows: Tensor) -> Tensor:
        x, y = (to_levels(paired.samples[column].to(paired.device)).double() for column in rows.T)
        return ms_ssim(x, y).cpu()

    return torch.cat([of(rows) for rows in torch.split(paired.rows, chunk)])


def pair_similarities(sampled: SampleSet, labels: Tensor, inputs: MetricInputs) -> dict[int, Tensor]:
    """MS-SSIM of the pairs of each class that has two or more, float64."""
    paired = draw_pairs(labels, inputs.key)
    digest = digest_tensors([sampled.samples, paired])
    scores = _compared_once(Paired(digest, sampled.samples, paired, inputs.device))
    pair_labels = labels[paired[:, 0]]
    by_class = {label: scores[pair_labels == label] for label in torch.unique(pair_labels).tolist()}
    return {label: values for label, values in by_class.items() if len(values) >= MIN_PAIRS}


def mean_over_classes(by_class: Mapping[int, Tensor]) -> float:
    """1/C sum_c mean of the pairs of c."""
    if not by_class:
        raise ConfigError(
            f"ms_ssim needs a class with at least {2 * MIN_PAIRS} samples, and there is none",
            "give more samples",
        )
    return float(torch.stack([values.mean() for values in by_class.values()]).mean())


def stratified_interval(by_class: Mapping[int, Tensor]) -> Interval:
    """t interval of a mean over strata: error^2 = sum_c s_c^2 / n_c / C^2; Welch and Satterthwaite."""
    n = torch.tensor([len(values) for values in by_class.values()], dtype=torch.float64)
    variances = torch.stack([values.var() for values in by_class.values()]) / n
    error = float(variances.sum().sqrt()) / len(n)
    parts = float((variances**2 / (n - 1)).sum())
    degrees = float(variances.sum() ** 2) / parts if parts else float(n.sum()) - len(n)
    method = f"Student's t over {int(n.sum()):,} pairs in {len(n)} classes"
    return t_interval(mean_over_classes(by_class), error, degrees, method)


def _of_fake(inputs: MetricInputs) -> dict[int, Tensor]:
    return pair_similarities(inputs.fake, assign_classes(inputs).fake, inputs)


def _interval(inputs: MetricInputs) -> Interval:
    found = _of_fake(inputs)
    mean_over_classes(found)
    return stratified_interval(found)


def _details(inputs: MetricInputs) -> Mapping[str, Any]:
    groups = assign_classes(inputs)
    fake = pair_similarities(inputs.fake, groups.fake, inputs)
    real = pair_similarities(inputs.real, groups.real, inputs)
    names = groups.names or [str(label) for label in range(1 + max([*fake, *real]))]
    found = scales(inputs.fake.samples.shape[-1])
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


ms_ssim_metric = Metric(
    lambda inputs: mean_over_classes(_of_fake(inputs)),
    unit="mean of pairs in a class",
    interval=_interval,
    details=_details,
    optional=frozenset({"condition", "log_posteriors"}),
    insensitive_to=frozenset({"noise"}),
    kind="diversity",
)
"""Low is diverse, and noise is lowest: samples as diverse as the data have the reference's value."""
