"""Nearest rows by products in float32 with a bound, beside all differences in float64."""

import resource
from pathlib import Path

import pytest
import torch

from gancore.metrics import distances
from gancore.metrics.distances import nearest

D = distances.MIN_COLUMNS


def brute_force(x, y, k, exclude_self=False):
    squared = torch.stack([(row - y.double()).norm(dim=1) for row in x.double()])
    if exclude_self:
        squared.fill_diagonal_(torch.inf)
    return squared.topk(k, largest=False)


def normal(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def near_ties(n, d):
    """Rows about one point at distances that differ by 1e-8 of themselves: float32 cannot order them."""
    steps = 1 + 1e-8 * torch.arange(n, dtype=torch.float64)[:, None]
    directions = torch.nn.functional.normalize(normal(n, d, 5).double(), dim=1)
    return 3 + directions * steps[torch.randperm(n, generator=torch.Generator().manual_seed(6))]


WORLDS = {
    "random": (normal(40, D, 0), normal(90, D, 1)),
    "several products": (normal(40, 2 * D + 7, 0), normal(90, 2 * D + 7, 1)),
    "far from the origin": (normal(40, D, 0) + 1e4, normal(90, D, 1) + 1e4),
    "near ties": (torch.full((3, D), 3.0, dtype=torch.float64), near_ties(90, D)),
    "nearly equal rows": (normal(40, D, 0), normal(40, D, 0).repeat(2, 1) + 1e-6 * normal(80, D, 2)),
    "one far row": (normal(40, D, 0), torch.cat([normal(89, D, 1), torch.full((1, D), 1e6)])),
    "equal rows": (normal(40, D, 0), normal(3, D, 1).repeat(30, 1)),
    "tiny": (normal(40, D, 0) * 1e-25, normal(90, D, 1) * 1e-25),
    "huge": (normal(40, D, 0).double() * 1e30, normal(90, D, 1).double() * 1e30),
}


@pytest.mark.parametrize("entries", [10**6, 700])
@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("world", WORLDS)
def test_nearest_rows_are_those_of_all_differences_in_float64(world, k, entries):
    x, y = WORLDS[world]
    found, rows = nearest(x, y, k, entries=entries)
    expected = brute_force(x, y, k)
    torch.testing.assert_close(found, expected.values, rtol=1e-13, atol=0)
    torch.testing.assert_close(
        (x.double()[:, None] - y.double()[rows]).norm(dim=2), found, rtol=1e-13, atol=0
    )
    if world != "equal rows":
        assert torch.equal(rows, expected.indices)
    assert all(len(set(chosen)) == k for chosen in rows.tolist())


def test_no_row_is_its_own_neighbour_but_its_duplicate_is():
    x = normal(60, D, 0)
    x[17] = x[3]
    found, rows = nearest(x, x, 2, exclude_self=True, entries=500)
    expected = brute_force(x, x, 2, exclude_self=True)
    torch.testing.assert_close(found, expected.values, rtol=1e-13, atol=0)
    assert rows[3, 0] == 17 and rows[17, 0] == 3 and found[3, 0] == 0


@pytest.mark.parametrize(
    "world", ["random", "several products", "far from the origin", "one far row", "tiny"]
)
def test_bounds_hold_for_every_pair(world):
    x, y = (rows.float() for rows in WORLDS[world])
    true = (x.double()[:, None] - y.double()).square().sum(2)
    for chunk in distances._lower_bounds(x, y, False, 10**6):
        lower, upper = chunk.squared.double(), (chunk.squared + chunk.tolerance).double()
        assert (lower <= true).all() and (true <= upper).all()


def test_few_rows_are_checked_where_rows_are_apart():
    x, y = WORLDS["random"]
    (chunk,) = distances._lower_bounds(x, y, False, 10**6)
    assert distances._candidates(chunk, 1)[1].sum() < 1.5 * len(x)


def test_a_search_holds_one_block_of_distances():
    """Small results kept between freed blocks would fragment the heap by all distances, 512 MB."""
    from forks import Fork

    x = normal(8000, 2, 1)
    nearest(x[:500], x, 4)

    def grow() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        nearest(x, x, 4, exclude_self=True)
        return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before > 150_000)

    assert Fork(Path.cwd(), grow, Path("/dev/null")).join() == 0
