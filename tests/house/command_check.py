"""Whether the application takes a command: its options and their values, and every name and key in it.

Nothing is run, and no data are opened.
"""

from __future__ import annotations

import errno
import inspect
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import typer
from gancore_lab.experiment import override_settings
from gancore_lab.runner import load_experiment, select_experiments
from quoted_commands import ELLIPSIS, PLACEHOLDER, QuotedCommand

from gancore.cli.app import app
from gancore.cli.options import split_names
from gancore.comparison.config import ComparisonConfig, expand_grid, make_trials, read_seeds, sampling_recipes
from gancore.comparison.runner import DEFAULTS
from gancore.config import Section
from gancore.config_layers import CORE_SECTIONS, resolve_config
from gancore.errors import GancoreError
from gancore.evaluation.catalogue import ALL, CORE_METRICS
from gancore.failure import describe_failure
from gancore.plugins import plugins
from gancore.sweep.config import check_search_space, make_sweep_config
from gancore.sweep.worker import default_recipe
from gancore.trainings import read_recipes

STAND_IN = "16"
"""In place of a word that the reader is to choose, where it must be a number."""


def mistake_in(command: QuotedCommand, foreign: Collection[str] = (), files: Collection[str] = ()) -> str:
    """The first mistake in a command, empty if there is none.

    Args:
        command: What stands in a document.
        foreign: What is not installed, as the reader makes it: names of domains, metrics, experiments.
        files: Names of data of the reader, beside those that look like paths.
    """
    words = [word for word in command.words if not ELLIPSIS.fullmatch(word)]
    try:
        path, values = parsed(words, command.is_cut)
        if values.get("domain") not in foreign:
            check_names(path, values, foreign, files)
            check_settings(path, values, command.is_cut)
    except GancoreError as error:
        return "" if os.strerror(errno.ENOENT) in error.message else f"{error.message} ({error.fix})"
    except Exception as error:
        if not hasattr(error, "format_message"):  # a usage error of the application
            raise
        return describe_failure(error).message
    return ""


# Words


