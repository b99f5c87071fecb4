"""Bijections whose log determinant is cheap: what flows are made of.

Rows are (batch, channels, ...): points, sequences and planes alike. All begin as the identity or as a
rotation, and the log determinant is in nats a row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from math import prod

import torch
from torch import Tensor, nn
from torch.linalg import solve_triangular

from gancore.trees import Tree

STEEPEST = 3.0
"""Bound on the log scale of one coupling."""


class Bijection(nn.Module):
    """y = f(x; condition), one to one in x: ``forward`` gives y and log |det dy/dx|, (batch,)."""

    def forward(self, x: Tensor, condition: Tree = None) -> tuple[Tensor, Tensor]:
        raise TypeError(f"{type(self).__name__} must define forward(x, condition)")

    def inverse(self, y: Tensor, condition: Tree = None) -> Tensor:
        raise TypeError(f"{type(self).__name__} must define inverse(y, condition)")

    def shape_after(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a row of y, from that of a row of x."""
        return shape

    def prepare(self, x: Tensor, condition: Tree = None) -> None:
        """Once, before training, with the first batch that comes here: statistics, into buffers."""


def through(chain: Iterable[Bijection], x: Tensor, condition: Tree = None) -> tuple[Tensor, Tensor]:
    """x through one bijection after the other, and the log determinant of all, (batch,)."""
    total = x.new_zeros(len(x))
    for bijection in chain:
        x, log_det = bijection(x, condition)
        total = total + log_det
    return x, total


def back(chain: Sequence[Bijection], y: Tensor, condition: Tree = None) -> Tensor:
    """The inverse of :func:`through`."""
    for bijection in reversed(chain):
        y = bijection.inverse(y, condition)
    return y


@torch.no_grad()
def prepare(chain: Iterable[Bijection], x: Tensor, condition: Tree = None) -> None:
    """Each sees what the ones before it make of a first batch."""
    for bijection in chain:
        bijection.prepare(x, condition)
        x, _ = bijection(x, condition)


