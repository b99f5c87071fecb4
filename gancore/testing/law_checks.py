"""A check of likelihood models: what they call log_prob is that of the law that they sample from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cached_property

import torch
from torch import Tensor, nn

from gancore.domain import Batch
from gancore.games.likelihood import ModelSampler
from gancore.models.model import build_game
from gancore.runtime.randomness import Key, Rows, noise_scope
from gancore.testing.bench import RecipeBench
from gancore.testing.check import Breach, NotApplicable
from gancore.testing.laws import Total, log_total
from gancore.trees import Tree, leaves

FEW_NUMBERS = 64
MOST_NUMBERS = 65_536
"""Of longer rows the samples alone would fill the memory."""
DRAWN, FEW_DRAWN = 3072, 768
OFF = 0.3
"""Nats by which the logarithm of the total may be off."""
FACTORS = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)


def sums_to_one(bench: RecipeBench) -> None:
    """exp(log_prob) sums or integrates to one over the law that sample draws from; a bound to no more.

    Codes of few places are enumerated. Else it is seen beside kernels about the model's samples: to 0.3 nats
    where those overlap with it, as they do for up to some tens of numbers. A longer row is made short by
    Domain.scaled, where it can be, with fresh parameters. Checked is what the representation holds: its
    log_det has a check of its own. Not checked are padded rows, which a leaf of booleans beside others tells:
    what stands under a mask is free, so that a sum over all rows counts one sample many times.
    """
    sampler = bench.sampler()
    if not hasattr(sampler, "log_prob"):
        raise NotApplicable("it is no likelihood model")
    if not hasattr(sampler, "sample"):
        raise NotApplicable("it has no sample to set its likelihood beside")
    law = _law(bench, sampler)
    _require_whole_rows(law)
    total = _total(law)
    what = "exp(log_prob)" + (", a bound," if law.is_bound else "")
    if total.low > OFF or total.high < -OFF:
        side = f"at least {total.low:+.2f}" if total.low > OFF else f"at most {total.high:+.2f}"
        raise Breach(
            f"the logarithm of the sum of {what} over all samples is {side} nats, not "
            f"{'0 or less' if law.is_bound else '0'} ({total.how})",
            "give log p in nats, with every constant (log 2 pi / 2), of the law that sample draws from",
        )
    if not law.is_bound and total.high - total.low > 2:
        raise NotApplicable(
            f"seen is only that the logarithm of its sum lies between {total.low:.3g} and {total.high:.3g} "
            f"nats: a row of {law.numbers} numbers is too long for more"
        )


class Law:
    """``sample`` and ``log_prob`` of one and the same rows, of one condition."""

    def __init__(self, sampler: nn.Module, condition: Callable[[int], Tree]) -> None:
        self.sampler, self.condition = sampler, condition
        self.is_bound = bool(getattr(sampler, "bound", False))
        if isinstance(sampler, ModelSampler):
            self.is_bound = bool(getattr(sampler.model, "bound", False))

    @torch.no_grad()
    def sample(self, n: int) -> Tree:
        key = Key.of("kit", "law").cut(Rows.all(n))
        sampler, condition = self.sampler, self.condition(n)
        if not isinstance(sampler, ModelSampler):
            return sampler.sample(n, key, condition)  # type: ignore[operator]
        return sampler.model.sample(n, key, *_given(condition))  # type: ignore[operator]

    @torch.no_grad()
    def log_prob(self, rows: Tree) -> Tensor:
        n = len(leaves(rows)[0])
        sampler, condition = self.sampler, self.condition(n)
        with noise_scope(Key.of("kit", "law"), Rows.all(n)):
            if not isinstance(sampler, ModelSampler):
                told = sampler.log_prob(Batch(rows, condition))  # type: ignore[operator]
            else:
                told = sampler.model.log_prob(rows, *_given(condition))  # type: ignore[operator]
        if told is None:
            raise NotApplicable("log_det is None: its likelihoods are not comparable, and it says so")
        made: Tensor = told
        return made

    @cached_property
    def outline(self) -> list[Tensor]:
        """The leaves of two rows."""
        return leaves(self.sample(2))

    @property
    def numbers(self) -> int:
        return sum(leaf[0].numel() for leaf in self.outline)


def _require_whole_rows(law: Law) -> None:
    """Raises NotApplicable where rows are padded and masked, or too long."""
    masks = [leaf.dtype == torch.bool for leaf in law.outline]
    if any(masks) and not all(masks):
        raise NotApplicable(
            "a leaf of booleans beside others says that rows are padded: what is masked is in no law "
            "(a column of yes and no can be integers)"
        )
    if law.numbers > MOST_NUMBERS:
        raise NotApplicable(f"a row of {law.numbers} numbers is too long to be sampled some hundred times")


def _total(law: Law) -> Total:
    samples = law.sample(DRAWN if law.numbers <= FEW_NUMBERS else FEW_DRAWN)
    return log_total(samples, law.log_prob, law.is_bound)


def _given(condition: Tree) -> tuple[Tree, ...]:
    return () if condition is None else (condition,)


def _law(bench: RecipeBench, sampler: nn.Module) -> Law:
    """The recipe's own, or where its rows are long that of shorter ones."""
    own = _of(bench, sampler)
    if own.numbers <= FEW_NUMBERS:
        return own
    return next(_shorter(bench), own)


def _of(bench: RecipeBench, sampler: nn.Module) -> Law:
    domain, spec = bench.home.domain, bench.home.data.spec
    if not getattr(sampler, "conditional", False):
        return Law(sampler, lambda n: None)
    label = str(spec["classes"][0])
    return Law(sampler, lambda n: domain.condition(label, n, spec, Key.of("kit").cut(Rows.all(n))))


def _shorter(bench: RecipeBench) -> Iterator[Law]:
    """Laws of rows that the domain makes shorter, where the recipe can be built for them."""
    for factor in FACTORS:
        try:
            spec = bench.home.domain.scaled(bench.home.data.spec, factor)
            if spec is None:
                continue
            game = build_game(bench.recipe, bench.config.model, spec, bench.config.train.seed)
            law = _of(bench, game.sampler().eval())
            rows = law.sample(4)
            if math.isfinite(float(law.log_prob(rows).sum())):
                yield law
        except Exception:  # a recipe may want longer rows, or data to begin from
            continue
