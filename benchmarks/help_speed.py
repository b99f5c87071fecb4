"""Times `gancore --help` as a process, with the start of the interpreter.

    python benchmarks/help_speed.py [--runs 5]

It prints the median and the range, those of the bare interpreter, and the slowest imports.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import statistics
import subprocess
import sys
import time

HELP = [sys.executable, "-m", "gancore", "--help"]
BAR_SECONDS = 0.3


def seconds_of(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def costliest_imports(count: int) -> list[tuple[float, str]]:
    """Modules with the time of their own import, in milliseconds."""
    command = [sys.executable, "-X", "importtime", *HELP[1:]]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    found = re.findall(r"^import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)$", output, re.MULTILINE)
    return sorted(((int(microseconds) / 1000, name) for microseconds, name in found), reverse=True)[:count]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    seconds_of(HELP)  # compiles modules that were not imported before
    times = [seconds_of(HELP) for _ in range(runs)]
    bare = [seconds_of([sys.executable, "-c", "pass"]) for _ in range(runs)]
    median = statistics.median(times)
    print(f"python {platform.python_version()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    print(f"gancore --help: median of {runs} {median:.3f} s ({min(times):.3f} to {max(times):.3f} s)")
    print(f"bare interpreter: median of {runs} {statistics.median(bare):.3f} s")
    for milliseconds, name in costliest_imports(8):
        print(f"  {milliseconds:6.1f} ms  {name}")
    print(f"bar: under {BAR_SECONDS} s: {'met' if median < BAR_SECONDS else 'NOT met'}")
    return 0 if median < BAR_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
