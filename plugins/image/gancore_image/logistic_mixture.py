"""Mixtures of logistic distributions, rounded to levels (Salimans et al. 2017, sections 2.1 and 2.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, logsigmoid, softplus

from gancore.nn import sample_categorical
from gancore_image.levels import CELL_WIDTH, HALF_RANGE, LEVELS

MIN_LOG_SCALE, MAX_LOG_SCALE = -7.0, 7.0
"""Bounds of the log of a scale in units of pixels: a level is exp(-4.8) wide."""


def log_prob_rounded(level: Tensor, mean: Tensor, log_scale: Tensor, count: int = LEVELS) -> Tensor:
    """log P(v) of a logistic variable, in units of pixels, rounded to the nearest of ``count`` levels.

    P(v) = F(b) - F(a), a and b the edges of v's cell, F(x) = sigmoid((x - m) / s); the first cell begins at
    -inf and the last ends at inf. With A = (a - m) / s, B = (b - m) / s, exactly,

        sigmoid(B) - sigmoid(A) = sigmoid(B) sigmoid(-A) (1 - exp(A - B)),

    whose logarithm is finite for every level.
    """
    narrow = (-log_scale).exp()
    centre = (level.to(mean.dtype) / HALF_RANGE - 1 - mean) * narrow
    half = 0.5 * CELL_WIDTH * narrow
    above, below = logsigmoid(centre + half), logsigmoid(half - centre)
    between = above + below + torch.log(-torch.expm1(-2 * half))
    return torch.where(level == 0, above, torch.where(level == count - 1, below, between))


class LogisticMixture(nn.Module):
    """P(v_1 ... v_C) = sum_k pi_k prod_c P(v_c; m_kc, s_kc) for the channels of one pixel, eq. 2 and 3:

    m_kc is the network's output plus sum_(b < c) a_kcb x_b, with x_b the channels before it as pixels, |a| <
    1. ``n_params`` is the number of parameters per pixel: log pi (if there are several k), m, log s and a.
    """

    def __init__(self, channels: int, components: int, count: int = LEVELS) -> None:
        super().__init__()
        self.channels, self.components, self.count = channels, components, count
        weights = components if components > 1 else 0
        each = [weights, channels * components, channels * components]
        self.param_sizes = [*each, components * channels * (channels - 1) // 2]
        self.n_params = sum(self.param_sizes)

    @torch.no_grad()
    def init_output_(self, last: nn.Linear | nn.Conv2d, log_scale: float = -1.5) -> None:
        """Initialise the layer that gives the parameters: means spread over the range, large scales."""
        assert last.bias is not None
        weights, means, scales, _ = torch.split(last.bias, self.param_sizes)
        top = (self.count - 1) / HALF_RANGE - 1
        spread = torch.linspace(-1, top, 2 * self.components + 1)[1::2]  # centres of equal intervals
        weights.zero_()
        means.copy_(spread.repeat(self.channels))
        scales.fill_(log_scale)

    def log_prob(self, level: Tensor, params: Tensor) -> Tensor:
        """(batch, C, ...) levels and (batch, n_params, ...) to log P of each pixel, in nats, (batch, ...)."""
        log_weight, mean, log_scale, slope = self._split_params(params)
        x = level.to(mean.dtype)[:, :, None] / HALF_RANGE - 1  # (batch, C, 1, ...)
        shifted = torch.stack(
            [mean[:, c] + self._previous_channels(slope, x[:, :c, 0], c) for c in range(self.channels)], 1
        )
        each = log_prob_rounded(level[:, :, None], shifted, log_scale, self.count).sum(1)
        return torch.logsumexp(log_weight + each, 1)

    def sample(self, params: Tensor, uniform: Tensor) -> Tensor:
        """(n, n_params, ...) and (n, 1 + C, ...) in [0, 1) to levels, (n, C, ...): first k, then channels."""
        log_weight, mean, log_scale, slope = self._split_params(params)
        k = self._sample_component(log_weight, uniform[:, 0])[:, None]
        level: list[Tensor] = []
        for c in range(self.channels):
            before = torch.stack(level, 1).to(mean.dtype) / HALF_RANGE - 1 if level else mean[:, :0, 0]
            m = (mean[:, c] + self._previous_channels(slope, before, c)).gather(1, k)[:, 0]
            u = uniform[:, 1 + c].clamp(1e-7, 1 - 1e-7)
            x = m + log_scale[:, c].gather(1, k)[:, 0].exp() * torch.logit(u)
            level.append(((x + 1) * HALF_RANGE).round().clamp(0, self.count - 1).long())
        return torch.stack(level, 1)

    def _sample_component(self, log_weight: Tensor, uniform: Tensor) -> Tensor:
        """The component k, (n, ...)."""
        flat = log_weight.movedim(1, -1).reshape(-1, self.components)
        return sample_categorical(flat, uniform.reshape(-1)).view(uniform.shape)

    def _split_params(self, params: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """log pi (batch, K, ...), m and log s (batch, C, K, ...), a (batch, pairs, K, ...)."""
        params = params.to(torch.promote_types(params.dtype, torch.float32))
        weights, means, scales, slopes = torch.split(params, self.param_sizes, 1)
        if self.components == 1:
            weights = torch.zeros_like(means[:, :1])
        shape = (len(params), -1, self.components, *params.shape[2:])
        log_scale = (MIN_LOG_SCALE + softplus(scales.reshape(shape) - MIN_LOG_SCALE)).clamp_max(MAX_LOG_SCALE)
        return log_softmax(weights, 1), means.reshape(shape), log_scale, torch.tanh(slopes.reshape(shape))

    def _previous_channels(self, slope: Tensor, x: Tensor, c: int) -> Tensor:
        """sum_(b < c) a_kcb x_b of channel c, (batch, K, ...); 0 for the first."""
        if c == 0:
            return slope.new_zeros(())
        pairs = slice(c * (c - 1) // 2, c * (c + 1) // 2)
        return (slope[:, pairs] * x[:, :, None]).sum(1)
