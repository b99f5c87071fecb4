"""pydantic's complaints as one line that a user can act on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

from pydantic_core import ErrorDetails

from gancore.config import RecipeSection, Section
from gancore.config_text import nested_form, one_line, short
from gancore.errors import ConfigError, nearest


def explain(
    error: ErrorDetails, name: str, section: type[Section], where_given: Callable[[tuple[str, ...]], str]
) -> ConfigError:
    """pydantic's complaint as one line: which key, what value, given where, what is allowed."""
    inside, path = _locate(section, error["loc"])
    key = one_line(".".join((name, *path)))
    reason = one_line(error["msg"].removeprefix("Value error, ").replace("Input should", "should"))
    if not path:
        return ConfigError(f"{name}: {reason}", f"change one of them, with --set {name}.KEY=VALUE")
    where = where_given((name, *path))
    if error["type"] == "extra_forbidden":
        known = inside.model_fields
        renamed = inside.renamed if issubclass(inside, RecipeSection) else {}
        if path[-1] in renamed:
            now = one_line(".".join((name, *path[:-1], renamed[path[-1]])))
            return ConfigError(f"unknown key {key!r}{where}", f"it is called {now} now")
        hint = nearest(path[-1], [k for k in known if k != path[-1]])
        return ConfigError(f"unknown key {key!r}{where}", nested_form(path[-1]) or hint)
    described = f" ({text})" if (text := _description(inside, path[-1])) else ""
    if error["type"] == "missing" and len(path) == len(error["loc"]):
        return ConfigError(f"{key} is not given{described}", f"give --set {key}=VALUE")
    allowed = allowed_values(inside, path[-1])
    if allowed and error["type"] not in ("value_error", "assertion_error"):
        reason = "not allowed"
    fix = (
        f"give {allowed}{described}" if allowed else f"the key means{described}" if described else "change it"
    )
    return ConfigError(f"{key}: {short(error['input'])}{where}: {reason}", one_line(fix))


def _locate(section: type[Section], loc: Sequence[str | int]) -> tuple[type[Section], tuple[str, ...]]:
    """The section that a complaint is about, and the path of keys to it and within.

    pydantic's locations go on into lists and the branches of unions, which are no keys.
    """
    path: list[str] = []
    for step in loc:
        path.append(str(step))
        field = section.model_fields.get(str(step))
        within = _sections_of(field.annotation) if field else []
        if len(within) != 1 or len(path) == len(loc):
            break
        section = within[0]
    return section, tuple(path)


def _sections_of(annotation: Any) -> list[type[Section]]:
    """The section that a key holds, also where it may be none."""
    choices = get_args(annotation) or (annotation,)
    return [choice for choice in choices if isinstance(choice, type) and issubclass(choice, Section)]


def _description(section: type[Section], key: str) -> str:
    field = section.model_fields.get(key)
    return one_line(field.description or "") if field else ""


def allowed_values(section: type[Section], key: str) -> str:
    """What a key takes, in words: ``an integer > 0 or null``; empty when its type has no such words."""
    try:
        schema = section.model_json_schema()
        return _words(schema["properties"][key], schema.get("$defs", {}))
    except Exception:  # pydantic raises many kinds for types that JSON schema does not know
        return ""


_NOUNS = {
    "integer": "an integer",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
    "object": "a mapping",
}
_SIGNS = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}


def _words(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_words(choice, definitions) for choice in schema["anyOf"]))
    if "$ref" in schema:
        return _words(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "enum" in schema or "const" in schema:
        choices = [str(choice) for choice in schema.get("enum", [schema.get("const")])]
        return choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    if "properties" in schema:
        return f"a mapping with {', '.join(schema['properties'])}"
    if schema["type"] == "array":
        items = schema.get("items") or schema.get("prefixItems", [{}])[0]
        count = f" of {schema['minItems']}" if schema.get("minItems", 0) == schema.get("maxItems") else ""
        return f"a list{count}, each {_words(items, definitions)}"
    limits = [f"{sign} {schema[name]}" for name, sign in _SIGNS.items() if name in schema]
    return " ".join([_NOUNS[schema["type"]], " and ".join(limits)]).rstrip()
