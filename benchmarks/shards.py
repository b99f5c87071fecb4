"""Measures 300,000 small pictures in shards: the first and the second opening, memory, and speed of training.

    python benchmarks/shards.py [FOLDER] [--pictures 300000] [--format tar] [--channels 1] [--pairs 40]

Makes shards of 1,000 PNG pictures with labels in FOLDER (default: a temporary folder) unless they are there:
``tar`` with members KEY.png and KEY.cls, or ``parquet`` as the library datasets writes it. Every measurement
is a process of its own with one thread:

- ``first``: the data are opened with an empty cache: shards are indexed, pictures inspected and decoded;
- ``again``: they are opened from the cache;
- ``training``: steps of ``dcgan-lite``, and batches alone, in turns from the memory-mapped cache and from a
  copy in memory; the ratio of successive ones, median and quartiles.

Memory is the largest RssAnon, and the largest RSS, which also counts mapped pages of the cache and of
libraries that the system may drop (Linux only).
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from streaming_memory import Watch

SIDE, CLASSES, PER_SHARD, BATCH, BATCHES = 32, 10, 1_000, 64, 50
BAR_MEGABYTES, BAR_RATIO = 1024, 1.1
Picture = tuple[str, bytes, int]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--pictures", type=int, default=300_000)
    parser.add_argument("--format", choices=("tar", "parquet"), default="tar")
    parser.add_argument("--channels", type=int, choices=(1, 3), default=1)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--measure", choices=("first", "again", "training"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(training(options) if options.measure == "training" else opening(options.folder)))
        return
    with tempfile.TemporaryDirectory() as work:
        options.folder = options.folder or Path(work) / "shards"
        began = time.perf_counter()
        if not options.folder.exists():
            make(options)
            print(f"made: {time.perf_counter() - began:.0f} s")
        for name in ("first", "again", "training"):
            print(f"{name}: {json.dumps(measured(name, options, Path(work) / 'cache'))}", flush=True)
    print(f"bars: {BAR_MEGABYTES} MB, ratio {BAR_RATIO}")


def measured(name: str, options: argparse.Namespace, cache: Path) -> dict[str, float]:
    command = [sys.executable, __file__, str(options.folder), "--measure", name]
    environment = os.environ | {"GANCORE_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    command += ["--pairs", str(options.pairs)]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


# Shards -----------------------------------------------------------------------------------------


def make(options: argparse.Namespace) -> None:
    """Write the shards, complete or not at all."""
    aside = options.folder.with_name(f"{options.folder.name}.part")
    aside.mkdir(parents=True)
    for shard, first in enumerate(range(0, options.pictures, PER_SHARD)):
        rows = list(pictures(first, min(PER_SHARD, options.pictures - first), options.channels))
        write = write_tar if options.format == "tar" else write_parquet
        write(aside / f"train-{shard:05d}.{options.format}", rows)
    aside.rename(options.folder)


def pictures(first: int, count: int, channels: int) -> Iterator[Picture]:
    """Soft discs of random place, size, colour and brightness on noise; labels are sectors of the centre."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(first)
    centre = random.uniform(4, SIDE - 4, (count, 2, 1, 1))
    radius = random.uniform(2, 10, (count, 1, 1))
    rows, columns = np.mgrid[:SIDE, :SIDE]
    distance = np.hypot(rows - centre[:, 0], columns - centre[:, 1])
    disc = 1 / (1 + np.exp(distance - radius))
    colour = random.uniform(80, 255, (count, 1, 1, channels))
    levels = disc[..., None] * colour + random.integers(0, 16, (count, SIDE, SIDE, channels))
    pixels = levels.clip(0, 255).astype(np.uint8)
    angle = np.arctan2(*(centre[:, :, 0, 0] - SIDE / 2).T)
    labels = ((angle / (2 * np.pi) + 0.5) * CLASSES).astype(int) % CLASSES
    for number in range(count):
        file = io.BytesIO()
        picture = pixels[number] if channels == 3 else pixels[number, :, :, 0]
        Image.fromarray(picture).save(file, "PNG", compress_level=1)
        yield f"{first + number:06d}", file.getvalue(), int(labels[number])


