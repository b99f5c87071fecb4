"""The search space: what ``--search`` names, such as ``model.width=int(16,64,log)``. Imports no optuna."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gancore.config_yaml import parse_value
from gancore.errors import ConfigError
from gancore.text import short_repr
from gancore.trainings import split_key

Kind = Literal["int", "float", "choice"]
Number = int | float
FORMS = "model.width=int(16,64,log), model.lr=float(1e-4,1e-2,log) or model.loss=choice(hinge,wgan)"
_FORM = re.compile(r"\s*(?P<kind>int|float|choice)\s*\((?P<inside>.*)\)\s*", re.DOTALL)
_EXACT = 2**53
"""The largest integer up to which a float represents every integer."""


@dataclass(frozen=True)
class Dimension:
    """One searched key. ``recipe``: the only recipe that has it; None: all have it.

    Numbers lie in [low, high], at ``low + k step`` if there is a step; ``log``: uniform in the logarithm.
    ``choices`` are texts of JSON.
    """

    recipe: str | None
    key: str
    kind: Kind
    low: Number = 0
    high: Number = 0
    log: bool = False
    step: Number | None = None
    choices: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the parameter: ``model.width``, or ``wide:model.width`` if one recipe has it."""
        return self.key if self.recipe is None else f"{self.recipe}:{self.key}"

    def __str__(self) -> str:
        """The text of ``--search``; :func:`parse_dimension` is the inverse."""
        if self.kind == "choice":
            return f"{self.name}=choice({','.join(self.choices)})"
        step = [] if self.step is None else [f"step={json.dumps(self.step)}"]
        parts = [json.dumps(self.low), json.dumps(self.high), *["log"] * self.log, *step]
        return f"{self.name}={self.kind}({','.join(parts)})"

    @property
    def probes(self) -> Sequence[Number | str]:
        """Values at which the key is checked before the first trial: both ends, or all choices."""
        return self.choices if self.kind == "choice" else (self.low, self.high)

    def setting(self, value: Number | str) -> str:
        """A value of this parameter as a setting of ``--set``."""
        return f"{self.key}={value if self.kind == 'choice' else json.dumps(value)}"


def parse_dimension(text: str) -> Dimension:
    """Parse ``[NAME:]KEY=int(low,high[,log|,step=k])``, ``float(...)`` or ``choice(a,b,...)``.

    Raises:
        ConfigError: the text has another form, or the interval is empty.
    """
    where = f"--search {short_repr(text)}"
    head, equals, form = text.partition("=")
    match = _FORM.fullmatch(form)
    recipe, key = split_key(head)
    if not equals or match is None or "." not in key or not all(key.split(".")):
        raise ConfigError(f"{where}: not of the form KEY=int(...), float(...) or choice(...)", f"as {FORMS}")
    if match["kind"] == "choice":
        return Dimension(recipe, key, "choice", choices=_parse_choices(match["inside"], where))
    kind: Kind = "int" if match["kind"] == "int" else "float"
    low, high, log, step = _parse_interval(kind, match["inside"], where)
    return Dimension(recipe, key, kind, low, high, log, step)


def _parse_choices(inside: str, where: str) -> tuple[str, ...]:
    values = parse_value(f"[{inside}]", where)
    if not isinstance(values, list) or len(values) < 2:
        raise ConfigError(
            f"{where}: fewer than two choices", "set a single value with --set; separate choices by commas"
        )
    texts = [json.dumps(value, ensure_ascii=False) for value in values]
    if len(set(texts)) < len(texts):
        raise ConfigError(f"{where}: {max(texts, key=texts.count)} occurs twice", "give each choice once")
    return tuple(texts)


def _parse_interval(kind: Kind, inside: str, where: str) -> tuple[Number, Number, bool, Number | None]:
    parts = [part.strip() for part in inside.split(",")]
    step: Number | None = None
    log = False
    for part in parts[2:]:
        name, equals, value = part.partition("=")
        if part == "log" and not log:
            log = True
        elif name.strip() == "step" and equals and step is None:
            step = _parse_number(kind, value, where)
        else:
            raise ConfigError(f"{where}: {short_repr(part)} is neither log nor step=K", f"as {FORMS}")
    if len(parts) < 2:
        raise ConfigError(f"{where}: no two ends of an interval", f"as {FORMS}")
    low, high = (_parse_number(kind, part, where) for part in parts[:2])
    _check_interval(low, high, log, step, where)
    return low, high, log, step


def _check_interval(low: Number, high: Number, log: bool, step: Number | None, where: str) -> None:
    if low >= high:
        raise ConfigError(f"{where}: {low} is not below {high}", "give the smaller end first")
    if log and low <= 0:
        raise ConfigError(f"{where}: {low} has no logarithm", "give a positive low end, or leave out log")
    if log and step is not None:
        raise ConfigError(f"{where}: log and step are given", "leave one out")
    if step is not None and not 0 < step <= high - low:
        raise ConfigError(f"{where}: step={step} is not between 0 and {high - low}", "give another step")


def _parse_number(kind: Kind, text: str, where: str) -> Number:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(f"{where}: {short_repr(text.strip())} is not a number", f"as {FORMS}")
    if kind == "float":
        return number
    if number % 1 or abs(number) > _EXACT:
        raise ConfigError(f"{where}: {text.strip()} is no integer", "give integers, or search by float(...)")
    return int(number)


def values_by_name(dimensions: Sequence[Dimension], number: int) -> dict[str, Any]:
    """A point of the space for a check: the probe ``number`` of every dimension, counted in a circle."""
    return {each.name: each.probes[number % len(each.probes)] for each in dimensions}
