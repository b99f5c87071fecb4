"""Labels as numbers, and what recipes are told of them."""

from __future__ import annotations

import pytest
import torch
from refusals import refused

from gancore.data.classes import class_facts, classes_judged, classes_told, numbered
from gancore.domain import Spec
from gancore.errors import ConfigError

NAMES = ["dog", "cat", "cow"]


def test_labels_are_numbered_in_the_order_of_the_classes():
    numbers = numbered(["cow", "dog", "cow", "cat"], NAMES)
    assert numbers.tolist() == [2, 0, 2, 1] and numbers.dtype == torch.int64
    assert numbered([], NAMES).dtype == torch.int64


def test_without_classes_nothing_is_numbered_and_nothing_told():
    assert numbered([None, None], []) is None and class_facts([], None) == {}


def test_shares_are_those_of_train_and_a_class_without_a_row_has_none():
    facts = class_facts(NAMES, torch.tensor([0, 1, 0, 0]))
    assert facts == {"classes": NAMES, "class_shares": [0.75, 0.25, 0.0]}


def test_networks_are_told_the_labels_only_where_a_recipe_is_conditional():
    spec = Spec({"classes": NAMES})
    assert classes_told(True, spec) == 3 and classes_told(False, spec) == 0
    assert classes_told(False, Spec({})) == 0


@pytest.mark.parametrize("facts", [{}, {"classes": []}, {"classes": None}])
def test_a_conditional_recipe_needs_labels(facts):
    with refused(ConfigError, "labels", fix="data.labels"):
        classes_told(True, Spec(facts))


@pytest.mark.parametrize("count", [0, 1])
def test_a_judge_needs_two_labels(count):
    assert classes_judged(Spec({"classes": NAMES})) == 3
    with refused(ConfigError, "classifier", count, fix="data.labels"):
        classes_judged(Spec({"classes": NAMES[:count]}))
