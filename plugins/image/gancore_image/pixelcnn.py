"""Gated PixelCNN (van den Oord et al. 2016), pixels distributed as in PixelCNN++ (Salimans et al. 2017).

Pixels are visited row by row, each row from the left. The vertical stack covers the rows above, the
horizontal one the pixels to the left, so that there is no blind spot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import elu, pad

from gancore import Recipe, Spec
from gancore.data import num_conditional_classes
from gancore.games import Game, LikelihoodConfig, likelihood_game, with_defaults
from gancore.nn import SAMPLING_BATCH, gated_activation
from gancore.random import Key
from gancore_image.blocks import bias_of
from gancore_image.levels import Levels, from_levels
from gancore_image.logistic_mixture import LogisticMixture

FIRST_RADIUS = 3
"""Pixels on each side, and rows above, that the first layer covers."""


class GatedPixelStack(nn.Module):
    """With v the vertical and h the horizontal stack, layer k of dilation d_k, and a condition c,

        v_(k+1) = v_k + gate(V_k * v_k + A_k c)            over 2 rows of 3 pixels, the lower row its own,
        z_k     = gate(H_k * h_k + B_k v_(k+1) + C_k c)    over 2 pixels, the right one its own,
        h_(k+1) = h_k + R_k z_k,

    gate(f, g) = tanh(f) sigmoid(g), and the outputs are sum_k S_k z_k + b. The first layer covers the rows
    above (v_0) and the pixels to the left (h_0), never the pixel itself; each row and each column has a bias
    of its own.

    Planes are (batch, channels, side, side). The output at (i, j) depends only on rows above i and on row i
    left of j. ``condition`` is the size of c; 0: no condition.
    """

    def __init__(
        self, inputs: int, width: int, outputs: int, side: int, dilations: Sequence[int], condition: int = 0
    ) -> None:
        super().__init__()
        self.width, self.side, self.dilations = width, side, tuple(dilations)
        depth = len(self.dilations)
        self.above = nn.Conv2d(inputs + 1, width, (FIRST_RADIUS, 2 * FIRST_RADIUS + 1))
        self.left = nn.Conv2d(inputs + 1, width, (1, FIRST_RADIUS))
        self.rows, self.columns = (nn.Parameter(0.1 * torch.randn(width, side)) for _ in range(2))
        self.vertical = nn.ModuleList(nn.Conv2d(width, 2 * width, (2, 3), dilation=d) for d in dilations)
        self.horizontal = nn.ModuleList(nn.Conv2d(width, 2 * width, (1, 2), dilation=d) for d in dilations)
        self.down = nn.ModuleList(nn.Conv2d(width, 2 * width, 1, bias=False) for _ in dilations)
        self.residuals = nn.ModuleList(nn.Conv2d(width, width, 1, bias=False) for _ in dilations[1:])
        self.skips = nn.Conv2d(depth * width, outputs, 1)  # all S_k concatenated
        self.condition = nn.Linear(condition, 2 * depth * 2 * width, bias=False) if condition else None

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(batch, inputs, side, side), (batch, condition) to (batch, outputs, side, side)."""
        x, terms, gates = append_ones(x), self.condition_terms(condition), []
        v, h = self.vertical_input(x), self.horizontal_input(x)
        for k in range(len(self.dilations)):
            v = self.vertical_layer(k, v, terms[0][k])
            z = gated_activation(self.horizontal_layer(k, h) + self.down[k](v) + terms[1][k], 1)
            gates.append(z)
            if k < len(self.residuals):
                h = h + self.residuals[k](z)
        outputs: Tensor = self.skips(torch.cat(gates, 1))
        return outputs

    def vertical_input(self, x: Tensor) -> Tensor:
        """v_0 of x, which has a channel of ones."""
        padded = pad(x, (FIRST_RADIUS, FIRST_RADIUS, FIRST_RADIUS, 0))[:, :, :-1]
        v: Tensor = self.above(padded)
        return v

    def horizontal_input(self, x: Tensor) -> Tensor:
        """h_0, with the biases of rows and columns."""
        h: Tensor = self.left(pad(x, (FIRST_RADIUS, 0))[:, :, :, :-1])
        return h + self.rows[:, :, None] + self.columns[:, None]

    def vertical_layer(self, k: int, v: Tensor, term: Tensor | float) -> Tensor:
        d = self.dilations[k]
        return v + gated_activation(self.vertical[k](pad(v, (d, d, d, 0))) + term, 1)

    def horizontal_layer(self, k: int, h: Tensor) -> Tensor:
        """H_k * h_k."""
        made: Tensor = self.horizontal[k](pad(h, (self.dilations[k], 0)))
        return made

    def condition_terms(
        self, condition: Tensor | None
    ) -> tuple[Sequence[Tensor | float], Sequence[Tensor | float]]:
        """A_k c and C_k c of each layer, (batch, 2 * width, 1, 1) each."""
        depth = len(self.dilations)
        if self.condition is None:
            return [0.0] * depth, [0.0] * depth
        made = self.condition(condition).view(-1, 2, depth, 2 * self.width, 1, 1)
        return list(made[:, 0].unbind(1)), list(made[:, 1].unbind(1))

    def sampler(self, planes: int, condition: Tensor | None = None) -> GatedPixelSampler:
        """A sampler of ``planes`` images, pixel by pixel; each step costs the same."""
        return GatedPixelSampler(self, planes, condition)


