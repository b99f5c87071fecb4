"""Trainings of several recipes with the same data and budget: what comparisons and sweeps are given.

Recipes have names, and ``--set`` is for all of them or, as ``NAME:KEY=VALUE``, for one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar

from pydantic import Field, ValidationError, model_validator

from gancore.budget import EXAMPLES, Budget, Count, Duration, Unit
from gancore.config import BUDGET_FIELDS, Section
from gancore.errors import ConfigError
from gancore.plugins import plugins
from gancore.text import short_repr, suggestion

REAL = "real"
"""The name of the test rows in the gallery of a comparison."""
NAME_PATTERN = re.compile(r"[\w][\w.-]*")
SET_BY_FLAG = {
    **{f"train.{name}": f"set it for all recipes with --{name}" for name in BUDGET_FIELDS},
    "train.device": "set it for all recipes with --device",
    "data.source": "set it for all recipes with --data",
    "domain": "set it for all recipes with --domain",
    "recipe": "set it with --recipes",
}
"""Keys that --set refuses, with the fix."""
SHARED_SECTIONS = ("data", "logging", "validation", "checkpoint")
"""Sections that are the same for all recipes."""
_KEY_OF_ONE = re.compile(r"(?P<name>[^:=]*):(?P<setting>.*)", re.DOTALL)


class Trainings(Section):
    """The fields that comparisons and sweeps share.

    ``noun`` is what messages call it; ``set_by_flag`` are keys that it refuses in ``--set``, with the fix.
    """

    noun: ClassVar[str]
    set_by_flag: ClassVar[Mapping[str, str]] = SET_BY_FLAG

    domain: str = Field(description="the kind of data")
    data: str | None = Field(
        description="a named data set, path, pattern, URL or hub:OWNER/NAME; none: the built-in default"
    )
    recipes: dict[str, str] = Field(min_length=1, description="the recipes, by name")
    steps: Count | None = Field(default=None, description="budget of each training, in steps")
    samples: Count | None = Field(default=None, description="budget of each training, in training examples")
    time: Duration | None = Field(default=None, description="budget of each training, in wall-clock seconds")
    overrides: list[str] = Field(description="--set: key=value for all recipes, name:key=value for one")

    @model_validator(mode="after")
    def _check_single_budget(self) -> Self:
        given = [name for name in BUDGET_FIELDS if getattr(self, name) is not None]
        if len(given) != 1:
            names = " and ".join(given)
            raise ConfigError(
                f"{names} are given" if given else "no budget is given", f"give one of {EXAMPLES}"
            )
        return self

    @model_validator(mode="after")
    def _check_overrides(self) -> Self:
        for text in self.overrides:
            self.check_key(text.partition("=")[0], f"--set {short_repr(text)}")
        return self

    @classmethod
    def make(cls, **values: Any) -> Self:
        """Build it. Raises ConfigError that names the first invalid value."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise ConfigError(
                f"{cls.noun}: {place} is {short_repr(first['input'])}: {first['msg']}", "fix this value"
            ) from None

    def check_key(self, text: str, where: str) -> None:
        """Raise ConfigError if ``[NAME:]KEY`` names no recipe of these, or a key that has a flag."""
        name, key = split_key(text)
        if name is not None and name not in self.recipes:
            raise ConfigError(f"{where}: {name!r} is not in this {self.noun}", suggestion(name, self.recipes))
        if key in self.set_by_flag:
            raise ConfigError(f"{where} is not allowed in a {self.noun}", self.set_by_flag[key])
        if name is not None and key.partition(".")[0] in SHARED_SECTIONS:
            sections = ", ".join(f"{section}.*" for section in SHARED_SECTIONS)
            raise ConfigError(
                f"{where}: {sections} are the same for all", f"set it for all recipes: --set {key}=..."
            )

    @property
    def budget(self) -> Budget:
        """The budget of each training."""
        units: tuple[Unit, ...] = ("time", "steps", "samples")
        (unit,) = (unit for unit in units if getattr(self, unit) is not None)
        return Budget(getattr(self, unit), unit)

    def overrides_of(self, name: str) -> list[str]:
        """The settings ``key=value`` of a recipe: first those for all recipes, then its own."""
        names = [split_key(text.partition("=")[0])[0] for text in self.overrides]
        pairs = list(zip(names, self.overrides, strict=True))
        own = [text.partition(":")[2] for owner, text in pairs if owner is not None and owner == name]
        return [text for owner, text in pairs if owner is None] + own

    def arguments_of(
        self, name: str, seed: int, select: str = "", settings: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Arguments of :func:`gancore.train` for one training of a recipe, with ``settings`` of its own.

        ``select`` is the metric that selects its model.
        """
        selection = [f"validation.select={select}"] if select else []
        return {
            "domain": self.domain,
            "recipe": self.recipes[name],
            "data": self.data,
            "overrides": [*self.overrides_of(name), *settings, *selection],
            self.budget.unit: self.budget.amount,
            "seed": seed,
        }


T = TypeVar("T", bound=Trainings)


def split_key(text: str) -> tuple[str | None, str]:
    """The recipe's name, None for all recipes, and the key of ``[NAME:]KEY``."""
    match = _KEY_OF_ONE.fullmatch(text)
    return (match["name"], match["setting"].strip()) if match else (None, text.strip())


def first_difference(old: T, new: T) -> str:
    """The first field that differs, as ``seeds: 2 -> 3``; empty if both are equal."""
    before, after = old.model_dump(), new.model_dump()
    for name in type(old).model_fields:
        if before[name] != after[name]:
            return f"{name}: {as_text(before[name])} -> {as_text(after[name])}"
    return ""


def as_text(value: Any) -> str:
    """The value of a field, as the command line has it."""
    if isinstance(value, dict):
        return ",".join(name if name == recipe else f"{name}={recipe}" for name, recipe in value.items())
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def read_recipes(texts: Sequence[str]) -> dict[str, str]:
    """Recipes by name, from texts such as ``["gan", "wide=gan"]``; without a name, the recipe is the name."""
    recipes: dict[str, str] = {}
    for text in texts:
        name, equals, recipe = (part.strip() for part in text.partition("="))
        recipe = recipe if equals else name
        name = name if equals else re.sub(r"[^\w.-]", "-", name)
        if not recipe or not NAME_PATTERN.fullmatch(name):
            raise ConfigError(
                f"--recipes: {short_repr(text)} has no recipe",
                "write --recipes a,b or --recipes small=a,large=a",
            )
        if name == REAL:
            raise ConfigError(f"--recipes: the name {name!r} is reserved for real rows", "give another name")
        if name in recipes:
            raise ConfigError(
                f"--recipes: {name!r} occurs twice", f"give the second one another name: {name}2={recipe}"
            )
        recipes[name] = recipe
    return recipes


def refuse_classifiers(domain: str, recipes: Mapping[str, str]) -> None:
    """Raise ConfigError if a recipe is a classifier, which generates no samples."""
    known = plugins().recipe_entries(plugins().load_domain(domain))
    for name, recipe in recipes.items():
        if recipe in known and "classification" in known[recipe].capabilities:
            raise ConfigError(
                f"{name}: recipe {recipe!r} is a classifier and generates no samples", "leave it out"
            )
