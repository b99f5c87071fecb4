"""GraphML: nodes and edges; attributes, ports and hyperedges are left out."""

from __future__ import annotations

import io

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, iterparse

from gancore.errors import DataError
from gancore.text import short_repr
from gancore_graph.graph import Arcs


def read_graphml(content: bytes, name: str) -> Arcs:
    """Nodes are in the order of the file. A document type (DTD) is refused.

    Raises:
        DataError: it is no GraphML, has a DTD, or an edge names a node that is not there.
    """
    ids: dict[str, int] = {}
    ends: list[tuple[str, str]] = []
    directed, seen, left = False, False, {"hyperedge": 0, "port": 0}
    try:
        for event, element in iterparse(io.BytesIO(content), events=("start", "end"), forbid_dtd=True):
            tag = element.tag.rpartition("}")[2]
            if event == "start" and tag == "graph":
                seen, directed = True, directed or element.get("edgedefault") == "directed"
            elif event == "start" and tag == "node":
                ids.setdefault(element.get("id", ""), len(ids))
            elif event == "start" and tag == "edge":
                ends.append((element.get("source", ""), element.get("target", "")))
                directed = directed or element.get("directed") == "true"
            elif event == "start" and tag in left:
                left[tag] += 1
            elif event == "end" and tag in ("node", "edge"):
                element.clear()
    except DefusedXmlException:
        raise DataError(
            f"{name} has a document type (DTD) or entities, which are not read", "delete the DOCTYPE"
        ) from None
    except (ParseError, LookupError, ValueError) as error:  # the last two: of its encoding
        raise DataError(f"{name} is no XML: {error}", "save the graph as GraphML again") from None
    if not seen:
        raise DataError(f"{name} has no element graph", "give GraphML")
    missing = next((end for pair in ends for end in pair if end not in ids), None)
    if missing is not None:
        raise DataError(f"{name}: an edge names the node {short_repr(missing)}, which is not there", "add it")
    notes = [f"{tag}s: {count:,}, left out" for tag, count in left.items() if count]
    pairs = np.array([(ids[u], ids[v]) for u, v in ends], dtype=np.int64).reshape(-1, 2)
    return Arcs(pairs, np.array(list(ids)) if ids else np.zeros(0, dtype="U1"), directed, notes)
