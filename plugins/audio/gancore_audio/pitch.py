"""Measures of pitch, as a pitch tracker hears it: is a label's pitch met, and how many pitches are there?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.special import entr

from gancore import ConfigError, Evidence, Interval, Measure, Sampled, Spec
from gancore.evaluation.intervals import clopper_pearson, of_mean
from gancore_audio.crepe import Heard, hear

TOLERANCE_CENTS = 50.0
SURE = 0.5
"""A sound has a pitch where the tracker is at least so sure of it, on its scale from 0 to 1."""
SEMITONE_CENTS = 100.0


def is_pitched(heard: Heard) -> Tensor:
    return heard.confidence >= SURE


def within(heard: Heard, low_hz: Tensor, high_hz: Tensor) -> Tensor:
    """Whether the pitch lies from ``low_hz`` to ``high_hz`` or at most 50 cents beyond, (n) booleans."""
    beyond = 2 ** (TOLERANCE_CENTS / 1200)
    inside = (heard.pitch_hz >= low_hz / beyond) & (heard.pitch_hz <= high_hz * beyond)
    return inside & is_pitched(heard)


def semitones(heard: Heard) -> Tensor:
    """The nearest semitone (MIDI note number, A4 = 440 Hz = 69) of each sound that has a pitch, (k) int64."""
    pitch_hz = heard.pitch_hz[is_pitched(heard)]
    return (69 + 12 * torch.log2(pitch_hz / 440)).round().long()


def _heard(sampled: Sampled, spec: Spec) -> Heard:
    parts = [hear(part, int(spec["rate_hz"])) for part in sampled.samples.split(256)]
    return Heard(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _hits(sampled: Sampled, spec: Spec) -> Tensor:
    """Of each row whose label has a pitch, whether it is met."""
    known = spec["class_pitches_hz"]
    if sampled.condition is None:
        raise ConfigError("a sample was asked for no label", "train with --set model.conditional=true")
    asked = sampled.condition
    has_pitch = torch.tensor([pitch is not None for pitch in known])[asked]
    if not has_pitch.any():
        raise ConfigError("no sample has a label with a pitch", "take more samples")
    ranges = torch.tensor([pitch or [0.0, 0.0] for pitch in known])[asked[has_pitch]]
    rows = Sampled(sampled.samples[has_pitch])
    return within(_heard(rows, spec), ranges[:, 0], ranges[:, 1])


def _accuracy_details(evidence: Evidence) -> Mapping[str, Any]:
    hits = _hits(evidence.fake, evidence.spec)
    real = None
    if evidence.real.condition is not None:
        real = float(_hits(evidence.real, evidence.spec).double().mean())
    return {"samples with a pitch to meet": len(hits), "of the reference": real}


def _accuracy_interval(evidence: Evidence) -> Interval:
    hits = _hits(evidence.fake, evidence.spec)
    return clopper_pearson(int(hits.sum()), len(hits))


def _log_shares(evidence: Evidence) -> tuple[float, Tensor]:
    """Entropy of the semitones, and -log of its own one's share for each sample, (k)."""
    heard = semitones(_heard(evidence.fake, evidence.spec))
    if len(heard) < 2:
        raise ConfigError(f"{len(heard)} of {len(evidence.fake)} samples have a pitch", "take more samples")
    _, own, counts = heard.unique(return_inverse=True, return_counts=True)
    shares = counts.double() / len(heard)
    return float(entr(shares).sum()), -shares.log()[own]


def _entropy_interval(evidence: Evidence) -> Interval:
    """Delta method about the value with Miller and Madow's correction (1955), (occupied - 1) / 2k."""
    _, rows = _log_shares(evidence)
    occupied = len(rows.unique())
    low, high, _ = of_mean(rows)
    return Interval(low, high + (occupied - 1) / len(rows), f"delta method, {len(rows)} pitched samples")


def _entropy_details(evidence: Evidence) -> Mapping[str, Any]:
    sets = {"samples": evidence.fake, "the reference": evidence.real}
    found: dict[str, Any] = {}
    for name, sampled in sets.items():
        heard = _heard(sampled, evidence.spec)
        counts = semitones(heard).unique(return_counts=True)[1].double()
        found[f"pitched share of {name}"] = float(is_pitched(heard).double().mean())
        found[f"entropy of {name}, nats"] = float(entr(counts / counts.sum()).sum()) if len(counts) else None
    return found


pitch_accuracy = Measure(
    lambda evidence: float(_hits(evidence.fake, evidence.spec).double().mean()),
    unit="share",
    better="higher",
    interval=_accuracy_interval,
    details=_accuracy_details,
    needs=frozenset({"condition"}),
    blind=frozenset({"collapse"}),
    quick=False,
)
"""Share of samples whose pitch is that of their label, or at most 50 cents beyond, of those that have one."""
pitch_entropy = Measure(
    lambda evidence: _log_shares(evidence)[0],
    unit="nats",
    better=None,
    interval=_entropy_interval,
    details=_entropy_details,
    quick=False,
)
"""Entropy of the semitones that are heard, over samples with a pitch; one pitch alone has 0."""
