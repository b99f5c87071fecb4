"""Faults planted into the built-in digits: what the domain's own features and measures must see."""

from __future__ import annotations

from functools import cache

import torch
from gancore_image.metrics import wavelet_frechet
from torch import Tensor
from torch.nn.functional import avg_pool2d

from gancore import Batch, MetricInputs, SampleSet, Source, Spec
from gancore.evaluation.reference import read_rows
from gancore.metrics.precision_recall import coverage_metric
from gancore.plugins import plugins
from gancore.random import Key

N = 500


@cache
def digits() -> Batch:
    domain = plugins().load_domain("image")
    train = domain.open(Source("digits"), domain.Config(source="digits", image_size=16)).view("train")
    return read_rows(train, Key.of("digits").permutation(len(train)), Key.of("digits"))


@cache
def directions() -> tuple[Tensor, Tensor]:
    """Mean and 40 standardised principal components."""
    x = digits().data.flatten(1)
    _, spread, v = torch.linalg.svd(x - x.mean(0), full_matrices=False)
    return x.mean(0), v[:40].T / spread[:40] * len(x) ** 0.5


def preprocess(fake: Tensor) -> MetricInputs:
    mean, weights = directions()
    described = [SampleSet(x, features=((x.flatten(1) - mean) @ weights)) for x in (fake, digits().data[:N])]
    return MetricInputs(described[0], described[1], described[1], Spec({}))


def test_dropped_classes_are_seen_by_coverage_of_principal_components():
    """Two of ten; the Frechet distance on the same components needs more of them, or more rows."""
    clean = coverage_metric.interval(preprocess(digits().data[N : 2 * N]))
    others, labels = digits().data[N:], digits().condition[N:]
    pairs = [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)]
    found = [
        coverage_metric.interval(preprocess(others[(labels != a) & (labels != b)][:N])) for a, b in pairs
    ]
    assert sum(one.high < clean.low for one in found) >= 4


def test_a_slight_blur_is_seen_by_wavelets():
    others = digits().data[N : 2 * N]
    blurred = 0.5 * others + 0.5 * avg_pool2d(others, 3, 1, 1, count_include_pad=False)
    clean, faulty = (wavelet_frechet.interval(preprocess(rows)) for rows in (others, blurred))
    assert faulty.low > clean.high
