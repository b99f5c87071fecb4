"""Input of pretrained networks: three channels of 8-bit levels at their resolution."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from gancore_image.levels import HALF_RANGE, LEVELS

MAX_LEVEL = LEVELS - 1
CHUNK_SIZE = 4
"""Images per forward pass on a CPU core: small chunks stay in its cache."""


def flatten_alpha(samples: Tensor) -> Tensor:
    """(n, channels, side, side) in [-1, 1] to levels, float32, of 1 grey or 3 colour channels.

    Levels are rounded to the nearest, as in written files; alpha a composites them on white,
    a / 255 * level + (1 - a / 255) * 255, and rounds again.
    """
    levels = samples.float().add(1).mul_(HALF_RANGE).round_().clamp_(0, MAX_LEVEL)
    if samples.shape[1] in (1, 3):
        return levels
    colours, alpha = levels[:, :-1], levels[:, -1:] / MAX_LEVEL
    return (alpha * colours + (1 - alpha) * MAX_LEVEL).round_()


def resize_levels(levels: Tensor, side: int) -> Tensor:
    """Levels at another side, by antialiased bicubic interpolation (a = -1/2), as in Pillow.

    Along rows first, then along columns, each rounded to the nearest level, halves upwards.
    """
    if levels.shape[-1] == side:
        return levels
    for size in ((levels.shape[-2], side), (side, side)):
        exact = interpolate(levels, size, mode="bicubic", antialias=True)
        levels = exact.add_(0.5).floor_().clamp_(0, MAX_LEVEL)
    return levels


def to_rgb(levels: Tensor) -> Tensor:
    """(n, 3, side, side): grey repeated."""
    return levels.expand(-1, 3, -1, -1)


def normalize(levels: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """(level / 255 - mean) / deviation, channel by channel."""
    mean, deviation = (x.to(levels.device)[:, None, None] for x in (mean, deviation))
    return torch.addcmul(-mean / deviation, levels, 1 / (MAX_LEVEL * deviation))


def map_in_chunks(function: Callable[[Tensor], Tensor], samples: Tensor) -> Tensor:
    """Apply ``function``, whose rows are independent, without gradients; in chunks on a CPU.

    There each of torch's threads processes chunks of its own: waiting for all threads at every layer takes
    ten times as long if cores are busy. Results do not depend on the number of threads.
    """

    @torch.no_grad()
    def without_grad(part: Tensor) -> Tensor:
        return function(part)

    if samples.device.type != "cpu":
        return without_grad(samples)
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return torch.cat(list(pool.map(without_grad, torch.split(samples, CHUNK_SIZE))))
    finally:  # part of this setting is global
        torch.set_num_threads(threads)
