"""MS-SSIM: by another library, by a loop over windows, and of sets whose diversity is known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from gancore_image.levels import from_levels
from gancore_image.ms_ssim import WEIGHTS, draw_pairs, ms_ssim, ms_ssim_metric, scales, stratified_interval
from pytorch_msssim import ms_ssim as of_pytorch_msssim
from refusals import refused
from scipy import stats
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from gancore import ConfigError, MetricInputs, SampleSet, Spec
from gancore.random import Key

SPEC = Spec({"image_size": 16, "channels": 1, "classes": ["dark", "light", "striped"]})


def smooth(key: Key, n: int, channels: int, side: int) -> Tensor:
    """Levels, whole numbers: blobs under some noise."""
    coarse = key.uniform(n, channels, max(2, side // 8), max(2, side // 8), low=0.0, high=255.0)
    blobs = interpolate(coarse, size=side, mode="bicubic")
    return (blobs + 20 * (key / "noise").normal(*blobs.shape)).clamp(0, 255).round().double()


@pytest.mark.parametrize(("side", "channels"), [(176, 1), (176, 3), (192, 1), (256, 1)])
def test_from_176_pixels_on_it_is_that_of_pytorch_msssim(side, channels):
    key = Key.of("pairs", side)
    x = smooth(key / 1, 4, channels, side)
    y = 0.6 * x + 0.4 * smooth(key / 2, 4, channels, side)
    y[2:] = 0.3 * x[2:] + 0.7 * y[2:] + 10
    y[3] = 255 - x[3]
    expected = of_pytorch_msssim(x, y, data_range=255, size_average=False)
    assert 0.3 < expected[:3].min() < expected.max() < 0.99 and expected[3] == 0
    assert torch.allclose(ms_ssim(x, y), expected, atol=1e-5, rtol=0)
    assert torch.allclose(ms_ssim(x.float(), y.float()).double(), expected, atol=1e-5, rtol=0)


def of_a_loop(x: np.ndarray, y: np.ndarray, windows: list[tuple[int, float]], weights: list[float]) -> float:
    """Of one channel (side, side): every window by itself, moments by their definition."""
    value = 1.0
    for number, ((size, sigma), weight) in enumerate(zip(windows, weights, strict=True)):
        across = np.arange(size) - (size - 1) / 2
        g = np.exp(-(across[:, None] ** 2 + across[None, :] ** 2) / (2 * sigma**2))
        g /= g.sum()
        terms = []
        for top in range(len(x) - size + 1):
            for left in range(len(x) - size + 1):
                a, b = (z[top : top + size, left : left + size] for z in (x, y))
                mean_a, mean_b = (g * a).sum(), (g * b).sum()
                spread_a, spread_b = (g * (a - mean_a) ** 2).sum(), (g * (b - mean_b) ** 2).sum()
                together = (g * (a - mean_a) * (b - mean_b)).sum()
                term = (2 * together + 58.5225) / (spread_a + spread_b + 58.5225)
                if number == len(windows) - 1:
                    term *= (2 * mean_a * mean_b + 6.5025) / (mean_a**2 + mean_b**2 + 6.5025)
                terms.append(term)
        value *= max(np.mean(terms), 0.0) ** weight
        half = len(x) // 2
        x, y = (z[: 2 * half, : 2 * half].reshape(half, 2, half, 2).mean((1, 3)) for z in (x, y))
    return value


W = WEIGHTS
SMALL = {
    8: ([(7, 10.5 / 11)], W[:1]),
    16: ([(11, 1.5), (7, 10.5 / 11)], W[:2]),
    28: ([(11, 1.5), (11, 1.5), (7, 10.5 / 11)], W[:3]),
    32: ([(11, 1.5), (11, 1.5), (7, 10.5 / 11)], W[:3]),
    64: ([(11, 1.5), (11, 1.5), (11, 1.5), (7, 10.5 / 11)], W[:4]),
}


@pytest.mark.parametrize("side", SMALL)
def test_small_images_have_fewer_scales_and_are_those_of_a_loop(side):
    windows, weights = SMALL[side]
    key = Key.of("small", side)
    x = smooth(key / 1, 2, 2, side)
    y = 0.5 * x + 0.5 * smooth(key / 2, 2, 2, side)
    expected = [
        np.mean(
            [of_a_loop(a, b, windows, [w / sum(weights) for w in weights]) for a, b in zip(*row, strict=True)]
        )
        for row in zip(x.numpy(), y.numpy(), strict=True)
    ]
    assert torch.allclose(ms_ssim(x, y), torch.tensor(expected), atol=1e-10)


@pytest.mark.parametrize(
    ("side", "count"),
    {
        4: 1,
        8: 1,
        13: 1,
        14: 2,
        16: 2,
        27: 2,
        28: 3,
        32: 3,
        55: 3,
        56: 4,
        64: 4,
        175: 4,
        176: 5,
        256: 5,
    }.items(),
)
def test_the_scales_of_a_side(side, count):
    found = scales(side)
    assert len(found) == count
    assert math.isclose(sum(scale.weight for scale in found), 1 if count < 5 else 1.0001)
    assert all(scale.window <= scale.side and scale.window % 2 for scale in found)
    assert all(scale.window == min(11, scale.side - 1 + scale.side % 2) for scale in found)
    blank = torch.zeros(1, 1, side, side)
    assert ms_ssim(blank, blank) == 1


def test_equal_images_give_1_and_the_order_of_a_pair_does_not_matter():
    x, y = (smooth(Key.of("two", number), 5, 3, 32) for number in range(2))
    assert torch.allclose(ms_ssim(x, x), torch.ones(5, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(ms_ssim(x, y), ms_ssim(y, x), atol=1e-12)
    assert ms_ssim(x, 255 - x).max() == 0  # opposite structure


def test_more_noise_and_more_blur_are_less_alike():
    x = smooth(Key.of("worse"), 8, 1, 32)
    noise = Key.of("worse", "noise").normal(*x.shape).double()
    noisy = [float(ms_ssim(x, (x + s * noise).clamp(0, 255)).mean()) for s in (0, 10, 30, 90)]
    blurred = [
        float(ms_ssim(x, interpolate(avg_pool2d(x, k), scale_factor=k, mode="nearest")).mean())
        for k in (1, 2, 4, 8)
    ]
    for result in (noisy, blurred):
        assert result[0] == pytest.approx(1) and all(a > b + 0.004 for a, b in itertools.pairwise(result))


# The measure.


def images(key: Key, labels: Tensor, unlike: float) -> Tensor:
    """In [-1, 1]: one image a class, and as much of others' as ``unlike`` says."""
    of_class = smooth(Key.of("classes"), 3, 1, 16)[labels]
    return from_levels(((1 - unlike) * of_class + unlike * smooth(key, len(labels), 1, 16)).round())


