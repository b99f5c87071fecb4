"""Measures of sounds, (n, 1, time) beside (n, 1, time), on log-mel spectra."""

from __future__ import annotations

import torch
from torch import Tensor

from gancore import Evidence, Measure
from gancore_audio.spectrogram import log_mel

FLOOR_DB = -60.0
"""A measure tells nothing quieter from silence: else digital silence against inaudible hiss decides it."""


def spectra(waveforms: Tensor, rate_hz: int, bands: int = 64, floor_db: float = FLOOR_DB) -> Tensor:
    """Log-mel spectrograms of (n, 1, time) in dB, at least ``floor_db``: (n, bands, frames), float64."""
    return log_mel(waveforms.flatten(1), rate_hz, bands).clamp_min(floor_db).double()


def spectrum_distance(spectra: Tensor, reference: Tensor) -> float:
    """RMS over bands of the difference of the mean spectra, in dB. A gain of g dB gives g.

    Spectra are (n, bands, frames) and (m, bands, frames), in dB; the mean is over clips and frames.
    """
    return float((spectra.mean((0, 2)) - reference.mean((0, 2))).square().mean().sqrt())


def pairwise_distance(spectra: Tensor) -> float:
    """Mean over pairs of clips of the RMS difference of their spectrograms (n, bands, frames), in dB.

    Raises:
        ValueError: fewer than two clips make no pair.
    """
    if len(spectra) < 2:
        raise ValueError(f"pairs need at least 2 samples, found {len(spectra)}")
    # torch.pdist subtracts, so identical clips are at 0 exactly
    return float(torch.pdist(spectra.flatten(1)).mean() / spectra[0].numel() ** 0.5)


def clip_features(waveforms: Tensor, rate_hz: int) -> Tensor:
    """Mean and standard deviation over time of 32 log-mel bands, in dB: (n, 1, time) -> (n, 64), float64."""
    decibels = spectra(waveforms, rate_hz, bands=32)
    return torch.cat([decibels.mean(2), decibels.std(2, correction=0)], dim=1)


def frechet(features: Tensor, reference: Tensor) -> float:
    """Frechet distance of the Gaussians with the means and covariances of two sets (n, d), float64.

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1^1/2 S2 S1^1/2)^1/2), Dowson and Landau 1982; in units squared.
    """
    (m1, s1), (m2, s2) = (_gaussian(x.double()) for x in (features, reference))
    values, vectors = torch.linalg.eigh(s1)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ s2 @ root).clamp_min(0).sqrt().sum()
    return float(((m1 - m2).square().sum() + s1.trace() + s2.trace() - 2 * cross).clamp_min(0))


def _gaussian(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (d) and covariance (d, d) of (n, d), shrunk towards its diagonal by d / (n + d).

    Few samples give a covariance whose small eigenvalues are far too small; the weight falls to
    nothing as n grows.
    """
    n, d = features.shape
    centred = features - features.mean(0)
    covariance = centred.T @ centred / max(n - 1, 1)
    weight = d / (n + d)
    return features.mean(0), (1 - weight) * covariance + weight * covariance.diagonal().diag()


def _waveforms(evidence: Evidence) -> tuple[Tensor, Tensor]:
    return evidence.fake.samples, evidence.real.samples


def _mel_distance(evidence: Evidence) -> float:
    rate_hz = int(evidence.spec["rate_hz"])
    return spectrum_distance(*(spectra(x, rate_hz) for x in _waveforms(evidence)))


def _mel_diversity(evidence: Evidence) -> float:
    rate_hz = int(evidence.spec["rate_hz"])
    own, expected = (pairwise_distance(spectra(x, rate_hz)) for x in _waveforms(evidence))
    return min(1.0, own / expected)


def _mel_frechet(evidence: Evidence) -> float:
    rate_hz = int(evidence.spec["rate_hz"])
    return frechet(*(clip_features(x, rate_hz) for x in _waveforms(evidence)))


mel_distance = Measure(_mel_distance, unit="dB", better="lower")
"""How far the mean spectrum is from the reference's."""
mel_diversity = Measure(_mel_diversity, unit="of the reference's", better="higher")
"""How different samples are from each other, as a share of the reference's; more than it counts as 1."""
mel_frechet = Measure(_mel_frechet, unit="dB^2", better="lower")
"""Frechet distance of per-clip log-mel statistics; small enough to select a model on valid."""
