"""Flows: exact likelihood, exact inversion, parallel samples. Bijections, chains of them, and the flow.

Rows are (batch, channels, ...): points, sequences and planes alike. Every bijection begins as the identity or
as a rotation; its log determinant is cheap and in nats per row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from math import prod
from typing import cast

import torch
from torch import Tensor, nn
from torch.linalg import solve_triangular

from gancore.random import Key
from gancore.trees import Tree

MAX_LOG_SCALE = 3.0
"""Bound on the log scale of one coupling."""


class Bijection(nn.Module):
    """y = f(x; condition), invertible in x: ``forward`` gives y and log |det dy/dx|, (batch,)."""

    def forward(self, x: Tensor, condition: Tree = None) -> tuple[Tensor, Tensor]:
        raise TypeError(f"{type(self).__name__} must define forward(x, condition)")

    def inverse(self, y: Tensor, condition: Tree = None) -> Tensor:
        raise TypeError(f"{type(self).__name__} must define inverse(y, condition)")

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a row of y, from that of a row of x."""
        return shape

    def initialize(self, x: Tensor, condition: Tree = None) -> None:
        """Called once before training with the first batch: statistics, into buffers."""


def forward_chain(chain: Iterable[Bijection], x: Tensor, condition: Tree = None) -> tuple[Tensor, Tensor]:
    """x through all bijections in order, and the sum of their log determinants, (batch,)."""
    total = x.new_zeros(len(x))
    for bijection in chain:
        x, log_det = bijection(x, condition)
        total = total + log_det
    return x, total


def inverse_chain(chain: Sequence[Bijection], y: Tensor, condition: Tree = None) -> Tensor:
    """The inverse of :func:`forward_chain`."""
    for bijection in reversed(chain):
        y = bijection.inverse(y, condition)
    return y


@torch.no_grad()
def initialize_chain(chain: Iterable[Bijection], x: Tensor, condition: Tree = None) -> None:
    """Initialise each bijection on the output of the bijections before it."""
    for bijection in chain:
        bijection.initialize(x, condition)
        x, _ = bijection(x, condition)


