"""Measures of sounds, (n, 1, time) beside (n, 1, time), on log-mel spectra."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from gancore import Evidence, Interval, Measure, Sampled
from gancore.evaluation.distances import chunks
from gancore.evaluation.intervals import around
from gancore.evaluation.measures import frechet
from gancore.evaluation.store import content_of
from gancore_audio.spectrogram import log_mel

FLOOR_DB = -60.0
"""A measure tells nothing quieter from silence: else digital silence against inaudible hiss decides it."""
MOMENT_BANDS = 32


def spectra(
    waveforms: Tensor, rate_hz: int, bands: int = 64, floor_db: float = FLOOR_DB, hop: int | None = None
) -> Tensor:
    """Log-mel spectrograms of (n, 1, time) in dB, at least ``floor_db``: (n, bands, frames), float64."""
    return log_mel(waveforms.flatten(1), rate_hz, bands, hop=hop).clamp_min(floor_db).double()


def spectrum_distance(spectra: Tensor, reference: Tensor) -> float:
    """RMS over bands of the difference of the mean spectra, in dB. A gain of g dB gives g.

    Spectra are (n, bands, frames) and (m, bands, frames), in dB; the mean is over clips and frames.
    """
    return float((spectra.mean((0, 2)) - reference.mean((0, 2))).square().mean().sqrt())


def mean_distances(spectra: Tensor) -> Tensor:
    """Of each clip the mean RMS difference of its spectrogram (n, bands, frames) from the others', dB: (n).

    Raises:
        ValueError: fewer than two clips make no pair.
    """
    n, x = len(spectra), spectra.flatten(1)
    if n < 2:
        raise ValueError(f"pairs need at least 2 samples, found {n}")
    # what rounding cannot tell from equal is equal: a clip repeated is at 0 exactly, as it is from itself
    rows = [torch.where(c.squared <= c.rounding, 0.0, c.squared).sqrt().sum(1) for c in chunks(x, x)]
    return torch.cat(rows) / ((n - 1) * x.shape[1] ** 0.5)


def pairwise_distance(spectra: Tensor) -> float:
    """Mean over pairs of clips of the RMS difference of their spectrograms (n, bands, frames), in dB."""
    return float(mean_distances(spectra).mean())


def clip_features(waveforms: Tensor, rate_hz: int) -> Tensor:
    """Mean and standard deviation over time of 32 log-mel bands, in dB: (n, 1, time) -> (n, 64), float64."""
    decibels = spectra(waveforms, rate_hz, MOMENT_BANDS)
    return torch.cat([decibels.mean(2), decibels.std(2, correction=0)], dim=1)


KEPT = 8
"""Descriptions of sets that are at hand again: a measure sees each for its value, interval and anchors."""
_kept: OrderedDict[tuple[object, str, int], Tensor] = OrderedDict()


def once(describe: Callable[[Tensor, int], Tensor], waveforms: Tensor, rate_hz: int) -> Tensor:
    """``describe`` of the waveforms, from the last ones where those had the same content."""
    key = (describe, content_of(waveforms), rate_hz)
    found = _kept.pop(key, None)
    _kept[key] = found = describe(waveforms, rate_hz) if found is None else found
    while len(_kept) > KEPT:
        _kept.popitem(last=False)
    return found


def described(evidence: Evidence, describe: Callable[[Tensor, int], Tensor]) -> Evidence:
    """The same with features of our own, (waveforms, rate_hz) -> (n, d), made once for all subsets."""
    rate_hz = int(evidence.spec["rate_hz"])

    def one(sampled: Sampled) -> Sampled:
        return replace(sampled, features=once(describe, sampled.samples, rate_hz))

    return replace(evidence, fake=one(evidence.fake), real=one(evidence.real))


def features(sampled: Sampled) -> Tensor:
    """What :func:`described` gave."""
    assert sampled.features is not None
    return sampled.features


def rms_interval(fake: Tensor, real: Tensor) -> Interval:
    """Of sqrt(mean_b d_b^2), d the difference of the means of rows (n, bands) and (m, bands); delta method.

    A row x moves it by sum_b d_b (x_b - mean_b) / (bands * value). Where the laws are equal it is too wide,
    by 1.4 at most; subsets would make it too narrow elsewhere, since in few rows d points every way.
    """
    difference = fake.mean(0) - real.mean(0)
    value = float(difference.square().mean().sqrt())
    along = difference / max(len(difference) * value, 1e-12)
    error = sum(float((rows @ along).var()) / len(rows) for rows in (fake, real)) ** 0.5
    low, high, _ = around(value, error, min(len(fake), len(real)) - 1, "")
    return Interval(max(low, 0.0), high, f"delta method, {len(fake)} and {len(real)} sounds")


def _mean_spectra(waveforms: Tensor, rate_hz: int) -> Tensor:
    return spectra(waveforms, rate_hz).mean(2)


def _distance(seen: Evidence) -> float:
    return spectrum_distance(features(seen.fake)[..., None], features(seen.real)[..., None])


def _distance_interval(evidence: Evidence) -> Interval:
    seen = described(evidence, _mean_spectra)
    return rms_interval(features(seen.fake), features(seen.real))


def _ratio(evidence: Evidence) -> tuple[Tensor, Tensor]:
    """Mean distances of the clips of either set, (n) and (m)."""
    rate_hz = int(evidence.spec["rate_hz"])
    fake, real = (once(_mean_distances, s.samples, rate_hz) for s in (evidence.fake, evidence.real))
    return fake, real


def _mean_distances(waveforms: Tensor, rate_hz: int) -> Tensor:
    return mean_distances(spectra(waveforms, rate_hz))


def _diversity(evidence: Evidence) -> float:
    fake, real = _ratio(evidence)
    return min(1.0, float(fake.mean() / real.mean()))


def _diversity_interval(evidence: Evidence) -> Interval:
    """Both means are U-statistics of order 2: error 2 sd / sqrt(n), Hoeffding 1948; then the delta method."""
    fake, real = _ratio(evidence)
    errors = [2 * float(x.std() / x.mean().clamp_min(1e-12)) / len(x) ** 0.5 for x in (fake, real)]
    ratio, n = float(fake.mean() / real.mean()), min(len(fake), len(real))
    error = ratio * (errors[0] ** 2 + errors[1] ** 2) ** 0.5
    low, high, _ = around(ratio, error, n - 1, "")
    return Interval(min(max(low, 0.0), 1.0), min(high, 1.0), f"U-statistic variance, {len(fake)} samples")


mel_distance = Measure(
    lambda evidence: _distance(described(evidence, _mean_spectra)),
    unit="dB",
    interval=_distance_interval,
    blind=frozenset({"collapse"}),
)
"""How far the mean spectrum is from the reference's."""
mel_diversity = Measure(
    _diversity,
    unit="of the reference's",
    better="higher",
    interval=_diversity_interval,
    blind=frozenset({"noise"}),
    kind="diversity",
)
"""How different samples are from each other, as a share of the reference's; more than it counts as 1."""
mel_frechet = Measure(
    lambda evidence: frechet.distance.compute(described(evidence, clip_features)),
    unit="dB^2",
    interval=lambda evidence: _bounded(frechet.distance, described(evidence, clip_features)),
)
"""Frechet distance of per-clip log-mel statistics; small enough to select a model on valid."""


def _bounded(measure: Measure, evidence: Evidence) -> Interval:
    assert measure.interval is not None
    return measure.interval(evidence)
