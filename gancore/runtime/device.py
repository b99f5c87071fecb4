"""Devices: selection, precision, memory, and the properties of a machine that change results."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path

import torch

import gancore
from gancore.errors import ConfigError
from gancore.runtime.distributed import SINGLE_PROCESS, ProcessGroup
from gancore.text import suggestion

WITHOUT_BF16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI")
"""Values of ONEDNN_MAX_CPU_ISA with which oneDNN emulates bf16."""
FAST_AVX512_VENDORS = ("AuthenticAMD",)
"""Vendors whose cores with AVX512_BF16 are faster in bf16 than in fp32.

AMD's are about twice as fast. An Intel Xeon without AMX reached 39 GFLOP/s in matrix products and 31 to 44 in
convolutions in bf16, 77 and 64 to 87 in fp32.
"""


def resolve_device(name: str, processes: ProcessGroup = SINGLE_PROCESS) -> torch.device:
    """The device of this name; ``auto`` is the first accelerator, otherwise the CPU.

    With several processes, each has an accelerator of its own.

    Raises:
        ConfigError: the name is unknown, or this machine has no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(
            f"train.device {name!r}", suggestion(name.split(":")[0], ["auto", "cpu", "cuda", "mps"])
        ) from None
    if processes.world_size > 1 and device.type != "cpu":
        device = torch.device(device.type, processes.local_rank)
    present = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (device.index or 0) >= present.get(device.type, 0):
        which = f"train.device {name!r}" + (
            f" for process {processes.rank}" if processes.world_size > 1 else ""
        )
        raise ConfigError(f"this machine has no {which}", "leave out the device, or use cpu")
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    return device


def is_bf16_fast(device: torch.device) -> bool:
    """Whether the device has bf16 matrix products in hardware that are faster than fp32 and that torch uses.

    The type of the processor decides, not a measurement, so that equal machines train equal models.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        if os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in WITHOUT_BF16:
            return False
        able = torch.cpu.get_capabilities()
        return bool(
            able.get("amx_bf16") or (able.get("avx512_bf16") and processor_vendor() in FAST_AVX512_VENDORS)
        )
    return False


def resolve_precision(name: str, device: torch.device) -> str:
    """The precision of this name; ``auto`` is bf16 if the device is faster in bf16, otherwise fp32."""
    if name != "auto":
        return name
    return "bf16" if is_bf16_fast(device) else "fp32"


def make_deterministic() -> None:
    """Use deterministic kernels on a GPU; operations without one raise an error.

    CPU kernels are unchanged.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory of tensors on the device, in MB; on the CPU, the peak resident size of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def available_memory_bytes(device: torch.device) -> int | None:
    """Free memory of ``device`` in bytes; None if it is unknown."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


INSTRUCTION_SETS = ("amx_bf16", "avx512_bf16", "amx_int8", "sve", "bf16")
KERNEL_VARIABLES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "MKL_CBWR")
"""Environment variables that select kernels."""


def describe_environment(
    device: torch.device, precision: str, processes: ProcessGroup = SINGLE_PROCESS
) -> dict[str, str]:
    """Properties of machine and software by name. If they are equal, one machine computes equal bytes."""
    facts = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "precision": precision,
        "threads": str(torch.get_num_threads()),
        "processes": str(processes.world_size),
        "processor": processor_name(),
        "instructions": vector_instructions(),
        "torch": torch.__version__,
        "gancore": gancore.__version__,
    }
    return facts | {name: os.environ[name] for name in KERNEL_VARIABLES if os.environ.get(name)}


def processor_name() -> str:
    """The name of the processor, as the operating system gives it."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def processor_vendor() -> str:
    """The vendor of the processor, such as GenuineIntel or AuthenticAMD; empty if it is unknown."""
    return _cpuinfo("vendor_id")


def _cpuinfo(key: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except (OSError, ValueError):
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def vector_instructions() -> str:
    """The vector instructions that torch uses, and those for bf16, such as ``AVX512 amx_bf16``."""
    able = torch.cpu.get_capabilities()
    more = [name for name in INSTRUCTION_SETS if able.get(name)]
    return " ".join([torch.backends.cpu.get_cpu_capability(), *more])


def environment_changes(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """The properties that differ or that only one of the two has, as ``["threads 1 -> 2"]``."""
    names = [*old, *(name for name in new if name not in old)]
    return [
        f"{name} {old.get(name, 'not set')} -> {new.get(name, 'not set')}"
        for name in names
        if old.get(name) != new.get(name)
    ]
