"""Multilayer perceptrons for points and flattened images, and PacGAN's networks."""

from __future__ import annotations

import itertools
from math import prod

import torch
from torch import Tensor, nn

from gancore import Batch, View
from gancore.data import Tree
from gancore.games import Discriminator, Representation, noise
from gancore.random import Key
from gancore_synthetic.polygons import N_GREYS

LABEL_DIM = 16
"""Size of a label embedding."""
FIT_EXAMPLES = 10_000
"""Training examples to which a representation is fitted."""


class StandardisedRepresentation(Representation):
    """Flat examples, centred and divided by one scale: the median of |x - median| over 0.6745.

    One scale for all coordinates keeps shapes; a median exists even if a heavy tail has no variance.
    Images are scaled to [-1, 1] with uniform noise of one grey level added, so that they have a density.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape, self.is_image = shape, len(shape) == 3
        self.register_buffer("centre", torch.zeros(prod(shape)))
        self.register_buffer("scale", torch.ones(()))

    def fit(self, train: View) -> None:
        if self.is_image:
            return
        rows = train.get_batch(
            torch.arange(min(len(train), FIT_EXAMPLES)), Key.of("fit", device=self.centre.device)
        ).data
        centre = rows.median(dim=0).values
        self.centre.copy_(centre)
        self.scale.copy_(((rows - centre).abs().median() / 0.6745).clamp(min=1e-6))

    def encode(self, batch: Batch) -> Batch:
        flat = batch.data.flatten(1)
        if self.is_image:
            dequantisation_noise = noise(len(flat), flat.device).uniform(len(flat), flat.shape[1])
            return Batch(2 * (N_GREYS * flat + dequantisation_noise) / (N_GREYS + 1) - 1, batch.condition)
        return Batch((flat - self.centre) / self.scale, batch.condition)

    def decode(self, outputs: Tensor) -> Tensor:
        if self.is_image:
            result: Tensor = torch.unflatten((outputs.clamp(-1, 1) + 1) / 2, 1, self.shape)
            return result
        return outputs * self.scale + self.centre

    def log_det(self, batch: Batch) -> Tensor | None:
        """-d log scale; None for images, whose greys have no density."""
        if self.is_image:
            return None
        return (-self.centre.numel() * self.scale.log()).expand(len(batch))


def mlp(inputs: int, width: int, depth: int, outputs: int) -> nn.Sequential:
    """``depth`` layers of ``width`` units with leaky ReLU, and a linear layer."""
    sizes = [inputs, *[width] * depth]
    hidden = [(nn.Linear(a, b), nn.LeakyReLU(0.2)) for a, b in itertools.pairwise(sizes)]
    return nn.Sequential(*itertools.chain(*hidden), nn.Linear(sizes[-1], outputs))


class ConditionalMLP(nn.Module):
    """An MLP on vectors, conditioned on a label if there are ``classes``.

    ``bounded``: outputs are in [-1, 1].
    """

    def __init__(
        self, inputs: int, width: int, depth: int, outputs: int, classes: int, bounded: bool = False
    ) -> None:
        super().__init__()
        self.bounded = bounded
        self.label = nn.Embedding(classes, LABEL_DIM) if classes else None
        self.body = mlp(inputs + (LABEL_DIM if classes else 0), width, depth, outputs)

    def forward(self, rows: Tensor, condition: Tensor | None = None) -> Tensor:
        if self.label is not None:
            rows = torch.cat([rows, self.label(condition)], dim=1)
        outputs = self.body(rows)
        result: Tensor = outputs.tanh() if self.bounded else outputs
        return result


class MLPDiscriminator(Discriminator):
    """Flat examples to one logit each."""

    def __init__(self, inputs: int, width: int, depth: int, classes: int) -> None:
        super().__init__()
        self.body = ConditionalMLP(inputs, width, depth, 1, classes)

    def logits(self, embedded: Tree, condition: Tree = None) -> Tensor:
        result: Tensor = self.body(embedded, condition)[:, 0]
        return result


class Maxout(nn.Module):
    """max_j (W_j x + b_j) over ``pieces`` (Goodfellow et al. 2013, eq. 1-2), as one product."""

    def __init__(self, inputs: int, outputs: int, pieces: int) -> None:
        super().__init__()
        self.pieces, self.linear = pieces, nn.Linear(inputs, outputs * pieces)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.linear(x).unflatten(1, (self.pieces, -1)).amax(1)
        return result


def pacgan_generator(latent_dim: int, outputs: int, width: int = 400, depth: int = 4) -> nn.Sequential:
    """Four times linear without bias, batch norm, ReLU; then linear."""
    sizes = [latent_dim, *[width] * depth]
    hidden = [
        (nn.Linear(a, b, bias=False), nn.BatchNorm1d(b, eps=1e-4, momentum=0.05), nn.ReLU())
        for a, b in itertools.pairwise(sizes)
    ]
    return _init_pacgan(nn.Sequential(*itertools.chain(*hidden), nn.Linear(width, outputs)))


class PackedDiscriminator(Discriminator):
    """One logit for ``pack`` samples (Lin et al. 2018, section 1.1): three layers of maxout, then linear.

    Examples of a batch are packed in order, so a logit belongs to ``pack`` examples.
    """

    def __init__(self, inputs: int, pack: int, width: int = 200, pieces: int = 5, depth: int = 3) -> None:
        super().__init__()
        self.pack = pack
        sizes = [inputs * pack, *[width] * depth]
        layers = [Maxout(a, b, pieces) for a, b in itertools.pairwise(sizes)]
        self.body = _init_pacgan(nn.Sequential(*layers, nn.Linear(width, 1)))

    def embed(self, data: Tree) -> Tensor:
        result: Tensor = data.reshape(len(data) // self.pack, -1)
        return result  # (packs, pack * inputs)

    def logits(self, embedded: Tree, condition: Tree = None) -> Tensor:
        result: Tensor = self.body(embedded)[:, 0]
        return result


def _init_pacgan(network: nn.Sequential) -> nn.Sequential:
    """Weights N(0, 0.02^2), biases 0."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network
