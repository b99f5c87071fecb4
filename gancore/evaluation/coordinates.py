"""Features that change nothing: the values of a sample, beside each other."""

from __future__ import annotations

from torch import Tensor

from gancore.domain import Spec
from gancore.evaluation.features import Features
from gancore.evaluation.principal import flat
from gancore.evaluation.store import digest_of
from gancore.trees import Tree


class Coordinates(Features):
    """z = x. Distances are Euclidean ones of the values; nothing is fitted."""

    name = "coordinates"

    @property
    def digest(self) -> str:
        return digest_of("coordinates", 1)

    def embed(self, samples: Tree, spec: Spec) -> Tensor:
        return flat(samples)
