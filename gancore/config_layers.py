"""Merge layers of settings into a configuration: defaults < resumed run < file < flags < ``--set``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gancore.arguments import validate_arguments
from gancore.config import (
    BUDGET_FIELDS,
    CheckpointConfig,
    DataConfig,
    LoggingConfig,
    RecipeConfig,
    RunConfig,
    Section,
    TrainConfig,
    ValidationConfig,
)
from gancore.config_yaml import Setting, escape_line, nested_hint, parse_value, read_settings
from gancore.data.sources import array_source, is_array
from gancore.errors import ConfigError
from gancore.plugins.imports import program_reference
from gancore.plugins.registry import ARRAYS
from gancore.recipe import Recipe, recipe_from_function
from gancore.text import short_repr, shorten, suggestion

if TYPE_CHECKING:
    from gancore.games.adversarial import AdversarialGame
    from gancore.games.game import Game
    from gancore.origin import Origin

Layer: TypeAlias = Sequence[Setting]
Sections: TypeAlias = Mapping[str, type[Section]]

FLAG_KEYS = {
    "domain": ("domain",),
    "recipe": ("recipe",),
    "game": ("model", "game"),
    "data": ("data", "source"),
    **{name: ("train", name) for name in (*BUDGET_FIELDS, "seed", "device", "precision", "deterministic")},
}
"""Flags of ``gancore train`` and arguments of :func:`resolve_config`, and the keys that they set."""

CORE_SECTIONS: Sections = {
    "train": TrainConfig,
    "logging": LoggingConfig,
    "validation": ValidationConfig,
    "checkpoint": CheckpointConfig,
}
"""The sections that are the same for every domain and recipe."""


# Resolve


@validate_arguments
def resolve_config(
    domain: str | None = None,
    *,
    recipe: str | type[Recipe] | None = None,
    game: str | type[AdversarialGame] | Callable[..., Game] | None = None,
    data: str | Path | Any | None = None,
    config: str | Path | None = None,
    overrides: Sequence[str] = (),
    steps: int | str | None = None,
    samples: int | str | None = None,
    time: float | str | None = None,
    seed: int | None = None,
    device: str | None = None,
    precision: str | None = None,
    deterministic: bool | None = None,
    base: str | Path | None = None,
    origin: Origin | None = None,
) -> RunConfig:
    """Resolve the configuration of a run without opening its data. A data path is made absolute.

    ``recipe`` is a name, or a subclass of :class:`gancore.Recipe` at the top of a module: other processes
    find it again by ``module:Class``, if its module is imported or on the path. ``game`` is a
    subclass of :class:`gancore.games.AdversarialGame` in the same way: it changes a term of an adversarial
    recipe (``model.game``). Or it is a function ``build(spec)`` or ``build(config, spec)`` at the top of a
    module, which takes the place of the recipe and returns a :class:`gancore.games.Game`; without a domain,
    ``data`` are then an array of any shape. ``data`` is a name, a path, or examples: a tensor, an array, or a
    ``torch.utils.data.Dataset``. ``config`` is a YAML file, ``overrides`` are ``"section.key=value"``.
    ``time`` is a number of seconds or text: ``"90s"``, ``"10m"``, ``"2h"``. ``base`` is the configuration
    file of the run that is resumed; every other layer overrides it. ``origin`` is what a new run starts
    from: it keeps the recipe and the settings of the network that no layer sets.

    Raises:
        ConfigError: a key or value is invalid; the message says where it was set.
        PluginError: the domain or the recipe does not exist.
    """
    flags = {
        "domain": domain,
        **_game_settings(recipe, game),
        "data": _data_source(data),
        "steps": steps,
        "samples": samples,
        "time": time,
        "seed": seed,
        "device": device,
        "precision": precision,
        "deterministic": deterministic,
    }
    stored_layer = [] if base is None else read_settings(Path(base))
    if isinstance(game, FunctionType):
        stored_layer = [Setting(("domain",), ARRAYS.name, "chosen for game="), *stored_layer]
    layers = [] if config is None else [read_settings(Path(config))]
    layers.append([Setting(FLAG_KEYS[k], v, _flag_name(k)) for k, v in flags.items() if v is not None])
    layers.append([parse_override(text) for text in overrides])
    return _with_absolute_source(_resolve_layers(layers, stored_layer, origin if base is None else None))


def _game_settings(
    recipe: str | type[Recipe] | None, game: str | type[AdversarialGame] | Callable[..., Game] | None
) -> dict[str, str | None]:
    """The settings of the arguments ``recipe`` and ``game``: a builder takes the place of the recipe."""
    if isinstance(game, FunctionType):
        if recipe is not None:
            raise ConfigError(
                f"recipe and the function {game.__name__} as game are given; both build the game",
                "leave one out; a subclass of AdversarialGame changes a term of a recipe",
            )
        recipe_from_function(game)
        return {"recipe": program_reference(game, "game"), "game": None}
    assert game is None or isinstance(game, (str, type))  # of the arguments' kinds
    return {
        "recipe": None if recipe is None else program_reference(recipe, "recipe"),
        "game": None if game is None else program_reference(game, "game"),
    }


def _flag_name(key: str) -> str:
    """Where a setting comes from, as its user wrote it: ``game`` is an argument in Python alone."""
    return f"{key}=" if key == "game" else f"--{key}"


def load_config_file(path: Path) -> RunConfig:
    """The configuration in a file, without other layers, as a run folder stores it."""
    return _resolve_layers([], read_settings(path))


def config_from_values(values: Mapping[str, Any], where: str) -> RunConfig:
    """The configuration in nested mappings, as a checkpoint stores it; errors name ``where``.

    Keys that a later version of a plugin has added take their defaults.
    """
    return _resolve_layers([], flatten_settings(values, where))


def build_config(data: type[DataConfig], model: type[RecipeConfig], layers: Iterable[Layer]) -> RunConfig:
    """Merge the layers into a configuration. Later layers override earlier ones; missing keys take defaults.

    Raises:
        ConfigError: the first error found, on one line.
    """
    sections: Sections = {"data": data, "model": model, **CORE_SECTIONS}
    layers = list(layers)
    for layer in layers:
        for setting in layer:
            _check_section(setting, sections)
    merged = _merge_layers(layers)
    names = {key: _name_setting(merged, key) or "" for key in ("domain", "recipe")}
    parts = {name: _validate_section(name, section, merged) for name, section in sections.items()}
    return RunConfig.model_validate({**names, **parts})


def parse_override(text: str) -> Setting:
    """``"section.key=value"`` of ``--set``, with the value in YAML."""
    where = f"--set {shorten(text, 60, keep='')}"
    key, equals, value = text.partition("=")
    path = tuple(key.strip().split("."))
    if not equals or not all(path):
        raise ConfigError(f"{where}: not of the form section.key=value", "for example --set train.seed=1")
    return Setting(path, parse_value(value, where), where)


def flatten_settings(values: Mapping[str, Any], where: str) -> list[Setting]:
    """A layer of nested mappings, for example of a model folder's JSON; errors name ``where``."""
    return list(_flatten(values, (), where))


