"""Measures the anonymous memory of streamed data: a folder of recordings, and 10 copies of it.

    python benchmarks/streaming_memory.py [FOLDER] [--copies 10]

Each copy of a recording differs in one sample, so that memory is not saved by equal files. Every measurement
is a process of its own that opens the folder (with or without a cache) and reads 300 batches. Printed is its
largest RssAnon of /proc/self/status (Linux only).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

BATCHES, ROWS = 300, 32
BAR_MEGABYTES = 50.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, help="recordings; default: the built-in percussion")
    parser.add_argument("--copies", type=int, default=10)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    with tempfile.TemporaryDirectory() as work:
        for line in compare(options.folder, options.copies, Path(work)):
            print(line)


def compare(folder: Path | None, copies: int, work: Path) -> list[str]:
    """Lines with the measurements; the last one has the additional memory of the copies."""
    environment = os.environ | {"GANCORE_CACHE": str(work / "cache"), "OMP_NUM_THREADS": "1"}
    lines, peaks = [], {}
    for count in (1, copies):
        repeated = work / f"times-{count}"
        repeat(folder, count, repeated)
        for state in ("cache built", "cache found"):
            command = [sys.executable, __file__, "--measure", str(repeated)]
            output = subprocess.run(
                command, env=environment, check=True, capture_output=True, text=True
            ).stdout
            figures = json.loads(output.splitlines()[-1])
            peaks[state, count] = figures["peak_megabytes"]
            lines.append(f"{count:>3} times, {state}: {json.dumps(figures)}")
    more = max(peaks[state, copies] - peaks[state, 1] for state in ("cache built", "cache found"))
    verdict = "within" if more <= BAR_MEGABYTES else "OVER"
    return [
        *lines,
        f"{more:.1f} MiB more anonymous memory for {copies} times the data: {verdict} {BAR_MEGABYTES:g}",
    ]


def repeat(folder: Path | None, count: int, target: Path) -> None:
    """Write ``count`` different copies of each recording."""
    import soundfile

    target.mkdir()
    for name, samples, sample_rate_hz in _recordings(folder):
        for copy in range(count):
            samples[copy] += 1  # one quantum of 16 bits
            soundfile.write(target / f"{copy}-{name}.wav", samples, sample_rate_hz)


def _recordings(folder: Path | None):
    import numpy as np
    import soundfile
    from gancore_audio import percussion
    from gancore_audio.recordings import is_recording

    if folder is None:
        for name, _, samples in percussion.synthesize():
            yield name, (samples * 32_000).astype(np.int16), percussion.SAMPLE_RATE_HZ
        return
    for number, name in enumerate(sorted(path for path in folder.rglob("*") if is_recording(path.name))):
        samples, sample_rate_hz = soundfile.read(name, dtype="int16", always_2d=True)
        yield f"{number:06}", (samples[:, 0] // 2), sample_rate_hz


def measure(folder: Path) -> dict[str, float]:
    """Open the folder and read batches in this process, and record the largest RssAnon."""
    from gancore_audio.config import AudioConfig
    from gancore_audio.dataset import open_audio

    from gancore.data.sources import Source
    from gancore.random import Key

    watch = Watch()
    data = open_audio(Source("measured", folder), AudioConfig())
    order = Key.of(0, "order").integers(len(data.view("train")), BATCHES, ROWS)
    for step, indices in enumerate(order):
        data.view("train").get_batch(indices, Key.of(0, step))
    clips = sum(len(names) for names in data.splits.values())
    return {
        "clips": clips,
        "data_megabytes": round(data.view("train").size_mb, 1),
        "before_megabytes": round(watch.before, 1),
        "peak_megabytes": round(watch.stop(), 1),
    }


class Watch:
    """Records the largest anonymous memory of this process, 100 times a second."""

    def __init__(self) -> None:
        self.before = self.peak = anonymous_megabytes()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._done.wait(0.01):
            self.peak = max(self.peak, anonymous_megabytes())

    def stop(self) -> float:
        self._done.set()
        self._thread.join()
        return max(self.peak, anonymous_megabytes())


def anonymous_megabytes() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    raise SystemExit("this kernel does not report RssAnon")


if __name__ == "__main__":
    main()
