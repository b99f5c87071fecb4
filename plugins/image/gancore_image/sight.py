"""Pictures as networks trained elsewhere see them: three channels of 8-bit levels, at the side they know."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from gancore_image.levels import HALF, LEVELS

WHITE = LEVELS - 1
TOGETHER = 4
"""Pictures that a core looks at together: a few go through a network faster than many, from its cache."""


def opaque(samples: Tensor) -> Tensor:
    """(n, channels, side, side) in [-1, 1] to levels, float32, of 1 grey or 3 colour channels.

    Levels are the nearest, as in the files that are written; alpha a lays them on white,
    a / 255 * level + (1 - a / 255) * 255, and the nearest again.
    """
    levels = samples.float().add(1).mul_(HALF).round_().clamp_(0, WHITE)
    if samples.shape[1] in (1, 3):
        return levels
    inks, alpha = levels[:, :-1], levels[:, -1:] / WHITE
    return (alpha * inks + (1 - alpha) * WHITE).round_()


def resized(levels: Tensor, side: int) -> Tensor:
    """Levels at another side, by antialiased bicubic interpolation (a = -1/2), as Pillow has it.

    Along rows first, then along columns, each to the nearest level, halves upwards.
    """
    if levels.shape[-1] == side:
        return levels
    for size in ((levels.shape[-2], side), (side, side)):
        exact = interpolate(levels, size, mode="bicubic", antialias=True)
        levels = exact.add_(0.5).floor_().clamp_(0, WHITE)
    return levels


def coloured(levels: Tensor) -> Tensor:
    """(n, 3, side, side): grey thrice."""
    return levels.expand(-1, 3, -1, -1)


def normalised(levels: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """(level / 255 - mean) / deviation, channel by channel."""
    mean, deviation = (x.to(levels.device)[:, None, None] for x in (mean, deviation))
    return torch.addcmul(-mean / deviation, levels, 1 / (WHITE * deviation))


def by_parts(look: Callable[[Tensor], Tensor], samples: Tensor) -> Tensor:
    """look(samples) without gradients, where each row depends on itself alone; on a CPU a few rows at a time.

    There each thread takes parts of its own, as many threads as torch has: none waits for another at every
    layer, which takes ten times as long where cores are not free, and the numbers do not depend on how many.
    """

    @torch.no_grad()
    def unwatched(part: Tensor) -> Tensor:
        return look(part)

    if samples.device.type != "cpu":
        return unwatched(samples)
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return torch.cat(list(pool.map(unwatched, samples.split(TOGETHER))))
    finally:  # a part of that setting is of all threads
        torch.set_num_threads(threads)
