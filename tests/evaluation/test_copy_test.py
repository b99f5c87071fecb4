"""A generator that gives train rows back is told; one that gives others is not, be they ever so smooth."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch
from scipy.stats import f, kstest

from gancore.metrics.distances import nearest
from gancore.metrics.memorization import NEIGHBOURS, SIGNIFICANCE, CopyTest, copy_test, nearest_gap
from gancore.random import Key

DIMENSION = 16


def rows(n: int, *path: int | str) -> torch.Tensor:
    return Key.of("copying", *path).normal(n, DIMENSION)


TRAIN, HELD_OUT = rows(2000, "train"), rows(300, "held out")


def verdict(
    samples: torch.Tensor, held_out: torch.Tensor = HELD_OUT, train: torch.Tensor = TRAIN
) -> CopyTest:
    near = min(NEIGHBOURS, len(train))
    distances, found = nearest(samples, train, near)
    return copy_test(distances, nearest(held_out, train, near)[0], found[:, 0])


def test_train_rows_are_copies():
    found = verdict(TRAIN[:16])
    assert found.significant and found.n_near == found.n == 16
    assert found.summary().startswith("a sign of copies: 16 of 16 samples")


def test_train_rows_with_a_little_noise_are_copies():
    assert verdict(TRAIN[:16] + 0.1 * rows(16, "noise")).significant


def test_a_few_copies_among_many_samples_are_told():
    found = verdict(torch.cat([TRAIN[:40], rows(160, "others")]))
    assert found.significant and 40 <= found.n_near < 50


def test_rows_like_the_held_out_ones_are_none():
    found = verdict(rows(200, "fresh"))
    assert found.significant is False and found.n_near < 10
    assert found.summary().startswith("no sign of copies")


def test_smooth_samples_are_nearer_than_real_rows_and_yet_no_copies():
    """What shrinks towards the middle is near to everything: plain distances would call it memory."""
    found = verdict(0.3 * rows(200, "fresh"))
    assert found.nearer_share > 20 * found.level and not found.significant


@pytest.mark.parametrize("d", [8, 64])
@pytest.mark.parametrize("scale", [0.5, 0.75])
def test_samples_that_shrink_towards_the_mean_are_no_copies(d, scale):
    """In many dimensions they are near to a few rows of train, which are in the middle too."""
    key = Key.of("shrunken", d)
    train, held_out, fresh = ((key / name).normal(1500, d) for name in ("train", "held out", "fresh"))
    found = verdict(scale * fresh, held_out, train)
    assert not found.significant and found.n_near < 0.03 * found.n


def test_one_sample_over_and_over_is_no_copy_of_train():
    assert not verdict(rows(1, "mode").expand(100, -1)).significant


def test_samples_that_are_near_to_the_same_row_count_as_one():
    """All lie at one spot that is near by chance: so do one in a hundred modes, of however many samples."""
    spot = HELD_OUT[nearest_gap(nearest(HELD_OUT, TRAIN, NEIGHBOURS)[0]).argmax()]
    found = verdict(spot.expand(200, -1))
    assert found.n_near == 200 and found.p_value > 0.005


def test_a_few_rows_of_train_over_and_over_are_copies():
    found = verdict(TRAIN[:5].repeat(40, 1))
    assert found.significant and found.n_near == 200


@pytest.mark.slow
def test_false_alarms_are_as_rare_as_is_said():
    """Over 400 sets of samples and of held-out rows, all of one law."""
    distances, found = nearest(rows(400 * 72, "many"), TRAIN, NEIGHBOURS)
    parts = zip(distances.view(400, 72, NEIGHBOURS), found[:, 0].view(400, 72), strict=True)
    alarms = sum(bool(copy_test(part[:32], part[32:], near[:32]).significant) for part, near in parts)
    assert alarms <= 400 * SIGNIFICANCE + 3 * (400 * SIGNIFICANCE) ** 0.5


def test_the_chance_is_that_of_all_orders():
    """2 samples among 199 rows: of C(201, 2) placements, those with as many before the second row."""
    n, m, q = 2, 199, 2
    held_out = crowd(torch.arange(1.0, m + 1))
    for near in range(n + 1):
        fake = crowd(torch.tensor([0.5] * near + [999.0] * (n - near)))
        found = copy_test(fake, held_out, torch.arange(n))
        places = list(combinations(range(n + m), n))
        others = [[place for place in range(n + m) if place not in chosen][q - 1] for chosen in places]
        hits = [sum(place < t for place in chosen) >= near for chosen, t in zip(places, others, strict=True)]
        assert found.n_near == near and found.level == pytest.approx(q / (m + 1))
        assert found.p_value == pytest.approx(sum(hits) / len(hits))


def crowd(first: torch.Tensor) -> torch.Tensor:
    """Distances of which only the nearest differ."""
    others = torch.tensor([1000.0, 2000.0, 3000.0]).expand(len(first), -1)
    return torch.cat([first[:, None], others], 1).double()


def test_the_gap_by_hand():
    """log 2 / mean(2 log 2, 3 log(5/4)); infinite of a copy, of rows that repeat too; 0 among equals."""
    distances = torch.tensor(
        [
            [1.0, 2.0, 4.0, 5.0],
            [0.0, 2.0, 4.0, 5.0],
            [0.0, 0.0, 4.0, 5.0],
            [3.0, 3.0, 3.0, 3.0],
            [1.0, 1.0, 2.0, 3.0],
        ]
    ).double()
    found = nearest_gap(distances)
    assert float(found[0]) == pytest.approx(2 * math.log(2) / (2 * math.log(2) + 3 * math.log(5 / 4)))
    assert found[1:4].tolist() == [math.inf, math.inf, 0.0]
    assert float(found[4]) == pytest.approx(math.log(2) / ((2 * math.log(2) + 3 * math.log(1.5)) / 2))
    torch.testing.assert_close(nearest_gap(7 * distances), found)


@pytest.mark.parametrize("d", [3, 12])
def test_gaps_of_a_uniform_law_are_those_of_exponential_ones(d):
    """All of j log(d_{j+1} / d_j) are exponential with one mean: the ratio is F(2, 2 * 48), for any D."""
    key = Key.of("uniform", d)
    train, middle = (key / "train").uniform(4000, d), 0.4 + 0.2 * (key / "x").uniform(1500, d)
    found = nearest_gap(nearest(middle, train, NEIGHBOURS)[0])
    assert kstest(found.numpy(), f(2, 2 * (NEIGHBOURS - 2)).cdf).pvalue > 0.001


def test_what_cannot_be_told_is_not_told():
    near = nearest(TRAIN[:4], TRAIN, NEIGHBOURS)[0]
    assert "no held-out rows" in copy_test(near, near[:0], torch.arange(4)).undecided
    assert "fewer than 3 rows" in verdict(TRAIN[:4], train=TRAIN[:2]).undecided
    twins = verdict(TRAIN[:16], torch.cat([TRAIN[:60], HELD_OUT]))
    assert "stand in train" in twins.undecided and twins.significant is None
    assert twins.n_equal == 60 and twins.n_near == 16 and twins.p_value < 1e-6
    assert twins.summary().startswith("the copy test is undecided") and "60 of " in twins.summary()


def test_few_held_out_rows_are_not_enough_for_an_alarm():
    """16 copies and one held-out row: the order of 17 values has one chance in 17 to be this."""
    found = verdict(TRAIN[:16], HELD_OUT[:1])
    assert found.p_value == pytest.approx(1 / 17) and not found.significant
