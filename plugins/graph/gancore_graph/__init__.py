"""The graph domain of gancore: models of one large graph, and of sets of small ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gancore import DomainEntry, hookimpl

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["edge_array", "gancore_domains"]


@hookimpl
def gancore_domains() -> list[DomainEntry]:
    return [
        DomainEntry(
            "graph",
            "gancore_graph.domain:GraphDomain",
            "graphs: .edges, .csv, .npz, .mtx, .graphml, TU sets",
        )
    ]


def edge_array(graph: Any) -> NDArray[np.int64]:
    """A graph in memory as ``data`` of :func:`gancore.train`: :func:`gancore_graph.memory.edge_array`."""
    from gancore_graph.memory import edge_array as convert

    return convert(graph)
