"""The text domain: data sets of short texts, and models that generate them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gancore import Data, Diagnostic, Domain, RecipeEntry, Samples, Source, Spec
from gancore_text.config import TextConfig, TextSchema
from gancore_text.dataset import open_text
from gancore_text.diagnosis import diagnose
from gancore_text.export import draw_texts, write_samples
from gancore_text.representation import texts_of
from gancore_text.sources import SOURCES

if TYPE_CHECKING:
    from PIL.Image import Image


class TextDomain(Domain):
    """Canonical samples are texts, (batch, bytes) uint8: UTF-8, with zeros after the end."""

    name = "text"
    Config = TextConfig
    Schema = TextSchema
    sources = SOURCES
    comparison_temperatures = (0.6, 0.8, 1.0, 1.2)
    recipes = {
        entry.name: entry
        for entry in (
            RecipeEntry(
                "lstm-lm",
                "gancore_text.language_models:LSTMLanguageModel",
                "an LSTM language model, by maximum likelihood",
                capabilities=frozenset({"likelihood", "temperature"}),
            ),
        )
    }

    def open(self, source: Source, config: TextConfig) -> Data:
        return open_text(source, config)

    def write(self, samples: Samples, folder: Path) -> list[Path]:
        return write_samples(samples, folder)

    def preview(self, samples: Samples) -> Image:
        return draw_texts(self.text_lines(samples))

    def texts(self, samples: Samples) -> list[str]:
        return texts_of(samples.data)

    def report_sample_count(self, spec: Spec) -> int:
        return 16

    def diagnose(self, samples: Samples) -> list[Diagnostic]:
        return diagnose(texts_of(samples.data), samples.spec["usual_bytes"])

    def tiny_config(self) -> Mapping[str, Any]:
        return {
            "data": {"source": "python_reference", "max_characters": 40},
            "model": {"batch_size": 8, "width": 8, "embedding_dim": 8},
            "train": {"steps": 8},
        }
