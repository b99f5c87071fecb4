"""The synthetic domain: known distributions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gancore import Data, Domain, MetricEntry, RecipeEntry, Samples, Source, Spec
from gancore_synthetic.config import SOURCES, SyntheticConfig, SyntheticSchema
from gancore_synthetic.data import open_distribution, open_points
from gancore_synthetic.export import preview, write_samples
from gancore_synthetic.metrics import meaningful_metrics

if TYPE_CHECKING:
    from PIL.Image import Image


def _recipe(name: str, target: str, summary: str, *capabilities: str) -> RecipeEntry:
    return RecipeEntry(name, f"gancore_synthetic.{target}", summary, capabilities=frozenset(capabilities))


def _metric(name: str, target: str, summary: str) -> MetricEntry:
    return MetricEntry(name, f"gancore_synthetic.metrics:{target}", summary)


RECIPES = (
    _recipe(
        "mlpgan", "gans:MLPGAN", "a GAN of two multilayer perceptrons, any loss", "parallel", "conditional"
    ),
    _recipe("pacgan", "gans:PacGAN", "PacGAN's networks as published, packing m samples", "parallel"),
    _recipe(
        "realnvp",
        "likelihoods:RealNVP",
        "a flow of affine couplings, exact likelihood",
        *("parallel", "conditional", "likelihood", "inversion"),
    ),
    _recipe(
        "flowgan",
        "likelihoods:FlowGAN",
        "that flow as the generator of a GAN, trained adversarially and by likelihood",
        *("parallel", "conditional", "likelihood", "inversion"),
    ),
    _recipe(
        "vae",
        "likelihoods:VAE",
        "a variational autoencoder",
        "parallel",
        "conditional",
        "likelihood",
        "bound",
    ),
    _recipe(
        "kde", "likelihoods:KernelDensity", "a Gaussian kernel on training examples", "parallel", "likelihood"
    ),
)
MEASURES = (
    _metric("modes", "modes_metric", "components that have a sample"),
    _metric("high_quality", "high_quality_metric", "share within 3 standard deviations of a mean, %"),
    _metric("reverse_kl", "reverse_kl_metric", "KL of the components' shares from the true ones, nats"),
    _metric("density_error", "density_error_metric", "total variation over cells of known probability"),
    _metric("off_support", "off_support_metric", "share off the support, %"),
)


class SyntheticDomain(Domain):
    """Canonical samples are points, (batch, dimension), or images, (batch, 1, side, side) in [0, 1]."""

    name = "synthetic"
    Config = SyntheticConfig
    Schema = SyntheticSchema
    sources = SOURCES
    recipes = {entry.name: entry for entry in RECIPES}
    metrics = {entry.name: entry for entry in MEASURES}

    selection_metric = primary_metric = "density_error"

    def metrics_for(self, spec: Spec) -> Mapping[str, MetricEntry]:
        names = meaningful_metrics(spec)
        return {name: entry for name, entry in self.metrics.items() if name in names}

    def scale_spec(self, spec: Spec, factor: float) -> Spec | None:
        """More or fewer coordinates, or images of another side; None below a size of 2."""
        shape = spec["shape"]
        channels = shape[:1] if len(shape) == 3 else []
        sizes = [round(size * factor) for size in shape[len(channels) :]]
        return Spec({**spec.fields, "shape": [*channels, *sizes]}, spec.tensors) if min(sizes) >= 2 else None

    def report_sample_count(self, spec: Spec) -> int:
        return 500 if len(spec["shape"]) == 1 else 36  # points are plotted as a density, images one by one

    def open(self, source: Source, config: SyntheticConfig) -> Data:
        return open_distribution(source, config) if source.path is None else open_points(source, config)

    def write(self, samples: Samples, folder: Path) -> list[Path]:
        return write_samples(samples, folder)

    def preview(self, samples: Samples) -> Image:
        return preview(samples)

    def tiny_config(self) -> Mapping[str, Any]:
        return {
            "data": {"source": "ring", "train_examples": 1000, "validation_examples": 100},
            "model": {"width": 16, "batch_size": 16},
            "train": {"steps": 8},
        }
