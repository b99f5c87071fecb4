"""Is there a period in a series? Fisher's test, beside a background of red noise, and the tone itself."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def fisher_p(g: float, count: int) -> float:
    """P(max I_j / sum I_j > g) for white Gaussian noise (Fisher 1929), ``count`` ordinates I_j.

    sum_{k=1}^{floor(1/g)} (-1)^(k-1) C(m, k) (1 - k g)^(m-1)
    """
    total = 0.0
    for k in range(1, min(count, math.floor(1 / g)) + 1):
        total += (-1) ** (k - 1) * math.comb(count, k) * max(0.0, 1 - k * g) ** (count - 1)
    return min(1.0, max(0.0, total))


def detrended(series: Tensor) -> Tensor:  # (rows, time)
    """What is left of each row beside its own line of least squares."""
    time = torch.linspace(-1, 1, series.shape[1], dtype=series.dtype)
    basis = torch.stack([torch.ones_like(time), time])  # orthogonal: the times are symmetric about 0
    basis = basis / basis.norm(dim=1, keepdim=True)
    left: Tensor = series - series @ basis.T @ basis
    return left


def periodogram(series: Tensor) -> Tensor:
    """|sum_t x_t exp(-i w_j t)|^2 at the Fourier frequencies w_j = 2 pi j / n, j = 1 ... (n - 1) // 2."""
    ordinates: Tensor = torch.fft.rfft(series)[1 : (len(series) - 1) // 2 + 1].abs().square()
    return ordinates


def red_noise(series: Tensor) -> Tensor:
    """The spectrum of the AR(1) process with the lag-1 correlation r of the series, up to a factor.

    1 / (1 + r^2 - 2 r cos w_j): the null of slow wandering. At the frequency of a pure tone it is the mean
    of the spectrum, since there r = cos w: a tone stands out as it does from white noise.
    """
    length = len(series)
    r = float((series[1:] * series[:-1]).sum() / series.square().sum())
    w = 2 * math.pi * torch.arange(1, (length - 1) // 2 + 1, dtype=series.dtype) / length
    return 1 / (1 + r * r - 2 * r * w.cos())


def period_of(series: Tensor) -> tuple[float, float]:
    """The period that stands out most from red noise, in steps, and the probability that it is chance."""
    ordinates = periodogram(series) / red_noise(series)
    g, place = float(ordinates.max() / ordinates.sum()), int(ordinates.argmax()) + 1
    return len(series) / place, fisher_p(g, len(ordinates))