def chain_output_shape(chain: Iterable[Bijection], shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of an output row of the chain, from that of an input row."""
    return reduce(lambda current, bijection: bijection.output_shape(current), chain, tuple(shape))


class AffineCoupling(Bijection):
    """Affine coupling over channels (Dinh et al. 2017, eq. 7 and 8).

    The first ``num_kept`` channels a do not change and give scale and shift of the others, b:
    y_a = x_a, y_b = x_b exp(s(x_a)) + t(x_a), log |det| = sum s. ``network(x_a, condition)`` gives s and t
    concatenated along the channels; s is bounded by :data:`MAX_LOG_SCALE`.
    """

    def __init__(self, network: nn.Module, num_kept: int) -> None:
        super().__init__()
        self.network, self.num_kept = network, num_kept

    def forward(self, x: Tensor, condition: Tree = None) -> tuple[Tensor, Tensor]:
        a, b = x[:, : self.num_kept], x[:, self.num_kept :]
        s, t = scale_and_shift(self.network(a, condition), x)
        return torch.cat([a, b * s.exp() + t], dim=1), s.flatten(1).sum(1)

    def inverse(self, y: Tensor, condition: Tree = None) -> Tensor:
        a, b = y[:, : self.num_kept], y[:, self.num_kept :]
        s, t = scale_and_shift(self.network(a, condition), y)
        return torch.cat([a, (b - t) * (-s).exp()], dim=1)


class MaskedAffineCoupling(Bijection):
    """Affine coupling by a mask b of a row's shape, 1 where x stays (Dinh et al. 2017, eq. 9).

    y = b x + (1 - b) (x exp(s(b x)) + t(b x)), log |det| = sum (1 - b) s.
    """

    def __init__(self, mask: Tensor, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.mask: Tensor
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor, condition: Tree = None) -> tuple[Tensor, Tensor]:
        s, t = self._scale_and_shift(x, condition)
        return x * s.exp() + t, s.flatten(1).sum(1)

    def inverse(self, y: Tensor, condition: Tree = None) -> Tensor:
        s, t = self._scale_and_shift(y, condition)
        return (y - t) * (-s).exp()

    def _scale_and_shift(self, x: Tensor, condition: Tree) -> tuple[Tensor, Tensor]:
        s, t = scale_and_shift(self.network(self.mask * x, condition), x)
        return (1 - self.mask) * s, (1 - self.mask) * t


def scale_and_shift(outputs: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """A coupling's s and t, in the precision of the data ``x``."""
    s, t = outputs.to(x.dtype).chunk(2, dim=1)
    return MAX_LOG_SCALE * torch.tanh(s / MAX_LOG_SCALE), t


def zero_init(layer: nn.Linear | nn.modules.conv._ConvNd) -> nn.Module:
    """Set all parameters to 0. As last layer of a coupling's network this makes the coupling the identity."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class InvertibleConv1x1(Bijection):
    """An invertible 1x1 convolution (Kingma & Dhariwal 2018, section 3.2): y = W x at every position.

    W = P L (U + diag(sign e^d)), with L unit lower and U strictly upper triangular, P a permutation:
    eq. 10, so that log |det W| = sum d, times the number of positions. One matrix holds L below, U above and
    d on its diagonal. P and the signs are those of a random rotation and are not trained.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation = torch.linalg.qr(torch.randn(channels, channels, dtype=torch.float64)).Q
        permutation, lower, upper = torch.linalg.lu(rotation)
        diagonal = upper.diagonal()
        triangles = lower.tril(-1) + upper.triu(1) + diagonal.abs().log().diag()
        self.triangles = nn.Parameter(triangles.float())
        self.order: Tensor
        self.signs: Tensor
        self.register_buffer("order", permutation.argmax(1))
        self.register_buffer("signs", diagonal.sign().float())

    def forward(self, x: Tensor, condition: Tree = None) -> tuple[Tensor, Tensor]:
        log_det = prod(x.shape[2:]) * self.triangles.diagonal().sum()
        return self._apply_at_positions(self._matrix, x), log_det.expand(len(x))

    def inverse(self, y: Tensor, condition: Tree = None) -> Tensor:
        return self._apply_at_positions(self._inverse_matrix, y)

    def _apply_at_positions(self, matrix: Callable[[], Tensor], x: Tensor) -> Tensor:
        """W x at each position of (batch, channels, ...), in fp32 or better."""
        with torch.autocast(x.device.type, enabled=False):
            return (matrix() @ x.reshape(*x.shape[:2], -1)).view(x.shape)

    def _matrix(self) -> Tensor:
        lower, upper = self._factors()
        return (lower @ upper)[self.order]

    def _inverse_matrix(self) -> Tensor:
        lower, upper = self._factors()
        permuted = torch.eye(len(lower), dtype=lower.dtype, device=lower.device)[self.order].T
        if torch.compiler.is_exporting():  # graphs for other runtimes solve no equations
            gains = upper.diagonal()
            inner = unit_triangular_inverse(upper.triu(1) / gains[:, None]) / gains
            return inner @ unit_triangular_inverse(lower.tril(-1)) @ permuted
        half = solve_triangular(lower, permuted, upper=False, unitriangular=True)
        inverse: Tensor = solve_triangular(upper, half, upper=True)
        return inverse

    def _factors(self) -> tuple[Tensor, Tensor]:
        """L and U + diag(sign e^d)."""
        triangles = self.triangles
        unit = torch.eye(len(triangles), dtype=triangles.dtype, device=triangles.device)
        diagonal = self.signs * triangles.diagonal().exp()
        return triangles.tril(-1) + unit, triangles.triu(1) + diagonal.diag()


def unit_triangular_inverse(strict: Tensor) -> Tensor:
    """(I + N)^-1 of strictly triangular N (size, size): (I - N) (I + N^2) (I + N^4) ..., as N^size is 0."""
    unit, power = torch.eye(len(strict), dtype=torch.float64, device=strict.device), strict.double()
    inverse, covered = unit - power, 2
    while covered < len(strict):
        power = power @ power
        inverse, covered = inverse @ (unit + power), 2 * covered
    return inverse.to(strict)


class ActNorm(Bijection):
    """y = (x - m) / d e^s + t, with one m, d, s and t per channel (Kingma & Dhariwal 2018, section 3.1).

    m and d, mean and standard deviation of the first batch, are buffers; s and t start at 0 and are trained.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_scale, self.shift = (nn.Parameter(torch.zeros(channels)) for _ in range(2))
        self.mean: Tensor
        self.log_deviation: Tensor
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("log_deviation", torch.zeros(channels))

    @torch.no_grad()
    def initialize(self, x: Tensor, condition: Tree = None) -> None:
        rows = x.transpose(0, 1).flatten(1)
        self.mean.copy_(rows.mean(1))
        self.log_deviation.copy_(rows.std(1).clamp_min(1e-6).log())

    def forward(self, x: Tensor, condition: Tree = None) -> tuple[Tensor, Tensor]:
        log_gain = self.log_scale - self.log_deviation
        y = (x - _per_channel(self.mean, x)) * _per_channel(log_gain.exp(), x) + _per_channel(self.shift, x)
        return y, (prod(x.shape[2:]) * log_gain.sum()).expand(len(x))

    def inverse(self, y: Tensor, condition: Tree = None) -> Tensor:
        gain = (self.log_deviation - self.log_scale).exp()
        return (y - _per_channel(self.shift, y)) * _per_channel(gain, y) + _per_channel(self.mean, y)


def half_coupling(channels: int, network: Callable[[int, int], nn.Module]) -> AffineCoupling:
    """A coupling that keeps the first half of the channels, by ``network(inputs, outputs)``."""
    num_kept = channels // 2
    return AffineCoupling(network(num_kept, 2 * (channels - num_kept)), num_kept)


def steps_of_flow(channels: int, count: int, network: Callable[[int, int], nn.Module]) -> list[Bijection]:
    """The step of Glow (Kingma & Dhariwal 2018, figure 2a) ``count`` times.

    It is an activation norm, an invertible 1x1 convolution and a :func:`half_coupling`.
    """
    return [
        bijection
        for _ in range(count)
        for bijection in (ActNorm(channels), InvertibleConv1x1(channels), half_coupling(channels, network))
    ]


def _per_channel(values: Tensor, x: Tensor) -> Tensor:
    """One value per channel, (channels), broadcast to (batch, channels, ...)."""
    return values.view(-1, *[1] * (x.dim() - 2))


class Squeeze(Bijection):
    """Space to channels (Dinh et al. 2017, section 3.6): each axis becomes ``factor`` times shorter."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        channels, *space = shape
        if rest := [size for size in space if size % self.factor]:
            raise ValueError(f"an axis of {rest[0]} cannot be divided by {self.factor}")
        return channels * self.factor ** len(space), *(size // self.factor for size in space)

    def forward(self, x: Tensor, condition: Tree = None) -> tuple[Tensor, Tensor]:
        for axis in range(2, x.dim()):
            cut = x.reshape(*x.shape[:axis], -1, self.factor, *x.shape[axis + 1 :])
            x = cut.movedim(axis + 1, 2).flatten(1, 2)
        return x, x.new_zeros(len(x))

    def inverse(self, y: Tensor, condition: Tree = None) -> Tensor:
        for axis in reversed(range(2, y.dim())):
            cut = y.reshape(y.shape[0], -1, self.factor, *y.shape[2:])
            y = cut.movedim(2, axis + 1).flatten(axis, axis + 1)
        return y


class Logit(Bijection):
    """y = log p / (1 - p), p = a + (1 - 2 a) (x - low) / (high - low), which spreads
    values near either end (Dinh et al. 2017, section 4.1); linear beyond them, with the slope at the ends.

    dy/dx = (1 - 2 a) / ((high - low) p (1 - p)): the smaller a, the steeper at the ends.
    """

    def __init__(self, low: float, high: float, a: float) -> None:
        super().__init__()
        self.low, self.high, self.a = low, high, a
        self.slope = (1 - 2 * a) / (high - low)  # dp/dx
        self.max_slope = self.slope / (a * (1 - a))

    def forward(self, x: Tensor, condition: Tree = None) -> tuple[Tensor, Tensor]:
        inside = x.clamp(self.low, self.high)
        p = self.a + self.slope * (inside - self.low)
        y = torch.logit(p) + (x - inside) * self.max_slope
        log_slope = math.log(self.slope) - p.log() - torch.log1p(-p)
        return y, log_slope.flatten(1).sum(1)

    def inverse(self, y: Tensor, condition: Tree = None) -> Tensor:
        end = math.log1p(-self.a) - math.log(self.a)
        inside = y.clamp(-end, end)
        return self.low + (inside.sigmoid() - self.a) / self.slope + (y - inside) / self.max_slope


class Split(Bijection):
    """Multi-scale split (Dinh et al. 2017, section 3.6): y = (f(a), b), flat.

    a, the first ``num_kept`` channels of rows of ``shape``, go through the bijections f; b, the others, do
    not. After an :class:`AffineCoupling` with the same ``num_kept``, b is (b - m(a)) / s(a), so that the
    distribution of b given a is N(m(a), s(a)^2) (Kingma & Dhariwal 2018).
    """

    def __init__(self, shape: Sequence[int], num_kept: int, bijections: Sequence[Bijection]) -> None:
        super().__init__()
        channels, *space = shape
        self.shape, self.num_kept = tuple(shape), num_kept
        self.bijections = nn.ModuleList(bijections)
        self.chain_shape = chain_output_shape(bijections, (num_kept, *space))
        self.passed_shape = (channels - num_kept, *space)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if tuple(shape) != self.shape:
            raise ValueError(f"rows have shape {tuple(shape)}, but the split is for {self.shape}")
        return (prod(shape),)

    def forward(self, x: Tensor, condition: Tree = None) -> tuple[Tensor, Tensor]:
        a, b = x[:, : self.num_kept], x[:, self.num_kept :]
        a, total = forward_chain(self._chain, a, condition)
        return torch.cat([a.flatten(1), b.flatten(1)], dim=1), total

    def inverse(self, y: Tensor, condition: Tree = None) -> Tensor:
        within = prod(self.chain_shape)
        a = inverse_chain(self._chain, y[:, :within].reshape(-1, *self.chain_shape), condition)
        return torch.cat([a, y[:, within:].reshape(-1, *self.passed_shape)], dim=1)

    def initialize(self, x: Tensor, condition: Tree = None) -> None:
        initialize_chain(self._chain, x[:, : self.num_kept], condition)

    @property
    def _chain(self) -> list[Bijection]:
        return cast(list[Bijection], list(self.bijections))


class Flow(nn.Module):
    """A chain f of bijections from data x, rows of ``shape``, to latents z ~ N(0, I), flat.

    log p(x) = log N(f(x); 0, I) + log |det df/dx| (Dinh et al. 2017, eq. 2 and 3), in nats per row.
    ``forward`` is that of a generator: from latents (batch, size) to data.
    """

    def __init__(self, shape: Sequence[int], bijections: Sequence[Bijection]) -> None:
        super().__init__()
        self.size = prod(shape)
        self.bijections = nn.ModuleList(bijections)
        self.chain_shape = chain_output_shape(bijections, shape)

    def forward(self, latents: Tensor, condition: Tree = None) -> Tensor:
        return self.decode(latents, condition)

    def encode(self, x: Tensor, condition: Tree = None) -> tuple[Tensor, Tensor]:
        """From data to latents, (batch, size), and the log determinant, (batch,)."""
        z, total = forward_chain(self._chain, x, condition)
        return z.flatten(1), total

    def decode(self, z: Tensor, condition: Tree = None) -> Tensor:
        """From latents to data: the inverse of ``encode``."""
        return inverse_chain(self._chain, z.reshape(-1, *self.chain_shape), condition)

    @property
    def latent_dim(self) -> int:
        """The number of latents."""
        return self.size

    def latents(self, n: int, key: Key) -> Tensor:
        """The latents of :meth:`sample` with the same key, (n, size)."""
        return (key / "z").normal(n, self.size)

    def render(self, z: Tensor, condition: Tree = None) -> Tensor:
        return self.decode(z, condition)

    def invert(self, x: Tensor, condition: Tree = None) -> Tensor:
        """The latents of data: ``render`` undoes it."""
        return self.encode(x, condition)[0]

    def log_prob(self, data: Tensor, condition: Tree = None) -> Tensor:
        z, log_det = self.encode(data, condition)
        return log_det - 0.5 * z.square().sum(1) - self.size / 2 * math.log(2 * math.pi)

    def sample(self, n: int, key: Key, condition: Tree = None) -> Tensor:
        return self.decode(self.latents(n, key), condition)

    def initialize(self, data: Tensor, condition: Tree = None) -> None:
        """Initialise each bijection on the output of the bijections before it."""
        initialize_chain(self._chain, data, condition)

    @property
    def _chain(self) -> list[Bijection]:
        return cast(list[Bijection], list(self.bijections))
