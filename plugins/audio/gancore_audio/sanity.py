"""Plain checks of spectrum and level that catch common failures; nothing is learned."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from scipy.stats import binom
from torch import Tensor

from gancore import ConfigError, Evidence, Interval, Measure
from gancore.evaluation.intervals import TAIL, clopper_pearson, of_mean
from gancore_audio.combs import combs
from gancore_audio.diagnosis import faults_of_level
from gancore_audio.measures import described, features, rms_interval, spectra

Rows = Callable[[Tensor], Tensor]
"""Waveforms (n, 1, time) to a number for each, (n)."""


def band_powers(waveforms: Tensor, rate_hz: int) -> Tensor:
    """Mean over time of the power in 64 mel bands, each cell at least -60 dB: (n, 64)."""
    return (10 ** (spectra(waveforms, rate_hz) / 10)).mean(2)


def long_term_distance(seen: Evidence) -> float:
    """RMS over bands of the difference of the long-term average spectra, 10 log10 of mean powers, in dB.

    A gain of g dB gives g, where the sounds are louder than the floor.
    """
    fake, real = (10 * features(sampled).mean(0).log10() for sampled in (seen.fake, seen.real))
    return float((fake - real).square().mean().sqrt())


def _long_term_interval(evidence: Evidence) -> Interval:
    """That of the mean powers, each taken for the decibels by which it moves 10 log10 of its band's mean."""
    seen = described(evidence, band_powers)
    powers = (features(sampled) for sampled in (seen.fake, seen.real))
    # so that the means are the decibels of the mean: 10 log10 m + (10 / ln 10) (p - m) / m
    fake, real = (10 * (m := p.mean(0)).log10() + 10 / math.log(10) * (p / m - 1) for p in powers)
    return rms_interval(fake, real)


def comb_shares(waveforms: Tensor) -> dict[int, Tensor]:
    """Energy on the multiples of rate / 4^k beyond what lies beside them, % of the sound's: (n) by 4^k."""
    found = combs(waveforms)
    if not found:
        raise ConfigError(f"combs in {waveforms.shape[-1]} samples", "give sounds of 256 samples at least")
    return {comb.period: 100 * (comb.line - comb.floor).double() for comb in found}


def strongest_comb(waveforms: Tensor) -> float:
    """The highest of the medians over the sounds, at least 0: a pitch falls on a line by chance in a few."""
    return max(0.0, *(float(shares.median()) for shares in comb_shares(waveforms).values()))


def _comb_interval(evidence: Evidence) -> Interval:
    """The highest of the medians' ends, each median bounded at 5 % over the periods."""
    shares = comb_shares(evidence.fake.samples)
    ends = [of_median(values, TAIL / len(shares)) for values in shares.values()]
    low, high = (max(0.0, *(end[side] for end in ends)) for side in (0, 1))
    return Interval(low, high, f"{ends[0].method}, for {len(ends)} periods at once")


def _comb_details(evidence: Evidence) -> Mapping[str, Any]:
    sets = {"samples": evidence.fake.samples, "the reference": evidence.real.samples}
    return {
        f"median of {name} by period": {k: float(v.median()) for k, v in comb_shares(x).items()}
        for name, x in sets.items()
    }


def dc_share(waveforms: Tensor) -> Tensor:
    """mean(x)^2 / mean(x^2): energy of the mean level, % of the sound's; of digital silence 0: (n)."""
    x = waveforms.flatten(1).double()
    return 100 * x.mean(1).square() / x.square().mean(1).clamp_min(1e-20)


def of_median(values: Tensor, tail: float = TAIL) -> Interval:
    """Order statistics about the median of independent rows (n), exact: at least 95 %, whatever their law.

    The number of rows below the median is Binomial(n, 1/2) (Thompson 1936).
    """
    n, rank = len(values), int(binom.ppf(tail, len(values), 0.5))
    if rank < 1 or float(binom.cdf(rank - 1, n, 0.5)) > tail:
        raise ConfigError(f"an interval of a median from {n} rows", "give more")
    ordered = values.double().sort().values
    return Interval(float(ordered[rank - 1]), float(ordered[n - rank]), f"order statistics of {n} rows")


def _share_interval(values: Tensor) -> Interval:
    return clopper_pearson(int(values.sum()), len(values))


def _of_rows(rows: Rows, unit: str, bound: Callable[[Tensor], Interval]) -> Measure:
    """The mean of the rows' numbers, bounded by ``bound``; of the reference too, as a detail."""

    def value(waveforms: Tensor) -> float:
        return float(rows(waveforms).double().mean())

    def details(evidence: Evidence) -> Mapping[str, Any]:
        return {"of the reference": value(evidence.real.samples)}

    return Measure(
        lambda evidence: value(evidence.fake.samples),
        unit=unit,
        interval=lambda evidence: bound(rows(evidence.fake.samples)),
        details=details,
        blind=frozenset({"noise", "collapse"}),
        kind="fidelity",
    )


ltas_distance = Measure(
    lambda evidence: long_term_distance(described(evidence, band_powers)),
    unit="dB",
    interval=_long_term_interval,
    blind=frozenset({"collapse"}),
)
"""How far the long-term average spectrum is from the reference's. Loud sounds count most here."""
checkerboard = Measure(
    lambda evidence: strongest_comb(evidence.fake.samples),
    unit="% of energy",
    interval=_comb_interval,
    details=_comb_details,
    blind=frozenset({"noise", "collapse"}),
    kind="fidelity",
)
"""Tones at multiples of rate / 4^k, which strided upsampling leaves."""
dc = _of_rows(dc_share, "% of energy", of_mean)
clipping = _of_rows(lambda x: faults_of_level(x)["clipped"], "share", _share_interval)
"""Samples over 1 % of whose values are at full scale."""
silence = _of_rows(lambda x: faults_of_level(x)["silent"], "share", _share_interval)
"""Samples whose RMS is under -60 dBFS."""
