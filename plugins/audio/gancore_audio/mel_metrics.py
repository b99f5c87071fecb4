"""Metrics on log-mel spectra of sounds, (n, 1, time): distances of sets, diversity, nearest neighbours.

|D|self and |D|train are the distances to the nearest other sample and to the nearest training example
(Donahue et al. 2019, section 5.2): the RMS difference of two spectrograms, in dB per cell. Unlike the
published sums over cells, they do not depend on the length or the number of bands.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gancore import Interval, Metric, MetricInputs, SampleSet
from gancore.metrics import (
    distance_chunks,
    frechet_metric,
    mean_interval,
    nearest,
    once,
    subsampling_interval,
    t_interval,
)
from gancore_audio.mel import default_win_length, log_mel

FLOOR_DB = -60.0
"""Lower limit of spectra in metrics: otherwise digital silence against inaudible noise would dominate."""
MOMENT_BANDS = 32
MAX_KEPT_VALUES = 32_000_000
"""Values of the largest set whose spectra are kept: they have about as many, 4 bytes each."""
ROWS_AT_ONCE = 512
"""Sounds whose distances to all later ones are summed at once."""


def log_mel_spectra(
    waveforms: Tensor,
    sample_rate_hz: int,
    bands: int = 64,
    floor_db: float = FLOOR_DB,
    hop: int | None = None,
) -> Tensor:
    """Log-mel spectrograms of (n, 1, time) in dB, at least ``floor_db``: (n, bands, frames), float64."""
    return log_mel(waveforms.flatten(1), sample_rate_hz, bands, hop=hop).clamp_min(floor_db).double()


def spectra_of_set(waveforms: Tensor, sample_rate_hz: int) -> Tensor:
    """:func:`log_mel_spectra` by default settings, once for all metrics unless the set is large."""
    if waveforms.numel() > MAX_KEPT_VALUES:
        return log_mel_spectra(waveforms, sample_rate_hz)
    return describe_rows(_float32_spectra, waveforms, sample_rate_hz).double()


def _float32_spectra(waveforms: Tensor, sample_rate_hz: int) -> Tensor:
    return log_mel_spectra(waveforms, sample_rate_hz).float()


def spectrum_distance(spectra: Tensor, reference: Tensor) -> float:
    """RMS over bands of the difference of the mean spectra, in dB. A gain of g dB gives g.

    Spectra are (n, bands, frames) and (m, bands, frames), in dB; the mean is over clips and frames.
    """
    return float((spectra.mean((0, 2)) - reference.mean((0, 2))).square().mean().sqrt())


def mean_pairwise_distances(spectra: Tensor) -> Tensor:
    """Mean RMS difference of each spectrogram (n, bands, frames) from the others, in dB: (n).

    Raises:
        ValueError: fewer than two clips make no pair.
    """
    n, x = len(spectra), spectra.flatten(1)
    if n < 2:
        raise ValueError(f"pairs need at least 2 samples, found {n}")
    sums = torch.zeros(n, dtype=torch.float64)
    for start in range(0, n, ROWS_AT_ONCE):
        # each pair once; differences below the rounding error count as 0, so a repeated clip is at distance 0
        rows, later = slice(start, start + ROWS_AT_ONCE), x[start + ROWS_AT_ONCE :]
        for chunk in distance_chunks(x[rows], x[start:]):
            distances = torch.where(chunk.squared <= chunk.tolerance, 0.0, chunk.squared).sqrt()
            part = slice(start + chunk.start, start + chunk.start + len(distances))
            sums[part] += distances.sum(1)
            sums[n - len(later) :] += distances[:, distances.shape[1] - len(later) :].sum(0)
    result: Tensor = sums / ((n - 1) * x.shape[1] ** 0.5)
    return result


def pairwise_distance(spectra: Tensor) -> float:
    """Mean over pairs of clips of the RMS difference of their spectrograms (n, bands, frames), in dB."""
    return float(mean_pairwise_distances(spectra).mean())


def log_mel_moments(waveforms: Tensor, sample_rate_hz: int) -> Tensor:
    """Mean and standard deviation over time of 32 log-mel bands, in dB: (n, 1, time) -> (n, 64), float64."""
    decibels = log_mel_spectra(waveforms, sample_rate_hz, MOMENT_BANDS)
    return torch.cat([decibels.mean(2), decibels.std(2, correction=0)], dim=1)


_CACHE_SIZE = 8
"""Last sets kept: a metric computes value, interval and controls from the same samples, or some of them."""


class _DescribedSet(NamedTuple):
    """A set of sounds: the numbers of its rows by their digests, and their description (n, ...)."""

    key: tuple[object, int, torch.Size, torch.dtype]
    row_digests: tuple[bytes, ...]
    row_of: Mapping[bytes, int]
    described: Tensor


_described_sets: deque[_DescribedSet] = deque(maxlen=_CACHE_SIZE)
"""The last one used comes last."""


def describe_rows(
    describe: Callable[[Tensor, int], Tensor], waveforms: Tensor, sample_rate_hz: int
) -> Tensor:
    """``describe``, which describes each waveform on its own; rows of a known set are read from it."""
    digests = _row_digests(waveforms)
    key = (describe, sample_rate_hz, waveforms.shape[1:], waveforms.dtype)
    for known in [known for known in _described_sets if known.key == key]:
        if known.row_digests == digests:
            _described_sets.remove(known)
            _described_sets.append(known)
            return known.described
        rows = [known.row_of[digest] for digest in digests if digest in known.row_of]
        if len(rows) == len(digests):
            return known.described[torch.tensor(rows, dtype=torch.int64)]
    described = describe(waveforms, sample_rate_hz)
    row_of = {digest: row for row, digest in enumerate(digests)}
    _described_sets.append(_DescribedSet(key, digests, row_of, described))
    return described


@lru_cache(maxsize=4)
def _row_digests(waveforms: Tensor) -> tuple[bytes, ...]:
    """sha256 of the values of each row. Tensors are compared by identity."""
    rows = waveforms.detach().cpu().flatten(1).contiguous().numpy()
    return tuple(hashlib.sha256(row.data).digest() for row in rows)


def with_features(inputs: MetricInputs, describe: Callable[[Tensor, int], Tensor]) -> MetricInputs:
    """The inputs with these features, (waveforms, sample_rate_hz) -> (n, d), once for all subsets."""
    sample_rate_hz = int(inputs.spec["sample_rate_hz"])

    def one(sampled: SampleSet) -> SampleSet:
        return replace(sampled, features=describe_rows(describe, sampled.samples, sample_rate_hz))

    return replace(inputs, fake=one(inputs.fake), real=one(inputs.real))


def require_features(sampled: SampleSet) -> Tensor:
    """The features of :func:`with_features`."""
    assert sampled.features is not None
    return sampled.features


def rms_interval(fake: Tensor, real: Tensor) -> Interval:
    """Interval of sqrt(mean_b d_b^2), d the difference of means of (n, bands) and (m, bands); delta method.

    A row x moves it by sum_b d_b (x_b - mean_b) / (bands * value). If the distributions are equal it is too
    wide, by a factor of at most 1.4; subsampling would be too narrow otherwise, since d is random in small
    subsets.
    """
    difference = fake.mean(0) - real.mean(0)
    value = float(difference.square().mean().sqrt())
    along = difference / max(len(difference) * value, 1e-12)
    error = sum(float((rows @ along).var()) / len(rows) for rows in (fake, real)) ** 0.5
    low, high, _ = t_interval(value, error, min(len(fake), len(real)) - 1, "")
    return Interval(max(low, 0.0), high, f"delta method, {len(fake)} and {len(real)} sounds")


def _mean_spectra(waveforms: Tensor, sample_rate_hz: int) -> Tensor:
    return spectra_of_set(waveforms, sample_rate_hz).mean(2)


def _distance(inputs: MetricInputs) -> float:
    return spectrum_distance(
        require_features(inputs.fake)[..., None], require_features(inputs.real)[..., None]
    )


def _distance_interval(inputs: MetricInputs) -> Interval:
    inputs = with_features(inputs, _mean_spectra)
    return rms_interval(require_features(inputs.fake), require_features(inputs.real))


def _mean_distances_of_sets(inputs: MetricInputs) -> tuple[Tensor, Tensor]:
    """Mean distances of the clips of both sets, (n) and (m)."""
    sample_rate_hz = int(inputs.spec["sample_rate_hz"])
    fake, real = (_mean_distances(s.samples, sample_rate_hz) for s in (inputs.fake, inputs.real))
    return fake, real


@lru_cache(maxsize=4)
def _mean_distances(waveforms: Tensor, sample_rate_hz: int) -> Tensor:
    return mean_pairwise_distances(spectra_of_set(waveforms, sample_rate_hz))


def _diversity(inputs: MetricInputs) -> float:
    fake, real = _mean_distances_of_sets(inputs)
    return min(1.0, float(fake.mean() / real.mean()))


def _diversity_interval(inputs: MetricInputs) -> Interval:
    """Both means are U-statistics of order 2: error 2 sd / sqrt(n), Hoeffding 1948; then the delta method."""
    fake, real = _mean_distances_of_sets(inputs)
    errors = [2 * float(x.std() / x.mean().clamp_min(1e-12)) / len(x) ** 0.5 for x in (fake, real)]
    ratio, n = float(fake.mean() / real.mean()), min(len(fake), len(real))
    error = ratio * (errors[0] ** 2 + errors[1] ** 2) ** 0.5
    low, high, _ = t_interval(ratio, error, n - 1, "")
    return Interval(min(max(low, 0.0), 1.0), min(high, 1.0), f"U-statistic variance, {len(fake)} samples")


mel_distance = Metric(
    lambda inputs: _distance(with_features(inputs, _mean_spectra)),
    unit="dB",
    interval=_distance_interval,
    insensitive_to=frozenset({"collapse"}),
)
"""How far the mean spectrum is from the reference's."""
mel_diversity = Metric(
    _diversity,
    unit="of the reference's",
    higher_is_better=True,
    interval=_diversity_interval,
    insensitive_to=frozenset({"noise"}),
    kind="diversity",
)
"""How different samples are from each other, as a share of the reference's, at most 1."""
mel_frechet = Metric(
    lambda inputs: frechet_metric.compute(with_features(inputs, log_mel_moments)),
    unit="dB^2",
    interval=lambda inputs: _bounded(frechet_metric, with_features(inputs, log_mel_moments)),
)
"""Frechet distance of per-clip log-mel statistics; cheap enough to select a model on valid."""


