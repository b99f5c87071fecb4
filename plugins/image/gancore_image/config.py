"""``data`` for images: how pictures become squares of pixels."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from gancore.config import DataSection
from gancore.data.labels import require_group


class ImageConfig(DataSection):
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
    min_side: int = Field(8, ge=1, description="pictures with a shorter side than this are left out")
    labels: Literal["auto", "folder", "pattern", "metadata", "none"] = Field(
        "auto", description="where labels come from: first sub-folder, file name, or metadata file"
    )
    label_pattern: str | None = Field(
        None,
        description="regular expression on the file name; its group `label`, or else the first, is the label",
    )
    label_column: str | None = Field(
        None,
        description="column of metadata.csv, metadata.jsonl or index.csv; none: label, class or category",
    )
    valid_share: float = Field(0.1, gt=0, le=0.4, description="share of the pictures held out to select by")
    test_share: float = Field(0.1, gt=0, le=0.4, description="share of the pictures held out to report on")

    _has_a_group = field_validator("label_pattern")(require_group)
