"""Configuration of a comparison, stored in ``comparison.yaml``: every setting that affects the result.

The trials are every recipe with every seed, each with its run configuration.
"""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, product
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator

from gancore.config import RunConfig
from gancore.config_layers import resolve_config
from gancore.config_yaml import Setting, parse_value, read_settings
from gancore.errors import ConfigError, GancoreError
from gancore.evaluation.temperatures import check_temperatures
from gancore.plugins import plugins
from gancore.text import short_repr
from gancore.trainings import SET_BY_FLAG, Trainings, as_text, refuse_classifiers, split_key

MAX_SEEDS = 1000
"""Upper limit of ``--seeds N``; every recipe is trained once for each seed."""
LAST = "last"
"""Value of ``select`` that keeps the model of the last step."""
MAX_COMBINATIONS = 100
"""Upper limit of the combinations of a grid; each one is a training for every recipe and seed."""

Seed = Annotated[int, Field(ge=0, lt=2**31)]


class ComparisonConfig(Trainings):
    """Fields are compared in this order when a comparison is resumed."""

    noun: ClassVar[str] = "comparison"
    set_by_flag: ClassVar[Mapping[str, str]] = {
        **SET_BY_FLAG,
        "train.seed": "set it with --seeds",
        "validation.select": "set it for all recipes with --select",
        "validation.patience": "leave it out: each training uses its whole budget",
    }

    seeds: list[Seed] = Field(min_length=1, description="seeds of the trainings of each recipe")
    select: str | None = Field(
        description=f"metric on valid that selects each model; {LAST}: the last; none: the domain's metric"
    )
    n: PositiveInt = Field(description="number of samples of each model for metrics")
    metrics: list[str] | None = Field(description="metrics on test; none: the default set")
    temperatures: list[float] = Field(
        default_factory=list,
        description="further evaluations of models with a temperature; 1 is added; none: no curve",
    )
    feature_extractor: str | None = Field(description="feature extractor; none: the domain's first")
    evaluation_seed: NonNegativeInt = Field(description="seed of the samples that are evaluated and shown")
    device: str = Field(description="device of training, evaluation and timing")

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_seeds(cls, seeds: Any) -> Any:
        """Replace a number N by the seeds 0 to N - 1."""
        if type(seeds) is not int:
            return seeds
        if seeds > MAX_SEEDS:
            raise ConfigError(f"seeds: {seeds:,} are too many", f"give {MAX_SEEDS} at most")
        return list(range(seeds))

    @field_validator("seeds")
    @classmethod
    def _check_seeds(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed is named twice")
        return seeds

    @field_validator("temperatures", mode="after")
    @classmethod
    def _with_their_own(cls, temperatures: list[float]) -> list[float]:
        return check_temperatures([*temperatures, 1.0] if temperatures else [])

    @property
    def command(self) -> str:
        """The command line that starts this comparison."""
        flags: list[tuple[str, Any]] = [
            ("--domain", self.domain),
            ("--data", self.data),
            ("--recipes", as_text(self.recipes)),
            ("--steps", self.steps),
            ("--samples", self.samples),
            ("--time", self.time),
            ("--seeds", _seedsas_text(self.seeds)),
            *(("--set", text) for text in self.overrides),
            ("--select", self.select),
            ("-n", self.n),
            ("--metrics", None if self.metrics is None else ",".join(self.metrics)),
            ("--temperatures", ",".join(f"{value:g}" for value in self.temperatures) or None),
            ("--feature-extractor", self.feature_extractor),
            ("--evaluation-seed", self.evaluation_seed),
            ("--device", self.device),
        ]
        words = [word for flag, value in flags if value is not None for word in (flag, str(value))]
        return shlex.join(["gancore", "compare", *words])

    def including(self, other: ComparisonConfig) -> ComparisonConfig:
        """A copy that has the seeds of ``other`` before its own, and the temperatures of both."""
        seeds = [*other.seeds, *(seed for seed in self.seeds if seed not in other.seeds)]
        temperatures = check_temperatures([*self.temperatures, *other.temperatures])
        return self.model_copy(update={"seeds": seeds, "temperatures": temperatures})


def read_comparison_config(path: Path) -> ComparisonConfig:
    """Read ``comparison.yaml``. Raises ConfigError if it is missing or damaged."""
    if not path.is_file():
        raise ConfigError(f"{path.parent} holds no comparison", "give a folder that `gancore compare` made")
    values: dict[str, Any] = {}
    for setting in read_settings(path):
        _set_nested(values, setting)
    known = ComparisonConfig.model_fields
    required = {name for name, field in known.items() if field.is_required()}
    if other := sorted((set(values) - set(known)) | (required - set(values))):
        raise ConfigError(
            f"{path}: unknown or missing keys for this version of gancore ({other})", "start a new comparison"
        )
    return ComparisonConfig.make(**values)


def _set_nested(values: dict[str, Any], setting: Setting) -> None:
    branch = values
    for step in setting.path[:-1]:
        branch = branch.setdefault(step, {})
    branch[setting.path[-1]] = setting.value


def read_seeds(text: str) -> int | list[int]:
    """Read ``--seeds``: ``3`` is a number of seeds; ``0,7,9`` and ``7,`` are lists of seeds.

    Raises ConfigError.
    """
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 0 or (numbers == [0] and "," not in text):
        raise ConfigError(
            f"--seeds {short_repr(text)} is neither a number nor a list of seeds",
            "write a number such as 3, or a list such as 0,7,9 (one seed: 7,)",
        )
    return numbers if "," in text else numbers[0]


def _seedsas_text(seeds: Sequence[int]) -> str:
    """The inverse of :func:`read_seeds`."""
    counted = list(seeds) == list(range(len(seeds)))
    return str(len(seeds)) if counted else ",".join(map(str, seeds)) + "," * (len(seeds) == 1)


def expand_grid(
    recipes: Mapping[str, str], settings: Sequence[str], grid: Sequence[str]
) -> tuple[dict[str, str], list[str]]:
    """Recipes and overrides of a comparison, with each recipe once for every point of the grid.

    ``grid`` holds ``"key=value,value,..."``. A recipe ``a`` with ``model.width`` 16 is named ``a-width-16``
    and keeps the overrides of ``a``; if a name is taken, the next is ``a-width-16-2``.

    Raises:
        ConfigError: a text has another form, has a key or a value twice, or has only one value; or there are
            more than ``MAX_COMBINATIONS`` combinations.
    """
    axes = [_parse_axis(text) for text in grid]
    keys = [key for key, _ in axes]
    if len(set(keys)) < len(keys):
        raise ConfigError(
            f"--grid has {max(keys, key=keys.count)} twice", "give all its values in one --grid"
        )
    combinations = math.prod(len(values) for _, values in axes)
    if combinations > MAX_COMBINATIONS:
        raise ConfigError(f"--grid has {combinations:,} combinations", f"give {MAX_COMBINATIONS} at most")
    if not axes:
        return dict(recipes), list(settings)
    points = list(product(*(values for _, values in axes)))
    expanded: dict[str, str] = {}
    overrides = [text for text in settings if _owner(text, recipes) is None]
    for name, recipe in recipes.items():
        own = [text.partition(":")[2] for text in settings if _owner(text, recipes) == name]
        for point in points:
            parts = [f"{key.rpartition('.')[2]}-{value}" for key, value in zip(keys, point, strict=True)]
            plain = [re.sub(r"[^\w.-]+", "-", part).strip("-") for part in parts]
            unique = _unique_name("-".join([name, *plain]), expanded)
            expanded[unique] = recipe
            overrides += [f"{unique}:{text}" for text in own]
            overrides += [f"{unique}:{key}={value}" for key, value in zip(keys, point, strict=True)]
    return expanded, overrides


def _parse_axis(text: str) -> tuple[str, list[str]]:
    key, equals, values = text.partition("=")
    where = f"--grid {short_repr(text)}"
    parsed = parse_value(f"[{values}]", where) if equals and key.strip() else None
    if not isinstance(parsed, list) or len(parsed) < 2 or "." not in key:
        raise ConfigError(
            f"{where} has fewer than two values",
            "write --grid section.key=value,value,...; set a single value with --set",
        )
    texts = [value if isinstance(value, str) else json.dumps(value) for value in parsed]
    if len(set(texts)) < len(texts):
        twice = max(texts, key=texts.count)
        raise ConfigError(f"{where} has {short_repr(twice)} twice", "give each value once")
    return key.strip(), texts


def _unique_name(name: str, used_names: Container[str]) -> str:
    """``name``, or the first of ``name-2``, ``name-3``, ... that is not in ``used_names``."""
    candidates = (name if number == 1 else f"{name}-{number}" for number in count(1))
    return next(candidate for candidate in candidates if candidate not in used_names)


def _owner(text: str, recipes: Mapping[str, str]) -> str | None:
    """The recipe of an override; None if it is for all recipes or for one outside the comparison."""
    name, _ = split_key(text.partition("=")[0])
    return name if name in recipes else None


@dataclass(frozen=True)
class Trial:
    """One training of a comparison: a recipe with one seed, evaluated at ``temperatures``."""

    name: str
    recipe: str
    seed: int
    config: RunConfig
    temperatures: tuple[float, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}-seed{self.seed}"


def train_arguments(config: ComparisonConfig, name: str, seed: int, select: str = "") -> dict[str, Any]:
    """Arguments of :func:`gancore.train` for one trial; ``select`` is the metric that selects its model."""
    return {**config.arguments_of(name, seed, select), "device": config.device}


def make_trials(config: ComparisonConfig) -> list[Trial]:
    """The trials in training order: all recipes with the first seed, then with the second, and so on.

    Raises:
        ConfigError: a recipe does not accept an override; the message names the recipe.
        PluginError: no such domain or recipe.
    """
    refuse_classifiers(config.domain, config.recipes)
    return [_make_trial(config, name, seed) for seed in config.seeds for name in config.recipes]


def _make_trial(config: ComparisonConfig, name: str, seed: int) -> Trial:
    try:
        run_config = resolve_config(**train_arguments(config, name, seed))
    except GancoreError as error:
        raise type(error)(f"{name}: {error.message}", error.fix) from error
    return Trial(name, run_config.recipe, seed, run_config, tuple(config.temperatures))


def sampling_recipes(domain: str) -> list[str]:
    """Names of the recipes of a domain that generate samples: its own, then those of other plugins."""
    recipes = plugins().recipe_entries(plugins().load_domain(domain))
    return [name for name, entry in recipes.items() if "classification" not in entry.capabilities]


def selection_metric(select: str | None, default: str) -> str:
    """The metric that selects models; empty if the last model is kept. ``default`` is the domain's metric."""
    return default if select is None else "" if select == LAST else select