def append_ones(x: Tensor) -> Tensor:
    """Append a channel of ones, which distinguishes pixels from padding."""
    return torch.cat([x, torch.ones_like(x[:, :1])], 1)


class GatedPixelSampler:
    """The stack pixel by pixel, without gradient: the vertical stack once per row, from the rows above it,
    then the horizontal stack along the row (as in Ramachandran et al. 2017).

    :meth:`start_row` starts a row, given the row above; :meth:`next_pixel` returns the outputs of the next
    pixel, given the pixel on its left. Outputs equal those of :class:`GatedPixelStack` up to rounding.
    """

    def __init__(self, stack: GatedPixelStack, planes: int, condition: Tensor | None) -> None:
        self.stack = stack
        self.vertical_terms, self.horizontal_terms = stack.condition_terms(condition)
        new, width, side = stack.rows.new_zeros, stack.width, stack.side
        self.last_rows = new(planes, stack.above.in_channels, FIRST_RADIUS, side)  # the last rows of x
        self.v = [new(planes, width, d + 1, side) for d in stack.dilations]  # the last rows of each v_k
        self.weights = [_taps(cast(nn.Conv2d, layer)) for layer in stack.horizontal]
        self.bias = [cast(nn.Conv2d, layer).bias for layer in stack.horizontal]
        self.residuals = [cast(nn.Conv2d, layer).weight[:, :, 0, 0].T for layer in stack.residuals]
        self.first = torch.cat(list(_taps(stack.left)))
        self.skips = stack.skips.weight[:, :, 0, 0].T
        self.i = -1

    @torch.no_grad()
    def start_row(self, above: Tensor | None) -> None:
        """Start the next row; ``above`` is the row before it, (planes, inputs, side), None for the first."""
        stack = self.stack
        self.i += 1
        if above is not None:
            self.last_rows = torch.cat([self.last_rows[:, :, 1:], append_ones(above)[:, :, None]], 2)
        v = stack.above(pad(self.last_rows, (FIRST_RADIUS, FIRST_RADIUS)))
        row_terms = []
        for k, d in enumerate(stack.dilations):
            self.v[k] = torch.cat([self.v[k][:, :, 1:], v], 2)
            ends = pad(self.v[k][:, :, ::d], (d, d))
            layer = cast(nn.Conv2d, stack.vertical[k])
            v = v + gated_activation(_convolve_rows(layer, ends, d) + self.vertical_terms[k], 1)
            down = stack.down[k](v) + self.horizontal_terms[k]
            row_terms.append(down[:, :, 0].permute(2, 0, 1) + self.bias[k])  # (side, planes, 2 * width)
        self.row_terms, self.j = row_terms, 0
        planes = len(v)
        self.left_inputs = v.new_zeros(planes, FIRST_RADIUS * stack.left.in_channels)
        terms = (stack.rows[:, self.i, None] + stack.columns).T + bias_of(stack.left)
        self.position_terms = terms  # (side, width)
        self.h = [v.new_zeros(d + stack.side, planes, stack.width) for d in stack.dilations]

    @torch.no_grad()
    def next_pixel(self, left: Tensor | None) -> Tensor:
        """Outputs of the next pixel, (planes, outputs); ``left``, (planes, inputs), is None for the first."""
        stack, j, gates = self.stack, self.j, []
        if left is not None:
            self.left_inputs = torch.cat([self.left_inputs[:, left.shape[1] + 1 :], append_ones(left)], 1)
        h = self.left_inputs @ self.first + self.position_terms[j]
        for k, d in enumerate(stack.dilations):
            self.h[k][d + j] = h
            far, near = self.weights[k]
            before = torch.addmm(self.row_terms[k][j], self.h[k][j], far).addmm_(h, near)
            gates.append(gated_activation(before))
            if k < len(self.residuals):
                h = torch.addmm(h, gates[-1], self.residuals[k])
        self.j += 1
        return torch.addmm(bias_of(stack.skips), torch.cat(gates, 1), self.skips)


