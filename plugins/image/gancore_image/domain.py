"""The image domain: pictures in, pictures out."""

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
from gancore.evaluation.catalogue import PRINCIPAL
from gancore.naming import sample_titles
from gancore_image.config import ImageConfig, ImageFacts
from gancore_image.diagnosis import diagnose
from gancore_image.efficientnet import is_installed
from gancore_image.pictures import open_pictures
from gancore_image.sources import SOURCES
from gancore_image.stacking import stack
from gancore_image.writing import grid, write_samples

if TYPE_CHECKING:
    from PIL.Image import Image

GAN = frozenset({"parallel", "conditional"})

RECIPES = (
    RecipeEntry(
        "dcgan-lite",
        "gancore_image.dcgan_lite:DCGANLite",
        "plain convolutions for small budgets: relativistic, with lazy R1 and R2",
        provides=GAN,
    ),
    RecipeEntry(
        "dcgan",
        "gancore_image.dcgan:DCGAN",
        "DCGAN as published: batch normalisation, Adam with beta1 = 0.5",
        provides=GAN,
    ),
    RecipeEntry(
        "sngan",
        "gancore_image.sngan:SNGAN",
        "SNGAN as published: residual networks, spectral norms, hinge loss, five discriminator moves",
        provides=GAN,
    ),
    RecipeEntry(
        "r3",
        "gancore_image.r3:R3",
        "R3GAN: residual networks without normalisation, relativistic, with R1 and R2; small or base",
        provides=GAN,
    ),
    RecipeEntry(
        "pixelcnn",
        "gancore_image.pixelcnn:PixelCNN",
        "autoregressive likelihood of 8-bit levels, exact; sampled pixel by pixel",
        provides=frozenset({"likelihood", "conditional"}),
    ),
    RecipeEntry(
        "glow",
        "gancore_image.glow:Glow",
        "a flow at several scales: samples in parallel, a likelihood bound, inverts",
        provides=frozenset({"parallel", "likelihood", "bound", "inversion", "conditional"}),
    ),
    RecipeEntry(
        "imagevae",
        "gancore_image.imagevae:ImageVAE",
        "a variational autoencoder: convolutions, a logistic law of each pixel by a latent",
        provides=frozenset({"parallel", "likelihood", "bound", "conditional"}),
    ),
    RecipeEntry(
        "imageflowgan",
        "gancore_image.imageflowgan:ImageFlowGAN",
        "that flow as the generator of a GAN, its likelihood known throughout",
        provides=frozenset({"parallel", "likelihood", "bound", "inversion", "conditional"}),
    ),
    RecipeEntry(
        "classifier",
        "gancore_image.classifier:PictureJudge",
        "tells the labels apart: a small convolutional network",
        provides=frozenset({"judge"}),
    ),
)
MEASURES = (
    MeasureEntry(
        "wavelet_frechet", "gancore_image.wavelets:wavelet_frechet", "Frechet distance of wavelet energies"
    ),
    MeasureEntry("bits_per_dimension", "gancore_image.bits:bits_per_dimension", "likelihood, at 8 bit"),
    MeasureEntry("ms_ssim", "gancore_image.diversity:diversity", "how alike pairs of one class are"),
    MeasureEntry("modes", "gancore_image.modes:modes", "modes of stacked pictures that samples reach"),
    MeasureEntry("mode_kl", "gancore_image.modes:mode_kl", "KL of the modes of samples from the data's"),
)
FEATURES = (
    FeaturesEntry(
        "efficientnet-lite0",
        "gancore_image.efficientnet:EfficientNetFeatures",
        "EfficientNet-Lite0's 1280 numbers, trained on ImageNet; extra `features`",
    ),
    FeaturesEntry(
        "classifier",
        "gancore_image.features:ClassifierFeatures",
        "last layer of a classifier trained on the same source",
        classifier=True,
    ),
    FeaturesEntry(
        "stacked_classifier",
        "gancore_image.modes:StackedFeatures",
        "the classifier of single pictures, channel by channel",
        classifier=True,
    ),
    FeaturesEntry(
        "inception-v3",
        "gancore_image.inception:InceptionFeatures",
        "those of FID, from weights that GANCORE_INCEPTION names; extra `inception`",
    ),
    FeaturesEntry(
        "dinov2",
        "gancore_image.dinov2:DINOv2Features",
        "DINOv2's class token, from weights that GANCORE_DINOV2 names",
    ),
)
MODES = frozenset({"modes", "mode_kl"})
"""Measures that mean something for stacked pictures alone."""


class Images(Domain):
    """Canonical samples are pictures, (batch, channels, side, side), float, in [-1, 1]."""

    name = "image"
    Config = ImageConfig
    Facts = ImageFacts
    sources = SOURCES
    recipes = {entry.name: entry for entry in RECIPES}
    measures = {entry.name: entry for entry in MEASURES}
    features = {entry.name: entry for entry in FEATURES}

    selection = "wavelet_frechet"

    def features_of(self, spec: Spec) -> Mapping[str, FeaturesEntry]:
        """What can be had for sure stands first, the core's own with it; what needs more comes after."""
        labelled = len(spec.get("classes") or []) > 1
        sure = [self.features["efficientnet-lite0"]] if is_installed() else []
        judge = "stacked_classifier" if spec.get("stacked") else "classifier"
        sure += [self.features[judge]] if labelled else []
        others = [entry for entry in FEATURES if entry not in sure and not entry.classifier]
        return {entry.name: entry for entry in (*sure, PRINCIPAL, *others)}

    def measures_of(self, spec: Spec) -> Mapping[str, MeasureEntry]:
        stacked = bool(spec.get("stacked"))
        return {name: entry for name, entry in self.measures.items() if stacked or name not in MODES}

    def scaled(self, spec: Spec, factor: float) -> Spec | None:
        """Pictures of ``factor`` times the side, where that is a whole number, 4 or more."""
        side = spec["side"] * factor
        if side < 4 or side % 1:
            return None
        return Spec({**spec.facts, "side": int(side)}, spec.tensors)

    def open(self, source: Source, config: ImageConfig) -> Data:
        data = open_pictures(source, config, source.announce)
        return stack(data) if config.stacked else data

    def write(self, samples: Samples, folder: Path) -> list[Path]:
        return write_samples(samples, folder)

    def preview(self, samples: Samples) -> Image:
        return grid(samples.data, sample_titles(samples), samples.columns or None)

    def diagnose(self, samples: Samples) -> list[Finding]:
        return diagnose(samples.data)

    def tiny(self) -> Mapping[str, Any]:
        return {
            "data": {"source": "digits", "side": 16},
            "model": {
                "batch_size": 8,
                "width": 2,
                "judge_width": 2,
                "generator_width": 2,
                "discriminator_width": 2,
                "latent": 8,
                "draws": 4,
                "skips": 4,
                "layers": 2,
                "components": 2,
                "couplings": 1,
            },
            "train": {"steps": 8},
        }
