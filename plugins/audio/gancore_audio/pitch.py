"""Measures of pitch, as a pitch tracker hears it: is a label's pitch met, and how many pitches are there?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.special import entr

from gancore import ConfigError, Evidence, Interval, Measure, Sampled, Spec
from gancore.evaluation.intervals import clopper_pearson, of_mean
from gancore.evaluation.store import content_of
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


@dataclass(frozen=True)
class Sounds:
    """Waveforms that are the same as others of the same content, so that all of them are heard once."""

    digest: str
    rate_hz: int
    waveforms: Tensor = field(compare=False, repr=False)


@lru_cache(maxsize=4)
def _heard_once(sounds: Sounds) -> Heard:
    return hear(sounds.waveforms, sounds.rate_hz)


def _heard(sampled: Sampled, spec: Spec) -> Heard:
    return _heard_once(Sounds(content_of(sampled.samples), int(spec["rate_hz"]), sampled.samples))


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


def entropy(notes: Tensor) -> float:
    """H = -sum p log p of the notes' shares, in nats."""
    shares = notes.unique(return_counts=True)[1].double() / max(len(notes), 1)
    return float(entr(shares).sum())


def entropy_interval(notes: Tensor) -> Interval:
    """Delta method: a row moves H by -log p of its own note; the value is too low by (occupied - 1) / 2k.

    (Miller and Madow 1955.) The entropy of all samples that the model may make lies within.
    """
    _, own, counts = notes.unique(return_inverse=True, return_counts=True)
    low, high, _ = of_mean(-(counts.double() / len(notes)).log()[own])
    lost, value = (len(counts) - 1) / (2 * len(notes)), entropy(notes)
    method = f"delta method with the bias of order 1/n, {len(notes)} pitched samples"
    return Interval(max(0.0, min(low + lost, value)), max(high + lost, value), method)


def _notes(evidence: Evidence) -> Tensor:
    notes = semitones(_heard(evidence.fake, evidence.spec))
    if len(notes) < 2:
        raise ConfigError(f"{len(notes)} of {len(evidence.fake)} samples have a pitch", "take more samples")
    return notes


def _entropy_details(evidence: Evidence) -> Mapping[str, Any]:
    sets = {"samples": evidence.fake, "the reference": evidence.real}
    found: dict[str, Any] = {}
    for name, sampled in sets.items():
        heard = _heard(sampled, evidence.spec)
        found[f"pitched share of {name}"] = float(is_pitched(heard).double().mean())
        found[f"entropy of {name}, nats"] = entropy(semitones(heard))
    return found


pitch_accuracy = Measure(
    lambda evidence: float(_hits(evidence.fake, evidence.spec).double().mean()),
    unit="share",
    better="higher",
    interval=_accuracy_interval,
    details=_accuracy_details,
    needs=frozenset({"condition"}),
    blind=frozenset({"collapse"}),
    kind="fidelity",
    quick=False,
)
"""Share of samples whose pitch is that of their label, or at most 50 cents beyond, of those that have one."""
pitch_entropy = Measure(
    lambda evidence: entropy(_notes(evidence)),
    unit="nats",
    better=None,
    interval=lambda evidence: entropy_interval(_notes(evidence)),
    details=_entropy_details,
    quick=False,
)
"""Entropy of the semitones that are heard, over samples with a pitch; one pitch alone has 0."""
