"""The audio domain: recordings in, sounds out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gancore import Data, Domain, Finding, MeasureEntry, RecipeEntry, Samples, Source
from gancore_audio.clips import open_clips
from gancore_audio.config import AudioConfig
from gancore_audio.diagnosis import diagnose
from gancore_audio.sources import SOURCES
from gancore_audio.spectrogram import picture
from gancore_audio.writing import sample_labels, write_samples

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch.utils.tensorboard import SummaryWriter

SHOWN = 8
"""Sounds put into TensorBoard at each preview."""


class Audio(Domain):
    """Canonical samples are waveforms, (batch, 1, length), float, in [-1, 1]."""

    name = "audio"
    Config = AudioConfig
    sources = SOURCES
    recipes = {
        entry.name: entry
        for entry in (
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
                "wavenet",
                "gancore_audio.wavenet:WaveNet",
                "autoregressive likelihood of 8-bit mu-law codes, sampled step by step",
                provides=frozenset({"likelihood", "conditional"}),
            ),
        )
    }
    measures = {
        entry.name: entry
        for entry in (
            MeasureEntry(
                "mel_distance", "gancore_audio.measures:mel_distance", "mean log-mel spectra apart, dB"
            ),
            MeasureEntry(
                "mel_diversity", "gancore_audio.measures:mel_diversity", "spread, as a share of the data's"
            ),
            MeasureEntry(
                "mel_frechet", "gancore_audio.measures:mel_frechet", "Frechet distance of log-mel moments"
            ),
        )
    }

    selection = "mel_frechet"

    def open(self, source: Source, config: AudioConfig) -> Data:
        return open_clips(source, config, source.announce)

    def write(self, samples: Samples, folder: Path) -> list[Path]:
        return write_samples(samples, folder)

    def preview(self, samples: Samples) -> Image:
        return picture(samples.data[:, 0].numpy(), samples.spec["rate_hz"], sample_labels(samples))

    def show(self, samples: Samples, writer: SummaryWriter, step: int) -> None:
        super().show(samples, writer, step)
        for number, waveform in enumerate(samples.data[:SHOWN, 0]):
            writer.add_audio(f"sample/{number + 1}", waveform, step, sample_rate=samples.spec["rate_hz"])

    def diagnose(self, samples: Samples) -> list[Finding]:
        return diagnose(samples.data, samples.spec["rate_hz"])

    def tiny(self) -> Mapping[str, Any]:
        return {
            "data": {"source": "percussion", "rate_hz": 8000, "length": 1024},
            "model": {"width": 2, "latent": 8, "batch_size": 8, "skips": 4, "blocks": 1, "layers": 4},
            "train": {"steps": 8},
        }
