"""Mixtures of logistic laws, rounded to the levels of pixels (Salimans et al. 2017, section 2.1 and 2.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, logsigmoid, softplus

from gancore.nn.autoregressive import drawn
from gancore_image.levels import HALF, LEVELS, STEP

NARROWEST, WIDEST = -7.0, 7.0
"""Bounds of the log of a scale, full scale being 1: a level is exp(-4.8) wide."""


def log_rounded(level: Tensor, mean: Tensor, log_scale: Tensor, count: int = LEVELS) -> Tensor:
    """log P(v) of a logistic number, of pixels' units, that is rounded to the nearest of ``count`` levels.

    P(v) = F(b) - F(a), a and b the edges of v's cell, F(x) = sigmoid((x - m) / s); the first cell begins at
    -inf and the last ends at inf. With A = (a - m) / s, B = (b - m) / s, exactly,

        sigmoid(B) - sigmoid(A) = sigmoid(B) sigmoid(-A) (1 - exp(A - B)),

    of which the logarithm is finite wherever the level is.
    """
    narrow = (-log_scale).exp()
    centre = (level.to(mean.dtype) / HALF - 1 - mean) * narrow
    half = 0.5 * STEP * narrow
    above, below = logsigmoid(centre + half), logsigmoid(half - centre)
    between = above + below + torch.log(-torch.expm1(-2 * half))
    return torch.where(level == 0, above, torch.where(level == count - 1, below, between))


class LogisticMixture(nn.Module):
    """P(v_1 ... v_C) = sum_k pi_k prod_c P(v_c; m_kc, s_kc) for the channels of one pixel, eq. 2 and 3:

    m_kc is what the network says plus sum_(b < c) a_kcb x_b, the channels before it as pixels, |a| < 1.
    ``numbers`` are what it needs to know of each pixel: log pi (where there are several k), m, log s and a.
    """

    def __init__(self, channels: int, components: int, count: int = LEVELS) -> None:
        super().__init__()
        self.channels, self.components, self.count = channels, components, count
        weights = components if components > 1 else 0
        each = [weights, channels * components, channels * components]
        self.parts = [*each, components * channels * (channels - 1) // 2]
        self.numbers = sum(self.parts)

    @torch.no_grad()
    def begin_(self, last: nn.Linear | nn.Conv2d, log_scale: float = -1.5) -> None:
        """Let the layer that gives the numbers begin with means all over the range, and rather wide."""
        assert last.bias is not None
        weights, means, scales, _ = last.bias.split(self.parts)
        top = (self.count - 1) / HALF - 1
        spread = torch.linspace(-1, top, 2 * self.components + 1)[1::2]  # middles of equal parts
        weights.zero_()
        means.copy_(spread.repeat(self.channels))
        scales.fill_(log_scale)

    def log_prob(self, level: Tensor, told: Tensor) -> Tensor:
        """(batch, C, ...) levels and (batch, numbers, ...) to log P of each pixel, in nats, (batch, ...)."""
        log_weight, mean, log_scale, slope = self._told(told)
        x = level.to(mean.dtype)[:, :, None] / HALF - 1  # (batch, C, 1, ...)
        shifted = torch.stack(
            [mean[:, c] + self._before(slope, x[:, :c, 0], c) for c in range(self.channels)], 1
        )
        each = log_rounded(level[:, :, None], shifted, log_scale, self.count).sum(1)
        return torch.logsumexp(log_weight + each, 1)

    def sample(self, told: Tensor, uniform: Tensor) -> Tensor:
        """(n, numbers, ...) and (n, 1 + C, ...) in [0, 1) to levels, (n, C, ...): first k, then channels."""
        log_weight, mean, log_scale, slope = self._told(told)
        k = self._component(log_weight, uniform[:, 0])[:, None]
        level: list[Tensor] = []
        for c in range(self.channels):
            before = torch.stack(level, 1).to(mean.dtype) / HALF - 1 if level else mean[:, :0, 0]
            m = (mean[:, c] + self._before(slope, before, c)).gather(1, k)[:, 0]
            u = uniform[:, 1 + c].clamp(1e-7, 1 - 1e-7)
            x = m + log_scale[:, c].gather(1, k)[:, 0].exp() * torch.logit(u)
            level.append(((x + 1) * HALF).round().clamp(0, self.count - 1).long())
        return torch.stack(level, 1)

    def _component(self, log_weight: Tensor, uniform: Tensor) -> Tensor:
        """Which k, (n, ...)."""
        flat = log_weight.movedim(1, -1).reshape(-1, self.components)
        return drawn(flat, uniform.reshape(-1)).view(uniform.shape)

    def _told(self, told: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """log pi (batch, K, ...), m and log s (batch, C, K, ...), a (batch, pairs, K, ...)."""
        told = told.to(torch.promote_types(told.dtype, torch.float32))
        weights, means, scales, slopes = told.split(self.parts, 1)
        if self.components == 1:
            weights = torch.zeros_like(means[:, :1])
        shape = (len(told), -1, self.components, *told.shape[2:])
        log_scale = (NARROWEST + softplus(scales.reshape(shape) - NARROWEST)).clamp_max(WIDEST)
        return log_softmax(weights, 1), means.reshape(shape), log_scale, torch.tanh(slopes.reshape(shape))

    def _before(self, slope: Tensor, x: Tensor, c: int) -> Tensor:
        """sum_(b < c) a_kcb x_b of channel c, (batch, K, ...); 0 for the first."""
        if c == 0:
            return slope.new_zeros(())
        pairs = slice(c * (c - 1) // 2, c * (c + 1) // 2)
        return (slope[:, pairs] * x[:, :, None]).sum(1)
