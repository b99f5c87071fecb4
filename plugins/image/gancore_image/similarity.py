"""MS-SSIM: how alike two pictures are in contrast and structure, at several scales."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d

from gancore_image.levels import LEVELS

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the scales, the finest first: Wang et al. 2003, section 3.2."""
WINDOW, SIGMA = 11, 1.5
"""Pixels of the Gaussian window, and its deviation in pixels."""
LEAST_WINDOW = 7
"""A scale of fewer pixels is left out, but for the finest."""
K_1, K_2 = 0.01, 0.03
RANGE = LEVELS - 1


class Scale(NamedTuple):
    """Pixels of a side, of the window and of its deviation, and the weight among all scales."""

    side: int
    window: int
    sigma: float
    weight: float


def scales(side: int) -> list[Scale]:
    """Each of half the side of the one before: five from 176 pixels on, where the last has a whole window.

    Smaller pictures get at most four, as long as there are 7 pixels: 28 to 55 pixels three scales. Where a
    scale has fewer than 11 pixels its window is the largest odd one that fits, its deviation in proportion.
    Weights of fewer than five scales are divided by their sum (that of all five is 1.0001, as published).
    """
    most = len(WEIGHTS) if side >= WINDOW << len(WEIGHTS) - 1 else len(WEIGHTS) - 1
    sides = [side >> scale for scale in range(most) if not scale or side >> scale >= LEAST_WINDOW]
    windows = [min(WINDOW, side - (side + 1) % 2) for side in sides]
    total = sum(WEIGHTS[: len(sides)]) if len(sides) < len(WEIGHTS) else 1.0
    weights = [weight / total for weight in WEIGHTS[: len(sides)]]
    sigmas = [SIGMA * window / WINDOW for window in windows]
    return [Scale(*scale) for scale in zip(sides, windows, sigmas, weights, strict=True)]


def ms_ssim(x: Tensor, y: Tensor) -> Tensor:
    """Pairs of pictures of levels 0 to 255, (n, channels, side, side), to (n), 0 to 1; 1: they are equal.

    l_M^w_M prod_j (c s)_j^w_j for each channel, and the mean of these: Wang, Simoncelli and Bovik 2003,
    eq. 7, with l (c s) of the coarsest scale taken together, as one mean over the picture. Means of c s below
    0 (opposite structure) count as 0. From scale to scale 2x2 pixels are averaged.
    """
    found = scales(x.shape[-1])
    similarity = x.new_ones(x.shape[:2])  # (n, channels)
    for number, scale in enumerate(found):
        luminance, structure = ssim_parts(x, y, scale.window, scale.sigma)
        last = number == len(found) - 1
        mean = (luminance * structure if last else structure).mean((2, 3))
        similarity = similarity * mean.clamp_min(0) ** scale.weight
        if not last:
            x, y = avg_pool2d(x, 2), avg_pool2d(y, 2)
    return similarity.mean(1)


def ssim_parts(x: Tensor, y: Tensor, window: int, sigma: float) -> tuple[Tensor, Tensor]:
    """l and c s about each pixel that has a whole window, (n, channels, side - window + 1, the same).

    l = (2 mu_x mu_y + C_1) / (mu_x^2 + mu_y^2 + C_1), c s = (2 s_xy + C_2) / (s_x^2 + s_y^2 + C_2), moments
    under a Gaussian window, C_i = (K_i L)^2: Wang et al. 2004, eq. 6, 9 and 10 with C_3 = C_2 / 2.
    """
    c_1, c_2 = (K_1 * RANGE) ** 2, (K_2 * RANGE) ** 2
    mu_x, mu_y = blurred(x, window, sigma), blurred(y, window, sigma)
    s_xx = blurred(x * x, window, sigma) - mu_x**2
    s_yy = blurred(y * y, window, sigma) - mu_y**2
    s_xy = blurred(x * y, window, sigma) - mu_x * mu_y
    luminance = (2 * mu_x * mu_y + c_1) / (mu_x**2 + mu_y**2 + c_1)
    structure = (2 * s_xy + c_2) / (s_xx + s_yy + c_2)
    return luminance, structure


def blurred(x: Tensor, window: int, sigma: float) -> Tensor:
    """Means under a Gaussian window, where it lies within the picture whole."""
    at = torch.arange(window, dtype=x.dtype, device=x.device) - (window - 1) / 2
    g = (-(at**2) / (2 * sigma**2)).exp()
    g = g / g.sum()
    rows = x.flatten(0, 1)[:, None]  # (n channels, 1, side, side)
    means = conv2d(conv2d(rows, g[None, None, :, None]), g[None, None, None, :])
    return means.view(*x.shape[:2], *means.shape[2:])
