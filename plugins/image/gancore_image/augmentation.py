"""Differentiable augmentation of pictures (Zhao et al. 2020): colour, translation, cutout; and flips.

Changes of float pictures (batch, channels, side, side) in [-1, 1], each row by draws of its own. With 2 or 4
channels the last one is alpha, which colour leaves alone.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import one_hot

from gancore import RecipeSection
from gancore.games import Augmentation, augmentation
from gancore.games.augmentation import How
from gancore.runtime.randomness import Noise

SHIFT, CUT = 1 / 8, 1 / 2
"""The furthest translation, and the side of what is cut out, as shares of a picture's side."""

Kind = Literal["colour", "translation", "cutout", "flip"]


class AugmentedSection(RecipeSection):
    """``model`` of a recipe whose discriminator may be shown augmented pictures."""

    augmentation: How = Field(
        "none", description="of all that D sees: never, by chance, by a chance that rises, or as it overfits"
    )
    augmentation_changes: list[Kind] = Field(
        ["colour", "translation", "cutout"],
        description="what is done to pictures that D sees; flip: left and right, not for text and digits",
    )
    augmentation_strength: float = Field(
        1.0, ge=0, le=1, description="chance of each change; at the end, where it rises"
    )


def augmentation_of(config: AugmentedSection) -> Augmentation | None:
    changes = [change for kind in config.augmentation_changes for change in CHANGES[kind]]
    return augmentation(config.augmentation, changes, config.augmentation_strength)


def brightness(x: Tensor, noise: Noise) -> Tensor:
    """x + b, b ~ U(-1/2, 1/2)."""
    return _with_colours(x, _colours(x) + _draw(x, noise) - 0.5)


def saturation(x: Tensor, noise: Noise) -> Tensor:
    """m + s (x - m), s ~ U(0, 2), m the mean over colours at each pixel."""
    colours = _colours(x)
    mean = colours.mean(1, keepdim=True)
    return _with_colours(x, mean + 2 * _draw(x, noise) * (colours - mean))


def contrast(x: Tensor, noise: Noise) -> Tensor:
    """m + c (x - m), c ~ U(1/2, 3/2), m the mean over colours and pixels."""
    colours = _colours(x)
    mean = colours.mean((1, 2, 3), keepdim=True)
    return _with_colours(x, mean + (0.5 + _draw(x, noise)) * (colours - mean))


def translation(x: Tensor, noise: Noise) -> Tensor:
    """Shifted by whole pixels, up to an eighth of the side each way; zeros come in.

    As a product with shift matrices on both sides: exact, and as often differentiable as one likes.
    """
    side = x.shape[-1]
    most = int(side * SHIFT + 0.5)
    down, right = noise.integers(-most, most + 1, len(x), 2).unbind(1)
    return _shifts(down, x) @ x @ _shifts(right, x).mT


def cutout(x: Tensor, noise: Noise) -> Tensor:
    """A square of half the side becomes zero, its middle anywhere in the picture."""
    side = x.shape[-1]
    size = int(side * CUT + 0.5)
    top, left = noise.integers(0, side + 1 - size % 2, len(x), 2).unbind(1)
    place = torch.arange(side, device=x.device) + size // 2  # a middle at 0 leaves half of the square outside
    rows, columns = (
        (place >= start[:, None]) & (place < start[:, None] + size) for start in (top, left)
    )  # (batch, side)
    return x.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)


def flip(x: Tensor, noise: Noise) -> Tensor:
    """Left and right exchanged with a chance of one half: faces, clothes, landscapes; not text or digits."""
    return torch.where(noise.uniform(len(x), 1, 1, 1) < 0.5, x.flip(-1), x)


CHANGES = {
    "colour": (brightness, saturation, contrast),
    "translation": (translation,),
    "cutout": (cutout,),
    "flip": (flip,),
}


def _draw(x: Tensor, noise: Noise) -> Tensor:
    """U(0, 1) for each row, (batch, 1, 1, 1)."""
    return noise.uniform(len(x), 1, 1, 1)


def _colours(x: Tensor) -> Tensor:
    return x[:, :-1] if x.shape[1] in (2, 4) else x


def _with_colours(x: Tensor, colours: Tensor) -> Tensor:
    return torch.cat([colours, x[:, -1:]], dim=1) if x.shape[1] in (2, 4) else colours


def _shifts(by: Tensor, x: Tensor) -> Tensor:
    """(batch, 1, side, side): row i of each matrix takes pixel i - by, or nothing."""
    side = x.shape[-1]
    source = torch.arange(side, device=x.device) - by[:, None]
    inside = ((source >= 0) & (source < side))[..., None]
    return (one_hot(source.clamp(0, side - 1), side) * inside).to(x.dtype)[:, None]
