"""Perceptrons for points and for flattened pictures, and PacGAN's networks."""

from __future__ import annotations

import itertools
from math import prod

import torch
from torch import Tensor, nn

from gancore.domain import Batch, View
from gancore.games import Discriminator, Representation, noise
from gancore.runtime.randomness import Key
from gancore.trees import Tree
from gancore_synthetic.polygons import GREYS

LABEL = 16
"""Numbers that tell a network a label."""
PEEK = 10_000
"""Rows of train by which a representation is fitted."""


class Standardised(Representation):
    """Rows centred, flat, divided by one scale: the median of |x - median|, over 0.6745.

    One scale for all coordinates leaves shapes as they are; a median also where a heavy tail has no variance.
    Pictures are laid between -1 and 1, with a uniform grey of one level added, so that they have a density.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape, self.pictures = shape, len(shape) == 3
        self.register_buffer("centre", torch.zeros(prod(shape)))
        self.register_buffer("scale", torch.ones(()))

    def fit(self, train: View) -> None:
        if self.pictures:
            return
        rows = train.take(torch.arange(min(len(train), PEEK)), Key.of("fit", device=self.centre.device)).data
        centre = rows.median(dim=0).values
        self.centre.copy_(centre)
        self.scale.copy_(((rows - centre).abs().median() / 0.6745).clamp(min=1e-6))

    def encode(self, batch: Batch) -> Batch:
        flat = batch.data.flatten(1)
        if self.pictures:
            grain = noise(len(flat), flat.device).uniform(len(flat), flat.shape[1])
            return Batch(2 * (GREYS * flat + grain) / (GREYS + 1) - 1, batch.condition)
        return Batch((flat - self.centre) / self.scale, batch.condition)

    def decode(self, outputs: Tensor) -> Tensor:
        if self.pictures:
            return ((outputs.clamp(-1, 1) + 1) / 2).unflatten(1, self.shape)
        return outputs * self.scale + self.centre

    def log_det(self, batch: Batch) -> Tensor | None:
        """-d log scale. Pictures are greys, not densities: None."""
        if self.pictures:
            return None
        return (-self.centre.numel() * self.scale.log()).expand(len(batch))


def perceptron(inputs: int, width: int, depth: int, outputs: int) -> nn.Sequential:
    """``depth`` layers of ``width`` with leaky rectifiers, and a linear one."""
    sizes = [inputs, *[width] * depth]
    hidden = [(nn.Linear(a, b), nn.LeakyReLU(0.2)) for a, b in itertools.pairwise(sizes)]
    return nn.Sequential(*itertools.chain(*hidden), nn.Linear(sizes[-1], outputs))


class Labelled(nn.Module):
    """A network of vectors that is told a label beside them, where there are ``classes``.

    ``bounded`` keeps what it gives between -1 and 1.
    """

    def __init__(
        self, inputs: int, width: int, depth: int, outputs: int, classes: int, bounded: bool = False
    ) -> None:
        super().__init__()
        self.bounded = bounded
        self.label = nn.Embedding(classes, LABEL) if classes else None
        self.body = perceptron(inputs + (LABEL if classes else 0), width, depth, outputs)

    def forward(self, rows: Tensor, condition: Tensor | None = None) -> Tensor:
        if self.label is not None:
            rows = torch.cat([rows, self.label(condition)], dim=1)
        outputs = self.body(rows)
        return outputs.tanh() if self.bounded else outputs


class MLPDiscriminator(Discriminator):
    """One logit from flat rows."""

    def __init__(self, inputs: int, width: int, depth: int, classes: int) -> None:
        super().__init__()
        self.body = Labelled(inputs, width, depth, 1, classes)

    def judge(self, embedded: Tree, condition: Tree = None) -> Tensor:
        return self.body(embedded, condition)[:, 0]


class Maxout(nn.Module):
    """max_j (W_j x + b_j) over ``pieces`` (Goodfellow et al. 2013, eq. 1-2), as one product."""

    def __init__(self, inputs: int, outputs: int, pieces: int) -> None:
        super().__init__()
        self.pieces, self.linear = pieces, nn.Linear(inputs, outputs * pieces)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).unflatten(1, (self.pieces, -1)).amax(1)


def pacgan_generator(latent: int, outputs: int, width: int = 400, depth: int = 4) -> nn.Sequential:
    """Linear without bias, batch norm, rectifier, four times; then linear."""
    sizes = [latent, *[width] * depth]
    hidden = [
        (nn.Linear(a, b, bias=False), nn.BatchNorm1d(b, eps=1e-4, momentum=0.05), nn.ReLU())
        for a, b in itertools.pairwise(sizes)
    ]
    return _pacgan_weights(nn.Sequential(*itertools.chain(*hidden), nn.Linear(width, outputs)))


class PackedDiscriminator(Discriminator):
    """Judges ``pack`` samples at once (Lin et al. 2018, section 1.1): three layers of maxout, then linear.

    Rows of a batch are packed in order, so a logit belongs to ``pack`` rows.
    """

    def __init__(self, inputs: int, pack: int, width: int = 200, pieces: int = 5, depth: int = 3) -> None:
        super().__init__()
        self.pack = pack
        sizes = [inputs * pack, *[width] * depth]
        layers = [Maxout(a, b, pieces) for a, b in itertools.pairwise(sizes)]
        self.body = _pacgan_weights(nn.Sequential(*layers, nn.Linear(width, 1)))

    def embed(self, data: Tree) -> Tensor:
        return data.reshape(len(data) // self.pack, -1)  # (packs, pack * inputs)

    def judge(self, embedded: Tree, condition: Tree = None) -> Tensor:
        return self.body(embedded)[:, 0]


def _pacgan_weights(network: nn.Sequential) -> nn.Sequential:
    """Weights N(0, 0.02^2), biases 0."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network
