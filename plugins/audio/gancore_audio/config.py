"""``data`` for audio: how recordings become windows."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from gancore import SpecFacts
from gancore.data.labels import LabelledSection
from gancore_audio.cutting import Window
from gancore_audio.reading import RATES_HZ

LOWEST_HZ, HIGHEST_HZ, LONGEST = RATES_HZ.start, 192_000, 1 << 22
"""Sampling rates and samples in a window that can be."""


class AudioConfig(LabelledSection):
    rate_hz: int | None = Field(
        None,
        ge=LOWEST_HZ,
        le=HIGHEST_HZ,
        description="sampling rate; none: the source's commonest, at most 16000",
    )
    length: int | None = Field(
        None,
        ge=16,
        le=LONGEST,
        multiple_of=16,
        description="samples in a window; none: the shortest 16 * 4^k covering 75 % of the clips, to 65536",
    )
    window: Window = Field(
        "auto",
        description="where windows are cut: at a clip's start, at random anywhere in it, or auto: at the "
        "start of clips of few windows, in longer ones anywhere that isn't nearly silent",
    )
    fade_ms: float = Field(5.0, ge=0, le=1000, description="fade at the ends where a window cuts into a clip")
    normalize: Literal["peak", "none"] = Field(
        "peak", description="bring each clip to one peak, or leave its level"
    )
    min_seconds: float = Field(0.01, ge=0, description="shorter clips are left out")
    silence_db: float = Field(-60.0, ge=-96, le=0, description="clips whose peak is no higher are left out")


class AudioFacts(SpecFacts):
    rate_hz: int = Field(ge=LOWEST_HZ, le=HIGHEST_HZ, description="sampling rate")
    length: int = Field(ge=16, le=LONGEST, multiple_of=16, description="samples in a window")
    class_pitches_hz: (
        list[Annotated[list[PositiveFloat], Field(min_length=2, max_length=2)] | None] | None
    ) = Field(
        default=None, description="lowest and highest pitch that each label is named after, where it is"
    )
