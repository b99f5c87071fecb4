"""What a comparison is asked, as ``comparison.yaml`` keeps it: all that changes its result."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError, field_validator, model_validator

from gancore.comparison.budget import EXAMPLES as EXAMPLES
from gancore.comparison.budget import Budget, read_budget
from gancore.config import BUDGETS, Section
from gancore.config_text import Setting, read_file, short
from gancore.errors import ConfigError, nearest

REAL = "real"
"""What rows of test are called where samples stand side by side."""
NAME = re.compile(r"[\w][\w.-]*")
MOST_SEEDS = 1000
"""That a number may stand for: each is a training of every recipe."""
LAST = "last"
"""``select``: the model as it stands when the budget is used up."""
_FOR_ONE = re.compile(r"(?P<name>[^:=]*):(?P<setting>.*)", re.DOTALL)
_BY_THE_COMPARISON = {
    **dict.fromkeys((f"train.{name}" for name in BUDGETS), "--budget is the same for all"),
    "train.seed": "--seeds says which",
    "train.device": "--device is the same for all",
    "data.source": "--data is the same for all",
    "upkeep.select": "--select is the same for all",
    "upkeep.patience": "each training uses up its budget",
    "domain": "--domain is the same for all",
    "recipe": "--recipes names them",
}
"""Keys that no --set may give, and what says it instead."""


Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Asked(Section):
    """The fields in the order in which they are told apart when a comparison is resumed."""

    domain: str = Field(description="the kind of data")
    data: str | None = Field(description="a named data set or a path; none: the built-in default")
    recipes: dict[str, str] = Field(min_length=1, description="what is compared: a name, and its recipe")
    budget: str = Field(description="of each training")
    seeds: list[Seed] = Field(min_length=1, description="of the trainings of each recipe")
    settings: list[str] = Field(description="--set: key=value for all, name:key=value for one of them")
    select: str | None = Field(
        description=f"measure on valid that chooses each model; {LAST}: none; none: the domain's own"
    )
    n: PositiveInt = Field(description="samples of each model that measures see")
    measures: list[str] | None = Field(description="what is measured on test; none: the default set")
    features: str | None = Field(description="the map to vectors; none: the domain's first")
    evaluation_seed: NonNegativeInt = Field(description="the samples that are measured and shown")
    device: str = Field(description="of training, measuring and timing")

    @field_validator("seeds", mode="before")
    @classmethod
    def _counted(cls, seeds: Any) -> Any:
        """A number of seeds stands for 0, 1, ..."""
        if type(seeds) is not int:
            return seeds
        if seeds > MOST_SEEDS:
            raise ConfigError(f"seeds: {seeds:,} are asked for", f"give {MOST_SEEDS} at most")
        return list(range(seeds))

    @field_validator("seeds")
    @classmethod
    def _each_once(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed is named twice")
        return seeds

    @field_validator("budget")
    @classmethod
    def _as_it_is_written(cls, text: str) -> str:
        return str(read_budget(text))

    @model_validator(mode="after")
    def _settings_are_for_those_compared(self) -> Self:
        for text in self.settings:
            _check_setting(text, self.recipes)
        return self

    @property
    def spent(self) -> Budget:
        """The budget of each training."""
        return read_budget(self.budget)

    @property
    def command(self) -> str:
        """The line that asks for the same."""
        flags: list[tuple[str, Any]] = [
            ("--domain", self.domain),
            ("--data", self.data),
            ("--recipes", _shown(self.recipes)),
            ("--budget", self.budget),
            ("--seeds", _seeds_shown(self.seeds)),
            *(("--set", text) for text in self.settings),
            ("--select", self.select),
            ("-n", self.n),
            ("--measures", None if self.measures is None else ",".join(self.measures)),
            ("--features", self.features),
            ("--seed", self.evaluation_seed),
            ("--device", self.device),
        ]
        said = [word for flag, value in flags if value is not None for word in (flag, str(value))]
        return shlex.join(["gancore", "compare", *said])

    def joined(self, seeds: Sequence[int]) -> Asked:
        """The same with these seeds first, and with those of its own that are not among them."""
        own = [seed for seed in self.seeds if seed not in seeds]
        return self.model_copy(update={"seeds": [*seeds, *own]})

    def settings_of(self, name: str) -> list[str]:
        """``key=value`` for one of those compared: what is for all, then its own."""
        parted = [_FOR_ONE.fullmatch(text.partition("=")[0]) for text in self.settings]
        own = [
            text.partition(":")[2]
            for text, part in zip(self.settings, parted, strict=True)
            if part and part["name"] == name
        ]
        return [text for text, part in zip(self.settings, parted, strict=True) if not part] + own


def ask(**values: Any) -> Asked:
    """Raises ConfigError, in one line, on what cannot be asked."""
    try:
        return Asked.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigError(
            f"comparison: {place} is {short(first['input'])}: {first['msg']}", "mend it"
        ) from None


def read_asked(path: Path) -> Asked:
    """What stands in ``comparison.yaml``. Raises ConfigError where that is missing or damaged."""
    if not path.is_file():
        raise ConfigError(f"{path.parent} holds no comparison", "name the folder that `gancore compare` made")
    values: dict[str, Any] = {}
    for setting in read_file(path):
        _put(values, setting)
    known = Asked.model_fields
    if set(values) != set(known):
        other = sorted(set(values) ^ set(known))[0]
        raise ConfigError(
            f"{path}: the keys are not those of this gancore ({other})", "begin a new comparison"
        )
    return ask(**values)


def _put(values: dict[str, Any], setting: Setting) -> None:
    branch = values
    for step in setting.path[:-1]:
        branch = branch.setdefault(step, {})
    branch[setting.path[-1]] = setting.value


def read_recipes(texts: Sequence[str]) -> dict[str, str]:
    """``["gan", "wide=gan"]``: what is compared by name; a recipe alone is its own name."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, recipe = (part.strip() for part in text.partition("="))
        recipe = recipe if equals else name
        name = name if equals else re.sub(r"[^\w.-]", "-", name)
        if not recipe or not NAME.fullmatch(name):
            raise ConfigError(
                f"--recipes: {short(text)} names no recipe",
                "write --recipes a,b or --recipes small=a,large=a",
            )
        if name == REAL:
            raise ConfigError(f"--recipes: {name!r} is what the real rows are called", "give another name")
        if name in found:
            raise ConfigError(
                f"--recipes: {name!r} is named twice", f"give the second a name of its own: {name}2={recipe}"
            )
        found[name] = recipe
    return found


