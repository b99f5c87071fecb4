"""From layers of settings to a resolved configuration: defaults < run < file < flags < ``--set``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import ValidationError

from gancore.arguments import checked
from gancore.config import (
    BUDGETS,
    DataSection,
    RecipeSection,
    RunConfig,
    Section,
    TrainSection,
    UpkeepSection,
)
from gancore.config_explain import explain
from gancore.config_text import Setting, nested_form, one_line, read_file, read_value, short
from gancore.data.rows import as_rows, is_rows
from gancore.errors import ConfigError, nearest
from gancore.plugins.own_recipe import name_of_recipe
from gancore.recipe import Recipe

Layer: TypeAlias = Sequence[Setting]
Sections: TypeAlias = Mapping[str, type[Section]]

FLAGS = {
    "domain": ("domain",),
    "recipe": ("recipe",),
    "data": ("data", "source"),
    **{name: ("train", name) for name in (*BUDGETS, "seed", "device", "precision", "deterministic")},
}
"""Flags of ``gancore train`` and the keys they stand for."""


@checked
def resolve_config(
    domain: str | None = None,
    *,
    recipe: str | type[Recipe] | None = None,
    data: str | Path | Any | None = None,
    config: str | Path | None = None,
    overrides: Sequence[str] = (),
    steps: int | None = None,
    samples: int | None = None,
    seconds: float | None = None,
    seed: int | None = None,
    device: str | None = None,
    precision: str | None = None,
    deterministic: bool | None = None,
    base: str | Path | None = None,
) -> RunConfig:
    """What a run would be told; opens no data. A path of data is made absolute.

    ``recipe`` is a name, or a subclass of :class:`gancore.Recipe` at the top of a module: its process finds
    it again by ``module:Class``, others where they have imported the module. ``data`` is a name, a path, or
    a tensor or array of rows. ``config`` is a YAML file, ``overrides`` are ``"section.key=value"``; ``base``
    is a file beneath all others: the configuration of a run that is resumed.

    Raises:
        ConfigError: a key or value that cannot be, with where it was given.
        PluginError: no such domain or recipe.
    """
    flags = {
        "domain": domain,
        "recipe": None if recipe is None else name_of_recipe(recipe),
        "data": _source_of(data),
        "steps": steps,
        "samples": samples,
        "seconds": seconds,
        "seed": seed,
        "device": device,
        "precision": precision,
        "deterministic": deterministic,
    }
    kept = [] if base is None else read_file(Path(base))
    layers = [] if config is None else [read_file(Path(config))]
    layers.append([Setting(FLAGS[k], v, f"--{k}") for k, v in flags.items() if v is not None])
    layers.append([read_override(text) for text in overrides])
    return _placed(_with_plugins(layers, kept))


def _source_of(data: str | Path | Any | None) -> str | None:
    return as_rows(data).name if is_rows(data) else None if data is None else str(data)


def _placed(config: RunConfig) -> RunConfig:
    """With the absolute path of its data, so that the run works from any folder."""
    from gancore.data.sources import absolute_source
    from gancore.plugins import plugins

    source = absolute_source(config.data.source, plugins().domain(config.domain).sources)
    if source == config.data.source:
        return config
    return config.model_copy(update={"data": config.data.model_copy(update={"source": source})})


def read_config(path: Path) -> RunConfig:
    """The configuration that stands in a file alone, as a run folder keeps it."""
    return _with_plugins([], read_file(path))


def read_values(values: Mapping[str, Any], where: str) -> RunConfig:
    """The configuration that nested mappings hold, as a checkpoint keeps it; ``where`` names it in errors.

    Keys that a later version of a plugin added have their defaults.
    """
    return _with_plugins([], settings(values, where))


def _with_plugins(layers: Sequence[Layer], kept: Layer = ()) -> RunConfig:
    """Asks the plugins for the sections of the domain and the recipe that the layers name.

    ``kept`` lies beneath them: what a run or a checkpoint keeps, where keys may have the names of then.
    """
    from gancore.plugins import plugins

    merged = _merge([kept, *layers])
    domain = _name(merged, "domain")
    if domain is None:
        raise ConfigError("no domain is given", "give --domain; `gancore plugins` lists them")
    kind = plugins().domain(domain)
    entry, recipe = plugins().recipe(kind, _name(merged, "recipe"))
    chosen = Setting(("recipe",), entry.name, "chosen")
    config = load_config(kind.Config, recipe.Config, [_upgraded(kept, recipe.Config), *layers, [chosen]])
    _refuse_idle(config.model, layers)
    return config


def _refuse_idle(section: RecipeSection, layers: Sequence[Layer]) -> None:
    """Raises ConfigError where a key of the recipe is given that its other keys leave without effect."""
    idle = section.without_effect()
    for setting in (setting for layer in layers for setting in layer if setting.path[0] == "model"):
        key = setting.path[1] if len(setting.path) > 1 else ""
        if key in idle and getattr(section, key) not in (0, type(section).model_fields[key].default):
            raise ConfigError(f"{setting.key} ({setting.where}) changes nothing here", f"set {idle[key]} too")


def _upgraded(kept: Layer, model: type[RecipeSection]) -> Layer:
    return [
        replace(setting, path=("model", model.key_now(setting.path[1], setting.value)))
        if setting.path[0] == "model" and len(setting.path) == 2
        else setting
        for setting in kept
    ]


def _name(merged: Mapping[tuple[str, ...], Setting], key: str) -> str | None:
    setting = merged.get((key,))
    if setting is None or setting.value is None:
        return None
    if not isinstance(setting.value, str) or not re.fullmatch(r"[\w./:-]+", setting.value):
        raise ConfigError(
            f"{key}: {short(setting.value)} ({setting.where}) is no name", f"give a {key}'s name"
        )
    return setting.value


def read_override(text: str) -> Setting:
    """``"section.key=value"`` of ``--set``, the value in YAML."""
    where = f"--set {_clip(text)}"
    key, equals, value = text.partition("=")
    path = tuple(key.strip().split("."))
    if not equals or not all(path):
        raise ConfigError(f"{where}: not of the form section.key=value", "for example --set train.seed=1")
    return Setting(path, read_value(value, where), where)


def settings(values: Mapping[str, Any], where: str) -> list[Setting]:
    """A layer from nested mappings, such as a model folder's JSON; ``where`` names it in errors."""
    return list(_opened(values, (), where))


