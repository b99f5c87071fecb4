"""Measures the time of a Frechet distance and the memory of metrics with k-NN balls.

    python benchmarks/measures.py

Frechet: the best time of three for 2 x 10,000 x 2,048 float32 features, including statistics, and the
difference from the value of torch-fidelity. k-NN: precision, recall, density and coverage of 2 x 20,000 x
512, in a process of its own; printed is its peak resident memory beyond that with the features only.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import torch

from gancore.metrics import precision_recall
from gancore.metrics.frechet import frechet_distance
from gancore.random import Key


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--neighbours", action="store_true", help=argparse.SUPPRESS)
    if parser.parse_args().neighbours:
        measure_neighbours()
        return
    measure_frechet()
    subprocess.run([sys.executable, __file__, "--neighbours"], check=True)


def features(n: int, d: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Correlated features, as those of a network."""
    key = Key.of("measures")
    mixing = (key / "mixing").normal(d, d) / d**0.5
    return (key / "real").normal(n, d) @ mixing, (key / "fake").normal(n, d) @ mixing * 1.1 + 0.1


def measure_frechet() -> None:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    real, fake = features(10_000, 2048)
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        value = frechet_distance(real, fake)
        seconds.append(time.perf_counter() - began)
    theirs = (fid_features_to_statistics(x) for x in (real, fake))
    expected = fid_statistics_to_metric(*theirs, False)["frechet_inception_distance"]
    print(f"Frechet distance, 2 x 10,000 x 2,048: {min(seconds):.2f} s on {torch.get_num_threads()} threads")
    print(f"from torch-fidelity's {expected:.6f}: {abs(value / expected - 1):.1e} relative")


def measure_neighbours() -> None:
    real, fake = features(20_000, 512)
    before = peak_megabytes()
    began = time.perf_counter()
    values = {
        name: getattr(precision_recall, name)(real, fake)
        for name in ("precision", "recall", "density", "coverage")
    }
    seconds, beyond = time.perf_counter() - began, peak_megabytes() - before
    result = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
    print(
        f"k-NN measures, 2 x 20,000 x 512: {beyond:,.0f} MB beyond {before:,.0f}, {seconds:.0f} s ({result})"
    )


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