def _check_setting(text: str, recipes: Mapping[str, str]) -> None:
    key = text.partition("=")[0]
    part = _FOR_ONE.fullmatch(key)
    if part and part["name"] not in recipes:
        raise ConfigError(
            f"--set {short(text)}: {part['name']!r} is not compared here", nearest(part["name"], recipes)
        )
    key = (part["setting"] if part else key).strip()
    if key in _BY_THE_COMPARISON:
        raise ConfigError(f"--set {short(text)}: not here", _BY_THE_COMPARISON[key])
    if part and key.partition(".")[0] in ("data", "upkeep"):
        raise ConfigError(
            f"--set {short(text)}: all are trained on the same data and looked at alike",
            f"write it for all: --set {key}=...",
        )


def first_difference(old: Asked, new: Asked) -> str:
    """``seeds: 2 -> 3``; empty where both ask the same."""
    before, after = old.model_dump(), new.model_dump()
    for name in Asked.model_fields:
        if before[name] != after[name]:
            return f"{name}: {_shown(before[name])} -> {_shown(after[name])}"
    return ""


def read_seeds(text: str) -> int | list[int]:
    """``3``: so many; ``0,7,9`` or ``7,``: these. Raises ConfigError."""
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 0 or (numbers == [0] and "," not in text):
        raise ConfigError(
            f"--seeds {short(text)} names no seeds", "write how many, as 3, or which, as 0,7,9 (one: 7,)"
        )
    return numbers if "," in text else numbers[0]


def _seeds_shown(seeds: Sequence[int]) -> str:
    """As :func:`read_seeds` reads it."""
    counted = list(seeds) == list(range(len(seeds)))
    return str(len(seeds)) if counted else ",".join(map(str, seeds)) + "," * (len(seeds) == 1)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(name if name == recipe else f"{name}={recipe}" for name, recipe in value.items())
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
