"""Measures whether linear layers of oneDNN are faster than the BLAS of torch for games of perceptrons.

    python benchmarks/linear_layers.py [--pairs 40] [--clock process]

It compares the forward pass of ``torch.nn.functional.linear`` and ``torch.ops.mkldnn._linear_pointwise`` in
fp32, for the shapes of layers of ``mlpgan`` and ``pacgan``; then a discriminator move of ``mlpgan`` (forward,
backward, Adam) with each of them in the hidden layers (with oneDNN in all three products of a layer). They
take turns, so that other work on the machine slows both equally; ratios have quartiles.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from timing import CLOCKS, timed
from torch import Tensor, nn
from torch.nn.functional import linear, softplus

SHAPES = ((64, 128, 128), (512, 128, 128), (512, 400, 400), (1024, 1024, 1024))
"""Rows, inputs, outputs: mlpgan with two batch sizes, pacgan, and a square matrix."""
CPU = torch.device("cpu")


def onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


class Fast(torch.autograd.Function):
    """``linear`` with all three products in oneDNN."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return onednn(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        x, weight = ctx.saved_tensors
        return (
            onednn(gradient, weight.t().contiguous(), None),
            onednn(gradient.t().contiguous(), x.t().contiguous(), None),
            gradient.sum(0),
        )


class FastLinear(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return Fast.apply(x, self.weight, self.bias)


def move(kind: type[nn.Linear], width: int = 128, depth: int = 3, rows: int = 512) -> Callable[[], None]:
    """One update of a discriminator on points of the plane."""
    torch.manual_seed(0)
    sizes = [2, *[width] * depth]
    layers = [m for a, b in itertools.pairwise(sizes) for m in (kind(a, b), nn.ReLU())]
    network = nn.Sequential(*layers, nn.Linear(width, 1))
    rule = torch.optim.Adam(network.parameters(), lr=1e-3, foreach=True)
    real, fake = torch.randn(rows, 2), torch.randn(rows, 2)

    def step() -> None:
        rule.zero_grad()
        (softplus(-network(real)) + softplus(network(fake))).mean().backward()
        rule.step()

    return step


def compare_in_turns(
    name: str, first: Callable[[], Any], second: Callable[[], Any], pairs: int, clock: str
) -> None:
    times: list[tuple[float, float]] = []
    for pair in range(pairs):
        both = [
            timed(partial(repeated, work), CPU, clock) for work in (first, second)[:: 1 if pair % 2 else -1]
        ]
        times.append((both[0], both[1]) if pair % 2 else (both[1], both[0]))
    ratios = sorted(a / b for a, b in times)
    low, middle, high = statistics.quantiles(ratios, n=4)
    milliseconds = [1000 * statistics.median(t) / REPEATS for t in zip(*times, strict=True)]
    beside = "  ".join(f"{each:8.3f} ms" for each in milliseconds)
    print(f"{name:<28} {beside}  {middle:.2f} ({low:.2f} to {high:.2f})")


REPEATS = 20


def repeated(work: Callable[[], Any]) -> None:
    for _ in range(REPEATS):
        work()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--clock", choices=CLOCKS, default="process")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'':<28} {'torch':>11}  {'oneDNN':>11}  times as fast (quartiles)")
    for rows, inputs, outputs in SHAPES:
        x, weight, bias = torch.randn(rows, inputs), torch.randn(outputs, inputs), torch.randn(outputs)
        with torch.no_grad():
            works = [partial(law, x, weight, bias) for law in (linear, onednn)]
            compare_in_turns(f"{rows} x {inputs} to {outputs}", *works, given.pairs, given.clock)
    compare_in_turns("a discriminator's move", move(nn.Linear), move(FastLinear), given.pairs, given.clock)


if __name__ == "__main__":
    main()