def _bounded(measure: Metric, inputs: MetricInputs) -> Interval:
    assert measure.interval is not None
    return measure.interval(inputs)


def rms_spectrogram(waveforms: Tensor, sample_rate_hz: int) -> Tensor:
    """Spectrograms, frames half a window apart, divided by the root of their size: |x - y| is RMS. (n, d)."""
    hop = default_win_length(sample_rate_hz, waveforms.shape[-1]) // 2
    decibels = log_mel_spectra(waveforms, sample_rate_hz, hop=hop).flatten(1)
    result: Tensor = (decibels / decibels.shape[1] ** 0.5).float()
    return result


def nearest_other_distance(x: Tensor) -> Tensor:
    """Distance of each row to the nearest other one, (n)."""
    return nearest(x, x, 1, exclude_self=True)[0][:, 0]


@lru_cache(maxsize=4)
def nearest_train_distance(x: Tensor, train: Tensor) -> Tensor:
    """Distance of each row to the nearest training example, (n). Tensors are compared by identity."""
    return nearest(x, train, 1)[0][:, 0]


@once
def _with_spectrograms(inputs: MetricInputs) -> MetricInputs:
    return with_features(inputs, rms_spectrogram)


def _with_train_spectrograms(inputs: MetricInputs) -> MetricInputs:
    train = describe_rows(rms_spectrogram, inputs.train.samples, int(inputs.spec["sample_rate_hz"]))
    return replace(_with_spectrograms(inputs), train=replace(inputs.train, features=train))


