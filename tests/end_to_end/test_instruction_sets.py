"""Resumed equals undisturbed, byte for byte, under every instruction set that this processor has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "stop_and_resume.py"
SETS = {  # oneDNN's name, and what the processor calls the extension that it adds
    "AVX2": "avx2",
    "AVX512_CORE": "avx512bw",
    "AVX512_CORE_BF16": "avx512_bf16",
    "AVX512_CORE_AMX": "amx_bf16",
}


def extensions() -> set[str]:
    """Flags of the processor, as Linux has them; elsewhere none is known."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    return {flag for line in lines if line.startswith("flags") for flag in line.split(":")[1].split()}


AT_HAND = [name for name, extension in SETS.items() if extension in extensions()]
QUICK = {*AT_HAND[:1], *AT_HAND[-1:]}


@pytest.mark.parametrize(
    "instructions", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.long) for name in AT_HAND]
)
def test_a_resumed_run_is_the_undisturbed_one_under(instructions, tmp_path):
    env = {**os.environ, "ONEDNN_MAX_CPU_ISA": instructions, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(PROGRAM), str(tmp_path)]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line.endswith(("equal", "differs"))]
    assert {domain for domain, *_ in lines} == {"audio", "image", "synthetic"}
    assert [recipe for _, recipe, _, verdict in lines if verdict != "equal"] == []
    if instructions in ("AVX2", "AVX512_CORE"):
        assert {precision for _, _, precision, _ in lines} == {"fp32"}