def parsed(words: Sequence[str], is_cut: bool) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The names of the command and its groups, and what was given to it by parameter.

    Raises:
        UsageError: of typer, as at the command line.
    """
    try:
        return _parsed(words, is_cut)
    except Exception as error:
        if is_cut and type(error).__name__ == "BadOptionUsage" and words[-1].startswith("-"):
            return parsed([*words, STAND_IN], is_cut)  # an option is named, without its value
        numbered = [STAND_IN if PLACEHOLDER.fullmatch(word) else word for word in words]
        if type(error).__name__ == "BadParameter" and numbered != list(words):
            return parsed(numbered, is_cut)
        raise


def _parsed(words: Sequence[str], is_cut: bool) -> tuple[tuple[str, ...], dict[str, Any]]:
    is_loose = is_cut or "--help" in words
    command, context, name, path, values = application(is_loose), None, "gancore", (), {}
    rest = [word for word in words if word != "--help"]
    while rest or not is_loose:
        for parameter in command.params:
            parameter.callback = None  # such as that of --version
            parameter.required = parameter.required and not is_loose
        context = command.make_context(name, rest, parent=context)
        given = (each for each in context.params if context.get_parameter_source(each).name == "COMMANDLINE")
        values |= {each: context.params[each] for each in given}
        rest = [*getattr(context, "_protected_args", ()), *context.args]
        if not rest or not hasattr(command, "resolve_command") or PLACEHOLDER.fullmatch(rest[0]):
            break
        name, command, rest = command.resolve_command(context, rest)
        command = command.make_context(name, [], parent=context, resilient_parsing=True).command
        path = (*path, name)
    return path, values


@cache
def application(is_loose: bool) -> Any:
    """The commands; a loose one requires nothing, and is changed so when it is read."""
    return typer.main.get_command(app)


# Names


def check_names(
    path: tuple[str, ...], values: Mapping[str, Any], foreign: Collection[str], files: Collection[str]
) -> None:
    """Raise GancoreError for names of domains, data, recipes, models and metrics that are not registered."""
    domain = chosen(values, "domain")
    source = chosen(values, "data")
    if domain and source and not is_file(source, files) and source not in domains(domain)[0].sources:
        raise GancoreError(f"no data {source!r} in {domain}", "name data of the registry, or a path")
    recipe = chosen(values, "recipe") if path == ("recipes",) else ""
    if recipe and not any(recipe in plugins().recipe_entries(each) for each in domains(domain)):
        raise GancoreError(f"no recipe {recipe!r}", "name one of the registry")
    for key in ("run_or_model", "model", "init_from"):
        check_model(chosen(values, key))
    check_metrics(domain, values, foreign)
    if path == ("lab",):
        check_experiments(values, foreign)


def check_model(name: str) -> None:
    """``DOMAIN/NAME`` is the id of a model."""
    known = [entry.name for entry in plugins().entries("gancore_models")]
    if name not in known and name.partition("/")[0] in [domain.name for domain in domains("")]:
        raise GancoreError(f"no model {name}", "name one that `gancore models` lists")


def check_metrics(domain: str, values: Mapping[str, Any], foreign: Collection[str]) -> None:
    given = [*(split_names(chosen(values, "metrics")) or ()), chosen(values, "metric")]
    known = {"", ALL, *(entry.name for entry in CORE_METRICS), *foreign}
    known |= {entry.name for entry in plugins().entries("gancore_metrics")}
    for kind in domains(domain):
        known |= kind.metrics.keys()
    if unknown := [name for name in given if name not in known]:
        raise GancoreError(f"no metric {unknown[0]!r}", "name one of the registry")


def check_experiments(values: Mapping[str, Any], foreign: Collection[str]) -> None:
    """Also the keys of ``--set``, which are those of the experiment."""
    names = [
        name for name in values.get("names", ()) if name not in foreign and not PLACEHOLDER.fullmatch(name)
    ]
    for entry in select_experiments(names) if names else ():
        settings = load_experiment(entry).settings_for(values.get("quick", False))
        override_settings(entry.name, settings, values.get("overrides", ()))


@cache
def domains(name: str) -> tuple[Any, ...]:
    """The domain of this name; all, if it is empty."""
    names = [name] if name else [entry.name for entry in plugins().entries("gancore_domains")]
    return tuple(plugins().load_domain(each) for each in names)


def is_file(source: str, files: Collection[str]) -> bool:
    return source in files or re.search(r"[/.:*]", source) is not None


def chosen(values: Mapping[str, Any], key: str) -> str:
    """The text of a value; empty if it is not given, or left to the reader."""
    text = str(values.get(key) or "")
    return "" if text == STAND_IN or PLACEHOLDER.fullmatch(text) else text


# Settings


def check_settings(path: tuple[str, ...], values: dict[str, Any], is_cut: bool) -> None:
    """Raise GancoreError for keys and values of ``--set``, ``--search`` and flags that the recipe refuses."""
    if not chosen(values, "domain") or "config" in values:
        return
    given = {key: value for key, value in values.items() if key == "overrides" or chosen(values, key)}
    if path == ("train",):
        resolve_config(**{key: value for key, value in given.items() if key in ARGUMENTS})
    elif path == ("compare",):
        check_comparison(given)
    elif path == ("sweep",) and not (is_cut and "search" not in given):
        check_sweep(given)


def check_comparison(given: dict[str, Any]) -> None:
    named = read_recipes(split_names(given.get("recipes")) or sampling_recipes(given["domain"]))
    recipes, overrides = expand_grid(named, given.get("overrides", ()), given.get("grid", ()))
    fields = {key: None for key in ComparisonConfig.model_fields} | DEFAULTS | with_budget(given)
    fields |= {"recipes": recipes, "overrides": overrides, "temperatures": []}
    fields |= {"metrics": split_names(given.get("metrics")), "seeds": read_seeds(str(fields["seeds"]))}
    make_trials(ComparisonConfig.make(**{key: fields[key] for key in ComparisonConfig.model_fields}))


def check_sweep(given: dict[str, Any]) -> None:
    recipes = read_recipes(split_names(given.get("recipes")) or [default_recipe(given["domain"])])
    keys = ("domain", "steps", "samples", "time", "data", "overrides", "metric", "seed", "prune")
    usual = {"data": None, "overrides": [], "metric": None, "seed": 0, "prune": True}
    fields = usual | {key: value for key, value in with_budget(given).items() if key in keys}
    check_search_space(make_sweep_config(given.get("search", ()), recipes=recipes, **fields))


def with_budget(given: dict[str, Any]) -> dict[str, Any]:
    return given if {"steps", "samples", "time"} & given.keys() else {**given, "steps": "1"}


ARGUMENTS = tuple(inspect.signature(resolve_config).parameters)


@cache
def keys() -> frozenset[str]:
    """Every key of a configuration, of all domains and recipes: ``model.width``."""
    found = {key for name, section in CORE_SECTIONS.items() for key in _keys(name, section)}
    for domain in domains(""):
        found.update(_keys("data", domain.Config))
        for recipe in plugins().recipe_entries(domain):
            found.update(_keys("model", plugins().load_recipe(domain, recipe)[1].Config))
    return frozenset(found)


def _keys(name: str, section: Any) -> Iterator[str]:
    """The keys of a section, and those of the sections in it."""
    for key, field in section.model_fields.items():
        yield f"{name}.{key}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _keys(f"{name}.{key}", field.annotation)
