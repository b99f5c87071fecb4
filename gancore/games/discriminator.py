"""A discriminator is ``logits(embed(data), condition)``."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gancore.trees import Tree, tree_leaves


class Discriminator(nn.Module):
    """Base class of discriminators: ``logits(embed(data), condition)``.

    ``embed`` maps data to float tensors, on which penalties and interpolations act. By default the data are
    their own embedding, so a subclass has to define only ``logits``.
    ``Discriminator(network)`` is that of a plain module: ``network(data)`` gives the logits, or
    ``network(data, condition)`` if the game is conditional.
    """

    def __init__(self, network: nn.Module | None = None) -> None:
        super().__init__()
        if network is not None:
            self.network = network

    def embed(self, data: Tree) -> Tree:
        """From data (real, or a generator's output) to float leaves. Must not detach them."""
        return data

    def logits(self, embedded: Tree, condition: Tree = None) -> Tensor:
        """Logits of shape (batch,) or (batch, several), for example one for each position."""
        if "network" in self._modules:
            inputs = (embedded,) if condition is None else (embedded, condition)
            logits: Tensor = self.network(*inputs)
            return logits
        raise TypeError(f"{type(self).__name__} must define logits(embedded, condition)")

    def mask(self, data: Tree) -> Tensor | None:
        """Which logits of these data count, of the shape of the logits; None: all of them.

        For logits by position, where sequences end: ``until_end(data, end)`` of :mod:`gancore.nn`.
        """
        return None

    def squared_norm(self, gradients: Tree) -> Tensor:
        """|d logit / d data|^2 per row, (batch,), from gradients with respect to the embedding."""
        return torch.stack([g.square().flatten(1).sum(1) for g in tree_leaves(gradients)]).sum(0)

    def forward(self, data: Tree, condition: Tree = None) -> Tensor:
        logits: Tensor = self.logits(self.embed(data), condition)
        return logits


class TokenDiscriminator(Discriminator):
    """Takes tokens, as ids or as rows of a simplex, through a linear embedding.

    With e = x W the gradient with respect to the one-hot x is W g, whose squared norm is g (W^T W) g^T. This
    gives the exact penalty on one-hot rows without making them.
    """

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(vocabulary, width) / width**0.5)

    def embed(self, data: Tree) -> Tensor:
        """(batch, length) integers or (batch, length, vocabulary) simplex rows to (batch, length, width)."""
        if data.is_floating_point():
            return torch.matmul(data, self.embedding)
        return nn.functional.embedding(data, self.embedding)

    def squared_norm(self, gradients: Tree) -> Tensor:
        gram = self.embedding.T @ self.embedding  # (width, width)
        return torch.einsum("btw,wv,btv->b", gradients, gram, gradients)
