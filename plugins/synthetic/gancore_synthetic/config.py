"""``data`` for synthetic: which distribution, and its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import Annotated, Any, Self

from pydantic import Field, PositiveInt, ValidationError, model_validator

from gancore import DataConfig, SourceEntry, SpecSchema

IMAGE_SOURCES = frozenset({"polygons", "triangles"})

PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "ring": {"components": 8, "radius": 1.0, "std": 0.01, "imbalance": 1.0},
    "grid": {"components": 25, "separation": 2.0, "std": 0.05, "imbalance": 1.0},
    "mixture": {"components": 10, "dimension": 2, "separation": 1.0, "std": 0.1, "imbalance": 1.0},
    "spirals": {"components": 2, "turns": 1.0, "radius": 1.0, "std": 0.02, "imbalance": 1.0},
    "circles": {"components": 2, "radius": 1.0, "std": 0.03, "imbalance": 1.0},
    "student-t": {"dimension": 2, "nu": 3.0},
    "manifold": {"intrinsic_dimension": 2, "ambient_dimension": 16, "frequency": 2.0, "std": 0.01},
    "lattice": {"levels": 5, "dimension": 2, "separation": 1.0, "imbalance": 1.0},
    "pieces": {"components": 3, "dimension": 2, "gap": 0.5, "imbalance": 1.0},
    "polygons": {"vertices": 8, "image_size": 28},
    "triangles": {"image_size": 28},
}
"""The parameters of each source with their default values."""

_SUMMARIES = {
    "ring": "Gaussians on a circle; 8 of std 0.01 on the unit circle, as in PacGAN",
    "grid": "Gaussians on a square grid; 25 of std 0.05 at distances of 2, as in PacGAN",
    "mixture": "Gaussians at random places, any number in any dimension",
    "spirals": "noisy arms of an Archimedean spiral",
    "circles": "noisy concentric circles",
    "student-t": "Student's t: a heavy tail, no bound",
    "manifold": "a curved manifold of low dimension in a space of high dimension, noisy",
    "lattice": "the points of a cubic lattice: discrete",
    "pieces": "uniform cubes in a row with gaps between them",
    "polygons": "convex polygons as grey images (Lucic et al. 2018)",
    "triangles": "triangles as grey images (Lucic et al. 2018)",
}
SOURCES: Mapping[str, SourceEntry] = {
    name: SourceEntry(name, _SUMMARIES[name], "CC0-1.0") for name in PARAMETERS
}
MAX_POINTS, MAX_LATTICE_POINTS = 5_000_000, 10_000
Length = Annotated[float, Field(ge=1e-6, le=1e6)]
"""Beyond these bounds float32 rounds different points to one, or squared distances to infinity."""


class SyntheticConfig(DataConfig):
    """A parameter left at none has the default of its source (:data:`PARAMETERS`)."""

    shape_keys = frozenset({"dimension", "ambient_dimension", "image_size"})

    seed: int = Field(0, ge=0, lt=2**31, description="the data are a function of the seed and the parameters")
    train_examples: PositiveInt | None = Field(
        None, le=MAX_POINTS, description="training examples; none: 100,000, images 60,000"
    )
    validation_examples: PositiveInt = Field(
        10_000, le=1_000_000, description="examples of valid, and as many of test"
    )
    components: int | None = Field(None, ge=1, le=1000, description="Gaussians, arms, circles or pieces")
    dimension: int | None = Field(None, ge=1, le=1024, description="coordinates of a point")
    separation: Length | None = Field(
        None, description="distance of neighbours on a grid or lattice; smallest distance of two means"
    )
    std: Length | None = Field(None, description="standard deviation of the noise, per coordinate")
    imbalance: float | None = Field(
        None, ge=1, le=1e6, description="weight of the most frequent component divided by that of the rarest"
    )
    radius: Length | None = Field(
        None, description="radius of the ring, of the outer circle or of the ends of the arms"
    )
    turns: float | None = Field(None, ge=0.1, le=10, description="turns of a spiral's arm")
    nu: float | None = Field(
        None, ge=0.5, le=1000, description="degrees of freedom: moments of lower order exist"
    )
    intrinsic_dimension: int | None = Field(None, ge=1, le=64, description="dimension of the manifold")
    ambient_dimension: int | None = Field(None, ge=2, le=1024, description="dimension of the space around it")
    frequency: float | None = Field(
        None, ge=0, le=50, description="frequency of the manifold's waves in radians per unit; 0: flat"
    )
    levels: int | None = Field(None, ge=2, le=1000, description="lattice points along an axis")
    gap: Length | None = Field(None, description="empty space between two unit cubes")
    vertices: int | None = Field(
        None, ge=3, le=12, description="largest number of vertices of a polygon; the smallest is 3"
    )
    image_size: int | None = Field(None, ge=8, le=128, description="side of an image in pixels")

    @model_validator(mode="after")
    def _check_parameter_names(self) -> Self:
        parameters = PARAMETERS.get(self.source or next(iter(PARAMETERS)))
        if parameters is None:  # not the name of a source: reported where the source is resolved
            return self
        every = {name for others in PARAMETERS.values() for name in others}
        for name in sorted(every - parameters.keys()):
            if getattr(self, name) is not None:
                known = ", ".join(parameters)
                raise ValueError(
                    f"{self.source or 'ring'} has no parameter {name!r}; its parameters are {known}"
                )
        return self

    @model_validator(mode="after")
    def _check_parameter_values(self) -> Self:
        parameters = self.parameters()
        if self.source == "grid" and isqrt(parameters["components"]) ** 2 != parameters["components"]:
            raise ValueError(
                f"a grid of {parameters['components']} is not square; set data.components to 9, 16, 25, ..."
            )
        if self.source == "manifold" and parameters["intrinsic_dimension"] >= parameters["ambient_dimension"]:
            raise ValueError("intrinsic_dimension must be below ambient_dimension")
        if self.source == "lattice" and parameters["levels"] ** parameters["dimension"] > MAX_LATTICE_POINTS:
            raise ValueError(f"a lattice has at most {MAX_LATTICE_POINTS:,} points; lower levels")
        return self

    def parameters(self) -> dict[str, Any]:
        """Every parameter of the source with its value."""
        defaults = PARAMETERS.get(self.source or next(iter(PARAMETERS)), {})
        return {
            name: value if (given := getattr(self, name)) is None else given
            for name, value in defaults.items()
        }


class SyntheticSchema(SpecSchema):
    """What defines a distribution: the source, its parameters and the seed of its random parts."""

    source: str
    parameters: dict[str, Any]
    seed: int = Field(ge=0, lt=2**31)
    train_examples: PositiveInt = Field(description="training examples")
    shape: list[PositiveInt] = Field(description="shape of one sample")
    user_points: bool = Field(default=False, description="the user's points, whose distribution is unknown")

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if self.user_points:
            if self.parameters or len(self.shape) != 1:
                raise ValueError(
                    "the user's points have one axis and no parameters; parameters must be empty"
                )
            return self
        if self.source not in PARAMETERS:
            raise ValueError(f"{self.source!r} is not a source; the sources are {', '.join(PARAMETERS)}")
        if self.train_examples > MAX_POINTS:
            raise ValueError(
                f"train_examples is {self.train_examples:,}; a source gives at most {MAX_POINTS:,}"
            )
        try:
            known = SyntheticConfig.model_validate({**self.parameters, "source": self.source}).parameters()
        except ValidationError as error:
            raise ValueError(f"parameters: {error.errors()[0]['msg']}") from error
        if known != self.parameters:
            raise ValueError(f"parameters must be those of {self.source}: {', '.join(known)}")
        if self.shape != _shape(known):
            raise ValueError(f"shape is {self.shape}; these parameters give {_shape(known)}")
        return self


def _shape(parameters: Mapping[str, Any]) -> list[int]:
    """The shape of one sample of a source with these parameters."""
    if "image_size" in parameters:
        return [1, parameters["image_size"], parameters["image_size"]]
    return [parameters.get("dimension", parameters.get("ambient_dimension", 2))]
