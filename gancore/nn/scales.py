"""Flows of several scales: some channels are done with early, a chain goes on with the others."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import cast

import torch
from torch import Tensor, nn

from gancore.nn.bijections import Bijection, back, prepare, shape_through, through
from gancore.trees import Tree


class Split(Bijection):
    """The first ``kept`` channels a of rows of ``shape`` go through the bijections f, the others b stay
    (Dinh et al. 2017, section 3.6): y = (f(a), b), flat.

    Where a :class:`gancore.nn.bijections.Coupling` of as many kept channels stands before it, b becomes
    (b - m(a)) / s(a) first, so that the law of b given a is N(m(a), s(a)^2) (Kingma & Dhariwal 2018).
    """

    def __init__(self, shape: Sequence[int], kept: int, bijections: Sequence[Bijection]) -> None:
        super().__init__()
        channels, *space = shape
        self.shape, self.kept = tuple(shape), kept
        self.bijections = nn.ModuleList(bijections)
        self.shape_within = shape_through(bijections, (kept, *space))
        self.shape_left = (channels - kept, *space)

    def shape_after(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if tuple(shape) != self.shape:
            raise ValueError(f"rows of shape {tuple(shape)} where {self.shape} are split")
        return (prod(shape),)

    def forward(self, x: Tensor, condition: Tree = None) -> tuple[Tensor, Tensor]:
        a, b = x[:, : self.kept], x[:, self.kept :]
        a, total = through(self._chain, a, condition)
        return torch.cat([a.flatten(1), b.flatten(1)], dim=1), total

    def inverse(self, y: Tensor, condition: Tree = None) -> Tensor:
        within = prod(self.shape_within)
        a = back(self._chain, y[:, :within].reshape(-1, *self.shape_within), condition)
        return torch.cat([a, y[:, within:].reshape(-1, *self.shape_left)], dim=1)

    def prepare(self, x: Tensor, condition: Tree = None) -> None:
        prepare(self._chain, x[:, : self.kept], condition)

    @property
    def _chain(self) -> list[Bijection]:
        return cast(list[Bijection], list(self.bijections))
