"""The label's part of a discriminator's logit, by projection (Miyato & Koyama 2018)."""

from __future__ import annotations

from torch import Tensor, nn


def label_projection(classes: int, features: int) -> nn.Embedding | None:
    """The embedding of labels for :func:`project_label`, zero at first; None without classes."""
    if not classes:
        return None
    embedding = nn.Embedding(classes, features)
    nn.init.zeros_(embedding.weight)
    return embedding


def project_label(
    logits: Tensor, features: Tensor, embedding: nn.Embedding | None, label: Tensor | None
) -> Tensor:
    """logit + <e(label), f> / sqrt(d), eq. 3, for features f (batch, d); the logits without an embedding."""
    if embedding is None:
        return logits
    result: Tensor = logits + (features * embedding(label)).sum(1) / features.shape[1] ** 0.5
    return result
