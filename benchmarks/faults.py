"""Faults of known kind and strength in real held-out rows, for :mod:`planted_faults`.

A fault selects rows (without a class, repeated, copies of train), or changes each row, or changes labels
only. Strengths are from small to large.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from gancore_audio.mel import resample
from gancore_image.classifier import shift_with_edges
from torch import Tensor
from torch.nn.functional import conv2d, pad

from gancore.data.dataset import Batch, Spec
from gancore.random import Key

SIDE = 32
"""The side for which strengths in pixels are given; they are proportional to the side."""


@dataclass(frozen=True)
class Pool:
    """All rows by number: rows of held-out blocks and of train."""

    rows: Batch
    blocks: list[Tensor]
    train: Tensor
    spec: Spec

    @property
    def labels(self) -> Tensor:
        labels: Tensor = self.rows.condition
        return labels


@dataclass(frozen=True)
class Draw:
    """A pair of blocks: the reference, and the rows that replace samples."""

    real: int
    fake: int
    key: Key


Choice = Callable[[Pool, Draw, float], Tensor]
"""A function that gives row numbers of the pool, as many as a block has."""
Change = Callable[[Tensor, float, Spec], Tensor]
"""A function from canonical rows to canonical rows."""


@dataclass(frozen=True)
class Fault:
    """A fault with three ``strengths`` in ``unit``.

    At most one of ``choose`` and ``change`` is given; without both, only labels are changed.
    """

    name: str
    unit: str
    strengths: tuple[float, float, float]
    choose: Choice | None = None
    change: Change | None = None


def drop_classes(pool: Pool, draw: Draw, share: float) -> Tensor:
    """The block with the rows of a share of the classes replaced by held-out rows of other classes."""
    classes = pool.labels.unique()
    count = max(1, round(share * len(classes)))
    lost = classes[(draw.key / "classes").permutation(len(classes))[:count]]
    others = [block for number, block in enumerate(pool.blocks) if number not in (draw.real, draw.fake)]
    rows = torch.cat([pool.blocks[draw.fake], *others])
    return rows[~torch.isin(pool.labels[rows], lost)][: len(pool.blocks[0])]


def repeat_few(pool: Pool, draw: Draw, share: float) -> Tensor:
    """A share of the block, repeated."""
    block = pool.blocks[draw.fake]
    return block[torch.arange(len(block)) % max(1, round(share * len(block)))]


def copy_train(pool: Pool, draw: Draw, share: float) -> Tensor:
    """The block with a share of it replaced by rows of train."""
    block = pool.blocks[draw.fake]
    count = min(round(share * len(block)), len(pool.train))
    copied = pool.train[(draw.key / "train").permutation(len(pool.train))[:count]]
    return torch.cat([block[count:], copied])


def wrong_labels(labels: Tensor, share: float, key: Key) -> Tensor:
    """Labels with a share of them replaced by other classes."""
    classes = labels.unique()
    wrong = (key / "which").permutation(len(labels))[: round(share * len(labels))]
    steps = 1 + (key / "steps").integers(len(classes) - 1, len(wrong))
    changed = labels.clone()
    changed[wrong] = classes[(torch.searchsorted(classes, labels[wrong]) + steps) % len(classes)]
    return changed


# Pictures, (n, channels, side, side) in [-1, 1].


def blur(x: Tensor, sigma: float, spec: Spec) -> Tensor:
    """Blur with a Gaussian of this standard deviation; edges are repeated."""
    sigma *= x.shape[-1] / SIDE
    reach = max(1, round(3 * sigma))
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= weights.sum()
    n, channels, side, _ = x.shape
    planes = pad(x.reshape(n * channels, 1, side, side), (reach,) * 4, mode="replicate")
    return conv2d(conv2d(planes, weights[None, None, :, None]), weights[None, None, None]).reshape(x.shape)


def move(x: Tensor, pixels: float, spec: Spec) -> Tensor:
    """Move down and to the right; edges are repeated."""
    return shift_with_edges(x, torch.full((len(x), 2), max(1, round(pixels * x.shape[-1] / SIDE))))


def tint(x: Tensor, shift: float, spec: Spec) -> Tensor:
    """Make the first channel lighter and the last one darker, on a scale of 2; grey pictures lighter."""
    shifts = torch.zeros(x.shape[1])
    shifts[-1] = -shift
    shifts[0] = shift
    return (x + shifts[:, None, None]).clamp(-1, 1)


def flatten(x: Tensor, contrast: float, spec: Spec) -> Tensor:
    """Change the contrast of each picture about its mean."""
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + contrast * (x - mean)


# Sounds, (n, 1, time) in [-1, 1].


def low_pass(x: Tensor, share: float, spec: Spec) -> Tensor:
    """Remove frequencies above this share of half the rate."""
    spectrum = torch.fft.rfft(x)
    spectrum[..., round(share * (spectrum.shape[-1] - 1)) :] = 0
    return torch.fft.irfft(spectrum, x.shape[-1])


def late(x: Tensor, milliseconds: float, spec: Spec) -> Tensor:
    """Delay: silence at the start, the end is cut."""
    count = round(milliseconds / 1000 * spec["sample_rate_hz"])
    return pad(x, (count, 0))[..., : x.shape[-1]]


def higher(x: Tensor, semitones: float, spec: Spec) -> Tensor:
    """Raise the pitch by faster playback, with silence at the end."""
    fast = round(spec["sample_rate_hz"] * 2 ** (semitones / 12))
    made = resample(x[:, 0], fast, spec["sample_rate_hz"])[:, None]
    return pad(made, (0, x.shape[-1] - made.shape[-1])).clamp(-1, 1)


def softer(x: Tensor, decibels: float, spec: Spec) -> Tensor:
    return x * 10 ** (-decibels / 20)


# Points, (n, dimension); lengths in standard deviations of a component.


def noisy(x: Tensor, deviations: float, spec: Spec) -> Tensor:
    return x + deviations * spec["parameters"]["std"] * Key.of("faults", "noise").normal(*x.shape)


def aside(x: Tensor, deviations: float, spec: Spec) -> Tensor:
    shift = torch.zeros(x.shape[1])
    shift[0] = deviations * spec["parameters"]["std"]
    return x + shift


def strays(x: Tensor, share: float, spec: Spec) -> Tensor:
    """Replace a share of the points by uniform points in the bounding box."""
    count, key = round(share * len(x)), Key.of("faults", "strays")
    low, high = x.amin(0), x.amax(0)
    anywhere = low + (high - low) * key.uniform(count, x.shape[1])
    return torch.cat([anywhere, x[count:]])


def tighter(x: Tensor, factor: float, spec: Spec) -> Tensor:
    """Scale each component about its mean."""
    from gancore_synthetic.registry import distribution_of

    component = distribution_of(spec).assign(x.double())
    means = torch.stack([x[component == k].mean(0) for k in component.unique()])
    own = means[torch.searchsorted(component.unique(), component)]
    return own + factor * (x - own)


def _faults(*changes: Fault) -> tuple[Fault, ...]:
    return (
        Fault("dropped classes", "share", (0.1, 0.2, 0.4), choose=drop_classes),
        Fault("few rows repeated", "share left", (0.5, 0.2, 0.05), choose=repeat_few),
        Fault("copies of train", "share", (0.1, 0.3, 1.0), choose=copy_train),
        *changes,
        Fault("wrong labels", "share", (0.05, 0.2, 0.5)),
    )


FAULTS: Mapping[str, tuple[Fault, ...]] = {
    "image": _faults(
        Fault("blur", "pixels of 32", (0.5, 1.0, 2.0), change=blur),
        Fault("moved", "pixels of 32", (1.0, 2.0, 4.0), change=move),
        Fault("tint or level", "of 2", (0.1, 0.2, 0.4), change=tint),
        Fault("contrast", "factor", (0.9, 0.7, 0.5), change=flatten),
    ),
    "audio": _faults(
        Fault("low-pass", "of half the rate", (0.7, 0.5, 0.25), change=low_pass),
        Fault("silence first", "ms", (20.0, 50.0, 100.0), change=late),
        Fault("pitch", "semitones", (0.5, 1.0, 3.0), change=higher),
        Fault("softer", "dB", (3.0, 6.0, 12.0), change=softer),
    ),
    "synthetic": _faults(
        Fault("noise", "std", (0.5, 1.0, 2.0), change=noisy),
        Fault("shifted", "std", (1.0, 3.0, 10.0), change=aside),
        Fault("strays", "share", (0.01, 0.05, 0.2), change=strays),
        Fault("shrunken modes", "factor", (0.8, 0.5, 0.2), change=tighter),
    ),
}
