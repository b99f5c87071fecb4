"""Values of graphs that are asked for more than once: by several metrics, their intervals and details."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

from gancore_graph.graph import Graph, Ints

T = TypeVar("T")


def digest_graph(edges: Ints, nodes: int) -> bytes:
    """128 bits of the content: edges (count, 2) and the number of nodes."""
    made = hashlib.blake2b(nodes.to_bytes(8, "little"), digest_size=16)
    made.update(edges.tobytes())
    return made.digest()


def as_graph(edges: Ints, nodes: int) -> Graph:
    """A graph whose nodes have numbers for names."""
    return Graph(edges, np.arange(nodes))


class Memo(Generic[T]):
    """The last ``most`` values by their keys; the graphs themselves are not kept."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.values: OrderedDict[object, T] = OrderedDict()

    def get(self, key: object, compute: Callable[[], T]) -> T:
        """The value of ``key``, computed at its first use."""
        if key in self.values:
            self.values.move_to_end(key)
            return self.values[key]
        value = self.values[key] = compute()
        if len(self.values) > self.most:
            self.values.popitem(last=False)
        return value
