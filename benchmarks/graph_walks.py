"""Walks a second: all walks of a batch at once (gancore_graph), and a compiled loop over walks (numba).

python benchmarks/graph_walks.py [--nodes 100000] [--batch 200000] [--length 16] [--repeats 5]

A power-law graph of six edges a node is made; both walk on its rows from the same starts, on one core, in
turns; processor time of the fastest turn each. Numba draws from its own generator, into int64 as here.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numba
import numpy as np
import torch
from gancore_graph.walks import Walker
from power_law import power_law_graph

from gancore.random import Key


@numba.njit
def walk_one_by_one(starts, neighbours, first, length, seed):
    np.random.seed(seed)
    walks = np.empty((len(first), length), np.int64)
    for row in range(len(first)):
        node = first[row]
        walks[row, 0] = node
        for at in range(1, length):
            start = starts[node]
            node = neighbours[start + int(np.random.random() * (starts[node + 1] - start))]
            walks[row, at] = node
    return walks


def fastest(function: Callable[[int], object], repeats: int) -> float:
    """Processor seconds of the fastest of some calls."""
    times = []
    for number in range(repeats):
        began = time.process_time()
        function(number)
        times.append(time.process_time() - began)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (("nodes", 100_000), ("batch", 200_000), ("length", 16), ("repeats", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    torch.set_num_threads(1)
    edges = torch.from_numpy(power_law_graph(given.nodes, 6 * given.nodes))
    walker = Walker(edges, given.nodes)
    first = Key.of("first").integers(given.nodes, given.batch)
    starts, neighbours, origins = (x.numpy() for x in (walker.starts, walker.neighbours, first))
    walk_one_by_one(starts, neighbours, origins[:10], given.length, 0)  # compiles
    loop, ours = [], []
    for _ in range(given.repeats):
        loop.append(fastest(lambda n: walk_one_by_one(starts, neighbours, origins, given.length, n), 1))
        ours.append(fastest(lambda n: walker.uniform(first, given.length, Key.of("walk", n)), 1))
    biased = fastest(lambda n: walker.biased(first, given.length, Key.of("walk", n), 0.5, 2.0), 1)
    print(f"{given.nodes:,} nodes, {len(edges):,} edges, {given.batch:,} walks of {given.length}, one core")
    rates = [given.batch / seconds / 1e6 for seconds in (min(ours), min(loop), biased)]
    print(f"at once   {rates[0]:6.2f} M walks/s")
    print(f"one by one{rates[1]:6.2f} M walks/s (numba)")
    print(f"ratio     {rates[0] / rates[1]:6.2f}")
    print(f"p .5, q 2 {rates[2]:6.2f} M walks/s")


if __name__ == "__main__":
    main()
