"""What maps say of samples: chunk by chunk, on the evaluation's device, and of real sets only once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gancore.domain import Batch, Spec
from gancore.errors import PluginError
from gancore.evaluation.evidence import Sampled, broken_rows
from gancore.evaluation.features import Features
from gancore.evaluation.store import Store, content_of, digest_of
from gancore.trees import Tree, cut_rows, map_tree

CHUNK = 256
"""Rows that a map sees at once."""


@dataclass
class Maps:
    """Features and classifier, each where a measure needs it; the same maps see every set.

    ``made_of``: by need, a digest of what its map may hang on beside what its own digest says.
    """

    spec: Spec
    device: torch.device
    store: Store
    features: Features | None = None
    classifier: Features | None = None
    made_of: dict[str, str] = field(default_factory=dict)

    def see(self, rows: Batch, keep: bool) -> Sampled:
        """The rows with what is said of them. ``keep``: they are real, so others will ask again.

        Raises:
            PluginError: a map gives another shape than (rows, d); or, of real rows, what is not finite.
        """
        content = content_of(rows.data) if keep else ""

        def say(kind: str, features: Features | None) -> Tensor | None:
            if features is None:
                return None
            call = features.embed if kind == "features" else features.log_posteriors
            if not content:
                return self._chunked(call, features, rows.data)
            key = digest_of(kind, content, self.identity(kind), spec_digest(self.spec))
            made = self.store.tensors(key, lambda: {kind: self._chunked(call, features, rows.data)})[kind]
            if broken := broken_rows(made, kind):
                raise PluginError(
                    f"features {features.name!r} give values that are not finite for {broken:,} of "
                    f"{len(made):,} real rows",
                    "give others with --features",
                )
            return made

        return Sampled(
            rows.data,
            rows.condition,
            say("features", self.features),
            say("log_posteriors", self.classifier),
        )

    @torch.no_grad()
    def _chunked(self, call: Callable[[Tree, Spec], Tensor], features: Features, samples: Tree) -> Tensor:
        rows = len(Batch(samples))
        parts = []
        for start in range(0, rows, CHUNK):
            chunk = map_tree(lambda leaf: leaf.to(self.device), cut_rows(samples, start, start + CHUNK))
            parts.append(call(chunk, self.spec).float().cpu())
        said = torch.cat(parts)
        if said.dim() != 2 or len(said) != rows:
            raise PluginError(
                f"features {features.name!r} give shape {tuple(said.shape)} for {rows} samples",
                "give others with --features",
            )
        return said

    def identity(self, need: str) -> list[str]:
        """What tells the map of a need from all others, JSON."""
        return [self.by_need[need].digest, self.made_of.get(need, "")]

    @property
    def by_need(self) -> dict[str, Features]:
        """The map that answers each need of a measure."""
        said = {"features": self.features, "log_posteriors": self.classifier}
        return {need: features for need, features in said.items() if features is not None}


def spec_digest(spec: Spec) -> str:
    return digest_of(dict(spec.facts), {name: content_of(t) for name, t in spec.tensors.items()})