def _taps(layer: nn.Conv2d) -> tuple[Tensor, ...]:
    """The matrices of a kernel with one row, (inputs, outputs) each, from the left."""
    return tuple(layer.weight[:, :, 0].permute(2, 1, 0))


def _convolve_rows(layer: nn.Conv2d, rows: Tensor, dilation: int) -> Tensor:
    """Apply the layer to exactly the rows that its kernel covers, (n, channels, 2, width)."""
    return torch.nn.functional.conv2d(rows, layer.weight, layer.bias, dilation=(1, dilation))


LABEL_DIM = 16
"""Size of the label embedding."""
MAX_ACTIVATIONS = 1 << 24
"""Activations of a layer held at a time without gradient."""


class PixelModel(nn.Module):
    """log P(x | c) = sum_i log P(x_i | pixels before i in raster order, c), x levels (batch, C, side, side).

    ``mixture`` gives the joint distribution of the channels of a pixel; its parameters are computed by
    ``stack`` and two layers from the pixels before it.
    """

    preferred_batch = SAMPLING_BATCH

    def __init__(self, stack: GatedPixelStack, hidden: int, mixture: LogisticMixture, classes: int) -> None:
        super().__init__()
        self.stack, self.mixture = stack, mixture
        self.middle, self.last = nn.Conv2d(hidden, hidden, 1), nn.Conv2d(hidden, mixture.n_params, 1)
        self.label = nn.Embedding(classes, LABEL_DIM) if classes else None
        mixture.init_output_(self.last)

    def mixture_params(self, level: Tensor, condition: Tensor | None = None) -> Tensor:
        """The parameters of the mixture for each pixel, (batch, n_params, side, side)."""
        x = from_levels(level).to(self.last.weight.dtype, memory_format=torch.channels_last)
        return self._head(self.stack(x, self._condition(condition)))

    def log_probs(self, level: Tensor, condition: Tensor | None = None) -> Tensor:
        """log P(x_i | before), in nats, (batch, side, side)."""
        return self.mixture.log_prob(level, self.mixture_params(level, condition))

    def log_prob(self, level: Tensor, condition: Tensor | None = None) -> Tensor:
        """log P(x | c), exact, in nats, (batch); without gradient in chunks, to save memory."""
        if torch.is_grad_enabled():
            return self.log_probs(level, condition).flatten(1).sum(1)
        rows = max(1, MAX_ACTIVATIONS // (self.stack.skips.in_channels * self.stack.side**2))
        parts = [slice(at, at + rows) for at in range(0, len(level), rows)]
        conditions = [None if condition is None else condition[part] for part in parts]
        each = [self.log_probs(level[part], c) for part, c in zip(parts, conditions, strict=True)]
        return torch.cat([log_probs.flatten(1).sum(1) for log_probs in each])

    @torch.no_grad()
    def sample(self, n: int, key: Key, condition: Tensor | None = None) -> Tensor:
        """Levels, (n, C, side, side): sample i is a function of row i of the key."""
        side, channels = self.stack.side, self.mixture.channels
        uniform = (key / "x").uniform(n, 1 + channels, side, side)
        level = torch.zeros(n, channels, side, side, dtype=torch.int64, device=uniform.device)
        x = torch.zeros(n, channels, side, side, dtype=self.last.weight.dtype, device=uniform.device)
        sampler = self.stack.sampler(n, self._condition(condition))
        for i in range(side):
            sampler.start_row(x[:, :, i - 1] if i else None)
            for j in range(side):
                params = self._head(sampler.next_pixel(x[:, :, i, j - 1] if j else None)[:, :, None, None])
                level[:, :, i, j] = self.mixture.sample(params[:, :, 0, 0], uniform[:, :, i, j])
                x[:, :, i, j] = from_levels(level[:, :, i, j])
        return level

    def _head(self, outputs: Tensor) -> Tensor:
        """The last layer in full precision: 8 bits of mantissa resolve half a level of 256 near 1."""
        middle = elu(self.middle(elu(outputs)))
        with torch.autocast(outputs.device.type, enabled=False):
            params: Tensor = self.last(middle.to(self.last.weight.dtype))
        return params

    def _condition(self, condition: Tensor | None) -> Tensor | None:
        return None if self.label is None else self.label(condition)


@with_defaults(lr=5e-3, lr_end=0.02, lr_warmup=0.05, beta2=0.99, ema_halflife=5_000.0)
class PixelCNNConfig(LikelihoodConfig):
    """The learning rate rises over the first twentieth of training, then falls to 1/50 along a cosine."""

    batch_size: PositiveInt = Field(16, description="examples per global batch")
    steps: PositiveInt = Field(20_000, description="steps, when the command gives no budget")
    width: PositiveInt = Field(32, description="channels of each stack")
    skip_channels: PositiveInt = Field(
        64, description="channels of the skip connections and of the layer after them"
    )
    layers: PositiveInt = Field(6, le=32, description="gated layers; dilations go 1, 2, 4, 1, 2, 4, ...")
    components: PositiveInt = Field(5, le=100, description="components of a pixel's mixture of logistics")
    clip_grad_norm: NonNegativeFloat = Field(
        1.0, description="maximal gradient norm, in nats per dimension; 0: no bound"
    )
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class PixelCNN(Recipe):
    """Maximum likelihood of 8-bit levels by Adam."""

    Config = PixelCNNConfig

    def build(self, config: PixelCNNConfig, spec: Spec) -> Game:
        side, channels = spec["image_size"], spec["channels"]
        classes = num_conditional_classes(config.conditional, spec)
        return likelihood_game(
            lambda: build_pixelcnn(config, side, channels, classes),
            **config.game_options(clip_scale=channels * side**2),
            conditional=config.conditional,
            representation=Levels(),
        )


def build_pixelcnn(config: PixelCNNConfig, side: int, channels: int, classes: int) -> PixelModel:
    dilations = [2 ** (layer % 3) for layer in range(config.layers)]
    stack = GatedPixelStack(
        channels, config.width, config.skip_channels, side, dilations, condition=LABEL_DIM if classes else 0
    )
    return PixelModel(stack, config.skip_channels, LogisticMixture(channels, config.components), classes)
