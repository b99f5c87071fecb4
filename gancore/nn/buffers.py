"""Buffers whose shapes the data decide: counts of n-grams, lists of edges."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


def data_shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """The shapes of the buffers that modules name in ``data_shaped``, by their names in ``state_dict``."""
    return {
        f"{prefix}.{name}".removeprefix("."): tuple(getattr(owner, name).shape)
        for prefix, owner in module.named_modules()
        for name in getattr(owner, "data_shaped", ())
    }


def resize_buffers(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give each buffer that a module names in ``data_shaped`` the shape of the tensor to be loaded into it.

    ``data_shaped`` is a collection of names of buffers, which are built with any shape of as many axes, for
    example (0, 2), and replaced by ``fit``: ``self.counts = counts``. The names in ``tensors`` are those of
    ``module.state_dict()``. What does not fit otherwise is left for the loading to refuse.
    """
    for prefix, owner in module.named_modules():
        for name in getattr(owner, "data_shaped", ()):
            buffer, stored = getattr(owner, name), tensors.get(f"{prefix}.{name}".removeprefix("."))
            if stored is not None and stored.dim() == buffer.dim() and stored.shape != buffer.shape:
                setattr(owner, name, buffer.new_zeros(stored.shape))
