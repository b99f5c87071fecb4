"""What --search accepts, what it means, and what it refuses."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused

from gancore.config_layers import parse_override
from gancore.errors import ConfigError
from gancore.sweep.config import check_search_space, make_sweep_config
from gancore.sweep.search import Dimension, parse_dimension

keys = st.from_regex(r"(?:[a-z][\w-]*:)?[a-z]\w*\.[a-z]\w*", fullmatch=True)
words = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=8)
scalars = st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), words)
numbers = st.floats(-1e300, 1e300)
BASE = {
    **{"domain": "synthetic", "data": "ring", "recipes": {"small": "mlpgan", "flow": "realnvp"}},
    **{"overrides": [], "steps": 10, "metric": None, "seed": 0, "prune": True},
}


@st.composite
def intervals(draw):
    kind = draw(st.sampled_from(["int", "float"]))
    ends = st.integers(-(2**53), 2**53) if kind == "int" else numbers
    low, high = sorted(draw(st.lists(ends, min_size=2, max_size=2, unique=True)))
    log = draw(st.booleans()) and low > 0
    return f"{draw(keys)}={kind}({low!r},{high!r}{',log' if log else ''})", kind, low, high, log


@given(intervals())
def test_an_interval_keeps_its_ends_exactly(case):
    text, kind, low, high, log = case
    found = parse_dimension(text)
    assert (found.kind, found.low, found.high, found.log) == (kind, low, high, log)
    assert parse_dimension(str(found)) == found


@given(keys, st.lists(scalars, min_size=2, max_size=5, unique_by=json.dumps))
def test_a_choice_sets_the_value_that_was_written(key, values):
    texts = [json.dumps(value, ensure_ascii=False) for value in values]
    found = parse_dimension(f"{key}=choice({','.join(texts)})")
    assert parse_dimension(str(found)) == found
    settings = [parse_override(found.setting(choice)) for choice in found.choices]
    assert [setting.value for setting in settings] == values
    assert {".".join(setting.path) for setting in settings} == {key.rpartition(":")[2]}


@given(st.text(max_size=30))
def test_any_other_text_is_refused_in_one_line(text):
    try:
        assert isinstance(parse_dimension(text), Dimension)
    except ConfigError as error:
        assert "\n" not in str(error) and error.fix


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("model.width=16", "model.width=16"),
        ("width=int(1,2)", "int"),
        ("model.width=int(64,16)", 16),
        ("model.width=int(1.5,3)", 1.5),
        ("model.width=int(16)", "model.width=int"),
        ("model.width=int(16,64,lg)", "lg"),
        ("model.width=int(16,64,log,step=8)", "step"),
        ("model.width=int(16,64,step=100)", 48),
        ("model.lr=float(0,1,log)", "0.0"),
        ("model.lr=float(nan,1)", "nan"),
        ("model.loss=choice(hinge)", "model.loss=choice"),
        ("model.loss=choice(a,b,a)", "a"),
    ],
)
def test_each_mistake_is_named(text, named):
    with refused(ConfigError, named):
        parse_dimension(text)


@pytest.mark.parametrize(
    ("search", "changes", "named", "fix"),
    [
        (["model.wdth=int(16,64)"], {"recipes": {"small": "mlpgan"}}, "model.wdth", "width"),
        (["smal:model.width=int(16,64)"], {}, "smal", "small"),
        (["model.couplings=int(2,4)"], {}, "small", ""),  # of one recipe alone
        (["train.seed=int(0,9)"], {}, "train.seed", "--seed"),
        (["train.steps=int(10,90)"], {}, "train.steps", "--steps"),
        (["data.radius=float(1,2)"], {}, "data", "--set"),
        (["small:validation.samples=int(8,9)"], {}, "validation", "--set"),
        (["model.width=int(0,64)"], {"recipes": {"small": "mlpgan"}}, "model.width", ""),
        (["model.width=int(8,9)", "model.width=int(8,64)"], {}, "model.width", ""),
        (["model.lr=float(1,2)"], {"overrides": ["small:model.lr=1"]}, "model.lr", ""),
        ([], {}, "searched", "--search"),
    ],
)
def test_a_key_is_refused_before_the_first_trial(search, changes, named, fix):
    with refused(ConfigError, named, fix=fix):
        check_search_space(make_sweep_config(search, **{**BASE, **changes}))


def test_a_value_that_needs_another_searched_value_is_accepted():
    """16 micro-batches divide 64 examples, not 24; every end is valid with some other end."""
    search = ["model.batch_size=choice(24,64)", "model.micro_batches=choice(3,16)"]
    assert check_search_space(make_sweep_config(search, **BASE))
    with refused(ConfigError, "micro_batches"):
        check_search_space(make_sweep_config([search[0], "model.micro_batches=choice(3,7)"], **BASE))


def test_the_keys_of_one_recipe_replace_those_of_all():
    search = ["model.lr=float(1,2)", "small:model.lr=float(3,4)", "flow:model.width=int(8,9)"]
    config = make_sweep_config(search, **{**BASE, "overrides": ["flow:train.precision=fp32"]})
    small = {"recipe": "small", "small:model.lr": 3.5}
    flow = {"recipe": "flow", "model.lr": 1.5, "flow:model.width": 8}
    assert config.train_arguments(small, "nll")["overrides"] == ["model.lr=3.5", "validation.select=nll"]
    assert config.train_arguments(flow, "nll")["overrides"] == [
        *("train.precision=fp32", "model.lr=1.5", "model.width=8", "validation.select=nll")
    ]
    assert config.train_arguments(flow, "nll")["recipe"] == "realnvp"
