"""Nearest neighbours in log-mel, against brute force; bits against counting; intervals against the truth."""

from __future__ import annotations

import math

import pytest
import torch
from gancore_audio import mel_metrics
from gancore_audio.mel_metrics import mel_distance, mel_diversity, mel_self, mel_train, rms_spectrogram
from gancore_audio.signal_metrics import bits, bits_per_sample, dc, ltas_distance
from refusals import refused
from torch import Tensor

from gancore import ConfigError, MetricInputs, SampleSet, Spec
from gancore.random import Key

RATE_HZ = 8000
SPEC = Spec({"sample_rate_hz": RATE_HZ})


def sounds(key: Key, n: int, time: int = 1024) -> Tensor:
    """Noise of its own loudness, length and pitch of a tone."""
    loud, last, pitch = ((key / name).uniform(n, 1, 1) for name in ("loud", "last", "pitch"))
    moment = torch.arange(time) / time
    tone = torch.sin(2 * math.pi * (40 + 200 * pitch) * moment)
    return (
        (0.05 + 0.2 * loud) * (tone + 0.3 * (key / "noise").normal(n, 1, time)) * (moment < 0.3 + 0.7 * last)
    )


def inputs(fake: Tensor, real: Tensor, train: Tensor | None = None, key: Key | None = None) -> MetricInputs:
    beside = SampleSet(real if train is None else train)
    return MetricInputs(SampleSet(fake), SampleSet(real), beside, SPEC, key=key or Key.of(0))


A, B = sounds(Key.of("a"), 20), sounds(Key.of("b"), 30)


def brute(x: Tensor, y: Tensor) -> Tensor:
    """RMS difference of every pair of log-mel spectrograms, (n, m), by subtraction."""
    x, y = (rms_spectrogram(part, RATE_HZ).double() for part in (x, y))
    return (x[:, None] - y[None]).square().sum(2).sqrt()


def test_distances_to_the_nearest_are_those_of_brute_force():
    own = brute(A, A).fill_diagonal_(torch.inf).amin(1)
    assert mel_self.compute(inputs(A, B)) == pytest.approx(float(own.mean()), rel=1e-4)
    assert mel_train.compute(inputs(A, A, B)) == pytest.approx(float(brute(A, B).amin(1).mean()), rel=1e-4)


def test_a_cell_is_a_decibel_whatever_the_length():
    """Twice as loud is 6.02 dB in every cell, for sounds of any length that fill it."""
    for time in (512, 4096):
        hiss = 0.1 * Key.of("hiss").normal(2, 1, time)
        apart = (rms_spectrogram(2 * hiss, RATE_HZ) - rms_spectrogram(hiss, RATE_HZ)).norm(dim=1)
        assert apart.tolist() == pytest.approx([6.0206, 6.0206], abs=0.01)


def test_copies_are_at_no_distance_and_are_counted():
    seen = inputs(B[:10], A, B)
    assert mel_train.compute(seen) == 0
    metric_details = mel_train.details(seen)
    assert metric_details["ratio"] == 0 and metric_details["rows of train"] == 30
    assert metric_details["samples nearer to train than any row of the reference"] == 10
    assert mel_self.compute(inputs(torch.cat([A, A]), A)) == 0


def test_the_reference_s_own_ratio_is_one():
    assert mel_train.details(inputs(A, A, B))["ratio"] == pytest.approx(1)
    assert mel_self.details(inputs(A, A))["ratio, of as many rows"] == pytest.approx(1)


def test_the_ratio_within_is_at_one_number_of_rows():
    """Sixty samples of the same law lie nearer to each other than twenty do; the ratio is of twenty each."""
    many = sounds(Key.of("many"), 300)
    metric_details = mel_self.details(inputs(many, A))
    assert mel_self.compute(inputs(many, A)) < 0.85 * mel_self.compute(inputs(A, A))
    assert metric_details["ratio, of as many rows"] == pytest.approx(1, abs=0.25)


# Bits.


