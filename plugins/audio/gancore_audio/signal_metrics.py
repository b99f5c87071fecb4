"""Metrics of spectrum, level, onset and likelihood; nothing is learned."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from scipy.stats import binom, wasserstein_distance
from torch import Tensor

from gancore import ConfigError, Interval, Metric, MetricInputs
from gancore.metrics import TAIL, clopper_pearson, mean_interval, subsampling_interval
from gancore_audio.diagnosis import comb_energies, find_level_faults
from gancore_audio.mel_metrics import (
    describe_rows,
    require_features,
    rms_interval,
    spectra_of_set,
    with_features,
)

PerExample = Callable[[Tensor], Tensor]
"""Waveforms (n, 1, time) to a number for each, (n)."""


def band_powers(waveforms: Tensor, sample_rate_hz: int) -> Tensor:
    """Mean over time of the power in 64 mel bands, each cell at least -60 dB: (n, 64)."""
    return (10 ** (spectra_of_set(waveforms, sample_rate_hz) / 10)).mean(2)


def long_term_distance(inputs: MetricInputs) -> float:
    """RMS over bands of the difference of the long-term average spectra, 10 log10 of mean powers, in dB.

    A gain of g dB gives g, if the sounds are louder than the floor.
    """
    fake, real = (10 * require_features(sampled).mean(0).log10() for sampled in (inputs.fake, inputs.real))
    return float((fake - real).square().mean().sqrt())


def _long_term_interval(inputs: MetricInputs) -> Interval:
    """The interval of the mean powers, converted to dB by linearising 10 log10 of the mean of each band."""
    inputs = with_features(inputs, band_powers)
    powers = (require_features(sampled) for sampled in (inputs.fake, inputs.real))
    # the means are then the decibels of the mean: 10 log10 m + (10 / ln 10) (p - m) / m
    fake, real = (10 * (m := p.mean(0)).log10() + 10 / math.log(10) * (p / m - 1) for p in powers)
    return rms_interval(fake, real)


def comb_shares(waveforms: Tensor) -> dict[int, Tensor]:
    """Energy on the multiples of rate / 4^k above that of their neighbours, % of the sound's: (n) by 4^k."""
    by_period = describe_rows(_shares_by_period, waveforms, 0)  # (n, periods), at any rate
    return {4**k: shares for k, shares in enumerate(by_period.unbind(1), start=1)}


def _shares_by_period(waveforms: Tensor, sample_rate_hz: int) -> Tensor:
    found = comb_energies(waveforms)
    if not found:
        raise ConfigError(
            f"checkerboard needs at least 256 samples per sound, these have {waveforms.shape[-1]}",
            "set data.length to 256 or more",
        )
    return torch.stack([100 * (comb.line - comb.floor).double() for comb in found], 1)


def strongest_comb(waveforms: Tensor) -> float:
    """The highest of the medians over the sounds, at least 0: in a few a pitch is on a line by chance."""
    return max(0.0, *(float(shares.median()) for shares in comb_shares(waveforms).values()))


def _comb_interval(inputs: MetricInputs) -> Interval:
    """The highest ends of the medians, with 5 % divided by the number of periods."""
    shares = comb_shares(inputs.fake.samples)
    ends = [median_interval(values, TAIL / len(shares)) for values in shares.values()]
    low, high = max(0.0, *(end.low for end in ends)), max(0.0, *(end.high for end in ends))
    return Interval(low, high, f"{ends[0].method}, for {len(ends)} periods at once")


def _comb_details(inputs: MetricInputs) -> Mapping[str, Any]:
    sets = {"samples": inputs.fake.samples, "the reference": inputs.real.samples}
    return {
        f"median of {name} by period": {k: float(v.median()) for k, v in comb_shares(x).items()}
        for name, x in sets.items()
    }


def dc_share(waveforms: Tensor) -> Tensor:
    """mean(x)^2 / mean(x^2): energy of the mean, % of the sound's; 0 for digital silence: (n)."""
    x = waveforms.flatten(1).double()
    return 100 * x.mean(1).square() / x.square().mean(1).clamp_min(1e-20)


def median_interval(values: Tensor, tail: float = TAIL) -> Interval:
    """Order statistics about the median of independent rows (n), exact: at least 95 % for every distribution.

    The number of rows below the median is Binomial(n, 1/2) (Thompson 1936).
    """
    n, rank = len(values), int(binom.ppf(tail, len(values), 0.5))
    if rank < 1 or float(binom.cdf(rank - 1, n, 0.5)) > tail:
        raise ConfigError(
            f"a 95 % interval of a median needs at least 6 examples, found {n}", "give more samples"
        )
    ordered = values.double().sort().values
    return Interval(float(ordered[rank - 1]), float(ordered[n - rank]), f"order statistics of {n} rows")


def _share_interval(values: Tensor) -> Interval:
    return clopper_pearson(int(values.sum()), len(values))


