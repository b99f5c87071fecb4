"""The audio domain: data sets of recordings, and models that generate sounds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gancore import (
    Data,
    Diagnostic,
    Domain,
    FeatureExtractorEntry,
    MetricEntry,
    RecipeEntry,
    Samples,
    Source,
    Spec,
)
from gancore_audio.config import AudioConfig, AudioSchema
from gancore_audio.dataset import open_audio
from gancore_audio.diagnosis import diagnose
from gancore_audio.export import spectrogram_grid, write_samples
from gancore_audio.sources import SOURCES

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch.utils.tensorboard import SummaryWriter

METRICS = tuple(
    MetricEntry(name, f"gancore_audio.{target}", summary)
    for name, target, summary in (
        ("mel_distance", "mel_metrics:mel_distance", "distance of mean log-mel spectra, dB"),
        ("mel_diversity", "mel_metrics:mel_diversity", "diversity, as a share of the data's"),
        ("mel_frechet", "mel_metrics:mel_frechet", "Frechet distance of log-mel moments"),
        ("mel_self", "mel_metrics:mel_self", "|D|self: log-mel distance to the nearest other sample, dB"),
        (
            "mel_train",
            "mel_metrics:mel_train",
            "|D|train: log-mel distance to the nearest training example, dB",
        ),
        ("ltas_distance", "signal_metrics:ltas_distance", "distance of long-term average spectra, dB"),
        ("onset_distance", "signal_metrics:onset_distance", "distance of onset times, ms"),
        ("checkerboard", "signal_metrics:checkerboard", "energy of tones at multiples of rate / 4^k, %"),
        ("dc", "signal_metrics:dc", "energy of the mean, %"),
        (
            "clipping",
            "signal_metrics:clipping",
            "share of samples with over 1 % of values at full scale",
        ),
        ("silence", "signal_metrics:silence", "share of samples under -60 dBFS"),
        ("bits_per_sample", "signal_metrics:bits_per_sample", "likelihood, at 16 bit"),
        ("pitch_accuracy", "pitch:pitch_accuracy", "share whose pitch is their label's, within 50 cents"),
        ("pitch_entropy", "pitch:pitch_entropy", "entropy of the semitones, nats"),
    )
)
FEATURE_EXTRACTORS = tuple(
    FeatureExtractorEntry(name, f"gancore_audio.{target}", summary, classifier=name == "classifier")
    for name, target, summary in (
        (
            "classifier",
            "classifier:ClassifierFeatures",
            "last layer of a classifier trained on the same source",
        ),
        ("log-mel", "features:LogMelFeatures", "mean and deviation over time of 32 log-mel bands"),
        ("crepe", "features:CrepeFeatures", "embedding of the pitch tracker CREPE; extra `pitch`"),
        ("vggish", "features:VGGishFeatures", "VGGish's embedding, with weights that GANCORE_VGGISH names"),
    )
)
TENSORBOARD_SOUNDS = 8
"""Number of sounds in TensorBoard per preview."""


class AudioDomain(Domain):
    """Canonical samples are waveforms, (batch, 1, length), float, in [-1, 1]."""

    name = "audio"
    Config = AudioConfig
    Schema = AudioSchema
    sources = SOURCES
    reads_shards = True
    recipes = {
        entry.name: entry
        for entry in (
            RecipeEntry(
                "specgan",
                "gancore_audio.specgan:SpecGAN",
                "SpecGAN for small budgets: log-magnitude spectrograms, inverted by Griffin-Lim",
                capabilities=frozenset({"parallel", "conditional"}),
            ),
            RecipeEntry(
                "wavegan-lite",
                "gancore_audio.wavegan:WaveGANLite",
                "WaveGAN's generator for small budgets, discriminators of waveform and spectrogram",
                capabilities=frozenset({"parallel", "conditional"}),
            ),
            RecipeEntry(
                "wavegan",
                "gancore_audio.wavegan:WaveGAN",
                "WaveGAN as published: WGAN-GP, five discriminator moves, phase shuffle, post filter",
                capabilities=frozenset({"parallel", "conditional"}),
            ),
            RecipeEntry(
                "ifgan",
                "gancore_audio.specgan:IFGAN",
                "GANSynth's representation: log-mel magnitudes with their instantaneous frequencies",
                capabilities=frozenset({"parallel", "conditional"}),
            ),
            RecipeEntry(
                "wavenet",
                "gancore_audio.wavenet:WaveNet",
                "autoregressive likelihood of 8-bit mu-law codes, sampled step by step",
                capabilities=frozenset({"likelihood", "conditional", "temperature"}),
            ),
            RecipeEntry(
                "audiovae",
                "gancore_audio.vae:AudioVAE",
                "a variational autoencoder: noise with a spectrum that varies in time",
                capabilities=frozenset({"parallel", "likelihood", "bound", "conditional"}),
            ),
            RecipeEntry(
                "classifier",
                "gancore_audio.classifier:SoundClassifierRecipe",
                "classifies the labels: a small CNN on log-mel spectra",
                capabilities=frozenset({"classification"}),
            ),
            RecipeEntry(
                "audioflow",
                "gancore_audio.flow:AudioFlow",
                "a flow of the waveform: samples in parallel, a likelihood bound, inverts",
                capabilities=frozenset({"parallel", "likelihood", "bound", "inversion", "conditional"}),
            ),
            RecipeEntry(
                "audioflowgan",
                "gancore_audio.flow:AudioFlowGAN",
                "that flow as the generator of a GAN, with a likelihood bound",
                capabilities=frozenset({"parallel", "likelihood", "bound", "inversion", "conditional"}),
            ),
        )
    }
    metrics = {entry.name: entry for entry in METRICS}
    feature_extractors = {entry.name: entry for entry in FEATURE_EXTRACTORS}

    selection_metric = "mel_frechet"
    neighbour_features = "log-mel"

    def metrics_for(self, spec: Spec) -> Mapping[str, MetricEntry]:
        has_pitches = "class_pitches_hz" in spec
        return {
            name: entry for name, entry in self.metrics.items() if has_pitches or name != "pitch_accuracy"
        }

    def feature_extractors_for(self, spec: Spec) -> Mapping[str, FeatureExtractorEntry]:
        has_classes = len(spec.get("classes") or []) > 1
        return {
            name: entry
            for name, entry in self.feature_extractors.items()
            if has_classes or name != "classifier"
        }

    def scale_spec(self, spec: Spec, factor: float) -> Spec | None:
        """Sounds ``factor`` times as long, if that is a multiple of 16 samples."""
        length = spec["length"] * factor
        if length < 16 or length % 16:
            return None
        return Spec({**spec.fields, "length": int(length)}, spec.tensors)

    def open(self, source: Source, config: AudioConfig) -> Data:
        return open_audio(source, config, source.announce)

    def write(self, samples: Samples, folder: Path) -> list[Path]:
        return write_samples(samples, folder)

    def preview(self, samples: Samples) -> Image:
        titles, columns = samples.titles(), samples.columns or None
        return spectrogram_grid(samples.data[:, 0].numpy(), samples.spec["sample_rate_hz"], titles, columns)

    def log_to_tensorboard(self, samples: Samples, writer: SummaryWriter, step: int) -> None:
        super().log_to_tensorboard(samples, writer, step)
        for number, waveform in enumerate(samples.data[:TENSORBOARD_SOUNDS, 0]):
            writer.add_audio(
                f"sample/{number + 1}", waveform, step, sample_rate=samples.spec["sample_rate_hz"]
            )

    def diagnose(self, samples: Samples) -> list[Diagnostic]:
        return diagnose(samples.data, samples.spec["sample_rate_hz"])

    def tiny_config(self) -> Mapping[str, Any]:
        return {
            "data": {"source": "percussion", "sample_rate_hz": 8000, "length": 1024},
            "model": {
                "batch_size": 8,
                "width": 2,
                "discriminator_width": 2,
                "decoder_width": 4,
                "importance_samples": 4,
                "latent_dim": 8,
                "skip_channels": 4,
                "blocks": 1,
                "layers": 4,
                "couplings": 2,
            },
            "train": {"steps": 8},
        }
