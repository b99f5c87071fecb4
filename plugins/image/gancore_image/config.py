"""``data`` for images: how pictures become squares of pixels."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gancore import SpecFacts
from gancore.data.labels import LabelledSection


class ImageConfig(LabelledSection):
    side: int | None = Field(
        None,
        ge=4,
        le=1024,
        description="pixels of a side; none: the 4 * 2^k nearest to the median shorter side, 8 to 64",
    )
    channels: int | None = Field(
        None,
        ge=1,
        le=4,
        description="1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha; none: 1 if all are grey, else 3",
    )
    fit: Literal["auto", "crop", "pad", "stretch"] = Field(
        "auto",
        description="how a picture becomes a square: its centre cut out, the whole amid background, or "
        "stretched; auto: crop, pad for mnist and fashion_mnist",
    )
    background: int | None = Field(
        None,
        ge=0,
        le=255,
        description="level under transparent pixels and about padded pictures; none: 255, or the data set's",
    )
    stacked: bool = Field(
        False,
        description="a row is three grey pictures, as red, green and blue: their labels make modes to count",
    )
    min_side: int = Field(8, ge=1, description="pictures with a shorter side than this are left out")


class ImageFacts(SpecFacts):
    side: int = Field(ge=4, le=1024, description="pixels of a side")
    channels: int = Field(ge=1, le=4, description="1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha")
    stacked: bool = Field(default=False, description="three grey pictures in one")
    stacked_classes: list[str] | None = Field(default=None, description="labels of one of these")
