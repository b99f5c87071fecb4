"""Which distribution a source or a spec names."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any

from gancore import Spec
from gancore_synthetic.distribution import Distribution, HistogramDistribution

FACTORIES = {
    "ring": "densities:ring",
    "grid": "densities:grid",
    "mixture": "densities:mixture",
    "spirals": "densities:Spirals",
    "circles": "densities:Circles",
    "student-t": "densities:StudentT",
    "manifold": "supports:Manifold",
    "lattice": "supports:Lattice",
    "pieces": "supports:Cubes",
    "polygons": "polygons:Polygons",
    "triangles": "polygons:Polygons",
}


def make_distribution(source: str, parameters: Mapping[str, Any], seed: int) -> Distribution:
    """The distribution of a source; ``seed`` determines its random parts."""
    return _make(source, json.dumps(dict(parameters), sort_keys=True), seed)


def distribution_of(spec: Spec) -> Distribution:
    """The distribution that a spec describes; needs no data."""
    if spec.get("user_points"):
        return HistogramDistribution(spec)
    return make_distribution(spec["source"], spec["parameters"], spec["seed"])


@lru_cache(maxsize=16)
def _make(source: str, parameters: str, seed: int) -> Distribution:
    module, _, name = FACTORIES[source].partition(":")
    factory: Callable[..., Distribution] = getattr(import_module(f"gancore_synthetic.{module}"), name)
    return factory(seed=seed, **json.loads(parameters))