def _flatten(values: Mapping[str, Any], path: tuple[str, ...], where: str) -> Iterator[Setting]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, (*path, key), where)
        else:
            yield Setting((*path, key), value, where)


def _data_source(data: str | Path | Any | None) -> str | None:
    return array_source(data).name if is_array(data) else None if data is None else str(data)


def _with_absolute_source(config: RunConfig) -> RunConfig:
    """The configuration with the absolute path of its data, so that the run works from any folder."""
    from gancore.data.sources import absolute_source
    from gancore.plugins import plugins

    source = absolute_source(config.data.source, plugins().load_domain(config.domain).sources)
    if source == config.data.source:
        return config
    return config.model_copy(update={"data": config.data.model_copy(update={"source": source})})


def _resolve_layers(
    layers: Sequence[Layer], stored_layer: Layer = (), origin: Origin | None = None
) -> RunConfig:
    """Merge the layers, with the sections of the domain and the recipe that they name.

    ``stored_layer``: the settings stored in a run or checkpoint. The other layers override them. ``origin``:
    names the domain and the recipe that no layer names, and gives settings of its network.
    """
    from gancore.plugins import plugins

    merged = _merge_layers([stored_layer, *layers])
    domain, recipe_name = _name_setting(merged, "domain"), _name_setting(merged, "recipe")
    if origin is not None:
        domain = domain or origin.domain
        recipe_name = recipe_name or origin.recipe_for(domain)
    if domain is None:
        raise ConfigError("no domain is given", "give --domain; `gancore plugins` lists them")
    kind = plugins().load_domain(domain)
    entry, recipe = plugins().load_recipe(kind, recipe_name)
    chosen = [Setting(("domain",), kind.name, "chosen"), Setting(("recipe",), entry.name, "chosen")]
    if origin is not None and (origin.domain, origin.recipe) == (kind.name, entry.name):
        given = origin.network_settings(kind.Config, recipe.Config)
        stored_layer = [*_acceptable(given, kind.Config, [stored_layer, *layers]), *stored_layer]
    config = build_config(kind.Config, recipe.Config, [stored_layer, *layers, chosen])
    _reject_unused_keys(config.model, layers)
    return config


