"""Measures a weave in samples: lines along both axes that real images do not have.

    python benchmarks/image_texture.py --data fashion_mnist RUN_OR_MODEL ...

Power spectra of windowed patches of 8x8 pixels inside objects (no pixel near the background), the median
over patches, of 1,000 samples as multiples of those of the test split. ``axes``: wavelengths of 2 to 4 pixels
along one axis only; ``diagonal``: 2 and 2.7 pixels along both. Real images have 1 for both. A weave has much
more power along the axes than on the diagonal; smooth samples have less of both. nan: no object in samples.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
from gancore_image.config import ImageConfig
from gancore_image.domain import ImageDomain
from gancore_image.sources import SOURCES
from torch import Tensor

import gancore
from gancore.data.sources import resolve_source
from gancore.random import Key

SIDE, STRIDE, SAMPLES = 8, 2, 1000
BACKGROUND = -0.6
"""Patches with a darker pixel are left out."""


def patch_spectrum(images: Tensor) -> Tensor:
    """Images (n, channels, side, side) in [-1, 1] to median power (5, 5), by frequency along each axis."""
    patches = images.float().mean(1).unfold(1, SIDE, STRIDE).unfold(2, SIDE, STRIDE)
    inside = patches[patches.amin((-1, -2)) > BACKGROUND]
    if not len(inside):  # blank or collapsed samples have no object
        return torch.full((SIDE // 2 + 1, SIDE // 2 + 1), torch.nan)
    window = torch.hann_window(SIDE)
    detail = (inside - inside.mean((-1, -2), keepdim=True)) * window * window[:, None]
    power = torch.fft.fft2(detail).abs().square()[..., : SIDE // 2 + 1]
    mirrored = torch.cat([power[:, :1], power.flip(1)[:, : SIDE // 2]], 1)
    return (power[:, : SIDE // 2 + 1] + mirrored).median(0).values


def texture(images: Tensor, real: Tensor) -> tuple[float, float]:
    """Power along the axes and on the diagonal, as multiples of that of real images."""
    ratio = patch_spectrum(images) / patch_spectrum(real)
    return float((ratio[0, 2:].mean() + ratio[2:, 0].mean()) / 2), float(ratio[3:, 3:].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--data", default="fashion_mnist")
    arguments = parser.parse_args()
    root = Path(os.environ["GANCORE_DATA"]) if "GANCORE_DATA" in os.environ else None
    data = ImageDomain().open(resolve_source(arguments.data, SOURCES, root, print), ImageConfig())
    test = data.view("test")
    real = test.get_batch(torch.arange(min(SAMPLES, len(test))), Key.of(0)).data
    print("| model | axes | diagonal |\n|---|---|---|")
    for model in arguments.models:
        axes, diagonal = texture(gancore.load(model).sample(SAMPLES, seed=0).data, real)
        print(f"| {model} | {axes:.2f} | {diagonal:.2f} |", flush=True)


if __name__ == "__main__":
    main()
