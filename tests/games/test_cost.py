"""A cost is a sum of weighted means, and what its mask leaves out cannot harm it."""

import pytest
import torch
from refusals import refused

from gancore.errors import ConfigError
from gancore.games import Cost

VALUES = torch.tensor([[1.0, 2.0], [3.0, float("nan")]], requires_grad=True)
MASK = torch.tensor([[1, 1], [1, 0]])


def test_terms_are_scaled_means_and_what_is_seen_adds_nothing():
    cost = Cost().add("one", torch.tensor([1.0, 3.0])).add("two", torch.tensor([5.0, 7.0]), scale=0.5)
    assert cost.log("seen", torch.tensor([100.0])).total().item() == 2.0 + 0.5 * 6.0
    weights = torch.tensor([3.0, 1.0])
    assert Cost().add("weighed", torch.tensor([1.0, 5.0]), mask=weights).total().item() == 2.0


@pytest.mark.parametrize("again", ["add", "log", "keep"])
@pytest.mark.parametrize("first", ["add", "log", "keep"])
def test_two_values_of_one_name_are_refused_whoever_gives_them(first, again):
    """A logged value of a term's name would replace the divisor of the term."""
    cost = Cost()
    getattr(cost, first)("one", torch.ones(2))
    with refused(ConfigError, "one"):
        getattr(cost, again)("one", torch.ones(2))


def test_padding_may_hold_anything():
    total = Cost().add("loss", VALUES, mask=MASK).total()
    assert total.item() == 2.0
    assert torch.allclose(torch.autograd.grad(total, VALUES)[0], MASK / 3)


def test_a_mask_that_is_empty_everywhere_makes_a_term_of_nothing():
    total = Cost().add("loss", VALUES, mask=torch.zeros(2, 2)).total()
    assert total.item() == 0.0
    assert not torch.autograd.grad(total, VALUES)[0].any()


def test_means_are_taken_in_full_precision_and_one_mask_a_row_weighs_every_entry_of_it():
    ones = torch.ones(1000, 3, dtype=torch.bfloat16)
    cost = Cost().add("rows", ones, mask=torch.arange(1000)[:, None] < 999).add("all", ones)
    assert cost.total().dtype is torch.float32 and cost.total().item() == 2.0
    assert cost.terms["rows"].mask_total.item() == 3 * 999


def test_what_is_kept_is_a_mean_over_rows_by_position_and_no_part_of_cost_or_log():
    values = torch.tensor([[1.0, 5.0, float("nan")], [3.0, float("inf"), 0.0]], requires_grad=True)
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    cost = Cost().add("loss", torch.ones(2)).keep("by position", values, mask).keep("all", torch.eye(2))
    total, count = cost.kept["by position"]
    assert total.tolist() == [4.0, 5.0, 0.0] and count.tolist() == [2.0, 1.0, 0.0]
    assert [tensor.tolist() for tensor in cost.kept["all"]] == [[1.0, 1.0], [2.0, 2.0]]
    assert cost.total().item() == 1.0 and list(cost.logged) == ["loss"]
    assert not total.requires_grad