def _acceptable(given: Layer, data: type[DataConfig], layers: Sequence[Layer]) -> list[Setting]:
    """The settings without those of ``data`` that these data do not have, such as those of another source."""
    kept: list[Setting] = []
    for setting in given:
        if setting.path[0] == "data":
            try:
                _validate_section("data", data, _merge_layers([[*kept, setting], *layers]))
            except ConfigError:
                continue
        kept.append(setting)
    return kept


def _reject_unused_keys(section: RecipeConfig, layers: Sequence[Layer]) -> None:
    """Raise ConfigError if a key of the recipe is set that its other keys leave unused."""
    unused = section.unused_keys()
    for setting in (setting for layer in layers for setting in layer if setting.path[0] == "model"):
        key = setting.path[1] if len(setting.path) > 1 else ""
        if key in unused and getattr(section, key) not in (0, type(section).model_fields[key].default):
            raise ConfigError(f"{setting.key} ({setting.where}) has no effect", f"also set {unused[key]}")


# Merge


def _merge_layers(layers: Sequence[Layer]) -> dict[tuple[str, ...], Setting]:
    """The final setting of every key. A layer's budget replaces the budget of the layers before it."""
    merged: dict[tuple[str, ...], Setting] = {}
    for layer in layers:
        if _has_budget(layer):
            for name in BUDGET_FIELDS:
                merged.pop(("train", name), None)
        for setting in layer:
            path = setting.path
            if path[0] in ("domain", "recipe") and len(path) > 1:
                raise ConfigError(f"unknown key {setting.key!r} ({setting.where})", f"set {path[0]} itself")
            for other in [p for p in merged if p[: len(path)] == path or path[: len(p)] == p]:
                del merged[other]
            merged[path] = setting
    return merged


def _has_budget(layer: Layer) -> bool:
    """Whether the layer sets a budget. Raise ConfigError if it sets several."""
    paths = {("train", name) for name in BUDGET_FIELDS}
    given = {s.path: s for s in layer if s.path in paths and s.value is not None}
    if len(given) > 1:
        which = " and ".join(f"{s.key} ({s.where})" for s in given.values())
        raise ConfigError(f"{which} are given; a run has one budget", "keep one of them")
    return bool(given)


def _name_setting(merged: Mapping[tuple[str, ...], Setting], key: str) -> str | None:
    setting = merged.get((key,))
    if setting is None or setting.value is None:
        return None
    if not isinstance(setting.value, str) or not re.fullmatch(r"[\w./:-]+", setting.value):
        raise ConfigError(
            f"{key}: {short_repr(setting.value)} ({setting.where}) is not a name", f"give a {key}'s name"
        )
    return setting.value


def _check_section(setting: Setting, sections: Sections) -> None:
    """Check that the section exists; its model checks the keys."""
    head, *rest = setting.path
    if head in ("domain", "recipe"):
        return
    if head not in sections:
        keys = [f"{name}.{key}" for name, section in sections.items() for key in section.model_fields]
        ending = [key for key in keys if key.partition(".")[2] == setting.path[-1]]
        known = ["domain", "recipe", *sections]
        hint = f"did you mean {ending[0]!r}?" if ending else suggestion(head, known)
        raise ConfigError(f"unknown key {setting.key!r} ({setting.where})", nested_hint(head) or hint)
    if not rest and setting.value not in (None, {}):
        known_key = f"{head}.{next(iter(sections[head].model_fields))}"
        raise ConfigError(
            f"{setting.key} ({setting.where}) is a section, not a value", f"set its keys, as {known_key}"
        )


def _validate_section(
    name: str, section: type[Section], merged: Mapping[tuple[str, ...], Setting]
) -> Section:
    values: dict[str, Any] = {}
    for path, setting in merged.items():
        if path[0] == name and len(path) > 1:
            target = values
            for part in path[1:-1]:
                target = target.setdefault(part, {})
            target[path[-1]] = setting.value
    try:
        return section.model_validate(values)
    except ValidationError as error:
        first_error = error.errors(include_url=False)[0]
        raise to_config_error(first_error, name, section, lambda path: _where_set(path, merged)) from None