def write_tar(path: Path, rows: list[Picture]) -> None:
    with tarfile.open(path, "w") as tar:
        for key, content, label in rows:
            for extension, data in (("cls", str(label).encode()), ("png", content)):
                entry = tarfile.TarInfo(f"{key}.{extension}")
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))


def write_parquet(path: Path, rows: list[Picture]) -> None:
    import pyarrow
    from pyarrow import parquet

    images = [{"bytes": content, "path": f"{key}.png"} for key, content, _ in rows]
    table = pyarrow.table({"image": images, "label": [label for *_, label in rows]})
    parquet.write_table(table, path, row_group_size=100)


# Measurements -----------------------------------------------------------------------------------


def opening(folder: Path) -> dict[str, float]:
    import torch  # noqa: F401 - not part of the opening
    from gancore_image.config import ImageConfig
    from gancore_image.dataset import open_images

    from gancore.data.sources import Source

    watch, began, processor = Watch(), time.perf_counter(), time.process_time()
    data = open_images(Source("shards", folder), ImageConfig())
    seconds, processor = time.perf_counter() - began, time.process_time() - processor
    return {
        "pictures": sum(map(len, data.splits.values())),
        "wall_seconds": round(seconds, 1),
        "processor_seconds": round(processor, 1),
        **memory(watch),
    }


def memory(watch: Watch) -> dict[str, float]:
    peak_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "before_megabytes": round(watch.before),
        "peak_anonymous_megabytes": round(watch.stop()),
        "peak_rss_megabytes": round(peak_rss),
    }


def training(options: argparse.Namespace) -> dict[str, float | list[float]]:
    """Batches and steps from the cache, then the same in turns with a copy of all pictures in memory."""
    import torch
    from gancore_image.config import ImageConfig
    from gancore_image.dataset import ImageView, open_images

    from gancore.data.sources import Source
    from gancore.random import Key

    torch.set_num_threads(1)
    watch = Watch()
    data = open_images(Source("shards", options.folder), ImageConfig())
    mapped = data.view("train")
    assert isinstance(mapped, ImageView)
    order = Key.of(0, "order").integers(len(mapped), BATCHES, BATCH)
    for turn, indices in enumerate(order):
        mapped.get_batch(indices, Key.of(0, turn))
    play = step_of(mapped, data.spec)
    for _ in range(20):
        play()
    figures = memory(watch)
    copied = replace(mapped, packed=replace(mapped.packed, values=mapped.packed.values.clone()))
    steps = ratios(play, step_of(copied, data.spec), options.pairs, 4)

    def read(view: ImageView) -> Callable[[], None]:
        def batches() -> None:
            for turn, indices in enumerate(order):
                view.get_batch(indices, Key.of(0, turn))

        return batches

    rates = ratios(read(mapped), read(copied), options.pairs, 1)
    return figures | {"step_ratio": steps, "batch_ratio": rates}


def step_of(view, spec) -> Callable[[], None]:
    """A function that makes one step of the default recipe."""
    from gancore_image.dcgan_lite import DCGANLite, DCGANLiteConfig

    from gancore.training.loop import train
    from gancore.training.setup import set_up
    from gancore.training.state import TrainState

    setup = set_up(DCGANLite().build(DCGANLiteConfig(), spec), view, batch_size=BATCH, bf16=False)
    state = TrainState([10**9])

    def on_step_end(state: TrainState) -> None:
        state.stop_signal = "pause"

    def play() -> None:
        state.stop_signal = ""
        train(setup, state, on_step_end)

    return play


def ratios(mapped: Callable[[], None], copied: Callable[[], None], pairs: int, each: int) -> list[float]:
    """Processor time of work from the cache, divided by that from memory: quartiles of successive turns."""
    found = []
    for work in (mapped, copied):
        work()
    for turn in range(pairs):
        seconds = {}
        for name, work in ((0, mapped), (1, copied)) if turn % 2 else ((1, copied), (0, mapped)):
            began = time.process_time()
            for _ in range(each):
                work()
            seconds[name] = time.process_time() - began
        found.append(seconds[0] / seconds[1])
    return [round(value, 3) for value in statistics.quantiles(found, n=4)]


if __name__ == "__main__":
    main()
