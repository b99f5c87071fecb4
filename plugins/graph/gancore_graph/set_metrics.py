"""Squared MMD of sets of graphs, by histograms of each graph: degrees, clustering, spectrum.

The kernel is exp(-d^2 / 2 s^2) of a distance d of two histograms. Names without an ending: d is the total
variation, as in GRAN's code (Liao et al. 2019); ``_emd``: the earth mover's distance, as in GraphRNN's (You
et al. 2018). s is theirs: 1, and 0.1 for clustering. Neither kernel is positive definite on all sets, and
its choice can change an order of models (O'Bray et al. 2022): read values beside that of real graphs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.spatial.distance import cdist
from torch import Tensor

from gancore import Interval, Metric, MetricInputs
from gancore.errors import ConfigError
from gancore.metrics import block_jackknife, drop_blocks
from gancore_graph.set_histograms import (
    CLUSTERING_BINS,
    Floats,
    Histogram,
    clustering_histogram,
    degree_histogram,
    histograms,
    spectrum_histogram,
    stacked,
)

BLOCKS, FEWEST_BLOCKS, BLOCK_ROWS = 10, 4, 4
MOST_ROWS = 2000


@dataclass(frozen=True)
class HistogramKernel:
    """exp(-d^2 / 2 sigma^2) of histograms of two graphs.

    ``bin_width`` 0: d is the total variation, half of the sum of differences; else the earth mover's distance
    of bins of this width, the sum of differences of the cumulative sums.
    """

    histogram: Histogram
    sigma: float = 1.0
    bin_width: float = 0.0

    def matrix(self, x: Floats, y: Floats) -> Floats:
        """Of all pairs of rows (m, bins) and (n, bins), (m, n)."""
        if self.bin_width:
            x, y, scale = x.cumsum(1), y.cumsum(1), self.bin_width
        else:
            scale = 0.5
        distances: Floats = scale * cdist(x, y, "cityblock")
        return np.exp(-(distances**2) / (2 * self.sigma**2))


def gram_matrix(kernel: HistogramKernel, inputs: MetricInputs) -> tuple[Tensor, int]:
    """The kernel of all pairs of real rows and then samples, each in an order drawn by the key; and how many
    are real.
    """
    parts = []
    for name, part in (("real", inputs.real), ("fake", inputs.fake)):
        order = part.content_order()[(inputs.key / name).permutation(len(part))[:MOST_ROWS]]
        parts.append(histograms(part.select(order).samples, kernel.histogram))
    rows = [row for part in parts for row in part]
    table = stacked(rows, max(map(len, rows)))
    return torch.from_numpy(kernel.matrix(table, table)), len(parts[0])


def mmd_squared(gram: Tensor, real: Tensor, fake: Tensor, with_equal_pairs: bool = False) -> float:
    """From the rows' numbers in a kernel matrix: mean within real, plus within fake, minus twice between.

    Without pairs of a row and itself it has no bias (Gretton et al. 2012, eq. 3), and can be below 0; with
    them it is the value of GraphRNN's and GRAN's code, which they call MMD.

    Raises:
        ConfigError: fewer than two rows of either set.
    """
    if min(len(real), len(fake)) < 2:
        raise ConfigError("fewer than 2 graphs have no pairs", "give 2 or more samples of each set")
    within = 0.0
    for rows in (real, fake):
        block, n = gram[rows][:, rows], len(rows)
        within += float(block.mean() if with_equal_pairs else (block.sum() - n) / (n * (n - 1)))
    return within - 2 * float(gram[real][:, fake].mean())


def count_blocks(rows: int) -> int:
    """Blocks to leave out in turn: up to ten, an even number, of four rows or more.

    Raises:
        ConfigError: there are fewer than 16 rows.
    """
    blocks = min(BLOCKS, rows // BLOCK_ROWS // 2 * 2)
    if blocks < FEWEST_BLOCKS:
        raise ConfigError(
            "an interval over blocks of few graphs", f"give at least {FEWEST_BLOCKS * BLOCK_ROWS} of each set"
        )
    return blocks


def _rows(gram: Tensor, real: int) -> tuple[Tensor, Tensor]:
    return torch.arange(real), torch.arange(real, len(gram))


def _compute(kernel: HistogramKernel, inputs: MetricInputs) -> float:
    gram, real = gram_matrix(kernel, inputs)
    return mmd_squared(gram, *_rows(gram, real))


def _interval(kernel: HistogramKernel, inputs: MetricInputs) -> Interval:
    gram, real = gram_matrix(kernel, inputs)
    rows = _rows(gram, real)
    blocks = count_blocks(min(map(len, rows)))

    def value(left_out: tuple[int, ...]) -> float:
        real, fake = (drop_blocks(part, left_out, blocks) if left_out else part for part in rows)
        return mmd_squared(gram, real, fake)

    return block_jackknife(value, blocks)


def _details(kernel: HistogramKernel, inputs: MetricInputs) -> Mapping[str, Any]:
    gram, real = gram_matrix(kernel, inputs)
    biased = mmd_squared(gram, *_rows(gram, real), with_equal_pairs=True)
    return {"MMD^2 with equal pairs": biased, "MMD with equal pairs": max(0.0, biased) ** 0.5}


def _mmd(kernel: HistogramKernel, quick: bool = True) -> Metric:
    return Metric(
        partial(_compute, kernel),
        "MMD^2",
        interval=partial(_interval, kernel),
        details=partial(_details, kernel),
        max_rows=MOST_ROWS,
        quick=quick,
    )


degree_mmd = _mmd(HistogramKernel(degree_histogram))
clustering_mmd = _mmd(HistogramKernel(clustering_histogram, 0.1))
spectral_mmd = _mmd(HistogramKernel(spectrum_histogram))
degree_mmd_emd = _mmd(HistogramKernel(degree_histogram, 1.0, 1.0), quick=False)
clustering_mmd_emd = _mmd(HistogramKernel(clustering_histogram, 0.1, 1 / CLUSTERING_BINS), quick=False)