def inputs(fake: SampleSet, real: SampleSet, **result) -> MetricInputs:
    return MetricInputs(fake, real, real, SPEC, Key.of("evaluate", 3), **result)


LABELS = Key.of("labels").integers(3, 240)
REAL = SampleSet(images(Key.of("real"), LABELS, 0.5), LABELS)


@pytest.mark.parametrize("labelled", ["asked", "classified", "not"])
def test_one_image_over_and_over_gives_1_in_every_class(labelled):
    fake = SampleSet(REAL.samples[:1].expand(240, -1, -1, -1), LABELS if labelled == "asked" else None)
    real = REAL
    if labelled == "classified":
        sure = torch.nn.functional.one_hot(LABELS, 3).double().clamp_min(1e-9).log()
        fake, real = (SampleSet(s.samples, s.condition, log_posteriors=sure) for s in (fake, real))
    shown = inputs(fake, real, classes=SPEC["classes"])
    assert ms_ssim_metric.compute(shown) == pytest.approx(1, abs=1e-12)
    low, high, _ = ms_ssim_metric.interval(shown)
    assert low == pytest.approx(1, abs=1e-9) and high == pytest.approx(1, abs=1e-9)
    details = ms_ssim_metric.details(shown)
    assert set(details["by class"]) == ({"all"} if labelled == "not" else set(SPEC["classes"]))
    assert all(value == pytest.approx(1) for value in details["by class"].values())
    assert details["of reference rows"] < 0.9
    assert details["classes"].split()[0] == {"asked": "what", "classified": "the", "not": "none:"}[labelled]


def test_less_variety_within_the_classes_is_told_and_the_reference_stands_beside():
    made = [SampleSet(images(Key.of("fake", u), LABELS, u), LABELS) for u in (0.1, 0.3, 0.5, 0.7)]
    result = [ms_ssim_metric.compute(inputs(fake, REAL)) for fake in made]
    assert result == sorted(result, reverse=True)
    low, high, method = ms_ssim_metric.interval(inputs(made[2], REAL))
    details = ms_ssim_metric.details(inputs(made[2], REAL))
    assert low < details["of reference rows"] < high  # the same law
    assert high < result[1]
    assert "pairs in 3 classes" in method
    assert details["scales"] == 2
    assert details["pixels of the window at each scale"] == [11, 7]


def test_it_is_the_mean_over_classes_of_the_mean_over_pairs():
    shown = inputs(REAL, REAL)
    paired = draw_pairs(LABELS, shown.key)
    x = ((REAL.samples + 1) * 127.5).round().double()
    own = LABELS[paired[:, 0]]
    by_class = [ms_ssim(x[paired[own == c, 0]], x[paired[own == c, 1]]).mean() for c in range(3)]
    assert ms_ssim_metric.compute(shown) == pytest.approx(float(sum(by_class)) / 3, abs=1e-12)


def test_pairs_are_of_one_class_and_of_rows_of_their_own():
    for n in (0, 1, 2, 9, 100):
        labels = Key.of("some", n).integers(4, n)
        found = draw_pairs(labels, Key.of(1))
        assert (labels[found[:, 0]] == labels[found[:, 1]]).all()
        assert len(found.unique()) == 2 * len(found)
        assert len(found) == sum(int((labels == label).sum()) // 2 for label in range(4))
        assert torch.equal(found, draw_pairs(labels, Key.of(1)))


def test_its_interval_covers_the_mean_of_strata_of_unequal_spread():
    """Normal strata with means 0, 1, 2: 95 % of 1,000 trials, within three errors; Welch's of two."""
    key, hits = Key.of("strata"), 0
    for trial in range(1000):
        by_class = {c: c + (c + 1) * (key / trial / c).normal(n).double() for c, n in enumerate((5, 20, 8))}
        low, high, _ = stratified_interval(by_class)
        hits += low <= 1.0 <= high
    assert 929 <= hits <= 971
    two = {c: Key.of("two", c).normal(7 + c).double() for c in range(2)}
    low, high, _ = stratified_interval(two)
    welch = stats.ttest_ind(two[0], -two[1], equal_var=False).confidence_interval()
    assert (2 * low, 2 * high) == pytest.approx((welch.low, welch.high))


def test_too_few_samples_are_refused():
    few = SampleSet(REAL.samples[:3], torch.tensor([0, 1, 2]))
    with refused(ConfigError, "class", 4, fix="samples"):
        ms_ssim_metric.compute(inputs(few, REAL))
    with refused(ConfigError, "class", 4, fix="samples"):
        ms_ssim_metric.interval(inputs(few, REAL))
