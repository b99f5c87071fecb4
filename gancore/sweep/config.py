"""Configuration of a sweep: every setting on which its workers must agree. Imports no optuna."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from gancore.config import RunConfig
from gancore.config_layers import resolve_config
from gancore.errors import ConfigError, GancoreError
from gancore.sweep.search import Dimension, Number, parse_dimension, values_by_name
from gancore.text import short_repr
from gancore.trainings import SET_BY_FLAG, SHARED_SECTIONS, Trainings, refuse_classifiers

RECIPE = "recipe"
"""The name of the parameter that chooses among several recipes."""
Params = Mapping[str, Number | str]
"""The parameters of a trial by name; choices are texts of JSON."""


class SweepConfig(Trainings):
    """Fields are compared in this order when another worker joins.

    ``data`` may be another path there: the fingerprint of the data is compared.
    """

    noun: ClassVar[str] = "sweep"
    set_by_flag: ClassVar[Mapping[str, str]] = {
        **SET_BY_FLAG,
        "train.seed": "set it with --seed",
        "validation.select": "set it with --metric",
        "model.steps": "set the budget of each training with --steps",
    }

    search: list[str] = Field(min_length=1, description="--search: key=int(...), float(...) or choice(...)")
    metric: str | None = Field(description="metric on valid that trials are judged by; none: the domain's")
    seed: int = Field(ge=0, lt=2**31, description="seed of the trainings and of the proposals")
    prune: bool = Field(description="whether trials that look bad on valid are stopped early")

    @model_validator(mode="after")
    def _check_search(self) -> Self:
        names = [dimension.name for dimension in self.dimensions]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"--search has {name} twice", "give it once")
        for dimension in self.dimensions:
            where = f"--search {short_repr(str(dimension))}"
            self.check_key(dimension.name, where)
            if dimension.key.partition(".")[0] in SHARED_SECTIONS:
                sections = ", ".join(f"{section}.*" for section in SHARED_SECTIONS)
                raise ConfigError(f"{where}: {sections} are the same for all trials", "set it with --set")
        for name in self.recipes:
            fixed = {text.partition("=")[0].strip() for text in self.overrides_of(name)}
            for dimension in self.dimensions_of(name):
                if dimension.key in fixed:
                    raise ConfigError(f"{dimension.key} is in --set and in --search", "leave one out")
        return self

    @property
    def dimensions(self) -> list[Dimension]:
        return [parse_dimension(text) for text in self.search]

    def dimensions_of(self, recipe: str) -> list[Dimension]:
        """The searched keys of a recipe. Those for it alone replace the same keys of all."""
        own = [each for each in self.dimensions if each.recipe == recipe]
        replaced = {each.key for each in own}
        return [each for each in self.dimensions if each.recipe is None and each.key not in replaced] + own

    def recipe_of(self, params: Params) -> str:
        """The name of a trial's recipe."""
        return str(params[RECIPE]) if len(self.recipes) > 1 else next(iter(self.recipes))

    def settings_of(self, params: Params) -> list[str]:
        """The searched settings of a trial, as in ``--set``."""
        searched = self.dimensions_of(self.recipe_of(params))
        return [each.setting(params[each.name]) for each in searched if each.name in params]

    def train_arguments(self, params: Params, select: str) -> dict[str, Any]:
        """Arguments of :func:`gancore.train` for one trial; ``select``: the metric that selects its model."""
        return self.arguments_of(self.recipe_of(params), self.seed, select, self.settings_of(params))


def make_sweep_config(search: Sequence[str], **values: Any) -> SweepConfig:
    """Build the configuration. The order of ``--search`` has no effect.

    Raises:
        ConfigError: a value is invalid.
    """
    if not search:
        raise ConfigError("nothing is searched", "give --search model.width=int(16,64,log)")
    return SweepConfig.make(search=sorted(str(parse_dimension(text)) for text in search), **values)


def check_search_space(config: SweepConfig) -> dict[str, RunConfig]:
    """Check every searched key at its ends and choices; return a configuration of each recipe.

    A value is refused if it is refused together with every probed combination of the others.

    Raises:
        ConfigError: a recipe has no such key, or does not accept a value.
        PluginError: no such domain or recipe.
    """
    refuse_classifiers(config.domain, config.recipes)
    return {name: _check_recipe(config, name) for name in config.recipes}


def _check_recipe(config: SweepConfig, name: str) -> RunConfig:
    dimensions = config.dimensions_of(name)
    points = range(max((len(each.probes) for each in dimensions), default=1))
    for dimension in dimensions:
        for value in dimension.probes:
            candidates = [{**values_by_name(dimensions, at), dimension.name: value} for at in points]
            _first_accepted(config, name, candidates)
    return _first_accepted(config, name, [values_by_name(dimensions, at) for at in points])


def _first_accepted(config: SweepConfig, name: str, candidates: Sequence[Params]) -> RunConfig:
    """The configuration of the first parameters that the recipe accepts; otherwise the first error."""
    errors: list[GancoreError] = []
    for params in candidates:
        try:
            return resolve_config(**config.train_arguments({**params, RECIPE: name}, ""))
        except GancoreError as error:
            message = error.message
            for each in config.dimensions_of(name):
                message = message.replace(f"--set {each.setting(params[each.name])}", f"--search {each}")
            errors.append(type(error)(f"{name}: {message}", error.fix))
    raise errors[0]


def shown_value(value: object) -> str:
    """A parameter for a table: choices without the quotes of JSON."""
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    with contextlib.suppress(IndexError):
        return text[1:-1] if text[0] == text[-1] == '"' else text
    return text
