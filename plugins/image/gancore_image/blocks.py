"""Layers of the image GANs: sizes, conditional batch normalisation, label projection."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, interpolate, pad

from gancore import ConfigError

ModuleT = TypeVar("ModuleT", bound=nn.Module)
START_SIZE = 4
"""Side of the first feature map of a generator."""


def n_doublings(side: int) -> int:
    """k with side = 4 * 2^k.

    Raises:
        ConfigError: there is no such k.
    """
    k = (side // START_SIZE).bit_length() - 1
    if k < 1 or side != START_SIZE * 2**k:
        raise ConfigError(
            f"data.image_size is {side}; this recipe needs 4 * 2^k pixels, at least 8",
            "set data.image_size to 16, 32 or 64",
        )
    return k


def channel_widths(width: int, layers: int, max_multiple: int) -> list[int]:
    """Channels from the image inwards: width, 2 width, 4 width, ..., at most ``max_multiple`` * width."""
    return [width * min(2**layer, max_multiple) for layer in range(layers)]


UPSAMPLE_GAIN = 4 / 9
"""Of the weights of :class:`UpsampleConv` and :class:`ScaledConv`, where 9 of them reach an output: a learned
4x4 kernel of stride 2 has 4. Adam moves each weight by the learning rate, so that both then move their
outputs equally far. Without this gain a rate that the discriminator needs saturates the generator's tanh:
all images turn black."""


class ScaledConv(nn.Conv2d):
    """A 3x3 convolution that keeps the side; its weights are multiplied by :data:`UPSAMPLE_GAIN`, too."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, UPSAMPLE_GAIN * self.weight, self.bias, padding=1)


class UpsampleConv(nn.Module):
    """(batch, before, side, side) to (batch, after, 2 side, 2 side): pixels repeated, then a 3x3 convolution.

    The weights are multiplied by :data:`UPSAMPLE_GAIN`.

    Computed as one transposed convolution of stride 2 whose 4x4 kernel is the 3x3 one, convolved with a box
    of 2x2: the same result at the cost of a learned 4x4 kernel, which would leave a checkerboard (Odena et
    al. 2016).
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, after, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.convolution.weight.transpose(0, 1).flip(2, 3)  # (before, after, 3, 3)
        parts = (pad(kernel, (left, 1 - left, top, 1 - top)) for left in (0, 1) for top in (0, 1))
        boxed = sum(parts, start=kernel.new_zeros(()))
        return conv_transpose2d(x, UPSAMPLE_GAIN * boxed, self.convolution.bias, stride=2, padding=1)


class SmoothUpsampleConv(nn.Module):
    """(batch, before, side, side) to (batch, after, 2 side, 2 side): bilinear doubling, a 3x3 convolution.

    The bilinear filter passes an eighth of the power at a quarter of the sampling rate along each axis.
    Repeated pixels pass half of it: lines along the axes. Karras et al. 2019, section 2,
    use it for the same purpose.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.convolution = ScaledConv(before, after)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.convolution(interpolate(x, scale_factor=2, mode="bilinear"))
        return made


class ConditionalBatchNorm2d(nn.Module):
    """Batch normalisation; with ``classes``, a gain and a bias per label (Miyato & Koyama 2018)."""

    def __init__(self, channels: int, classes: int = 0) -> None:
        super().__init__()
        self.plain = nn.BatchNorm2d(channels, affine=not classes)
        self.gain = nn.Embedding(classes, channels) if classes else None
        self.bias = nn.Embedding(classes, channels) if classes else None
        if self.gain is not None and self.bias is not None:
            nn.init.ones_(self.gain.weight)
            nn.init.zeros_(self.bias.weight)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        x = self.plain(x)
        if self.gain is None or self.bias is None:
            return x
        result: Tensor = self.gain(label)[:, :, None, None] * x + self.bias(label)[:, :, None, None]
        return result


class ProjectionHead(nn.Module):
    """FeatureExtractor (batch, features) to logits (batch,): psi(h) + v_y . h (Miyato & Koyama 2018, eq. 3).

    ``classes``: number of labels y; v_y are initialised to zero. 0: no labels.
    """

    def __init__(self, features: int, classes: int = 0, bias: bool = True) -> None:
        super().__init__()
        self.dense = nn.Linear(features, 1, bias=bias)
        self.label = nn.Embedding(classes, features) if classes else None
        if self.label is not None:
            nn.init.zeros_(self.label.weight)

    def forward(self, features: Tensor, label: Tensor | None = None) -> Tensor:
        logits: Tensor = self.dense(features).squeeze(1)
        return logits if self.label is None else logits + (self.label(label) * features).sum(1)


def channels_last(network: ModuleT) -> ModuleT:
    """The network in the memory format channels_last, which its outputs then have, too."""
    module: Any = network  # torch does not annotate this form of to(), which changes the module itself
    module.to(memory_format=torch.channels_last)
    return network


def bias_of(layer: nn.Linear | nn.Conv2d) -> Tensor:
    """The bias of a layer that has one."""
    assert layer.bias is not None
    return layer.bias
