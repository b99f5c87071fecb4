"""The cost of one move: a sum of weighted terms that micro-batches and processes add up exactly."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from gancore.errors import ConfigError


@dataclass(frozen=True)
class Term:
    """``scale * numerator / weight``; the numerator carries the gradient, the weight none."""

    numerator: Tensor
    weight: Tensor | None
    scale: float | Tensor

    def scaled(self, values: Tensor) -> Tensor:
        return values if isinstance(self.scale, float) and self.scale == 1.0 else self.scale * values


@dataclass
class Cost:
    """``sum_k scale_k * sum(values_k) / weight_k``, with a weight per term: rows, tokens, a mask.

    A term without a mask is the mean of its values; with one, ``sum(values * mask) / sum(mask)``
    over the *joined* batch, however unevenly the mask falls on its parts. Where the mask is 0 a value may
    be anything, and a mask that is 0 everywhere makes a term of 0.
    """

    terms: dict[str, Term] = field(default_factory=dict)
    seen: dict[str, tuple[Tensor, Tensor | None]] = field(default_factory=dict)

    def add(self, name: str, values: Tensor, mask: Tensor | None = None, scale: float | Tensor = 1.0) -> Cost:
        """Add a term: ``values`` of any shape (rows first), ``mask`` of a shape that broadcasts to it.

        Raises:
            ConfigError: the cost has a term, or a seen value, of this name.
        """
        self._refuse_taken(name)
        numerator, weight = _reduce(values, mask)
        self.terms[name] = Term(numerator, weight, scale)
        self.seen[name] = (numerator.detach(), weight)
        return self

    def see(self, name: str, values: Tensor, mask: Tensor | None = None) -> Cost:
        """For logs and ``after_move``; no gradient."""
        self._refuse_taken(name)
        self.seen[name] = _reduce(values.detach(), mask)
        return self

    def _refuse_taken(self, name: str) -> None:
        if name in self.seen:
            raise ConfigError(f"the cost has a value named {name!r} already", "give each a name of its own")

    def total(self) -> Tensor:
        """The cost of this batch alone, a scalar."""
        terms = [term.scaled(divided(term.numerator, term.weight)) for term in self.terms.values()]
        return terms[0] if len(terms) == 1 else torch.stack(terms).sum()


def divided(total: Tensor, weight: Tensor | None) -> Tensor:
    """``total / weight``; 0 where nothing was weighed; a total without a weight is a mean already."""
    return total if weight is None else total / torch.where(weight == 0, 1.0, weight)


def _reduce(values: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    if values.dtype is torch.bfloat16:
        values = values.float()
    if mask is None:
        return values.mean(), None
    mask = mask.to(values.dtype).expand_as(values)
    return torch.where(mask == 0, 0.0, values * mask).sum(), mask.sum()
