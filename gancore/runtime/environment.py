"""What a training is computed on: recorded with a run, since other conditions give other bytes."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path

import torch

import gancore
from gancore.runtime.processes import ALONE, Processes

INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "amx_int8", "sve", "bf16")
LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "MKL_CBWR")
"""Variables of the environment that choose other kernels."""


def environment(device: torch.device, precision: str, processes: Processes = ALONE) -> dict[str, str]:
    """Facts by name; equal facts on one machine give equal bytes."""
    told = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "precision": precision,
        "threads": str(torch.get_num_threads()),
        "processes": str(processes.world),
        "processor": processor(),
        "instructions": instructions(),
        "torch": torch.__version__,
        "gancore": gancore.__version__,
    }
    return told | {name: os.environ[name] for name in LIMITS if os.environ.get(name)}


def processor() -> str:
    """The processor's name as the system gives it."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def maker() -> str:
    """The processor's maker as it names itself: GenuineIntel, AuthenticAMD; empty where Linux doesn't say."""
    return _cpuinfo("vendor_id")


def _cpuinfo(key: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except (OSError, ValueError):
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def instructions() -> str:
    """The vector instructions that torch uses, and what is there for bf16: ``AVX512 amx_bf16``."""
    able = torch.cpu.get_capabilities()
    more = [name for name in INSTRUCTIONS if able.get(name)]
    return " ".join([torch.backends.cpu.get_cpu_capability(), *more])


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """``["threads 1 -> 2"]``: what both name and what differs, or what only one names."""
    names = [*before, *(name for name in now if name not in before)]
    return [
        f"{name} {before.get(name, 'not set')} -> {now.get(name, 'not set')}"
        for name in names
        if before.get(name) != now.get(name)
    ]
