"""Measures the wall-clock time of ``gancore train --time S`` for every recipe of audio and image.

Each recipe is a process of its own, so that imports and reading data count. A line is appended to the file
for each recipe; recipes in the file are not run again. Target: wall-clock time is at most 1.3 times the
requested time. ``waited`` are the seconds in which the main thread was ready and other programs had the
processor (Linux); if it is large, the wall-clock time is that of a busy machine.

    python benchmarks/wall_time.py wall_time.jsonl --seconds 60 [--only audio/specgan,image/r3]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from gancore.summaries import list_recipes

SETTINGS = {"audio": ["data.length=16384"], "image": ["data.image_size=64", "data.source=digits"]}
"""The built-in percussion, and pictures of 64 pixels."""
LIMIT = 10
"""A run is ended after this multiple of the requested time."""
REFUSED = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--only", default="", help="domain/recipe, separated by commas")
    options = parser.parse_args()
    done = {(line["recipe"], line["asked"]) for line in read(options.file)}
    for name in names(options.only):
        if (name, options.seconds) not in done:
            line = measure(name, options.seconds)
            with options.file.open("a") as file:
                file.write(json.dumps(line) + "\n")
    print(table([line for line in read(options.file) if line["asked"] == options.seconds]))


def names(only: str) -> list[str]:
    every = [f"{domain}/{recipe.name}" for domain in SETTINGS for recipe in list_recipes(domain)]
    return [name for name in every if not only or name in only.split(",")]


def read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def measure(name: str, seconds: float) -> dict[str, Any]:
    """One training in a process and a folder of its own."""
    domain, recipe = name.split("/")
    words = ["train", "--domain", domain, "--recipe", recipe, "--time", f"{seconds:g}s", "--json"]
    words += [word for setting in SETTINGS[domain] for word in ("--set", setting)]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "gancore", *words, "--out", f"{folder}/run"]
        began, before = time.perf_counter(), processor_seconds()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        waited = WaitingTime(process.pid)
        out, err = process.communicate(timeout=LIMIT * seconds)
        wall = time.perf_counter() - began
    result = {} if process.returncode else json.loads(out.splitlines()[-1])
    errors = err.strip().splitlines()
    return {
        "recipe": name,
        "asked": seconds,
        "wall": round(wall, 1),
        "processor": round(processor_seconds() - before, 1),
        "waited": round(waited.seconds, 1),
        "steps": result.get("step"),
        "trained": result.get("seconds"),
        "spent": result.get("spent", {}),
        "refused": errors[-1] if process.returncode == REFUSED and errors else "",
        "failed": errors[-1] if process.returncode not in (0, REFUSED) and errors else "",
    }


def processor_seconds() -> float:
    """Processor seconds of child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class WaitingTime(threading.Thread):
    """Measures the seconds that the main thread of a process waits for a processor; 0 except on Linux."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._file, self.seconds = Path(f"/proc/{pid}/schedstat"), 0.0
        self.start()

    def run(self) -> None:
        with contextlib.suppress(OSError, IndexError):  # the process has ended
            while True:
                self.seconds = int(self._file.read_text().split()[1]) / 1e9
                time.sleep(0.1)


def table(lines: list[dict[str, Any]]) -> str:
    """Markdown."""
    columns = ["recipe", "asked, s", "wall, s", "wall / asked", "processor, s", "waited, s", "steps"]
    columns += ["trained, s", "looks, s", "timing, s"]
    rows = ["| " + " | ".join(columns) + " | |", "|---|" + "---:|" * (len(columns) - 1) + "---|"]
    for line in lines:
        spent = line["spent"]
        looks = spent.get("evaluation", 0.0) + spent.get("previews", 0.0)
        trained = "" if line["trained"] is None else f"{line['trained']:.0f}"
        ratio = line["wall"] / line["asked"]
        rows.append(
            f"| {line['recipe']} | {line['asked']:g} | {line['wall']:.0f} | {ratio:.2f} "
            f"| {line['processor']:.0f} | {line['waited']:.0f} | {line['steps'] or ''} "
            f"| {trained} | {looks:.1f} | {spent.get('timing', 0.0):.1f} "
            f"| {line['refused'] or line['failed']} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    main()
