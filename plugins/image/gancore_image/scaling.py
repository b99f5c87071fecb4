"""Arrays of numbers as bytes: which axis holds the channels, and what the numbers mean."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gancore.data.refusal import Refused
from gancore_image.preparing import Pixels


def to_levels(values: NDArray[np.generic]) -> Pixels:
    """(n, height, width) or (n, height, width, channels) bytes, of integers or of floats.

    Integers to 255 are levels, to 65,535 are divided by 257; floats are in [0, 1], or else in [-1, 1].
    Channels that stand before the height are moved.

    Raises:
        Refused: another shape or type, no pictures, values outside.
    """
    if values.ndim not in (3, 4) or not values.size:
        raise Refused(f"its shape {values.shape} is not (n, height, width) or (n, height, width, channels)")
    if values.ndim == 4 and values.shape[3] not in range(1, 5):
        if values.shape[1] not in range(1, 5):
            raise Refused(f"its shape {values.shape} has no axis of 1 to 4 channels")
        values = values.transpose(0, 2, 3, 1)
    levels = _levels(values)
    return levels[..., 0] if levels.ndim == 4 and levels.shape[3] == 1 else levels


def _levels(values: NDArray[Any]) -> Pixels:
    if values.dtype == np.uint8:
        return np.asarray(values)
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind not in "iuf":
        raise Refused(f"its values are {values.dtype}, not numbers")
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise Refused("it holds values that are not finite")
    if values.dtype.kind == "f":
        if low < -1 or high > 1:
            raise Refused(f"its floats reach from {low:g} to {high:g}, outside [-1, 1]")
        scaled = values * 255 if low >= 0 else (values + 1) * 127.5
    elif low < 0 or high > 65_535:
        raise Refused(f"its integers reach from {low} to {high}, outside 0 to 65,535")
    else:
        scaled = values if high <= 255 else values / 257
    levels: Pixels = np.rint(scaled).astype(np.uint8)
    return levels
