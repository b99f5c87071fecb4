"""Read a configuration from YAML with the line of every key; write it with the description of every key.

Values are taken from the parse tree, and no constructor is called: the result is plain data, ``1e-4`` is a
number and ``no`` is text, and a duplicate key is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from gancore.errors import ConfigError
from gancore.text import escape_unprintable, short_repr

MAX_CONFIG_BYTES = 2**20
"""A larger file is refused: it is not a configuration."""


@dataclass(frozen=True)
class Setting:
    """A key with its value, and where it was set: ``run.yaml, line 3``, ``--steps``."""

    path: tuple[str, ...]
    value: Any
    where: str

    @property
    def key(self) -> str:
        return escape_line(".".join(self.path))


def escape_line(text: str) -> str:
    """One printable line; joiners, which print nothing, are escaped too."""
    return escape_unprintable(text, keep="")


# Read

_TAG = "tag:yaml.org,2002:"
_RESOLVERS = {
    "bool": (re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), "tTfF"),
    "null": (re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    "int": (re.compile(r"^[-+]?[0-9]+$"), "-+0123456789"),
    "float": (
        re.compile(r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan)$"),
        "-+.0123456789",
    ),
}
_SCALARS: dict[str, Callable[[str], Any]] = {
    "bool": lambda text: {"true": True, "false": False}[text.lower()],
    "null": lambda text: None,
    "int": int,
    "float": lambda text: float(text.replace(".inf", "inf").replace(".nan", "nan")),
    "str": str,
}


class _Loader(yaml.SafeLoader):
    """Parse the core types of YAML 1.2. It only composes nodes: no constructor is called."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(
                None, None, "aliases (*name) are not used in a configuration", mark
            )
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    """Quote exactly the text that `_Loader` would not read back as text."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _type, (_pattern, _first) in _RESOLVERS.items():
    _Loader.add_implicit_resolver(_TAG + _type, _pattern, _first)
    _Dumper.add_implicit_resolver(_TAG + _type, _pattern, _first)


def _write_text(dumper: _Dumper, text: str) -> yaml.Node:
    """Write text with line breaks or unprintable characters with escapes, on one line."""
    return dumper.represent_scalar(_TAG + "str", text, style=None if text.isprintable() else '"')


_Dumper.add_representer(str, _write_text)
_DUMP_OPTIONS: dict[str, Any] = {"allow_unicode": True, "width": 2**30}


_PIPE_PREFIXES = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")
"""Pipes that a shell creates for ``--config <(program)``. Others are refused, since a read may block."""


def read_settings(path: Path) -> list[Setting]:
    """Every setting of a YAML file, with nested mappings flattened.

    Raises:
        ConfigError: the file is missing, not regular, not UTF-8, not YAML or not a mapping, or it has a
            duplicate key or a tag.
    """
    name = escape_line(str(path))
    try:
        if not (path.is_file() or str(path).startswith(_PIPE_PREFIXES)) and path.exists():
            raise ConfigError(f"configuration {name}: not a regular file", "name a YAML file")
        with path.open("rb") as file:
            content = file.read(MAX_CONFIG_BYTES + 1)
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigError(f"{name}, line {line}: not UTF-8 text", "name a YAML file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise ConfigError(
            f"configuration {name}: {escape_line(reason)}", "name a readable YAML file"
        ) from None
    if len(content) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{name}: larger than 1 MiB, not a configuration", "name a YAML file")
    node = _parse(text, lambda line: f"{name}, line {line}")
    if node is None:
        return []
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(
            f"{name}, line {_line_number(node)}: not a mapping of keys to values", "write `key: value`"
        )
    return list(_flatten_mapping(node, (), name))


def nested_hint(key: str) -> str:
    """The fix for a key with dots in a file, where sections are mappings; empty for a key without dots."""
    if not re.fullmatch(r"\w+(\.\w+)+", key):
        return ""
    *outer, last = key.split(".")
    return f"in a file write `{': {'.join([*outer, last])}: ...{'}' * len(outer)}`"


def parse_value(text: str, where: str) -> Any:
    """Parse one value of ``--set`` as YAML."""
    node = _parse(text, lambda line: where)
    return None if node is None else _to_python(node, lambda line: where)


def _parse(text: str, locate: Callable[[int], str]) -> yaml.Node | None:
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problem = escape_line(error.problem or error.context or "malformed")
        if "'\\t'" in problem:
            problem = "a tab; YAML is indented by spaces"
        raise ConfigError(f"{locate(line)}: not YAML: {problem}", "fix the YAML, or quote the text") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{locate(line)}: a character that YAML does not allow", "remove it") from None
    except RecursionError:
        raise ConfigError(
            f"{locate(1)}: nested too deeply", "use sections and keys, nested at most 16 deep"
        ) from None
    except (ValueError, OverflowError):  # an escape beyond Unicode, \UFFFFFFFF
        raise ConfigError(f"{locate(1)}: not YAML: an escape beyond Unicode", "remove the escape") from None


def _line_number(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _mapping_items(
    node: yaml.MappingNode, locate: Callable[[int], str]
) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
    """The keys of a mapping, as text, with their nodes and values. A duplicate key is an error."""
    if node.tag != _TAG + "map":
        raise _tag_error(node, locate)
    keys: set[str] = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError(f"{locate(_line_number(key))}: a key that is not text", "write `key: value`")
        if key.value in keys:
            raise ConfigError(
                f"{locate(_line_number(key))}: {short_repr(key.value)} is given twice", "keep one of them"
            )
        keys.add(key.value)
        yield key.value, key, value


def _flatten_mapping(node: yaml.MappingNode, path: tuple[str, ...], name: str) -> Iterator[Setting]:
    def locate(line: int) -> str:
        return f"{name}, line {line}"

    if len(path) > 16:
        raise ConfigError(
            f"{locate(_line_number(node))}: nested too deeply",
            "use sections and keys, nested at most 16 deep",
        )
    for key, key_node, value in _mapping_items(node, locate):
        key_path = (*path, key)
        if isinstance(value, yaml.MappingNode) and value.value:
            yield from _flatten_mapping(value, key_path, name)
        else:
            yield Setting(key_path, _to_python(value, locate), locate(_line_number(key_node)))


def _to_python(node: yaml.Node, locate: Callable[[int], str], depth: int = 0) -> Any:
    if depth > 16:
        raise ConfigError(f"{locate(_line_number(node))}: nested too deeply", "give a value or a list")
    if isinstance(node, yaml.MappingNode):
        return {key: _to_python(value, locate, depth + 1) for key, _, value in _mapping_items(node, locate)}
    if isinstance(node, yaml.SequenceNode):
        if node.tag != _TAG + "seq":
            raise _tag_error(node, locate)
        return [_to_python(item, locate, depth + 1) for item in node.value]
    convert = _SCALARS.get(node.tag.removeprefix(_TAG))
    if convert is None:
        raise _tag_error(node, locate)
    try:
        return convert(node.value)
    except (ValueError, KeyError):
        raise ConfigError(
            f"{locate(_line_number(node))}: {short_repr(node.value)} cannot be read", "fix the value"
        ) from None


def _tag_error(node: yaml.Node, locate: Callable[[int], str]) -> ConfigError:
    tag = escape_line(node.tag.replace(_TAG, "!!"))[:60]
    return ConfigError(f"{locate(_line_number(node))}: the tag {tag} is not allowed", "give plain values")


# Write


def to_yaml(config: BaseModel) -> str:
    """YAML that reads back as the same configuration, with the description of every key as a comment."""
    return "\n".join([*_yaml_lines(config, 0), ""])


def settings_to_yaml(settings: Mapping[str, Any], descriptions: Mapping[str, str]) -> str:
    """YAML of values of JSON (tuples are lists), with the description of each key as a comment above it."""
    lines: list[str] = []
    for name, value in json.loads(json.dumps(settings)).items():
        if name in descriptions:
            lines.append(f"# {escape_line(descriptions[name])}")
        lines.append(_yaml_pair(name, value))
    return "\n".join([*lines, ""])


def _yaml_lines(section: BaseModel, depth: int) -> Iterator[str]:
    indent = "  " * depth
    plain = section.model_dump(mode="json")
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if field.description:
            yield f"{indent}# {escape_line(field.description)}"
        if isinstance(value, BaseModel):
            yield f"{indent}{name}:"
            yield from _yaml_lines(value, depth + 1)
        else:
            yield indent + _yaml_pair(name, plain[name])


def _yaml_pair(name: str, value: Any) -> str:
    """``name: value`` on one line. The value is the only item of a flow list, less its brackets."""
    text: str = yaml.dump([value], Dumper=_Dumper, default_flow_style=True, sort_keys=False, **_DUMP_OPTIONS)
    return f"{name}: {text.rstrip()[1:-1]}"
