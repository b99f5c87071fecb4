"""Statistics of one graph: numbers that generated graphs should share with the real one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.sparse.csgraph import connected_components
from scipy.special import zeta

from gancore_graph.graph import Graph, Ints
from gancore_graph.memo import Memo, digest_graph
from gancore_graph.subgraph_counts import count_four_cycles, triangles_of_nodes

NONE = float("nan")
"""The value of what is not defined for a graph."""

_TRIANGLES: Memo[float] = Memo(10_000)


def maximum_degree(graph: Graph) -> float:
    return float(graph.degrees().max(initial=0))


def gini(graph: Graph) -> float:
    """Gini coefficient of the degrees: mean difference of two nodes over twice the mean; NaN without edges.

    NetGAN's code counts ranks from 0, and is lower by 2 / nodes.
    """
    degrees = np.sort(graph.degrees())
    n, total = len(degrees), degrees.sum()
    return float(2 * (np.arange(1, n + 1) * degrees).sum() / (n * total) - (n + 1) / n) if total else NONE


def power_law(graph: Graph) -> float:
    """1 + n / sum log(d / d_min) over the n nodes with edges: maximum likelihood of a continuous power law.

    So in NetGAN's code, which calls the package powerlaw for continuous data; Clauset et al. 2009, eq. 3.1.
    NaN where all degrees are equal.
    """
    degrees = _positive(graph)
    total = np.log(degrees / degrees.min()).sum() if len(degrees) else 0.0
    return float(1 + len(degrees) / total) if total > 0 else NONE


def discrete_power_law(graph: Graph) -> float:
    """a that maximises -n log zeta(a, d_min) - a sum log d: the likelihood of integers d >= d_min.

    Clauset et al. 2009, eq. 3.5, solved exactly, without the approximation of their eq. 3.7. NaN where all
    degrees are equal, as the likelihood has no maximum then.
    """
    degrees = _positive(graph)
    if not len(degrees) or degrees.min() == degrees.max():
        return NONE
    least, mean_log = float(degrees.min()), float(np.log(degrees).mean())

    def slope(a: float) -> float:
        step = 1e-5 * (a - 1)
        high, low = (np.log(zeta(a + sign * step, least)) for sign in (1, -1))
        return float((high - low) / (2 * step) + mean_log)

    return float(brentq(slope, 1 + 1e-6, 60.0)) if slope(60.0) > 0 else NONE


def _positive(graph: Graph) -> NDArray[np.float64]:
    degrees = graph.degrees()
    return degrees[degrees > 0].astype(np.float64)


def assortativity(graph: Graph) -> float:
    """Correlation of the degrees of the two ends of an edge (Newman 2002); NaN where all are equal."""
    ends = graph.degrees()[graph.edges].astype(np.float64)
    both = np.concatenate([ends, ends[:, ::-1]])
    if not len(both) or both.min() == both.max():
        return NONE
    centred = both - both.mean()
    return float(centred.prod(1).sum() / (centred[:, 0] ** 2).sum())


def wedges(graph: Graph) -> float:
    """Paths of two edges: sum of d (d - 1) / 2."""
    d = graph.degrees()
    return float((d * (d - 1) // 2).sum())


def claws(graph: Graph) -> float:
    """Stars of three edges: sum of d (d - 1) (d - 2) / 6."""
    d = graph.degrees()
    return float(((d * (d - 1) // 2).astype(np.float64) * (d - 2) / 3).sum())


def triangles(graph: Graph) -> float:
    """Kept by the graph's content, as three statistics need it."""
    key = digest_graph(graph.edges, graph.nodes)
    return _TRIANGLES.get(key, lambda: float(triangles_of_nodes(graph).sum() // 3))


def four_cycles(graph: Graph) -> float:
    """Cycles of four nodes, with chords or without. NetGAN's "square count" is of cliques of four nodes."""
    return float(count_four_cycles(graph))


def clustering(graph: Graph) -> float:
    """3 triangles / wedges: the share of wedges that are closed (transitivity); NaN without wedges."""
    return _ratio(3 * triangles(graph), wedges(graph))


def claw_ratio(graph: Graph) -> float:
    """3 triangles / claws: what NetGAN's code and its tables call the clustering coefficient."""
    return _ratio(3 * triangles(graph), claws(graph))


def local_clustering(graph: Graph) -> NDArray[np.float64]:
    """Of each node the share of pairs of neighbours that are joined, (nodes); 0 below two neighbours."""
    d = graph.degrees()
    pairs = d * (d - 1) // 2
    shares: NDArray[np.float64] = triangles_of_nodes(graph) / np.maximum(pairs, 1)
    return shares


def mean_local_clustering(graph: Graph) -> float:
    """Mean of :func:`local_clustering` over all nodes (Watts and Strogatz 1998)."""
    return float(local_clustering(graph).mean()) if graph.nodes else NONE


def component_sizes(graph: Graph) -> Ints:
    """Nodes of each connected component, isolated nodes included."""
    return np.bincount(connected_components(graph.adjacency(), directed=False)[1])


def components(graph: Graph) -> float:
    return float(len(component_sizes(graph)))


def largest_component_share(graph: Graph) -> float:
    """Share of the nodes that are in the largest component."""
    return float(component_sizes(graph).max() / graph.nodes)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else NONE
