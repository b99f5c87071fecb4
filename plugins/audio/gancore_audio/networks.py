"""WaveGAN's networks (Donahue et al. 2019, appendix D), for any length of 16 * 4^k samples or twice that."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pad, relu

from gancore import ConfigError
from gancore.games import Discriminator
from gancore_audio.phase import phase_shuffle
from gancore_audio.strided import Downsample, Upsample

KERNEL = 25
START = 16
"""Time steps that the dense layer gives, and that the last convolution leaves."""


def strides(length: int) -> list[int]:
    """Strides from 16 steps to ``length``: fours, with a last two where the length asks for it."""
    factors, reached = [], START
    while reached < length:
        factors.append(4 if length % (4 * reached) == 0 else 2)
        reached *= factors[-1]
    if reached != length or 2 in factors[:-1] or len(factors) < 2:
        raise ConfigError(
            f"data.length {length}: this recipe needs 16 * 4^k samples, or twice that, from 256 on",
            "set data.length to 1024, 4096, 8192, 16384, 32768 or 65536",
        )
    return factors


def widths(width: int, layers: int) -> list[int]:
    """Channels from the waveform's end inwards: width, 2 width, 4 width, ..."""
    return [width * 2**layer for layer in range(layers)]


class WaveGANGenerator(nn.Module):
    """Latents (batch, latent) to waveforms (batch, 1, length) in [-1, 1].

    ``post_filter``: length of a learned filter on the output, 0 for none; it can take out the
    artefacts of upsampling. ``classes``: labels, embedded beside the latent; 0 for none.
    """

    def __init__(self, length: int, width: int, latent: int, post_filter: int = 0, classes: int = 0) -> None:
        super().__init__()
        factors = strides(length)
        channels = widths(width, len(factors))[::-1]
        self.label = nn.Embedding(classes, latent) if classes else None
        self.dense = nn.Linear(latent * (2 if classes else 1), START * channels[0])
        self.layers = nn.ModuleList(
            Upsample(before, after, KERNEL, stride)
            for before, after, stride in zip(channels, [*channels[1:], 1], factors, strict=True)
        )
        self.post_filter = nn.Conv1d(1, 1, post_filter, bias=False) if post_filter else None

    def forward(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        if self.label is not None:
            latents = torch.cat([latents, self.label(label)], dim=1)
        x = relu(self.dense(latents)).view(len(latents), -1, START)  # (batch, channels, 16)
        for layer in self.layers[:-1]:
            x = relu(layer(x))
        x = torch.tanh(self.layers[-1](x))  # (batch, 1, length)
        if self.post_filter is None:
            return x
        taps = self.post_filter.kernel_size[0]
        return self.post_filter(pad(x, ((taps - 1) // 2, taps // 2)))


class WaveGANDiscriminator(Discriminator):
    """Waveforms (batch, 1, length) to logits (batch,), with phase shuffle after all but the last layer.

    With ``classes`` the label enters by projection (Miyato & Koyama 2018, eq. 3). ``bias``: of the logit;
    a loss that takes a difference of logits never moves it.
    """

    def __init__(
        self,
        length: int,
        width: int,
        shuffle: int = 2,
        per_example: bool = True,
        classes: int = 0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        factors = strides(length)[::-1]
        channels = widths(width, len(factors))
        self.layers = nn.ModuleList(
            Downsample(before, after, KERNEL, stride)
            for before, after, stride in zip([1, *channels], channels, factors, strict=False)
        )
        self.dense = nn.Linear(START * channels[-1], 1, bias=bias)
        self.label = label_projection(classes, START * channels[-1])
        self.shuffle, self.per_example = shuffle, per_example

    def judge(self, embedded: Tensor, condition: Tensor | None = None) -> Tensor:
        x = embedded
        for depth, layer in enumerate(self.layers):
            x = leaky_relu(layer(x), 0.2)
            if self.shuffle and self.training and depth < len(self.layers) - 1:
                x = phase_shuffle(x, self.shuffle, self.per_example)
        features = x.flatten(1)
        logits = self.dense(features).squeeze(1)
        if self.label is not None:
            logits = logits + (features * self.label(condition)).sum(1) / features.shape[1] ** 0.5
        return logits


def label_projection(classes: int, features: int) -> nn.Embedding | None:
    """What a label adds to a discriminator's last layer; nothing at first, so that it judges all alike."""
    if not classes:
        return None
    projection = nn.Embedding(classes, features)
    nn.init.zeros_(projection.weight)
    return projection
