"""Validates arguments of public functions: an invalid argument raises ConfigError with one line."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from numbers import Integral, Real
from types import FunctionType
from typing import Any, ParamSpec, TypeVar

from gancore.data.sources import is_array
from gancore.errors import ConfigError
from gancore.plugins.imports import is_recipe_class
from gancore.text import short_repr, suggestion

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class ArgumentType:
    """The type of an argument: a test of values and a description for messages."""

    is_valid: Callable[[Any], bool]
    description: str


def _is_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _integer(least: int) -> ArgumentType:
    return ArgumentType(
        lambda value: _is_integer(value) and value >= least, f"a whole number, {least} or more"
    )


def _are_seeds(value: Any) -> bool:
    listed = isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 0
    return listed and all(_is_integer(seed) and seed >= 0 for seed in value)


def _one_of(*choices: str) -> ArgumentType:
    return ArgumentType(lambda value: value in choices, f"one of {', '.join(choices)}")


PATH = ArgumentType(
    lambda value: isinstance(value, str | os.PathLike), "a path or a name, as text or pathlib.Path"
)
DATA = ArgumentType(
    lambda value: PATH.is_valid(value) or is_array(value),
    "a path or a name, or rows as a tensor, a numpy array or a torch Dataset",
)
RECIPE = ArgumentType(
    lambda value: isinstance(value, str) or is_recipe_class(value), "a name or a subclass of gancore.Recipe"
)
GAME = ArgumentType(
    lambda value: isinstance(value, str | type | FunctionType),
    "a name, a subclass of gancore.games.AdversarialGame, or a function build(spec) that returns a game",
)
TEXT = ArgumentType(lambda value: isinstance(value, str), "text")
NUMBER = ArgumentType(lambda value: isinstance(value, Real) and not isinstance(value, bool), "a number")
SWITCH = ArgumentType(lambda value: isinstance(value, bool), "True or False")
TEXT_LIST = ArgumentType(
    lambda value: (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and all(isinstance(item, str) for item in value)
    ),
    'a list of texts, as ["a", "b"]',
)
NUMBER_LIST = ArgumentType(
    lambda value: (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and all(isinstance(item, Real) and not isinstance(item, bool) for item in value)
    ),
    "a list of numbers, as [0.8, 1.0]",
)
TEXTS = ArgumentType(
    lambda value: TEXT.is_valid(value) or TEXT_LIST.is_valid(value), "a name or a list of names"
)
SEEDS = ArgumentType(
    lambda value: (_is_integer(value) and value >= 1) or _are_seeds(value),
    "how many, 1 or more, or a list of seeds",
)
CALLABLE = ArgumentType(callable, "a function of one line of text")

ARGUMENT_TYPES: Mapping[str, ArgumentType] = {
    "data": DATA,
    **dict.fromkeys(("model", "run", "data_root", "out", "resume", "init_from"), PATH),
    **dict.fromkeys(("config", "base", "folder"), PATH),
    "recipe": RECIPE,
    "game": GAME,
    **dict.fromkeys(
        ("domain", "label", "infill", "prompt", "feature_extractor", "split", "device", "precision"), TEXT
    ),
    **dict.fromkeys(("select",), TEXT),
    **dict.fromkeys(("overrides", "recipes", "metrics", "grid"), TEXT_LIST),
    **dict.fromkeys(("n", "k", "devices", "jobs", "batch_size", "columns"), _integer(1)),
    **dict.fromkeys(("seed", "evaluation_seed"), _integer(0)),
    **dict.fromkeys(("step",), _integer(0)),
    **dict.fromkeys(("interpolate",), _integer(2)),
    **dict.fromkeys(("truncation", "temperature"), NUMBER),
    **dict.fromkeys(
        ("force", "strict_plugins", "each_label", "overwrite", "update_card", "deterministic"), SWITCH
    ),
    "seeds": SEEDS,
    "formats": TEXTS,
    "temperatures": NUMBER_LIST,
    "form": _one_of("onnx", "torch"),
    **dict.fromkeys(("private",), SWITCH),
    **dict.fromkeys(("name", "revision"), TEXT),
    "progress": _one_of("live", "plain", "json", "none"),
    "announce": CALLABLE,
}
"""Types by argument name, which has one meaning in all functions; others are validated at their use."""


def validate_arguments(verb: Callable[P, R]) -> Callable[P, R]:
    """Wrap ``verb`` so that it raises ConfigError if an argument is unknown, missing or of the wrong type.

    None is allowed for arguments whose default it is.
    """
    return _validated(verb, {})


def validate_arguments_with(settings: Callable[..., Any]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """As :func:`validate_arguments`, for a function that passes ``**settings`` to ``settings``."""
    return lambda verb: _validated(verb, inspect.signature(settings).parameters)


def _validated(verb: Callable[P, R], settings: Mapping[str, inspect.Parameter]) -> Callable[P, R]:
    known = _named(inspect.signature(verb).parameters) | _named(settings)

    @wraps(verb)
    def call(*arguments: P.args, **options: P.kwargs) -> R:
        unknown = [name for name in options if name not in known]
        if unknown:
            raise ConfigError(
                f"{verb.__name__} has no argument {unknown[0]!r}", suggestion(unknown[0], known)
            )
        for name, value in _bound(verb, arguments, options).items():
            if name in ARGUMENT_TYPES and not (value is None and known[name].default is None):
                _check(name, value)
        return verb(*arguments, **options)

    return call


def _named(parameters: Mapping[str, inspect.Parameter]) -> dict[str, inspect.Parameter]:
    return {name: each for name, each in parameters.items() if each.kind is not each.VAR_KEYWORD}


def _bound(verb: Callable[..., Any], arguments: Any, options: Any) -> dict[str, Any]:
    """The arguments by name, including those of ``**settings``."""
    try:
        bound = inspect.signature(verb).bind(*arguments, **options)
    except TypeError as error:
        raise ConfigError(f"{verb.__name__}: {error}", f"see help(gancore.{verb.__name__})") from None
    names: dict[str, Any] = dict(bound.arguments)
    settings: dict[str, Any] = names.pop("settings", {})
    return names | settings


def _check(name: str, value: Any) -> None:
    expected = ARGUMENT_TYPES[name]
    if not expected.is_valid(value):
        what = (
            short_repr(value) if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"
        )
        raise ConfigError(f"{name} is {what}", f"give {expected.description}")
