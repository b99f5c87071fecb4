"""Devices and the precision that suits them."""

from __future__ import annotations

import functools
import os
import time

import torch

from gancore.errors import ConfigError, nearest
from gancore.runtime.processes import ALONE, Processes

WITHOUT_BF16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI")
"""Values of ONEDNN_MAX_CPU_ISA under which oneDNN emulates bf16."""
FASTER = 1.25
"""How many times faster than in fp32 a processor multiplies in bf16, where bf16 is worth its roundings."""
SIDE, PAIRS = 512, 7
"""Of the matrices by which that is measured, and how often."""


def resolve_device(name: str, processes: Processes = ALONE) -> torch.device:
    """``auto`` is the first accelerator, else the CPU. Several processes have an accelerator each.

    Raises:
        ConfigError: no such device, or none of its kind here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(
            f"train.device {name!r}", nearest(name.split(":")[0], ["auto", "cpu", "cuda", "mps"])
        ) from None
    if processes.world > 1 and device.type != "cpu":
        device = torch.device(device.type, processes.local_rank)
    present = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (device.index or 0) >= present.get(device.type, 0):
        which = f"train.device {name!r}" + (f" for process {processes.rank}" if processes.world > 1 else "")
        raise ConfigError(f"{which} is not on this machine", "leave it out, or use cpu")
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    return device


def fast_in_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bf16 matrices in hardware, its library may, and it gains by that.

    Processors with AVX512_BF16 differ: AMD's are about twice as fast in bf16, Intel's without AMX are half
    as fast.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        if os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in WITHOUT_BF16:
            return False
        able = torch.cpu.get_capabilities()
        return bool(able.get("amx_bf16") or (able.get("avx512_bf16") and bf16_speed() > FASTER))
    return False


@functools.cache
def bf16_speed() -> float:
    """How many times faster than in fp32 this processor multiplies matrices in bf16; once a process.

    The two take turns, and the fastest of each counts: other work on the machine slows both.
    """
    with torch.inference_mode():
        matrices = [torch.ones(SIDE, SIDE, dtype=dtype) for dtype in (torch.float32, torch.bfloat16)]
        seconds = [[_seconds_of_product(matrix) for matrix in matrices] for _ in range(PAIRS)]
    exact, fast = (min(column) for column in zip(*seconds, strict=True))
    return float(exact / fast)


def _seconds_of_product(matrix: torch.Tensor) -> float:
    began = time.perf_counter()
    torch.mm(matrix, matrix)
    return time.perf_counter() - began


def resolve_precision(name: str, device: torch.device) -> str:
    """``auto`` becomes bf16 where the device is faster in it, else fp32."""
    if name != "auto":
        return name
    return "bf16" if fast_in_bf16(device) else "fp32"


def make_deterministic() -> None:
    """Deterministic kernels on a GPU; what has none raises. The CPU needs nothing."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False


def memory_megabytes(device: torch.device) -> float:
    """Peak memory of the device's tensors; on the CPU the process's peak resident size."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
