"""The text domain: data sets of short texts, and models that generate them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gancore import Data, Diagnostic, Domain, MetricEntry, RecipeEntry, Samples, Source, Spec, View
from gancore_text.config import TextConfig, TextSchema
from gancore_text.dataset import open_text
from gancore_text.diagnosis import diagnose
from gancore_text.export import draw_texts, write_samples
from gancore_text.noise import shuffle_words
from gancore_text.novelty import mark_novelty
from gancore_text.registry import FEATURE_EXTRACTORS, METRICS, metrics_for
from gancore_text.representation import texts_of
from gancore_text.sources import SOURCES

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from gancore.random import Key


class TextDomain(Domain):
    """Canonical samples are texts, (batch, bytes) uint8: UTF-8, with zeros after the end."""

    name = "text"
    Config = TextConfig
    Schema = TextSchema
    sources = SOURCES
    reads_shards = True
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
            RecipeEntry(
                "wgan-gp-chars",
                "gancore_text.character_gan:CharacterGAN",
                "WGAN-GP on characters, all positions of a text at once",
                capabilities=frozenset({"parallel"}),
            ),
            RecipeEntry(
                "relgan",
                "gancore_text.relgan:RelGAN",
                "a relational memory, Gumbel-softmax, many readings of each text, relativistic",
                capabilities=frozenset({"likelihood", "temperature"}),
            ),
            RecipeEntry(
                "gumbelgan",
                "gancore_text.gumbelgan:GumbelGAN",
                "an LSTM by straight-through Gumbel-softmax, against convolutions",
                capabilities=frozenset({"likelihood", "temperature"}),
            ),
            RecipeEntry(
                "gpt2",
                "gancore_text.gpt2:GPT2",
                "GPT-2 of transformers, from scratch or fine-tuned; extra `gpt2`",
                capabilities=frozenset({"likelihood", "bound", "temperature"}),
            ),
            RecipeEntry(
                "textvae",
                "gancore_text.textvae:TextVAERecipe",
                "a variational autoencoder of LSTMs: a bound on the likelihood, and interpolation",
                capabilities=frozenset({"likelihood", "bound", "temperature", "latents"}),
            ),
            RecipeEntry(
                "latentgan",
                "gancore_text.latentgan:LatentGAN",
                "a WGAN-GP of the codes of an autoencoder, whose decoder writes the texts",
                capabilities=frozenset({"latents"}),
            ),
            RecipeEntry(
                "embedgan",
                "gancore_text.embedgan:EmbedGAN",
                "a WGAN-GP of sequences of word vectors, all words at once",
                capabilities=frozenset({"parallel", "latents"}),
            ),
            RecipeEntry(
                "ngram",
                "gancore_text.ngram:NgramLanguageModel",
                "counts of n-grams, with interpolated modified Kneser-Ney smoothing",
                capabilities=frozenset({"likelihood", "temperature"}),
            ),
            RecipeEntry(
                "maskgan",
                "gancore_text.maskgan:MaskGAN",
                "fills gaps of a text, by REINFORCE with a critic (MaskGAN)",
                capabilities=frozenset({"likelihood", "temperature", "infill"}),
            ),
            RecipeEntry(
                "seqgan",
                "gancore_text.seqgan:SeqGAN",
                "a pretrained LSTM trained by REINFORCE with Monte Carlo rollouts (SeqGAN)",
                capabilities=frozenset({"likelihood", "temperature"}),
            ),
            RecipeEntry(
                "scratchgan",
                "gancore_text.scratchgan:ScratchGAN",
                "an LSTM trained by REINFORCE with a reward for each token (ScratchGAN)",
                capabilities=frozenset({"likelihood", "temperature"}),
            ),
        )
    }

    metrics = METRICS
    feature_extractors = FEATURE_EXTRACTORS
    selection_metric = primary_metric = "reverse_lm_score"
    quality_diversity_metrics = ("lm_score", "reverse_lm_score")
    neighbour_features = "ngrams"

    def metrics_for(self, spec: Spec) -> Mapping[str, MetricEntry]:
        return metrics_for(spec)

    def noise(self, samples: Tensor, key: Key) -> Tensor:
        """Words in a random order."""
        return shuffle_words(samples, key)

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
        agreement = samples.spec.get("agreement") or 0.0
        return diagnose(texts_of(samples.data), samples.spec["usual_bytes"], agreement)

    def remarks(self, samples: Samples, train: View) -> list[str]:
        """A copy of train, a long span of it, or new."""
        return mark_novelty(texts_of(samples.data), train)

    def parse_partial(self, prompt: str, spec: Spec) -> Tensor:
        from gancore_text.infilling import parse_prompt

        return parse_prompt(prompt, spec)

    def tiny_config(self) -> Mapping[str, Any]:
        return {
            "data": {"source": "python_reference", "max_characters": 60},
            "model": {
                "batch_size": 8,
                "width": 8,
                "embedding_dim": 8,
                "layers": 1,
                "heads": 2,
                "discriminator_width": 8,
                "discriminator_embedding": 8,
                "discriminator_filters": 0.02,
                "rollouts": 2,
            },
            "train": {"steps": 8},
        }
