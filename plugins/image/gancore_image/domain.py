"""The image domain: data sets of images, and models that generate them."""

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
from gancore.metrics import PRINCIPAL_COMPONENTS
from gancore_image.config import ImageConfig, ImageSchema
from gancore_image.dataset import open_images
from gancore_image.diagnosis import diagnose
from gancore_image.efficientnet import is_installed
from gancore_image.export import image_grid, write_samples
from gancore_image.sources import SOURCES
from gancore_image.stacked import stack_images

if TYPE_CHECKING:
    from PIL.Image import Image

GAN_CAPABILITIES = frozenset({"parallel", "conditional"})

RECIPES = (
    RecipeEntry(
        "dcgan-lite",
        "gancore_image.dcgan_lite:DCGANLite",
        "plain convolutions for small budgets: relativistic loss, lazy R1 and R2",
        capabilities=GAN_CAPABILITIES,
    ),
    RecipeEntry(
        "dcgan",
        "gancore_image.dcgan:DCGAN",
        "DCGAN as published: batch normalisation, Adam with beta1 = 0.5",
        capabilities=GAN_CAPABILITIES,
    ),
    RecipeEntry(
        "sngan",
        "gancore_image.sngan:SNGAN",
        "SNGAN as published: residual networks, spectral norms, hinge loss, five discriminator moves",
        capabilities=GAN_CAPABILITIES,
    ),
    RecipeEntry(
        "r3",
        "gancore_image.r3:R3",
        "R3GAN: residual networks without normalisation, relativistic, with R1 and R2; small or base",
        capabilities=GAN_CAPABILITIES,
    ),
    RecipeEntry(
        "pixelcnn",
        "gancore_image.pixelcnn:PixelCNN",
        "autoregressive likelihood of 8-bit levels, exact; sampled pixel by pixel",
        capabilities=frozenset({"likelihood", "conditional"}),
    ),
    RecipeEntry(
        "glow",
        "gancore_image.glow:Glow",
        "a flow at several scales: samples in parallel, a likelihood bound, inverts",
        capabilities=frozenset({"parallel", "likelihood", "bound", "inversion", "conditional"}),
    ),
    RecipeEntry(
        "imagevae",
        "gancore_image.vae:ImageVAE",
        "a variational autoencoder: convolutions, a logistic distribution of each pixel",
        capabilities=frozenset({"parallel", "likelihood", "bound", "conditional"}),
    ),
    RecipeEntry(
        "imageflowgan",
        "gancore_image.glow:ImageFlowGAN",
        "that flow as the generator of a GAN, its likelihood known throughout",
        capabilities=frozenset({"parallel", "likelihood", "bound", "inversion", "conditional"}),
    ),
    RecipeEntry(
        "classifier",
        "gancore_image.classifier:ImageClassifierRecipe",
        "classifies the labels: a small convolutional network",
        capabilities=frozenset({"classification"}),
    ),
)
MEASURES = (
    MetricEntry(
        "wavelet_frechet", "gancore_image.metrics:wavelet_frechet", "Frechet distance of wavelet energies"
    ),
    MetricEntry("bits_per_dimension", "gancore_image.metrics:bits_per_dimension", "likelihood, at 8 bit"),
    MetricEntry("ms_ssim", "gancore_image.ms_ssim:ms_ssim_metric", "similarity of pairs of one class"),
    MetricEntry("modes", "gancore_image.modes:modes", "modes of stacked images that samples cover"),
    MetricEntry("mode_kl", "gancore_image.modes:mode_kl", "KL of the modes of samples from the data's"),
)
FEATURES = (
    FeatureExtractorEntry(
        "efficientnet-lite0",
        "gancore_image.efficientnet:EfficientNetFeatures",
        "EfficientNet-Lite0's 1280 numbers, trained on ImageNet; extra `features`",
    ),
    FeatureExtractorEntry(
        "classifier",
        "gancore_image.classifier:ClassifierFeatures",
        "last layer of a classifier trained on the same source",
        classifier=True,
    ),
    FeatureExtractorEntry(
        "stacked_classifier",
        "gancore_image.modes:StackedFeatures",
        "features of the classifier of single images, channel by channel",
        classifier=True,
    ),
    FeatureExtractorEntry(
        "inception-v3",
        "gancore_image.inception:InceptionFeatures",
        "the features of FID, from weights that GANCORE_INCEPTION names; extra `inception`",
    ),
    FeatureExtractorEntry(
        "dinov2",
        "gancore_image.dinov2:DINOv2Features",
        "DINOv2's class token, from weights that GANCORE_DINOV2 names",
    ),
)
STACKED_METRICS = frozenset({"modes", "mode_kl"})
"""Metrics that are defined for stacked images only."""


class ImageDomain(Domain):
    """Canonical samples are images, (batch, channels, side, side), float, in [-1, 1]."""

    name = "image"
    Config = ImageConfig
    Schema = ImageSchema
    sources = SOURCES
    reads_shards = True
    recipes = {entry.name: entry for entry in RECIPES}
    metrics = {entry.name: entry for entry in MEASURES}
    feature_extractors = {entry.name: entry for entry in FEATURES}

    selection_metric = "wavelet_frechet"

    def feature_extractors_for(self, spec: Spec) -> Mapping[str, FeatureExtractorEntry]:
        """Available features first, then the core's own, then those that need weights of the user."""
        labelled = len(spec.get("classes") or []) > 1
        available = [self.feature_extractors["efficientnet-lite0"]] if is_installed() else []
        extractor_name = "stacked_classifier" if spec.get("stacked") else "classifier"
        available += [self.feature_extractors[extractor_name]] if labelled else []
        optional = [entry for entry in FEATURES if entry not in available and not entry.classifier]
        return {entry.name: entry for entry in (*available, PRINCIPAL_COMPONENTS, *optional)}

    def metrics_for(self, spec: Spec) -> Mapping[str, MetricEntry]:
        stacked = bool(spec.get("stacked"))
        return {name: entry for name, entry in self.metrics.items() if stacked or name not in STACKED_METRICS}

    def scale_spec(self, spec: Spec, factor: float) -> Spec | None:
        """Images of ``factor`` times the side, if that is a whole number of at least 4."""
        side = spec["image_size"] * factor
        if side < 4 or side % 1:
            return None
        return Spec({**spec.fields, "image_size": int(side)}, spec.tensors)

    def open(self, source: Source, config: ImageConfig) -> Data:
        data = open_images(source, config, source.announce)
        return stack_images(data) if config.stacked else data

    def write(self, samples: Samples, folder: Path) -> list[Path]:
        return write_samples(samples, folder)

    def preview(self, samples: Samples) -> Image:
        return image_grid(samples.data, samples.titles(), samples.columns or None)

    def diagnose(self, samples: Samples) -> list[Diagnostic]:
        return diagnose(samples.data)

    def tiny_config(self) -> Mapping[str, Any]:
        return {
            "data": {"source": "digits", "image_size": 16},
            "model": {
                "batch_size": 8,
                "width": 2,
                "discriminator_width": 2,
                "generator_width": 2,
                "latent_dim": 8,
                "importance_samples": 4,
                "skip_channels": 4,
                "layers": 2,
                "components": 2,
                "couplings": 1,
            },
            "train": {"steps": 8},
        }
