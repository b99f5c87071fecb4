"""The cost of one move: a sum of terms, which micro-batches and processes add up exactly."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from gancore.errors import ConfigError


@dataclass(frozen=True)
class Term:
    """``scale * numerator / mask_total``; only the numerator has a gradient.

    Without a mask, ``mask_total`` is None and the numerator is a mean.
    """

    numerator: Tensor
    mask_total: Tensor | None
    scale: float | Tensor

    def apply_scale(self, values: Tensor) -> Tensor:
        return values if isinstance(self.scale, float) and self.scale == 1.0 else self.scale * values


@dataclass
class Cost:
    """A sum of terms, each with its own divisor: the number of rows, of tokens, or a mask's sum.

    A term without a mask is ``scale * mean(values)``; with one, ``scale * sum(values * mask) / sum(mask)``
    over the global batch, however unevenly the mask is spread over micro-batches. Values at which the mask is
    0 are ignored, even if not finite. A mask that is 0 everywhere gives a term of 0.
    """

    terms: dict[str, Term] = field(default_factory=dict)
    logged: dict[str, tuple[Tensor, Tensor | None]] = field(default_factory=dict)
    kept: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def add(self, name: str, values: Tensor, mask: Tensor | None = None, scale: float | Tensor = 1.0) -> Cost:
        """Add a term: ``values`` of any shape (rows first), ``mask`` of a shape that broadcasts to it.

        Raises:
            ConfigError: the cost already has a term or a logged value of this name, or ``values`` is one
                number.
        """
        if values.dim() == 0:
            raise ConfigError(
                f"the term {name!r} of a cost is one number",
                "give one value per row: leave out .mean() or .sum()",
            )
        self._require_new_name(name)
        numerator, mask_total = _masked_sum(values, mask)
        self.terms[name] = Term(numerator, mask_total, scale)
        self.logged[name] = (numerator.detach(), mask_total)
        return self

    def log(self, name: str, values: Tensor, mask: Tensor | None = None) -> Cost:
        """Add a value for logs and ``after_move`` that is not part of the cost."""
        self._require_new_name(name)
        self.logged[name] = _masked_sum(values.detach(), mask)
        return self

    def keep(self, name: str, values: Tensor, mask: Tensor | None = None) -> Cost:
        """Add a statistic by position for ``after_move``, which is neither logged nor part of the cost.

        ``values`` are (rows, ...). ``after_move`` receives their mean over the rows of the global batch, of
        the shape (...), in which a position is NaN if ``mask``, of the same shape, is 0 in every row.
        """
        self._require_new_name(name)
        values = values.detach().to(torch.promote_types(values.dtype, torch.float32))
        mask = torch.ones_like(values) if mask is None else mask.to(values.dtype).expand_as(values)
        self.kept[name] = torch.where(mask == 0, 0.0, values * mask).sum(0), mask.sum(0)
        return self

    def _require_new_name(self, name: str) -> None:
        if name in self.logged or name in self.kept:
            raise ConfigError(f"the cost already has a value named {name!r}", "use another name")

    def total(self) -> Tensor:
        """The cost of this micro-batch alone, a scalar."""
        terms = [
            term.apply_scale(divide_or_zero(term.numerator, term.mask_total)) for term in self.terms.values()
        ]
        return terms[0] if len(terms) == 1 else torch.stack(terms).sum()


def divide_or_zero(total: Tensor, mask_total: Tensor | None) -> Tensor:
    """``total / mask_total``; 0 if the mask is 0 everywhere; ``total`` itself without a mask."""
    return total if mask_total is None else total / torch.where(mask_total == 0, 1.0, mask_total)


def _masked_sum(values: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The sum under the mask and the mask's sum; without a mask the mean and None."""
    if values.dtype is torch.bfloat16:
        values = values.float()
    if mask is None:
        return values.mean(), None
    mask = mask.to(values.dtype).expand_as(values)
    return torch.where(mask == 0, 0.0, values * mask).sum(), mask.sum()
