"""Nearest neighbours in log-mel (Donahue et al. 2019, section 5.2): |D|self among samples, |D|train to train.

Distances are the RMS difference of two log-mel spectrograms, in dB per cell, so that they hang on neither
length nor number of bands; the sums over cells that are published do. Spectrograms have 64 bands, windows of
32 ms, and a floor of -60 dB.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from gancore import Evidence, Interval, Measure, Sampled
from gancore.evaluation.distances import nearest
from gancore.evaluation.intervals import of_mean, subsampling
from gancore_audio.measures import described, features, once, spectra
from gancore_audio.spectral import window_samples


def cells(waveforms: Tensor, rate_hz: int) -> Tensor:
    """Spectrograms, frames half a window apart, over the root of their size: |x - y| is RMS. (n, d)."""
    hop = window_samples(rate_hz, waveforms.shape[-1]) // 2
    decibels = spectra(waveforms, rate_hz, hop=hop).flatten(1)
    return (decibels / decibels.shape[1] ** 0.5).float()


def to_nearest_other(x: Tensor) -> Tensor:
    """Distance of each row to the nearest other one, (n)."""
    return nearest(x, x, 1, exclude_self=True)[0][:, 0]


def to_nearest_of(x: Tensor, train: Tensor) -> Tensor:
    """Distance of each row to the nearest row of train, (n)."""
    return nearest(x, train, 1)[0][:, 0]


def _seen(evidence: Evidence) -> Evidence:
    return described(evidence, cells)


def _seen_with_train(evidence: Evidence) -> Evidence:
    train = once(cells, evidence.train.samples, int(evidence.spec["rate_hz"]))
    return replace(_seen(evidence), train=replace(evidence.train, features=train))


def _mean_self(seen: Evidence) -> float:
    return float(to_nearest_other(features(seen.fake)).mean())


def _self_details(evidence: Evidence) -> Mapping[str, Any]:
    seen = _seen(evidence)
    n = min(len(seen.fake), len(seen.real))
    fake, real = (_mean_of_first(sampled, n) for sampled in (seen.fake, seen.real))
    return {"of as many rows of the reference": real, "ratio, of as many rows": fake / real if real else None}


def _mean_of_first(sampled: Sampled, n: int) -> float:
    """At one number of rows: the more rows, the nearer the nearest."""
    return float(to_nearest_other(features(sampled)[:n]).mean())


def _to_train(seen: Evidence, sampled: Sampled) -> Tensor:
    return to_nearest_of(features(sampled), features(seen.train))


def _train_value(evidence: Evidence) -> float:
    seen = _seen_with_train(evidence)
    return float(_to_train(seen, seen.fake).mean())


def _train_interval(evidence: Evidence) -> Interval:
    seen = _seen_with_train(evidence)
    return of_mean(_to_train(seen, seen.fake))


def _train_details(evidence: Evidence) -> Mapping[str, Any]:
    seen = _seen_with_train(evidence)
    fake, real = (_to_train(seen, sampled) for sampled in (seen.fake, seen.real))
    return {
        "of the reference": float(real.mean()),
        "ratio": float(fake.mean() / real.mean()),
        "rows of train": len(seen.train),
        "samples nearer to train than any row of the reference": int((fake < real.min()).sum()),
    }


mel_self = Measure(
    lambda evidence: _mean_self(_seen(evidence)),
    unit="dB RMS a cell",
    better="higher",
    interval=lambda evidence: subsampling(_mean_self, draws=20)(_seen(evidence)),
    details=_self_details,
    blind=frozenset({"noise"}),
    kind="diversity",
)
"""|D|self: distance of a sample to the nearest other one, on average. It falls with the number of samples."""
mel_train = Measure(
    _train_value,
    unit="dB RMS a cell",
    better=None,
    interval=_train_interval,
    details=_train_details,
    needs=frozenset({"train"}),
)
"""|D|train: distance of a sample to the nearest row of train, on average; good is the reference's own."""
