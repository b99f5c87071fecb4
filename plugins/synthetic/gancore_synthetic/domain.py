"""The synthetic domain: distributions whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gancore import Data, Domain, MeasureEntry, RecipeEntry, Samples, Source, Spec
from gancore_synthetic.config import SOURCES, SyntheticConfig, SyntheticFacts
from gancore_synthetic.data import open_truth
from gancore_synthetic.measures import measures_for
from gancore_synthetic.own_points import open_points
from gancore_synthetic.pictures import picture
from gancore_synthetic.writing import write_samples

if TYPE_CHECKING:
    from PIL.Image import Image


def _recipe(name: str, home: str, summary: str, *provides: str) -> RecipeEntry:
    return RecipeEntry(name, f"gancore_synthetic.{home}", summary, provides=frozenset(provides))


def _measure(name: str, home: str, summary: str) -> MeasureEntry:
    return MeasureEntry(name, f"gancore_synthetic.measures:{home}", summary)


RECIPES = (
    _recipe("mlpgan", "recipes:MLPGAN", "a GAN of two perceptrons, any loss", "parallel", "conditional"),
    _recipe("pacgan", "recipes:PacGAN", "PacGAN's networks as published, packing m samples", "parallel"),
    _recipe(
        "realnvp",
        "flow:RealNVP",
        "a flow of affine couplings, exact likelihood",
        *("parallel", "conditional", "likelihood", "inversion"),
    ),
    _recipe(
        "flowgan",
        "flow:FlowGAN",
        "that flow as a generator, judged and by likelihood",
        *("parallel", "conditional", "likelihood", "inversion"),
    ),
    _recipe("vae", "vae:VAE", "a variational autoencoder", "parallel", "conditional", "likelihood", "bound"),
    _recipe("kde", "kernel:KernelDensity", "a Gaussian kernel on points of train", "parallel", "likelihood"),
)
MEASURES = (
    _measure("modes", "modes", "components that have a sample"),
    _measure("high_quality", "high_quality", "share within 3 standard deviations of a mean, %"),
    _measure("reverse_kl", "kl", "KL of the components' shares from the truth's, nats"),
    _measure("density_error", "density", "total variation over cells of known probability"),
    _measure("off_support", "outside", "share off the support, %"),
)


class Synthetic(Domain):
    """Canonical samples are points, (batch, dimension), or pictures, (batch, 1, side, side) in [0, 1]."""

    name = "synthetic"
    Config = SyntheticConfig
    Facts = SyntheticFacts
    sources = SOURCES
    recipes = {entry.name: entry for entry in RECIPES}
    measures = {entry.name: entry for entry in MEASURES}

    selection = headline = "density_error"

    def measures_of(self, spec: Spec) -> Mapping[str, MeasureEntry]:
        meant = measures_for(spec)
        return {name: entry for name, entry in self.measures.items() if name in meant}

    def scaled(self, spec: Spec, factor: float) -> Spec | None:
        """More or fewer coordinates; pictures of another side. Two at least: below that there is no size."""
        shape = spec["shape"]
        kept = shape[:1] if len(shape) == 3 else []  # channels
        sizes = [round(size * factor) for size in shape[len(kept) :]]
        return Spec({**spec.facts, "shape": [*kept, *sizes]}, spec.tensors) if min(sizes) >= 2 else None

    def shown(self, spec: Spec) -> int:
        return 500 if len(spec["shape"]) == 1 else 36  # points are seen in their density, pictures one by one

    def open(self, source: Source, config: SyntheticConfig) -> Data:
        return open_truth(source, config) if source.path is None else open_points(source, config)

    def write(self, samples: Samples, folder: Path) -> list[Path]:
        return write_samples(samples, folder)

    def preview(self, samples: Samples) -> Image:
        return picture(samples)

    def tiny(self) -> Mapping[str, Any]:
        return {
            "data": {"source": "ring", "points": 1000, "held_out": 100},
            "model": {"width": 16, "batch_size": 16},
            "train": {"steps": 8},
        }
