"""A mistaken Python argument is one line that names it and the fix, in every verb."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gancore
from gancore import api
from gancore.arguments import ARGUMENT_TYPES
from gancore.errors import ConfigError, GancoreError

VERBS = [getattr(api, name) for name in api.__all__ if inspect.isfunction(getattr(api, name))]
FREE = {"steps", "samples", "time", "settings", "origin"}
"""Budgets are checked with the configuration; an origin comes from ``read_origin``, which checks it."""


@pytest.mark.parametrize(
    ("verb", "arguments", "said"),
    [
        ("train", {"devices": 0}, "devices"),
        ("train", {"devices": True}, "devices"),
        ("train", {"step": 2}, "did you mean 'steps'"),
        ("train", {"overrides": "model.width=8"}, "overrides"),
        ("train", {"overrides": [3]}, "overrides"),
        ("train", {"progress": "loud"}, "live, plain"),
        ("train", {"domain": "toy", "data": np.zeros(3)}, "data has shape (3,)"),
        ("train", {"data": [0.0]}, "data is a list"),
        ("train", {"seed": -1}, "seed"),
        ("train", {"force": "yes"}, "force"),
        ("generate", {"model": "x", "n": 0}, "n is 0"),
        ("generate", {"model": "x", "n": 2.5}, "n is 2.5"),
        ("generate", {"model": None}, "model"),
        ("generate", {}, "model"),
        ("generate", {"model": "x", "interpolate": 1}, "interpolate"),
        ("neighbours", {"model": "x", "k": 0}, "k is 0"),
        ("evaluate", {"model": "x", "metrics": "frechet"}, "metrics"),
        ("evaluate", {"model": "x", "metrcs": ["frechet"]}, "did you mean 'metrics'"),
        ("compare", {"domain": "toy", "recipes": "a,b"}, "recipes"),
        ("compare", {"domain": "toy", "seeds": 0}, "seeds"),
        ("animate", {"run": 3}, "run is 3"),
        ("load", {"model": 3}, "model is 3"),
    ],
)
def test_a_mistake_is_one_line(verb, arguments, said):
    with pytest.raises(ConfigError) as error:
        getattr(gancore, verb)(**arguments)
    assert said in str(error.value) and error.value.fix
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
def test_every_argument_of_every_verb_is_checked(verb):
    assert inspect.signature(verb).parameters.keys() - ARGUMENT_TYPES.keys() <= FREE


def test_what_numpy_counts_is_a_number():
    with pytest.raises(ConfigError, match="no run"):
        gancore.generate("nowhere", n=np.int64(3))


@given(
    name=st.sampled_from(sorted(ARGUMENT_TYPES)),
    value=st.one_of(st.none(), st.floats(), st.binary(), st.tuples(), st.just(object), st.text()),
)
def test_whatever_is_given_is_taken_or_refused_in_one_line(name, value):
    expected = ARGUMENT_TYPES[name]
    assert expected.is_valid(value) in (True, False)
    assert issubclass(ConfigError, GancoreError) and expected.description
