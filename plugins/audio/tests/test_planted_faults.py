"""Faults planted into the built-in sounds: what the domain's own features and measures must see."""

from __future__ import annotations

from functools import cache

import torch
from gancore_audio.mel_metrics import log_mel_moments
from gancore_audio.signal_metrics import onset_distance
from torch import Tensor
from torch.nn.functional import pad

from gancore import Batch, MetricInputs, SampleSet, Source, Spec
from gancore.evaluation.reference import read_rows
from gancore.metrics.precision_recall import recall_metric
from gancore.plugins import plugins
from gancore.random import Key

RATE_HZ, N = 8000, 300
SPEC = Spec({"sample_rate_hz": RATE_HZ})


@cache
def sounds() -> Batch:
    domain = plugins().load_domain("audio")
    section = domain.Config(source="percussion", sample_rate_hz=RATE_HZ, length=1024)
    train = domain.open(Source("percussion"), section).view("train")
    return read_rows(train, Key.of("sounds").permutation(len(train)), Key.of("sounds"))


def seen(fake: Tensor) -> MetricInputs:
    """Rows of the first N are the reference."""
    with_features = [
        SampleSet(x, features=log_mel_moments(x, RATE_HZ).float()) for x in (fake, sounds().data[:N])
    ]
    return MetricInputs(with_features[0], with_features[1], with_features[1], SPEC)


def test_dropped_classes_are_seen_by_recall():
    """A quarter of the eight, whichever it is."""
    clean = recall_metric.interval(seen(sounds().data[N : 2 * N]))
    others, labels = sounds().data[N:], sounds().condition[N:]
    pairs = [(0, 1), (2, 3), (4, 5), (6, 7)]
    found = [recall_metric.interval(seen(others[(labels != a) & (labels != b)][:N])) for a, b in pairs]
    assert all(one.high < clean.low for one in found)


def test_silence_before_sounds_is_seen_where_recall_may_miss_it():
    others = sounds().data[N : 2 * N]
    late = pad(others, (RATE_HZ // 20, 0))[..., : others.shape[-1]]
    clean, faulty = (onset_distance.interval(seen(rows)) for rows in (others, late))
    assert faulty.low > clean.high and faulty.low > 40


def test_sounds_that_begin_alike_are_near():
    """Rows without a fault, drawn five times."""
    order = [Key.of("draw", k).permutation(len(sounds().data) - N)[:N] + N for k in range(5)]
    found = [onset_distance.compute(seen(sounds().data[rows])) for rows in order]
    assert max(found) < 5 and torch.tensor(found).std() < 2