def shape_through(chain: Iterable[Bijection], shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of a row that has gone through all, from that of one that comes."""
    return reduce(lambda before, bijection: bijection.shape_after(before), chain, tuple(shape))


class Coupling(Bijection):
    """Affine coupling over channels (Dinh et al. 2017, eq. 7 and 8).

    The first ``kept`` channels a stay and decide what becomes of the others, b:
    y_a = x_a, y_b = x_b exp(s(x_a)) + t(x_a), log |det| = sum s. ``network(x_a, condition)`` gives s and t,
    one after the other along the channels; s is bounded by :data:`STEEPEST`.
    """

    def __init__(self, network: nn.Module, kept: int) -> None:
        super().__init__()
        self.network, self.kept = network, kept

    def forward(self, x: Tensor, condition: Tree = None) -> tuple[Tensor, Tensor]:
        a, b = x[:, : self.kept], x[:, self.kept :]
        s, t = scale_and_shift(self.network(a, condition), x)
        return torch.cat([a, b * s.exp() + t], dim=1), s.flatten(1).sum(1)

    def inverse(self, y: Tensor, condition: Tree = None) -> Tensor:
        a, b = y[:, : self.kept], y[:, self.kept :]
        s, t = scale_and_shift(self.network(a, condition), y)
        return torch.cat([a, (b - t) * (-s).exp()], dim=1)


class MaskedCoupling(Bijection):
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
    """A coupling's s and t, in the precision of its data whatever that of the network."""
    s, t = outputs.to(x.dtype).chunk(2, dim=1)
    return STEEPEST * torch.tanh(s / STEEPEST), t


def zeroed(layer: nn.Linear | nn.modules.conv._ConvNd) -> nn.Module:
    """With all its parameters 0: as the last layer of a coupling's network it makes it the identity."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class Mixing(Bijection):
    """An invertible 1x1 convolution (Kingma & Dhariwal 2018, section 3.2): y = W x at every place.

    W = P L (U + diag(sign e^d)), with L unit lower and U strictly upper triangular, P a permutation:
    eq. 10, so that log |det W| = sum d, times the number of places. One matrix holds L below, U above and
    d on its diagonal. P and the signs stay as they begin: those of a random rotation.
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
        return self._everywhere(self._matrix, x), log_det.expand(len(x))

    def inverse(self, y: Tensor, condition: Tree = None) -> Tensor:
        return self._everywhere(self._inverse_matrix, y)

    def _everywhere(self, matrix: Callable[[], Tensor], x: Tensor) -> Tensor:
        """W x at each place of (batch, channels, ...), in full precision."""
        with torch.autocast(x.device.type, enabled=False):
            return (matrix() @ x.reshape(*x.shape[:2], -1)).view(x.shape)

    def _matrix(self) -> Tensor:
        lower, upper = self._factors()
        return (lower @ upper)[self.order]

    def _inverse_matrix(self) -> Tensor:
        lower, upper = self._factors()
        permuted = torch.eye(len(lower), dtype=lower.dtype, device=lower.device)[self.order].T
        half = solve_triangular(lower, permuted, upper=False, unitriangular=True)
        inverse: Tensor = solve_triangular(upper, half, upper=True)
        return inverse

    def _factors(self) -> tuple[Tensor, Tensor]:
        """L and U + diag(sign e^d)."""
        triangles = self.triangles
        unit = torch.eye(len(triangles), dtype=triangles.dtype, device=triangles.device)
        diagonal = self.signs * triangles.diagonal().exp()
        return triangles.tril(-1) + unit, triangles.triu(1) + diagonal.diag()


class ActivationNorm(Bijection):
    """y = (x - m) / d e^s + t, a number each a channel (Kingma & Dhariwal 2018, section 3.1).

    m and d, mean and deviation of the first batch, are buffers; s and t begin at 0 and are trained.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_scale, self.shift = (nn.Parameter(torch.zeros(channels)) for _ in range(2))
        self.mean: Tensor
        self.log_deviation: Tensor
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("log_deviation", torch.zeros(channels))

    @torch.no_grad()
    def prepare(self, x: Tensor, condition: Tree = None) -> None:
        rows = x.transpose(0, 1).flatten(1)
        self.mean.copy_(rows.mean(1))
        self.log_deviation.copy_(rows.std(1).clamp_min(1e-6).log())

    def forward(self, x: Tensor, condition: Tree = None) -> tuple[Tensor, Tensor]:
        log_gain = self.log_scale - self.log_deviation
        y = (x - _beside(self.mean, x)) * _beside(log_gain.exp(), x) + _beside(self.shift, x)
        return y, (prod(x.shape[2:]) * log_gain.sum()).expand(len(x))

    def inverse(self, y: Tensor, condition: Tree = None) -> Tensor:
        gain = (self.log_deviation - self.log_scale).exp()
        return (y - _beside(self.shift, y)) * _beside(gain, y) + _beside(self.mean, y)


def _beside(values: Tensor, x: Tensor) -> Tensor:
    """One value a channel, (channels), along the channels of (batch, channels, ...)."""
    return values.view(-1, *[1] * (x.dim() - 2))


class Squeeze(Bijection):
    """Space to channels (Dinh et al. 2017, section 3.6): each axis ``factor`` times shorter, nothing lost."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def shape_after(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        channels, *space = shape
        if rest := [size for size in space if size % self.factor]:
            raise ValueError(f"an axis of {rest[0]} cannot be cut into {self.factor} equal parts")
        return channels * self.factor ** len(space), *(size // self.factor for size in space)

    def forward(self, x: Tensor, condition: Tree = None) -> tuple[Tensor, Tensor]:
        for axis in range(2, x.dim()):
            cut = x.reshape(*x.shape[:axis], -1, self.factor, *x.shape[axis + 1 :])
            x = cut.movedim(axis + 1, 2).flatten(1, 2)
        return x, x.new_zeros(len(x))

    def inverse(self, y: Tensor, condition: Tree = None) -> Tensor:
        for axis in reversed(range(2, y.dim())):
            cut = y.reshape(len(y), -1, self.factor, *y.shape[2:])
            y = cut.movedim(2, axis + 1).flatten(axis, axis + 1)
        return y


class Logit(Bijection):
    """y = log p / (1 - p), p = a + (1 - 2 a) (x - low) / (high - low), so that values near either end are
    drawn apart (Dinh et al. 2017, section 4.1); straight lines go on beyond them, as steep as it is there.

    dy/dx = (1 - 2 a) / ((high - low) p (1 - p)): the smaller a, the steeper at the ends.
    """

    def __init__(self, low: float, high: float, a: float) -> None:
        super().__init__()
        self.low, self.high, self.a = low, high, a
        self.pace = (1 - 2 * a) / (high - low)  # dp/dx
        self.steepest = self.pace / (a * (1 - a))

    def forward(self, x: Tensor, condition: Tree = None) -> tuple[Tensor, Tensor]:
        inside = x.clamp(self.low, self.high)
        p = self.a + self.pace * (inside - self.low)
        y = torch.logit(p) + (x - inside) * self.steepest
        log_slope = math.log(self.pace) - p.log() - torch.log1p(-p)
        return y, log_slope.flatten(1).sum(1)

    def inverse(self, y: Tensor, condition: Tree = None) -> Tensor:
        end = math.log1p(-self.a) - math.log(self.a)
        inside = y.clamp(-end, end)
        return self.low + (inside.sigmoid() - self.a) / self.pace + (y - inside) / self.steepest
