"""A generator that gives train rows back is told; one that gives others is not, be they ever so smooth."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from gancore.evaluation.copying import ALARM, CROWD, Copying, isolation, judge
from gancore.evaluation.distances import nearest
from gancore.runtime.randomness import Key

DIMENSION = 16


def rows(n: int, *path: int | str) -> torch.Tensor:
    return Key.of("copying", *path).normal(n, DIMENSION)


TRAIN, HELD_OUT = rows(2000, "train"), rows(300, "held out")


def verdict(samples: torch.Tensor, held_out: torch.Tensor = HELD_OUT, train: torch.Tensor = TRAIN) -> Copying:
    near = min(CROWD, len(train))
    return judge(nearest(samples, train, near)[0], nearest(held_out, train, near)[0])


def test_train_rows_are_copies():
    found = verdict(TRAIN[:16])
    assert found.sign and found.near == found.n == 16
    assert found.told().startswith("a sign of copies: 16 of 16 samples")


def test_train_rows_with_a_little_noise_are_copies():
    assert verdict(TRAIN[:16] + 0.1 * rows(16, "noise")).sign


def test_a_few_copies_among_many_samples_are_told():
    found = verdict(torch.cat([TRAIN[:40], rows(160, "others")]))
    assert found.sign and 40 <= found.near < 50


def test_rows_like_the_held_out_ones_are_none():
    found = verdict(rows(200, "fresh"))
    assert found.sign is False and found.near < 10
    assert found.told().startswith("no sign of copies")


def test_smooth_samples_are_nearer_than_real_rows_and_yet_no_copies():
    """What shrinks towards the middle is near to everything: plain distances would call it memory."""
    found = verdict(0.3 * rows(200, "fresh"))
    assert found.nearer > 20 * found.level and not found.sign


def test_one_sample_over_and_over_is_no_copy_of_train():
    assert not verdict(rows(1, "mode").expand(100, -1)).sign


@pytest.mark.slow
def test_false_alarms_are_as_rare_as_is_said():
    """Over 400 sets of samples and of held-out rows, all of one law."""
    distances = nearest(rows(400 * 72, "many"), TRAIN, CROWD)[0].view(400, 72, CROWD)
    alarms = sum(bool(judge(part[:32], part[32:]).sign) for part in distances)
    assert alarms <= 400 * ALARM + 3 * (400 * ALARM) ** 0.5


def test_the_chance_is_that_of_all_orders():
    """2 samples among 199 rows: of C(201, 2) placements, those with as many before the second row."""
    n, m, q = 2, 199, 2
    held_out = torch.stack([torch.arange(1.0, m + 1), torch.full((m,), 1000.0)], 1).double()
    for near in range(n + 1):
        fake = torch.tensor([[0.5, 1000.0]] * near + [[999.0, 1000.0]] * (n - near)).double()
        found = judge(fake, held_out)
        places = list(combinations(range(n + m), n))
        others = [[place for place in range(n + m) if place not in chosen][q - 1] for chosen in places]
        hits = [sum(place < t for place in chosen) >= near for chosen, t in zip(places, others, strict=True)]
        assert found.near == near and found.level == pytest.approx(q / (m + 1))
        assert found.chance == pytest.approx(sum(hits) / len(hits))


def test_isolation_is_zero_at_a_copy_one_among_equals_and_has_no_unit():
    distances = torch.tensor([[0.0, 2.0, 4.0], [3.0, 3.0, 3.0], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]).double()
    assert isolation(distances).tolist() == [0.0, 1.0, 0.5, 0.0]
    assert torch.equal(isolation(7 * distances), isolation(distances))


def test_what_cannot_be_told_is_not_told():
    near = nearest(TRAIN[:4], TRAIN, CROWD)[0]
    assert "no held-out rows" in judge(near, near[:0]).why_not
    assert "single row" in verdict(TRAIN[:4], train=TRAIN[:1]).why_not
    twins = verdict(TRAIN[:16], torch.cat([TRAIN[:60], HELD_OUT]))
    assert "stand in train" in twins.why_not and twins.sign is None
    assert twins.told().startswith("whether samples are copies cannot be told") and "60 of " in twins.told()


def test_few_held_out_rows_are_not_enough_for_an_alarm():
    """16 copies and one held-out row: the order of 17 values has one chance in 17 to be this."""
    found = verdict(TRAIN[:16], HELD_OUT[:1])
    assert found.chance == pytest.approx(1 / 17) and not found.sign