def _opened(values: Mapping[str, Any], path: tuple[str, ...], where: str) -> Iterator[Setting]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _opened(value, (*path, key), where)
        else:
            yield Setting((*path, key), value, where)


def _clip(text: str, limit: int = 60) -> str:
    text = one_line(text)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def load_config(data: type[DataSection], model: type[RecipeSection], layers: Iterable[Layer]) -> RunConfig:
    """The configuration that the layers say, later ones winning; what they leave out has its default.

    Raises:
        ConfigError: one line; the first mistake found.
    """
    sections: Sections = {"data": data, "model": model, "train": TrainSection, "upkeep": UpkeepSection}
    layers = list(layers)
    for layer in layers:
        for setting in layer:
            _check_key(setting, sections)
    merged = _merge(layers)
    names = {key: _name(merged, key) or "" for key in ("domain", "recipe")}
    parts = {name: _validate(name, section, merged) for name, section in sections.items()}
    return RunConfig.model_validate({**names, **parts})


def _merge(layers: Sequence[Layer]) -> dict[tuple[str, ...], Setting]:
    """The last word on every key. A layer's budget replaces the budget of the layers before it."""
    merged: dict[tuple[str, ...], Setting] = {}
    for layer in layers:
        if _one_budget(layer):
            for name in BUDGETS:
                merged.pop(("train", name), None)
        for setting in layer:
            path = setting.path
            if path[0] in ("domain", "recipe") and len(path) > 1:
                raise ConfigError(f"unknown key {setting.key!r} ({setting.where})", f"set {path[0]} itself")
            for other in [p for p in merged if p[: len(path)] == path or path[: len(p)] == p]:
                del merged[other]
            merged[path] = setting
    return merged


def _one_budget(layer: Layer) -> bool:
    """Whether the layer names a budget; in one layer there can be only one."""
    paths = {("train", name) for name in BUDGETS}
    given = {s.path: s for s in layer if s.path in paths and s.value is not None}
    if len(given) > 1:
        which = " and ".join(f"{s.key} ({s.where})" for s in given.values())
        raise ConfigError(f"{which} are given; a run has one budget", "keep one of them")
    return bool(given)


def _check_key(setting: Setting, sections: Sections) -> None:
    """The section is known and has keys; the keys themselves are the section's own matter."""
    head, *rest = setting.path
    if head in ("domain", "recipe"):
        return
    if head not in sections:
        keys = [f"{name}.{key}" for name, section in sections.items() for key in section.model_fields]
        ending = [key for key in keys if key.partition(".")[2] == setting.path[-1]]
        hint = f"did you mean {ending[0]!r}?" if ending else nearest(head, ["domain", "recipe", *sections])
        raise ConfigError(f"unknown key {setting.key!r} ({setting.where})", nested_form(head) or hint)
    if not rest and setting.value not in (None, {}):
        known = f"{head}.{next(iter(sections[head].model_fields))}"
        raise ConfigError(
            f"{setting.key} ({setting.where}) is a section, not a value", f"set its keys, as {known}"
        )


def _validate(name: str, section: type[Section], merged: Mapping[tuple[str, ...], Setting]) -> Section:
    values: dict[str, Any] = {}
    for path, setting in merged.items():
        if path[0] == name and len(path) > 1:
            branch = values
            for step in path[1:-1]:
                branch = branch.setdefault(step, {})
            branch[path[-1]] = setting.value
    try:
        return section.model_validate(values)
    except ValidationError as error:
        complaint = error.errors(include_url=False)[0]
        raise explain(complaint, name, section, lambda path: _where(path, merged)) from None


def _where(path: tuple[str, ...], merged: Mapping[tuple[str, ...], Setting]) -> str:
    for given, setting in merged.items():
        if given[: len(path)] == path or path[: len(given)] == given:
            return f" ({setting.where})"
    return ""
