"""Public functions validate their arguments: a mistake is one line that names the argument and the fix."""

from __future__ import annotations

import inspect

import pytest

import gancore
from gancore import summaries
from gancore.errors import ConfigError

FUNCTIONS = [getattr(gancore, name) for name in gancore.__all__ if inspect.isfunction(getattr(gancore, name))]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_every_public_function_validates_its_arguments(function):
    assert hasattr(function, "__wrapped__")


@pytest.mark.parametrize(
    ("function", "arguments", "named"),
    [
        ("list_runs", {"folder": 3}, "folder is 3"),
        ("list_models", {"folder": 3}, "folder is 3"),
        ("list_models", {"domain": 3}, "domain is 3"),
        ("list_recipes", {"domain": 3}, "domain is 3"),
        ("list_recipes", {"domains": "toy"}, "did you mean 'domain'"),
    ],
)
def test_a_wrong_argument_is_one_line(function, arguments, named):
    with pytest.raises(ConfigError) as error:
        getattr(gancore, function)(**arguments)
    assert named in str(error.value) and error.value.fix
    assert "\n" not in str(error.value)


def test_summaries_are_classes():
    for name in ("RunSummary", "ModelSummary", "RecipeSummary", "KeySummary"):
        assert isinstance(getattr(summaries, name), type)
