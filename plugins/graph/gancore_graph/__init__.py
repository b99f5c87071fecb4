"""The graph domain of gancore: models of one large graph, and of sets of small ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gancore import DomainEntry, PretrainedModelEntry, hookimpl, packaged_models

if TYPE_CHECKING:
    import networkx
    import numpy as np
    from numpy.typing import NDArray

    from gancore import Samples

__all__ = ["edge_array", "gancore_domains", "gancore_models", "networkx_graphs", "pyg_data"]


@hookimpl
def gancore_domains() -> list[DomainEntry]:
    return [
        DomainEntry(
            "graph",
            "gancore_graph.domain:GraphDomain",
            "graphs: .edges, .csv, .npz, .mtx, .graphml, TU sets",
        )
    ]


@hookimpl
def gancore_models() -> list[PretrainedModelEntry]:
    return packaged_models(Path(__file__).parent / "models")


def edge_array(graph: Any) -> NDArray[np.int64]:
    """A graph in memory as ``data`` of :func:`gancore.train`: :func:`gancore_graph.memory.edge_array`."""
    from gancore_graph.memory import edge_array as convert

    return convert(graph)


def networkx_graphs(samples: Samples) -> list[networkx.Graph[Any]]:
    """Each sample as a graph of networkx: :func:`gancore_graph.export.networkx_graphs`."""
    from gancore_graph.export import networkx_graphs as convert

    return convert(samples)


def pyg_data(samples: Samples) -> list[Any]:
    """Each sample as ``Data`` of torch-geometric: :func:`gancore_graph.export.pyg_data`."""
    from gancore_graph.export import pyg_data as convert

    return convert(samples)
