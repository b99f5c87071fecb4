"""What a recipe really trains on, between the domain's canonical samples and the networks."""

from __future__ import annotations

from torch import Tensor, nn

from gancore.domain import Batch, View
from gancore.trees import Tree


class Representation(nn.Module):
    """Fitted on train, with a way there (``encode``) and back (``decode``).

    What ``fit`` learns goes into buffers whose shapes the spec gives. ``many_to_one``: decode does not
    undo encode, and need not. ``bound``: encode adds noise by which likelihoods become lower bounds.
    """

    many_to_one: bool = False
    bound: bool = False

    def fit(self, train: View) -> None:
        """Learn statistics from train."""

    def encode(self, batch: Batch) -> Batch:
        """Canonical samples to what the networks see; the condition stays."""
        raise TypeError(f"{type(self).__name__} must define encode(batch)")

    def decode(self, outputs: Tree) -> Tree:
        """What a generator gives to canonical samples; many to one if need be."""
        raise TypeError(f"{type(self).__name__} must define decode(outputs)")

    def undecode(self, batch: Batch) -> Batch:
        """What ``decode`` gives these very samples of; by default what ``encode`` gives."""
        return self.encode(batch)

    def log_det(self, batch: Batch) -> Tensor | None:
        """log |det d encode / d sample| per row, in nats; None: likelihoods are not comparable."""
        return None


class Identity(Representation):
    """Networks see canonical samples themselves."""

    def encode(self, batch: Batch) -> Batch:
        return batch

    def decode(self, outputs: Tree) -> Tree:
        return outputs

    def log_det(self, batch: Batch) -> Tensor | None:
        from gancore.trees import leaves

        first = leaves(batch.data)[0]
        return first.new_zeros(first.shape[0])
