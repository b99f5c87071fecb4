"""What a device can multiply, what a round multiplies, and where a round's time goes: for benchmarks."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

CLOCKS = {"wall": time.perf_counter, "process": time.process_time}


def timed(work: Callable[[], object], device: torch.device, clock: str) -> float:
    wait(device)
    began = CLOCKS[clock]()
    work()
    wait(device)
    return CLOCKS[clock]() - began


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


@dataclass
class Peak:
    """The device's matrix products, timed in turn with the contestants: operations a second."""

    device: torch.device
    seconds: dict[torch.dtype, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        side = 8192 if self.device.type == "cuda" else 1024
        self.matrices = {
            precision: torch.randn(side, side, device=self.device).to(precision)
            for precision in (torch.float32, torch.bfloat16)
        }

    def turn(self, clock: str) -> None:
        for precision, matrix in self.matrices.items():

            def product(matrix: Tensor = matrix) -> Tensor:
                return matrix @ matrix

            self.seconds.setdefault(precision, []).append(timed(product, self.device, clock))

    def of(self, precision: torch.dtype) -> float:
        return 2 * len(self.matrices[precision]) ** 3 / statistics.median(self.seconds[precision][1:])


class Counter(TorchDispatchMode):
    """Floating-point operations of products and convolutions. (torch's own refuses gradients of leaves.)"""

    total = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func._overloadpacket):
            self.total += formula(*args, **(kwargs or {}), out_val=out)
        return out


KINDS = {
    "convolution_backward": "convolutions, backward",
    "convolution": "convolutions, forward",
    "mm": "matrix products",
    "batch_norm": "normalisation",
    "relu": "activations",
    "tanh": "activations",
    "adam": "Adam and average",
    "lerp": "Adam and average",
    "copy_": "copies and layouts",
    "upsample": "resampling",
    "avg_pool": "resampling",
}


def tell_profile(play: Callable[[], None], rounds: int) -> None:
    """Where the time of so many rounds goes, by kinds of operation."""
    play()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        for _ in range(rounds):
            play()
    shares: dict[str, float] = {}
    for event in seen.key_averages():
        kind = next((kind for part, kind in KINDS.items() if part in event.key), "all else")
        shares[kind] = shares.get(kind, 0.0) + (event.self_device_time_total or event.self_cpu_time_total)
    total = sum(shares.values())
    for kind, microseconds in sorted(shares.items(), key=lambda item: -item[1]):
        milliseconds = microseconds / 1000 / rounds
        print(f"  {kind:<24} {100 * microseconds / total:5.1f} %  {milliseconds:8.2f} ms a round")
