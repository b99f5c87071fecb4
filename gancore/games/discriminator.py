"""A discriminator is ``judge(embed(data), condition)``."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gancore.trees import Tree, leaves


class Discriminator(nn.Module):
    """``embed`` gives float leaves; penalties, interpolations and attacks act there.

    By default the data are their own embedding, so subclasses need define ``judge`` alone.
    """

    def embed(self, data: Tree) -> Tree:
        """Data (real, or a generator's output) to float leaves. Never detach what it returns."""
        return data

    def judge(self, embedded: Tree, condition: Tree = None) -> Tensor:
        """Logits of shape (batch,) or (batch, several)."""
        raise TypeError(f"{type(self).__name__} must define judge(embedded, condition)")

    def sqnorm(self, gradients: Tree) -> Tensor:
        """|d logit / d data|^2 per row, from gradients with respect to the embedding: (batch,)."""
        return torch.stack([g.square().flatten(1).sum(1) for g in leaves(gradients)]).sum(0)

    def forward(self, data: Tree, condition: Tree = None) -> Tensor:
        logits: Tensor = self.judge(self.embed(data), condition)
        return logits


class TokenDiscriminator(Discriminator):
    """Reads tokens through a linear embedding: ids and rows of a simplex alike.

    With e = x W the gradient with respect to the one-hot x is W g, whose squared norm is
    g (W^T W) g^T: the exact penalty on one-hots, without making them.
    """

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(vocabulary, width) / width**0.5)

    def embed(self, data: Tree) -> Tensor:
        """(batch, length) integers or (batch, length, vocabulary) simplex rows to (batch, length, width)."""
        if data.is_floating_point():
            return torch.matmul(data, self.embedding)
        return nn.functional.embedding(data, self.embedding)

    def sqnorm(self, gradients: Tree) -> Tensor:
        gram = self.embedding.T @ self.embedding  # (width, width)
        return torch.einsum("btw,wv,btv->b", gradients, gram, gradients)
