"""Intervals of measures of texts: by leaving out blocks of texts, and of a ratio of sums."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from gancore import ConfigError, Interval, MetricInputs
from gancore.metrics import block_jackknife, drop_blocks, mean_interval
from gancore_text.ngrams import Numbers

BLOCKS, MIN_ROWS = 10, 40

Compute = Callable[[Numbers, Numbers], float]
"""From the n-grams of samples and of the reference to a value that does not depend on the order of texts."""


def jackknife(inputs: MetricInputs, fake: Tensor, real: Tensor, compute: Compute) -> Interval:
    """The interval of ``compute`` by leaving out blocks of texts, of the expectation at this n.

    Raises:
        ConfigError: fewer than MIN_ROWS texts in either set.
    """
    if min(len(fake), len(real)) < MIN_ROWS:
        raise ConfigError("an interval over blocks of few texts", f"give at least {MIN_ROWS} of each set")
    fake, real = (
        rows[(inputs.key / name).permutation(len(rows))] for name, rows in (("fake", fake), ("real", real))
    )

    def value(left_out: tuple[int, ...]) -> float:
        kept = (drop_blocks(rows, left_out, BLOCKS) if left_out else rows for rows in (fake, real))
        return compute(*(rows.numpy() for rows in kept))

    return block_jackknife(value, BLOCKS, "of the expectation at this n")


def jackknife_rows(inputs: MetricInputs, rows: Tensor, compute: Callable[[Tensor], float]) -> Interval:
    """The same for a value of one set of rows. Raises ConfigError: there are fewer than MIN_ROWS."""
    if len(rows) < MIN_ROWS:
        raise ConfigError("an interval over blocks of few texts", f"give at least {MIN_ROWS}")
    shuffled = rows[(inputs.key / "fake").permutation(len(rows))]

    def value(left_out: tuple[int, ...]) -> float:
        return compute(drop_blocks(shuffled, left_out, BLOCKS) if left_out else shuffled)

    return block_jackknife(value, BLOCKS, "of the expectation at this n")


def ratio_interval(numerators: Tensor, denominators: Tensor) -> Interval:
    """Of sum / sum over independent texts, (n) each, by linearising the ratio."""
    numerators, denominators = numerators.double(), denominators.double()
    value = numerators.sum() / denominators.sum().clamp_min(1e-12)
    low, high, method = mean_interval(
        value + (numerators - value * denominators) / denominators.mean().clamp_min(1e-12)
    )
    return Interval(min(low, float(value)), max(high, float(value)), f"{method}, of a ratio")
