"""``data`` for synthetic: which distribution, and its knobs."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import Annotated, Any, Self

from pydantic import Field, PositiveInt, ValidationError, model_validator

from gancore.config import DataSection
from gancore.facts import SpecFacts
from gancore.records import SourceEntry

PICTURES = frozenset({"polygons", "triangles"})

KNOBS: Mapping[str, Mapping[str, Any]] = {
    "ring": {"components": 8, "radius": 1.0, "std": 0.01, "imbalance": 1.0},
    "grid": {"components": 25, "separation": 2.0, "std": 0.05, "imbalance": 1.0},
    "mixture": {"components": 10, "dimension": 2, "separation": 1.0, "std": 0.1, "imbalance": 1.0},
    "spirals": {"components": 2, "turns": 1.0, "radius": 1.0, "std": 0.02, "imbalance": 1.0},
    "circles": {"components": 2, "radius": 1.0, "std": 0.03, "imbalance": 1.0},
    "student-t": {"dimension": 2, "nu": 3.0},
    "manifold": {"intrinsic": 2, "ambient": 16, "frequency": 2.0, "std": 0.01},
    "lattice": {"levels": 5, "dimension": 2, "separation": 1.0, "imbalance": 1.0},
    "pieces": {"components": 3, "dimension": 2, "gap": 0.5, "imbalance": 1.0},
    "polygons": {"vertices": 8, "side": 28},
    "triangles": {"side": 28},
}
"""The knobs of each source, with the values that they have where nobody sets them."""

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
    "polygons": "convex polygons as grey pictures (Lucic et al. 2018)",
    "triangles": "triangles as grey pictures (Lucic et al. 2018)",
}
SOURCES: Mapping[str, SourceEntry] = {name: SourceEntry(name, _SUMMARIES[name], "CC0-1.0") for name in KNOBS}
MOST_POINTS, MOST_LATTICE_POINTS = 5_000_000, 10_000
Length = Annotated[float, Field(ge=1e-6, le=1e6)]
"""Far beyond these float32 rounds points to one another, or squares of distances to infinity."""


class SyntheticConfig(DataSection):
    """A knob left at none has its source's own value (:data:`KNOBS`)."""

    seed: int = Field(0, ge=0, lt=2**31, description="the data are a function of it and of the knobs")
    points: PositiveInt | None = Field(
        None, le=MOST_POINTS, description="rows of train; none: 100,000, pictures 60,000"
    )
    held_out: PositiveInt = Field(10_000, le=1_000_000, description="rows of valid, and as many of test")
    components: int | None = Field(None, ge=1, le=1000, description="Gaussians, arms, circles or pieces")
    dimension: int | None = Field(None, ge=1, le=1024, description="coordinates of a point")
    separation: Length | None = Field(
        None, description="distance of neighbours on a grid or lattice; smallest distance of two means"
    )
    std: Length | None = Field(None, description="standard deviation of the noise, per coordinate")
    imbalance: float | None = Field(
        None, ge=1, le=1e6, description="weight of the commonest component over that of the rarest"
    )
    radius: Length | None = Field(None, description="of the ring, the outer circle or the arms' ends")
    turns: float | None = Field(None, ge=0.1, le=10, description="windings of a spiral's arm")
    nu: float | None = Field(None, ge=0.5, le=1000, description="tail index: moments below it exist")
    intrinsic: int | None = Field(None, ge=1, le=64, description="dimension of the manifold")
    ambient: int | None = Field(None, ge=2, le=1024, description="dimension of the space around it")
    frequency: float | None = Field(
        None, ge=0, le=50, description="waves of the manifold, radians a unit; 0: flat"
    )
    levels: int | None = Field(None, ge=2, le=1000, description="lattice points along an axis")
    gap: Length | None = Field(None, description="empty space between two unit cubes")
    vertices: int | None = Field(None, ge=3, le=12, description="most vertices of a polygon; fewest are 3")
    side: int | None = Field(None, ge=8, le=128, description="picture side")

    @model_validator(mode="after")
    def _only_its_own_knobs(self) -> Self:
        own = KNOBS.get(self.source or next(iter(KNOBS)))
        if own is None:  # no name of a source: told apart where sources are looked up
            return self
        every = {name for knobs in KNOBS.values() for name in knobs}
        for name in sorted(every - own.keys()):
            if getattr(self, name) is not None:
                known = ", ".join(own)
                raise ValueError(f"{self.source or 'ring'} has no knob {name!r}; its knobs are {known}")
        return self

    @model_validator(mode="after")
    def _fitting_knobs(self) -> Self:
        knobs = self.knobs()
        if self.source == "grid" and isqrt(knobs["components"]) ** 2 != knobs["components"]:
            raise ValueError(f"a grid of {knobs['components']} is not square; give 9, 16, 25, ...")
        if self.source == "manifold" and knobs["intrinsic"] >= knobs["ambient"]:
            raise ValueError("intrinsic must be below ambient")
        if self.source == "lattice" and knobs["levels"] ** knobs["dimension"] > MOST_LATTICE_POINTS:
            raise ValueError(f"a lattice has at most {MOST_LATTICE_POINTS:,} points; lower levels")
        return self

    def knobs(self) -> dict[str, Any]:
        """Every knob of the source with its value."""
        own = KNOBS.get(self.source or next(iter(KNOBS)), {})
        return {
            name: value if (given := getattr(self, name)) is None else given for name, value in own.items()
        }


class SyntheticFacts(SpecFacts):
    """What makes a truth again: a source, all its knobs, and the seed that places what is random."""

    source: str
    knobs: dict[str, Any]
    seed: int = Field(ge=0, lt=2**31)
    points: PositiveInt = Field(description="rows of train")
    shape: list[PositiveInt] = Field(description="of one sample")
    own_points: bool = Field(default=False, description="rows of the user, of which no truth is known")

    @model_validator(mode="after")
    def _are_those_of_a_source(self) -> Self:
        if self.own_points:
            if self.knobs or len(self.shape) != 1:
                raise ValueError("points of one's own have no knobs and one axis")
            return self
        if self.source not in KNOBS:
            raise ValueError(f"{self.source!r} is no source; they are {', '.join(KNOBS)}")
        if self.points > MOST_POINTS:
            raise ValueError(f"points are more than the {MOST_POINTS:,} that are drawn of a source")
        try:
            known = SyntheticConfig.model_validate({**self.knobs, "source": self.source}).knobs()
        except ValidationError as error:
            raise ValueError(f"knobs: {error.errors()[0]['msg']}") from error
        if known != self.knobs:
            raise ValueError(f"knobs are not those of {self.source}: {', '.join(known)}")
        if self.shape != _shape(known):
            raise ValueError(f"shape is {self.shape}, and that of these knobs {_shape(known)}")
        return self


def _shape(knobs: Mapping[str, Any]) -> list[int]:
    """Of one sample of a source with these knobs."""
    if "side" in knobs:
        return [1, knobs["side"], knobs["side"]]
    return [knobs.get("dimension", knobs.get("ambient", 2))]
