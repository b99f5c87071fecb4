"""How large the graphs of train are: the law of their numbers of nodes, and their mean degree."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gancore import Spec


class SizeLaw(nn.Module):
    """The numbers of nodes of the graphs of train, each as likely as it is frequent."""

    cumulative: Tensor

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        counts = size_counts(spec).double()
        self.register_buffer("cumulative", counts.cumsum(0) / counts.sum(), persistent=False)
        self.mean = float((counts * torch.arange(len(counts))).sum() / counts.sum())

    def quantile(self, level: Tensor) -> Tensor:
        """Numbers of nodes, int64, of levels in [0, 1]: how many steps of the distribution are not above."""
        found = (self.cumulative <= level.double()[..., None]).sum(-1)
        return found.clamp_max(len(self.cumulative) - 1)


def size_counts(spec: Spec) -> Tensor:
    """Graphs of train by their number of nodes, (most nodes + 1,)."""
    if "node_counts" in spec:
        counts: Tensor = spec["node_counts"].cpu()
        return counts
    return torch.bincount(torch.tensor([int(spec["max_nodes"])]))


def mean_degree(spec: Spec) -> float:
    """Of all nodes of train that have edges; at least 1."""
    counts = spec["degree_counts"].cpu().double()
    return float((counts * torch.arange(len(counts))).sum() / counts[1:].sum().clamp_min(1.0))
