"""``data`` for audio: how recordings become windows."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gancore.data.labels import LabelledSection
from gancore_audio.cutting import Window


class AudioConfig(LabelledSection):
    rate_hz: int | None = Field(
        None, ge=1000, le=192_000, description="sampling rate; none: the source's commonest, at most 16000"
    )
    length: int | None = Field(
        None,
        ge=16,
        le=1 << 22,
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