def _where_set(path: tuple[str, ...], merged: Mapping[tuple[str, ...], Setting]) -> str:
    for other, setting in merged.items():
        if other[: len(path)] == path or path[: len(other)] == other:
            return f" ({setting.where})"
    return ""


# Explain


def to_config_error(
    error: ErrorDetails, name: str, section: type[Section], where_set: Callable[[tuple[str, ...]], str]
) -> ConfigError:
    """Convert a validation error of pydantic: the key, its value, where it was set, and what is allowed."""
    owner, path = _find_section(section, error["loc"])
    key = escape_line(".".join((name, *path)))
    reason = escape_line(error["msg"].removeprefix("Value error, ").replace("Input should", "should"))
    if not path:
        return ConfigError(f"{name}: {reason}", f"change one of them, with --set {name}.KEY=VALUE")
    where = where_set((name, *path))
    if error["type"] == "extra_forbidden":
        return ConfigError(f"unknown key {key!r}{where}", _fix_for_unknown(owner, name, path))
    note = f" ({text})" if (text := _description(owner, path[-1])) else ""
    if error["type"] == "missing" and len(path) == len(error["loc"]):
        return ConfigError(f"{key} is not given{note}", f"give --set {key}=VALUE")
    allowed = describe_allowed(owner, path[-1])
    if allowed and error["type"] not in ("value_error", "assertion_error"):
        reason = "not allowed"
    fix = f"give {allowed}{note}" if allowed else f"the key means{note}" if note else "change it"
    return ConfigError(f"{key}: {short_repr(error['input'])}{where}: {reason}", escape_line(fix))


def _fix_for_unknown(owner: type[Section], name: str, path: tuple[str, ...]) -> str:
    known = owner.model_fields
    return nested_hint(path[-1]) or suggestion(path[-1], [k for k in known if k != path[-1]])


def _find_section(section: type[Section], loc: Sequence[str | int]) -> tuple[type[Section], tuple[str, ...]]:
    """The section that an error belongs to, and the path of keys to the value.

    Locations of pydantic continue into lists and branches of unions, which are not keys.
    """
    path: list[str] = []
    for part in loc:
        path.append(str(part))
        field = section.model_fields.get(str(part))
        nested = _nested_sections(field.annotation) if field else []
        if len(nested) != 1 or len(path) == len(loc):
            break
        section = nested[0]
    return section, tuple(path)


def _nested_sections(annotation: Any) -> list[type[Section]]:
    """The sections in the type of a key; those of ``Section | None``, too."""
    choices = get_args(annotation) or (annotation,)
    return [choice for choice in choices if isinstance(choice, type) and issubclass(choice, Section)]


def _description(section: type[Section], key: str) -> str:
    field = section.model_fields.get(key)
    return escape_line(field.description or "") if field else ""


def describe_allowed(section: type[Section], key: str) -> str:
    """The values that a key accepts: ``an integer > 0 or null``; empty if the type cannot be described."""
    try:
        schema = section.model_json_schema()
        return _describe_schema(schema["properties"][key], schema.get("$defs", {}))
    except Exception:  # pydantic raises many kinds for types that JSON schema does not know
        return ""


_TYPE_NAMES = {
    "integer": "an integer",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
    "object": "a mapping",
}
_BOUND_SYMBOLS = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}


def _describe_schema(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        choices = (_describe_schema(choice, definitions) for choice in schema["anyOf"])
        return " or ".join(dict.fromkeys(choices))
    if "$ref" in schema:
        return _describe_schema(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "enum" in schema or "const" in schema:
        names = [str(choice) for choice in schema.get("enum", [schema.get("const")])]
        return names[0] if len(names) == 1 else f"one of {', '.join(names)}"
    if "properties" in schema:
        return f"a mapping with {', '.join(schema['properties'])}"
    if schema["type"] == "array":
        items = schema.get("items") or schema.get("prefixItems", [{}])[0]
        count = f" of {schema['minItems']}" if schema.get("minItems", 0) == schema.get("maxItems") else ""
        return f"a list{count}, each {_describe_schema(items, definitions)}"
    limits = [f"{sign} {schema[name]}" for name, sign in _BOUND_SYMBOLS.items() if name in schema]
    return " ".join([_TYPE_NAMES[schema["type"]], " and ".join(limits)]).rstrip()