def test_mean_pairwise_distances_are_those_of_all_pairs_however_many_are_taken_at_once(monkeypatch):
    spectra = torch.randn(23, 4, 5, generator=torch.Generator().manual_seed(0)).double()
    spectra[7] = spectra[2]
    expected = torch.cdist(spectra.flatten(1), spectra.flatten(1)).sum(1) / 22 / 20**0.5
    for rows in (1, 5, 23, 100):
        monkeypatch.setattr(mel_metrics, "ROWS_AT_ONCE", rows)
        found = mel_metrics.mean_pairwise_distances(spectra)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def test_a_subset_is_read_from_the_set_that_was_described():
    calls = []

    def describe(waveforms, sample_rate_hz):
        calls.append(len(waveforms))
        return waveforms.flatten(1).cumsum(1) * sample_rate_hz

    sounds = torch.randn(12, 1, 16, generator=torch.Generator().manual_seed(0))
    whole = mel_metrics.describe_rows(describe, sounds, 2)
    part = mel_metrics.describe_rows(describe, sounds[[4, 1, 4]].clone(), 2)
    assert torch.equal(part, whole[[4, 1, 4]]) and calls == [12]
    changed = sounds.clone()
    changed[3, 0, 0] += 1
    assert torch.equal(mel_metrics.describe_rows(describe, changed, 2), describe(changed, 2))
    assert mel_metrics.describe_rows(describe, sounds, 3)[0, 0] == 3 * sounds[0, 0, 0]


def test_bits_are_those_of_the_quantised_law():
    """A uniform law over a quarter of the range takes 14 of 16 bits, by counting its steps."""
    density = 1 / 0.5  # over [-0.25, 0.25)
    log_prob = torch.full((3,), 100 * math.log(density))
    steps = 0.5 / 2**-15
    assert bits(log_prob, 100).tolist() == pytest.approx([math.log2(steps)] * 3)
    assert math.log2(steps) == 14
    assert bits(torch.zeros(1), 7, depth=8).item() == 8 - 1  # density 1 over [0, 1): half the steps


def test_bits_of_a_discrete_law_are_its_entropy_whatever_the_cells():
    """8-bit codes of probability 1/256 each, spread evenly over cells of 2^-7: 8 bits at 8 bit, 16 at 16."""
    log_prob = torch.tensor([50 * (math.log(1 / 256) - math.log(2**-7))])
    assert bits(log_prob, 50, depth=8).item() == pytest.approx(8)
    assert bits(log_prob, 50).item() == pytest.approx(16)


def test_bits_need_a_likelihood_and_say_what_it_is():
    seen = inputs(A, A)
    with refused(ConfigError, "log_prob", fix="bits_per_sample"):
        bits_per_sample.compute(seen)
    log_prob = torch.linspace(900, 1100, 20)
    log_probs = MetricInputs(
        seen.fake, seen.real, seen.train, SPEC, log_prob=log_prob, log_prob_is_bound=True
    )
    assert bits_per_sample.compute(log_probs) == pytest.approx(15 - 1000 / (1024 * math.log(2)))
    low, high, _ = bits_per_sample.interval(log_probs)
    assert low < bits_per_sample.compute(log_probs) < high
    assert "bound" in bits_per_sample.details(log_probs)["likelihood"]


# Intervals hold the truth as often as they say.


WORLDS = {  # the measure, the gain of the samples, their number
    "mel_distance": (mel_distance, 0.6, 80),
    "mel_distance of equal laws": (mel_distance, 1.0, 80),
    "mel_diversity": (mel_diversity, 1.0, 80),
    "mel_self": (mel_self, 1.0, 80),
    "mel_train": (mel_train, 1.0, 80),
    "ltas_distance": (ltas_distance, 0.6, 200),
    "dc": (dc, 1.0, 80),
}
TRAIN = sounds(Key.of("train"), 100, 512)


def world(name: str, key: Key) -> MetricInputs:
    _, gain, n = WORLDS[name]
    fake = sounds(key / "fake", n, 512)
    if name == "mel_diversity":  # half of them alike, so that less than the reference's is true
        fake[::2] = fake[:1] + 1e-3 * fake[::2]
    return inputs(gain * fake, sounds(key / "real", n, 512), TRAIN, key)


def coverage(name: str, runs: int) -> float:
    measure = WORLDS[name][0]
    values = [measure.compute(world(name, Key.of("truth", i))) for i in range(2 * runs)]
    truth = sum(values) / len(values)
    ends = [measure.interval(world(name, Key.of("run", i)))[:2] for i in range(runs)]
    return sum(low <= truth <= high for low, high in ends) / runs


@pytest.mark.parametrize("name", WORLDS)
def test_intervals_hold_the_truth_in_a_few_worlds(name):
    assert coverage(name, 12) >= 9 / 12


@pytest.mark.long
@pytest.mark.parametrize("name", WORLDS)
def test_intervals_hold_the_truth_as_often_as_they_say(name):
    share = coverage(name, 200)
    assert 0.90 <= share <= 0.995, share
