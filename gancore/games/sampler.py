"""What a trained model can do: the base class of samplers, and their capabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NoReturn, get_args

from torch import Tensor, nn

from gancore.data.dataset import Batch
from gancore.games.prior import Prior
from gancore.games.representation import Representation
from gancore.random import Key
from gancore.trees import Tree

Capability = Literal[
    "sample",
    "parallel",
    "conditional",
    "temperature",
    "latents",
    "likelihood",
    "bound",
    "inversion",
    "classification",
    "infill",
]
"""What a sampler can do; the entry of a recipe declares it."""
CAPABILITIES: tuple[Capability, ...] = get_args(Capability)
"""All capabilities."""

CAPABILITY_MEMBERS: Mapping[Capability, tuple[str, ...]] = {
    "sample": ("sample",),
    "latents": ("latents", "render"),
    "likelihood": ("log_prob",),
    "inversion": ("invert", "render"),
    "classification": ("embed", "log_posteriors"),
    "infill": ("infill",),
}
"""The methods that a sampler with this capability defines."""


class Sampler(nn.Module):
    """What a model folder stores: what a trained model can do with canonical samples.

    A subclass sets ``capabilities`` and defines their methods; every other method raises TypeError.

    - ``sample``: ``sample(n, key, condition)``;
    - ``parallel``: a batch of samples takes one pass of the network;
    - ``conditional``: samples and likelihoods depend on a condition;
    - ``temperature``: ``sample(n, key, condition, temperature=1.0)``; logits are divided by it;
    - ``latents``: ``latents(n, key)`` and ``render(latents, condition)``, with ``prior``;
    - ``likelihood``: ``log_prob(batch)``, which is exact, or with ``bound`` a lower bound;
    - ``inversion``: ``invert(batch)``, which ``render`` undoes;
    - ``classification``: ``embed(data)`` and ``log_posteriors(data)``;
    - ``infill``: ``infill(partial, n, key)``, which fills what is missing in a partial sample.
    """

    capabilities: frozenset[Capability] = frozenset({"sample"})
    prior: Prior
    """The distribution of the latents, of a sampler with that capability."""
    representation: Representation
    """What decodes :meth:`network_outputs`, of a sampler that defines them."""
    preferred_batch: int | None = None
    """Batch size of network calls if sampling time hardly depends on it; a divisor of 256. None: 16."""

    def can(self, capability: Capability) -> bool:
        return capability in self.capabilities

    @property
    def conditional(self) -> bool:
        """Whether samples need a condition."""
        return self.can("conditional")

    @property
    def lower_bound(self) -> bool:
        """Whether ``log_prob`` is a lower bound."""
        return self.can("bound")

    @property
    def num_parameters(self) -> int:
        """Number of floating-point numbers that sampling needs: parameters, and fitted buffers."""
        return sum(tensor.numel() for tensor in self.state_dict().values() if tensor.is_floating_point())

    def sample(self, n: int, key: Key, condition: Tree = None) -> Tree:
        """``n`` canonical samples; row i depends on row i of the key only."""
        self._refuse("sample")

    def latents(self, n: int, key: Key) -> Tensor:
        """The latents of :meth:`sample` with the same key, (n, size)."""
        self._refuse("latents")

    def render(self, latents: Tensor, condition: Tree = None) -> Tree:
        """The canonical samples of latents."""
        self._refuse("render")

    def network_outputs(self, latents: Tensor, condition: Tree = None) -> Tree:
        """What the network gives for latents, before ``representation.decode`` makes samples of it."""
        self._refuse("network_outputs")

    def log_prob(self, batch: Batch) -> Tensor | None:
        """Nats per canonical sample, (batch,); None if they are not comparable between recipes."""
        self._refuse("log_prob")

    def invert(self, batch: Batch) -> Tensor:
        """The latents of canonical samples: ``render(invert(batch))`` gives these samples."""
        self._refuse("invert")

    def embed(self, data: Tree) -> Tensor:
        """Features of canonical samples, (batch, features)."""
        self._refuse("embed")

    def log_posteriors(self, data: Tree) -> Tensor:
        """log p(class | data) of canonical samples, (batch, classes)."""
        self._refuse("log_posteriors")

    def infill(self, partial: Tree, n: int, key: Key, temperature: float = 1.0) -> Tree:
        """``n`` canonical samples that agree with a partial one, as ``Domain.parse_partial`` gives it; row i
        depends on row i of the key only. Raises ConfigError if it does not fit the model.
        """
        self._refuse("infill")

    def _refuse(self, method: str) -> NoReturn:
        able = ", ".join(sorted(self.capabilities)) or "none"
        raise TypeError(f"{type(self).__name__} does not define {method}; its capabilities: {able}")


def undefined_members(sampler: Sampler) -> dict[str, str]:
    """For each capability that a sampler states without defining its methods: the first missing method."""
    missing: dict[str, str] = {}
    for capability, members in CAPABILITY_MEMBERS.items():
        undefined = [name for name in members if getattr(type(sampler), name) is getattr(Sampler, name)]
        if sampler.can(capability) and undefined:
            missing[capability] = undefined[0]
    return missing