@once
def _mean_self(inputs: MetricInputs) -> float:
    return float(nearest_other_distance(require_features(inputs.fake)).mean())


def _self_details(inputs: MetricInputs) -> Mapping[str, Any]:
    inputs = _with_spectrograms(inputs)
    n = min(len(inputs.fake), len(inputs.real))
    fake, real = (_mean_of_first(sampled, n) for sampled in (inputs.fake, inputs.real))
    return {"of as many rows of the reference": real, "ratio, of as many rows": fake / real if real else None}


def _mean_of_first(sampled: SampleSet, n: int) -> float:
    """For n samples: the more samples, the nearer the nearest."""
    return float(nearest_other_distance(require_features(sampled)[:n]).mean())


def _to_train(inputs: MetricInputs, sampled: SampleSet) -> Tensor:
    return nearest_train_distance(require_features(sampled), require_features(inputs.train))


def _train_value(inputs: MetricInputs) -> float:
    inputs = _with_train_spectrograms(inputs)
    return float(_to_train(inputs, inputs.fake).mean())


def _train_interval(inputs: MetricInputs) -> Interval:
    inputs = _with_train_spectrograms(inputs)
    return mean_interval(_to_train(inputs, inputs.fake))


def _train_details(inputs: MetricInputs) -> Mapping[str, Any]:
    inputs = _with_train_spectrograms(inputs)
    fake, real = (_to_train(inputs, sampled) for sampled in (inputs.fake, inputs.real))
    return {
        "of the reference": float(real.mean()),
        "ratio": float(fake.mean() / real.mean()),
        "rows of train": len(inputs.train),
        "samples nearer to train than any row of the reference": int((fake < real.min()).sum()),
    }


mel_self = Metric(
    lambda inputs: _mean_self(_with_spectrograms(inputs)),
    unit="dB RMS a cell",
    higher_is_better=True,
    interval=lambda inputs: subsampling_interval(_mean_self, draws=20, reduce_to="features")(
        _with_spectrograms(inputs)
    ),
    details=_self_details,
    insensitive_to=frozenset({"noise"}),
    kind="diversity",
)
"""|D|self: mean distance of a sample to the nearest other one. It falls with the number of samples."""
mel_train = Metric(
    _train_value,
    unit="dB RMS a cell",
    higher_is_better=None,
    interval=_train_interval,
    details=_train_details,
    requires=frozenset({"train"}),
)
"""|D|train: mean distance of a sample to the nearest training example; good is that of the reference."""
