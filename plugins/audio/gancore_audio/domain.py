"""The audio domain: recordings in, sounds out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gancore import (
    Data,
    Domain,
    FeaturesEntry,
    Finding,
    MeasureEntry,
    RecipeEntry,
    Samples,
    Source,
    Spec,
)
from gancore.naming import sample_titles
from gancore_audio.clips import open_clips
from gancore_audio.config import AudioConfig, AudioFacts
from gancore_audio.diagnosis import diagnose
from gancore_audio.sources import SOURCES
from gancore_audio.spectrogram import picture
from gancore_audio.writing import write_samples

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch.utils.tensorboard import SummaryWriter

MEASURES = tuple(
    MeasureEntry(name, f"gancore_audio.{home}", summary)
    for name, home, summary in (
        ("mel_distance", "measures:mel_distance", "mean log-mel spectra apart, dB"),
        ("mel_diversity", "measures:mel_diversity", "spread, as a share of the data's"),
        ("mel_frechet", "measures:mel_frechet", "Frechet distance of log-mel moments"),
        ("mel_self", "nearest:mel_self", "|D|self: log-mel distance to the nearest other sample, dB"),
        ("mel_train", "nearest:mel_train", "|D|train: log-mel distance to the nearest row of train, dB"),
        ("ltas_distance", "sanity:ltas_distance", "long-term average spectra apart, dB"),
        ("onset_distance", "onset:onset_distance", "times at which sounds begin, ms apart"),
        ("checkerboard", "sanity:checkerboard", "energy of tones at multiples of rate / 4^k, %"),
        ("dc", "sanity:dc", "energy of the mean level, %"),
        ("clipping", "sanity:clipping", "share of samples over 1 % of whose values are at full scale"),
        ("silence", "sanity:silence", "share of samples under -60 dBFS"),
        ("bits_per_sample", "bits:bits_per_sample", "likelihood, at 16 bit"),
        ("pitch_accuracy", "pitch:pitch_accuracy", "share whose pitch is their label's, within 50 cents"),
        ("pitch_entropy", "pitch:pitch_entropy", "entropy of the semitones that are heard, nats"),
    )
)
FEATURES = tuple(
    FeaturesEntry(name, f"gancore_audio.features:{home}", summary, classifier=name == "classifier")
    for name, home, summary in (
        ("classifier", "ClassifierFeatures", "last layer of a classifier trained on the same source"),
        ("log-mel", "LogMelFeatures", "mean and deviation over time of 32 log-mel bands"),
        ("crepe", "CrepeFeatures", "embedding of the pitch tracker CREPE; extra `pitch`"),
        ("vggish", "VGGishFeatures", "VGGish's embedding, from weights that GANCORE_VGGISH names"),
    )
)
SHOWN = 8
"""Sounds put into TensorBoard at each preview."""


class Audio(Domain):
    """Canonical samples are waveforms, (batch, 1, length), float, in [-1, 1]."""

    name = "audio"
    Config = AudioConfig
    Facts = AudioFacts
    sources = SOURCES
    recipes = {
        entry.name: entry
        for entry in (
            RecipeEntry(
                "specgan",
                "gancore_audio.spectrogram_gans:SpecGAN",
                "SpecGAN for small budgets: log-magnitude spectrograms, turned into sound by Griffin and Lim",
                provides=frozenset({"parallel", "conditional"}),
            ),
            RecipeEntry(
                "wavegan-lite",
                "gancore_audio.recipes:WaveGANLite",
                "WaveGAN's generator for small budgets, judged by waveform and by spectrogram",
                provides=frozenset({"parallel", "conditional"}),
            ),
            RecipeEntry(
                "wavegan",
                "gancore_audio.recipes:WaveGAN",
                "WaveGAN as published: WGAN-GP, five discriminator moves, phase shuffle, post filter",
                provides=frozenset({"parallel", "conditional"}),
            ),
            RecipeEntry(
                "ifgan",
                "gancore_audio.spectrogram_gans:IFGAN",
                "GANSynth's representation: log-mel magnitudes with their instantaneous frequencies",
                provides=frozenset({"parallel", "conditional"}),
            ),
            RecipeEntry(
                "wavenet",
                "gancore_audio.wavenet:WaveNet",
                "autoregressive likelihood of 8-bit mu-law codes, sampled step by step",
                provides=frozenset({"likelihood", "conditional"}),
            ),
            RecipeEntry(
                "audiovae",
                "gancore_audio.audiovae:AudioVAE",
                "a variational autoencoder: noise whose spectrum varies in time, by a latent",
                provides=frozenset({"parallel", "likelihood", "bound", "conditional"}),
            ),
            RecipeEntry(
                "classifier",
                "gancore_audio.classifier:SoundJudge",
                "tells the labels apart: a small CNN on log-mel spectra",
                provides=frozenset({"judge"}),
            ),
            RecipeEntry(
                "audioflow",
                "gancore_audio.audioflow:AudioFlow",
                "a flow of the waveform: samples in parallel, a likelihood bound, inverts",
                provides=frozenset({"parallel", "likelihood", "bound", "inversion", "conditional"}),
            ),
            RecipeEntry(
                "audioflowgan",
                "gancore_audio.audioflowgan:AudioFlowGAN",
                "that flow as the generator of a GAN, its likelihood known throughout",
                provides=frozenset({"parallel", "likelihood", "bound", "inversion", "conditional"}),
            ),
        )
    }
    measures = {entry.name: entry for entry in MEASURES}
    features = {entry.name: entry for entry in FEATURES}

    selection = "mel_frechet"
    closeness = "log-mel"

    def measures_of(self, spec: Spec) -> Mapping[str, MeasureEntry]:
        pitched = "class_pitches_hz" in spec
        return {name: entry for name, entry in self.measures.items() if pitched or name != "pitch_accuracy"}

    def features_of(self, spec: Spec) -> Mapping[str, FeaturesEntry]:
        labelled = len(spec.get("classes") or []) > 1
        return {name: entry for name, entry in self.features.items() if labelled or name != "classifier"}

    def scaled(self, spec: Spec, factor: float) -> Spec | None:
        """Sounds ``factor`` times as long, where that is a whole number of 16 samples."""
        length = spec["length"] * factor
        if length < 16 or length % 16:
            return None
        return Spec({**spec.facts, "length": int(length)}, spec.tensors)

    def open(self, source: Source, config: AudioConfig) -> Data:
        return open_clips(source, config, source.announce)

    def write(self, samples: Samples, folder: Path) -> list[Path]:
        return write_samples(samples, folder)

    def preview(self, samples: Samples) -> Image:
        titles, columns = sample_titles(samples), samples.columns or None
        return picture(samples.data[:, 0].numpy(), samples.spec["rate_hz"], titles, columns)

    def show(self, samples: Samples, writer: SummaryWriter, step: int) -> None:
        super().show(samples, writer, step)
        for number, waveform in enumerate(samples.data[:SHOWN, 0]):
            writer.add_audio(f"sample/{number + 1}", waveform, step, sample_rate=samples.spec["rate_hz"])

    def diagnose(self, samples: Samples) -> list[Finding]:
        return diagnose(samples.data, samples.spec["rate_hz"])

    def tiny(self) -> Mapping[str, Any]:
        return {
            "data": {"source": "percussion", "rate_hz": 8000, "length": 1024},
            "model": {
                "batch_size": 8,
                "width": 2,
                "judge_width": 2,
                "decoder_width": 4,
                "draws": 4,
                "latent": 8,
                "skips": 4,
                "blocks": 1,
                "layers": 4,
                "couplings": 2,
            },
            "train": {"steps": 8},
        }
