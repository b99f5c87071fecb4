"""When sounds begin: what statistics over time do not tell, and a model of one-shots often gets wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scipy.stats import wasserstein_distance
from torch import Tensor

from gancore import Evidence, Measure
from gancore.evaluation.intervals import subsampling
from gancore_audio.measures import described, features

SHARE = 0.01
"""Of a sound's energy: it has begun when so much has passed. What is 20 dB under the rest is no beginning."""


def onsets_ms(waveforms: Tensor, rate_hz: int) -> Tensor:
    """Time before 1 % of the energy has passed, in ms: (n, 1, time) to (n, 1), float64; of silence all of it.

    A sound that comes t ms later has its onset t ms later, however loud it is, and wherever its end is
    cut off after that.
    """
    passed = waveforms.flatten(1).double().square().cumsum(1)
    before = (passed < SHARE * passed[:, -1:]) | (passed[:, -1:] == 0)
    return 1000 / rate_hz * before.sum(1, keepdim=True).double()


def _distance(seen: Evidence) -> float:
    """Wasserstein-1 distance of the onsets, in ms."""
    return float(wasserstein_distance(*(features(s)[:, 0].numpy() for s in (seen.fake, seen.real))))


def _details(evidence: Evidence) -> Mapping[str, Any]:
    seen = described(evidence, onsets_ms)
    quartiles = {}
    for name, sampled in (("samples", seen.fake), ("the reference", seen.real)):
        told = features(sampled)[:, 0]
        quartiles[f"quartiles of {name}, ms"] = [float(told.quantile(q)) for q in (0.25, 0.5, 0.75)]
    return quartiles


onset_distance = Measure(
    lambda evidence: _distance(described(evidence, onsets_ms)),
    unit="ms",
    interval=lambda evidence: subsampling(_distance, lowest=0.0)(described(evidence, onsets_ms)),
    details=_details,
    blind=frozenset({"collapse"}),
)
"""How far the times at which samples begin are from those of the reference."""