def _mean_metric(per_example: PerExample, unit: str, bound: Callable[[Tensor], Interval]) -> Metric:
    """A metric: the mean over samples, with the interval ``bound``; that of the reference as a detail."""

    def value(waveforms: Tensor) -> float:
        return float(per_example(waveforms).double().mean())

    def details(inputs: MetricInputs) -> Mapping[str, Any]:
        return {"of the reference": value(inputs.real.samples)}

    return Metric(
        lambda inputs: value(inputs.fake.samples),
        unit=unit,
        interval=lambda inputs: bound(per_example(inputs.fake.samples)),
        details=details,
        insensitive_to=frozenset({"noise", "collapse"}),
        kind="fidelity",
    )


ltas_distance = Metric(
    lambda inputs: long_term_distance(with_features(inputs, band_powers)),
    unit="dB",
    interval=_long_term_interval,
    insensitive_to=frozenset({"collapse"}),
)
"""How far the long-term average spectrum is from the reference's. Loud sounds dominate."""
checkerboard = Metric(
    lambda inputs: strongest_comb(inputs.fake.samples),
    unit="% of energy",
    interval=_comb_interval,
    details=_comb_details,
    insensitive_to=frozenset({"noise", "collapse"}),
    kind="fidelity",
)
"""Tones at multiples of rate / 4^k, which strided upsampling leaves."""
dc = _mean_metric(dc_share, "% of energy", mean_interval)
clipping = _mean_metric(lambda x: find_level_faults(x)["clipped"], "share", _share_interval)
"""Share of samples with over 1 % of their values at full scale."""
silence = _mean_metric(lambda x: find_level_faults(x)["silent"], "share", _share_interval)
"""Share of samples with an RMS below -60 dBFS."""


SHARE = 0.01
"""Share of the energy at the onset of a sound; parts 20 dB below the rest do not count."""


def onsets_ms(waveforms: Tensor, sample_rate_hz: int) -> Tensor:
    """Time before 1 % of the energy has passed, in ms: (n, 1, time) to (n, 1); of silence the whole time.

    A sound that is t ms later has an onset t ms later, whatever its level and its end.
    """
    passed = waveforms.flatten(1).double().square().cumsum(1)
    before = (passed < SHARE * passed[:, -1:]) | (passed[:, -1:] == 0)
    return 1000 / sample_rate_hz * before.sum(1, keepdim=True).double()


def _distance(inputs: MetricInputs) -> float:
    """Wasserstein-1 distance of the onsets, in ms."""
    return float(
        wasserstein_distance(*(require_features(s)[:, 0].numpy() for s in (inputs.fake, inputs.real)))
    )


def _details(inputs: MetricInputs) -> Mapping[str, Any]:
    inputs = with_features(inputs, onsets_ms)
    quartiles = {}
    for name, sampled in (("samples", inputs.fake), ("the reference", inputs.real)):
        onsets = require_features(sampled)[:, 0]
        quartiles[f"quartiles of {name}, ms"] = [float(onsets.quantile(q)) for q in (0.25, 0.5, 0.75)]
    return quartiles


onset_distance = Metric(
    lambda inputs: _distance(with_features(inputs, onsets_ms)),
    unit="ms",
    interval=lambda inputs: subsampling_interval(_distance, minimum=0.0)(
        with_features(inputs, onsets_ms).reduced_to("features")
    ),
    details=_details,
    insensitive_to=frozenset({"collapse"}),
)
"""How far the times at which samples begin are from those of the reference."""


BITS = 16
"""Quantisation of the data: steps of 2^-15 at full scale 1."""


def bits(log_prob: Tensor, samples: int, depth: int = BITS) -> Tensor:
    """-log2 P(x) / T of T samples in steps of 2^(1 - depth), (n), from the density's log p(x) in nats, (n).

    The probability of a step is p(x) times its width for a density that is uniform in it:
    -log2 P(x) / T = -log p(x) / (T ln 2) + depth - 1. Models of coarser cells (8-bit mu-law) are compared
    likewise, with probabilities uniform in each cell.
    """
    return -log_prob.double() / (samples * math.log(2)) + depth - 1


def _bits(inputs: MetricInputs) -> Tensor:
    if inputs.log_prob is None:
        raise ConfigError(
            "bits_per_sample needs log_prob, and this model has none", "leave out bits_per_sample"
        )
    return bits(inputs.log_prob, inputs.real.samples.shape[-1])


bits_per_sample = Metric(
    lambda inputs: float(_bits(inputs).mean()),
    unit="bits a sample at 16 bit",
    interval=lambda inputs: mean_interval(_bits(inputs)),
    details=lambda inputs: {
        "likelihood": "at most this: a bound" if inputs.log_prob_is_bound else "exact",
        "formula": "-log p / (T ln 2) + 15",
        "nats a clip": float(-inputs.log_prob.mean()) if inputs.log_prob is not None else None,
    },
    requires=frozenset({"log_prob"}),
    insensitive_to=frozenset({"collapse"}),
)
"""Bits of the reference examples. Stored they cost 16; silence costs a model next to nothing."""
