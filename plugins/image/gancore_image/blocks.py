"""What the image GANs share: sizes, batch normalisation that labels steer, labels in a discriminator."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv_transpose2d, pad

from gancore import ConfigError

START = 4
"""The side at which generators start."""


def doublings(side: int) -> int:
    """k of side = 4 * 2^k.

    Raises:
        ConfigError: there is none.
    """
    k = (side // START).bit_length() - 1
    if k < 1 or side != START * 2**k:
        raise ConfigError(
            f"data.side {side}: this recipe needs 4 * 2^k pixels, from 8 on", "set data.side to 16, 32 or 64"
        )
    return k


def widths(width: int, layers: int, widest: int) -> list[int]:
    """Channels from the picture inwards: width, 2 width, 4 width, ..., at most ``widest`` width."""
    return [width * min(2**layer, widest) for layer in range(layers)]


class Enlarge(nn.Module):
    """(batch, before, side, side) to (batch, after, 2 side, 2 side): pixels repeated, then a 3x3 convolution.

    Computed as one transposed convolution of stride 2 whose 4x4 kernel is the 3x3 one, convolved with a box
    of 2x2: the same numbers at the cost of a free 4x4 kernel, which would leave a checkerboard (Odena et al.
    2016).
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, after, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.convolution.weight.transpose(0, 1).flip(2, 3)  # (before, after, 3, 3)
        boxed = sum(pad(kernel, (left, 1 - left, top, 1 - top)) for left in (0, 1) for top in (0, 1))
        return conv_transpose2d(x, boxed, self.convolution.bias, stride=2, padding=1)


class Norm(nn.Module):
    """Batch normalisation; with ``classes``, a gain and a bias of each label (Miyato & Koyama 2018)."""

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
        return self.gain(label)[:, :, None, None] * x + self.bias(label)[:, :, None, None]


class Logit(nn.Module):
    """Features (batch, features) to logits (batch,): psi(h) + v_y . h (Miyato & Koyama 2018, eq. 3).

    ``classes``: labels y, whose v_y begin at zero, so that all are judged alike; 0 for none.
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


def channels_last(network: nn.Module) -> nn.Module:
    """Weights of convolutions laid out with the channels last, and with them all that they give."""
    return network.to(memory_format=torch.channels_last)
