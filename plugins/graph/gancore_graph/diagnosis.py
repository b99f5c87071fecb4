"""Common faults of generated graphs: no edges, one graph repeated, many pieces."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from gancore import Diagnostic, Samples
from gancore.training import LOWER_LR, DiagnosticRule, apply_rules
from gancore_graph.canonical import GraphTensors, edges_of
from gancore_graph.graph import Ints, adjacency

RULES = {
    "empty": DiagnosticRule(0.05, "without edges", f"train longer; {LOWER_LR}"),
    "repeated": DiagnosticRule(
        0.25, "one and the same graph", f"use an earlier checkpoint; {LOWER_LR}; stop at a smaller overlap"
    ),
    "pieces": DiagnosticRule(
        0.5,
        "in pieces: the largest component has less than half of the nodes with edges",
        "train longer; check the components of the data, set data.largest_component=true",
    ),
}
FEWEST_EQUAL = 3
"""Fewer equal graphs among samples are chance."""


def diagnose(samples: Samples) -> list[Diagnostic]:
    """Faults of a set of samples, each with its share and advice."""
    return apply_rules(RULES, find_faults(samples.data))


def find_faults(data: GraphTensors) -> dict[str, Tensor]:
    """Which samples are ``empty``, ``repeated``, ``pieces``: bool (n) each.

    ``repeated``: equal to the most frequent graph, if there are at least FEWEST_EQUAL.
    """
    rows = [edges_of(data, row) for row in range(len(data["nodes"]))]
    contents = [edges.tobytes() for edges in rows]
    (most, count), *_ = Counter(contents).most_common(1) or [(b"", 0)]
    shares = [largest_share(edges) for edges in rows]
    return {
        "empty": torch.tensor([not len(edges) for edges in rows], dtype=torch.bool),
        "repeated": torch.tensor([c == most and count >= FEWEST_EQUAL for c in contents], dtype=torch.bool),
        "pieces": torch.tensor([share < 0.5 for share in shares], dtype=torch.bool),
    }


def largest_share(edges: Ints) -> float:
    """Share of the nodes with edges that are in the largest component; 1 of a graph without edges."""
    if not len(edges):
        return 1.0
    nodes, numbers = np.unique(edges, return_inverse=True)
    labels = connected_components(adjacency(numbers.reshape(-1, 2), len(nodes)), directed=False)[1]
    return float(np.bincount(labels).max() / len(nodes))
