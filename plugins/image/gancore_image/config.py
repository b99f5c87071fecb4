"""``data`` for images: how image files become squares of pixels."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from gancore import SpecSchema
from gancore.data import LabelledDataConfig


class ImageConfig(LabelledDataConfig):
    shape_keys = frozenset({"image_size", "channels"})

    image_size: int | None = Field(
        None,
        ge=4,
        le=1024,
        description="side in pixels; none: the 4 * 2^k nearest to the median shorter side, 8 to 64",
    )
    channels: int | None = Field(
        None,
        ge=1,
        le=4,
        description="1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha; none: 1 if all are grey, else 3",
    )
    fit: Literal["auto", "crop", "pad", "stretch"] = Field(
        "auto",
        description="how an image becomes square: crop its centre, pad with background, or stretch; "
        "auto: crop, but pad for mnist and fashion_mnist",
    )
    background: int | None = Field(
        None,
        ge=0,
        le=255,
        description="background level of transparent and padded images; none: 255, or the data set's",
    )
    column: str | None = Field(
        None,
        description="column of images in Parquet files, or extension of images in tar shards; none: the "
        "usual names, every image",
    )
    stacked: bool = Field(
        False,
        description="stack three grey images as red, green and blue; the triples of labels are modes",
    )
    min_image_size: int = Field(8, ge=1, description="images with a shorter side than this are skipped")

    @model_validator(mode="after")
    def _stacks_grey_images(self) -> Self:
        if self.stacked and self.channels not in (None, 1):
            raise ValueError(f"stacked stacks grey images; channels {self.channels} must be 1")
        return self


class ImageSchema(SpecSchema):
    image_size: int = Field(ge=4, le=1024, description="side in pixels")
    channels: int = Field(ge=1, le=4, description="1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha")
    stacked: bool = Field(default=False, description="whether an example is three grey images")
    stacked_classes: list[str] | None = Field(default=None, description="labels of a single image")
