"""Peak rate of a device, operations of a step, and profile of a step, for benchmarks."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

CLOCKS = {"wall": time.perf_counter, "process": time.process_time}


def timed(work: Callable[[], object], device: torch.device, clock: str) -> float:
    synchronize(device)
    began = CLOCKS[clock]()
    work()
    synchronize(device)
    return CLOCKS[clock]() - began


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


@dataclass
class Peak:
    """The peak rate of matrix products and convolutions of the device, timed in turns with the contestants.

    On some processors convolutions of one library have twice the rate of matrix products of another: the peak
    of a precision is the larger one, in operations per second.
    """

    device: torch.device
    seconds: dict[tuple[torch.dtype, str], list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        accelerated = self.device.type == "cuda"
        side, rows = (8192, 256) if accelerated else (1024, 8)
        channels, cells = 128, 32
        self.operations = {
            "products": 2 * side**3,
            "convolutions": 2 * rows * cells**2 * channels**2 * 9,
        }
        self.works: dict[tuple[torch.dtype, str], Callable[[], Tensor]] = {}
        for precision in (torch.float32, torch.bfloat16):
            matrix = torch.randn(side, side, device=self.device).to(precision)
            picture = torch.randn(rows, channels, cells, cells, device=self.device).to(precision)
            kernel = torch.randn(channels, channels, 3, 3, device=self.device).to(precision)
            picture, kernel = (x.to(memory_format=torch.channels_last) for x in (picture, kernel))
            self.works[precision, "products"] = partial(torch.matmul, matrix, matrix)
            self.works[precision, "convolutions"] = partial(conv2d, picture, kernel, padding=1)

    def measure(self, clock: str) -> None:
        for name, work in self.works.items():
            with torch.no_grad():
                self.seconds.setdefault(name, []).append(timed(work, self.device, clock))

    def rates(self) -> dict[tuple[torch.dtype, str], float]:
        """Operations per second by precision and kind."""
        return {name: self.operations[name[1]] / statistics.median(s[1:]) for name, s in self.seconds.items()}

    def of(self, precision: torch.dtype) -> float:
        return max(rate for (of, _), rate in self.rates().items() if of == precision)


class Counter(TorchDispatchMode):
    """Counts operations of products and convolutions. (torch's counter fails for gradients of leaves.)"""

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


def print_profile(play: Callable[[], None], steps: int) -> None:
    """Print the time of a number of steps by kinds of operation."""
    play()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        for _ in range(steps):
            play()
    shares: dict[str, float] = {}
    for event in seen.key_averages():
        kind = next((kind for part, kind in KINDS.items() if part in event.key), "all else")
        shares[kind] = shares.get(kind, 0.0) + (event.self_device_time_total or event.self_cpu_time_total)
    total = sum(shares.values())
    for kind, microseconds in sorted(shares.items(), key=lambda item: -item[1]):
        milliseconds = microseconds / 1000 / steps
        print(f"  {kind:<24} {100 * microseconds / total:5.1f} %  {milliseconds:8.2f} ms a step")
