"""``data`` for audio: how recordings become segments."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from gancore import SpecSchema
from gancore.data import LabelledDataConfig
from gancore_audio.recordings import RATES_HZ
from gancore_audio.segments import Crop

MIN_RATE_HZ, MAX_RATE_HZ, MAX_LENGTH = RATES_HZ.start, 192_000, 1 << 22
"""Limits of the sampling rate and of the samples in a segment."""


class AudioConfig(LabelledDataConfig):
    shape_keys = frozenset({"sample_rate_hz", "length"})

    sample_rate_hz: int | None = Field(
        None,
        ge=MIN_RATE_HZ,
        le=MAX_RATE_HZ,
        description="sampling rate; none: the most common one of the source, at most 16000",
    )
    length: int | None = Field(
        None,
        ge=16,
        le=MAX_LENGTH,
        multiple_of=16,
        description="samples in a segment; none: the smallest 16 * 4^k covering 75 % of the clips, to 65536",
    )
    crop: Crop = Field(
        "auto",
        description="where segments are cut: at a clip's start, at random in it, or auto: at the start of "
        "clips of few segments, and in longer ones at random where they are not nearly silent",
    )
    fade_ms: float = Field(
        5.0, ge=0, le=1000, description="fade at the ends of a segment that cut into a clip"
    )
    normalize: Literal["peak", "none"] = Field(
        "peak", description="scale each clip to the same peak, or keep its level"
    )
    column: str | None = Field(
        None,
        description="column of recordings in Parquet files, or extension of recordings in tar shards; none: "
        "the usual names, every recording",
    )
    min_seconds: float = Field(0.01, ge=0, description="shorter clips are skipped")
    silence_db: float = Field(-60.0, ge=-96, le=0, description="clips whose peak is at most this are skipped")


class AudioSchema(SpecSchema):
    sample_rate_hz: int = Field(ge=MIN_RATE_HZ, le=MAX_RATE_HZ, description="sampling rate")
    length: int = Field(ge=16, le=MAX_LENGTH, multiple_of=16, description="samples in a segment")
    class_pitches_hz: (
        list[Annotated[list[PositiveFloat], Field(min_length=2, max_length=2)] | None] | None
    ) = Field(default=None, description="lowest and highest pitch of each label, if its name has one")
