"""Differentiable augmentation of images (Zhao et al. 2020): colour, translation, cutout; and flips.

Changes of float images (batch, channels, side, side) in [-1, 1], each image by its own random numbers. With 2
or 4 channels the last one is alpha, which colour changes leave unchanged.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import one_hot

from gancore import RecipeConfig
from gancore.games import Augmentation, AugmentationMode, make_augmentation
from gancore.random import ModuleNoise

SHIFT, CUT = 1 / 8, 1 / 2
"""The maximal translation and the side of the cutout, as shares of the side."""

Change = Literal["colour", "translation", "cutout", "flip"]


class AugmentedConfig(RecipeConfig):
    """``model`` of a recipe whose discriminator may see augmented images."""

    augmentation: AugmentationMode = Field(
        "none",
        description="of all that D sees: never, with a fixed or a rising chance, or adapted to overfitting",
    )
    augmentation_transforms: list[Change] = Field(
        ["colour", "translation", "cutout"],
        description="changes of images that D sees; flip: left and right, not for text and digits",
    )
    augmentation_probability: float = Field(
        1.0, ge=0, le=1, description="chance of each change; of a rising chance the final one"
    )


def build_augmentation(config: AugmentedConfig) -> Augmentation | None:
    changes = [change for name in config.augmentation_transforms for change in CHANGES[name]]
    return make_augmentation(config.augmentation, changes, config.augmentation_probability)


def brightness(x: Tensor, noise: ModuleNoise) -> Tensor:
    """x + b, b ~ U(-1/2, 1/2)."""
    return _replace_colours(x, _colour_channels(x) + _uniform(x, noise) - 0.5)


def saturation(x: Tensor, noise: ModuleNoise) -> Tensor:
    """m + s (x - m), s ~ U(0, 2), m the mean over colours at each pixel."""
    colours = _colour_channels(x)
    mean = colours.mean(1, keepdim=True)
    return _replace_colours(x, mean + 2 * _uniform(x, noise) * (colours - mean))


def contrast(x: Tensor, noise: ModuleNoise) -> Tensor:
    """m + c (x - m), c ~ U(1/2, 3/2), m the mean over colours and pixels."""
    colours = _colour_channels(x)
    mean = colours.mean((1, 2, 3), keepdim=True)
    return _replace_colours(x, mean + (0.5 + _uniform(x, noise)) * (colours - mean))


def translation(x: Tensor, noise: ModuleNoise) -> Tensor:
    """Shift by whole pixels, up to an eighth of the side each way; the gap is zero.

    As a product with shift matrices on both sides: exact, and differentiable any number of times.
    """
    side = x.shape[-1]
    max_shift = int(side * SHIFT + 0.5)
    down, right = noise.integers(-max_shift, max_shift + 1, len(x), 2).unbind(1)
    return _shift_matrices(down, x) @ x @ _shift_matrices(right, x).mT


def cutout(x: Tensor, noise: ModuleNoise) -> Tensor:
    """Set a square of half the side to zero; its centre is anywhere in the image."""
    side = x.shape[-1]
    size = int(side * CUT + 0.5)
    top, left = noise.integers(0, side + 1 - size % 2, len(x), 2).unbind(1)
    place = (
        torch.arange(side, device=x.device) + size // 2
    )  # with its centre at 0 half of the square is outside
    rows, columns = (
        (place >= start[:, None]) & (place < start[:, None] + size) for start in (top, left)
    )  # (batch, side)
    return x.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)


def flip(x: Tensor, noise: ModuleNoise) -> Tensor:
    """Exchange left and right with probability 1/2: for faces, clothes, landscapes; not text or digits."""
    return torch.where(noise.uniform(len(x), 1, 1, 1) < 0.5, x.flip(-1), x)


CHANGES = {
    "colour": (brightness, saturation, contrast),
    "translation": (translation,),
    "cutout": (cutout,),
    "flip": (flip,),
}


def _uniform(x: Tensor, noise: ModuleNoise) -> Tensor:
    """U(0, 1) for each row, (batch, 1, 1, 1)."""
    return noise.uniform(len(x), 1, 1, 1)


def _colour_channels(x: Tensor) -> Tensor:
    return x[:, :-1] if x.shape[1] in (2, 4) else x


def _replace_colours(x: Tensor, colours: Tensor) -> Tensor:
    return torch.cat([colours, x[:, -1:]], dim=1) if x.shape[1] in (2, 4) else colours


def _shift_matrices(by: Tensor, x: Tensor) -> Tensor:
    """(batch, 1, side, side): row i of each matrix selects pixel i - by, or nothing."""
    side = x.shape[-1]
    source = torch.arange(side, device=x.device) - by[:, None]
    inside = ((source >= 0) & (source < side))[..., None]
    return (one_hot(source.clamp(0, side - 1), side) * inside).to(x.dtype)[:, None]
