"""The built-in data: 1,797 real handwritten digits, 8x8 pixels, that scikit-learn brings."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gancore_image.preparing import Picture, array_picture

LEVELS = 16
"""The digits' darkest ink; 0 is the ground."""


def digits() -> Iterator[Picture]:
    """Of Alpaydin and Kaynak 1998, the test set of the UCI repository; white on black, as in MNIST."""
    from sklearn.datasets import load_digits

    inks, labels = load_digits(return_X_y=True)  # (1797, 64) from 0 to 16
    levels = np.rint(inks * (255 / LEVELS)).astype(np.uint8).reshape(-1, 8, 8)
    for number, (pixels, label) in enumerate(zip(levels, labels, strict=True)):
        yield array_picture(f"digit {number:04d}", pixels, str(label))
