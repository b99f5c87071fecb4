"""Devices and the precision that suits them."""

from __future__ import annotations

import os

import torch

from gancore.errors import ConfigError, nearest
from gancore.runtime.environment import maker
from gancore.runtime.processes import ALONE, Processes

WITHOUT_BF16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI")
"""Values of ONEDNN_MAX_CPU_ISA under which oneDNN emulates bf16."""
FASTER_WITHOUT_AMX = ("AuthenticAMD",)
"""Makers whose cores with AVX512_BF16 multiply faster in bf16 than in fp32.

AMD's are about twice as fast. An Intel Xeon without AMX made 39 GFLOP/s of products and 31 to 44 of
convolutions in bf16, 77 and 64 to 87 in fp32.
"""


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

    By what the processor is and not by a measurement: equal machines give equal models.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        if os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in WITHOUT_BF16:
            return False
        able = torch.cpu.get_capabilities()
        return bool(able.get("amx_bf16") or (able.get("avx512_bf16") and maker() in FASTER_WITHOUT_AMX))
    return False


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
