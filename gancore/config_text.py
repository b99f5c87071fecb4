"""Configurations as YAML: read with the line of every key, written with the meaning of every key.

Read by hand from the parse tree, not by a constructor: only plain data can come out, ``1e-4`` is a
number and ``no`` a word, and a key given twice is an error instead of the last one winning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gancore.config import Section
from gancore.errors import ConfigError

MAXIMUM_BYTES = 2**20
"""A configuration is a page; what is larger was named by mistake."""


@dataclass(frozen=True)
class Setting:
    """One key with its value, and where it was given: ``run.yaml, line 3``, ``--steps``."""

    path: tuple[str, ...]
    value: Any
    where: str

    @property
    def key(self) -> str:
        return one_line(".".join(self.path))


def one_line(text: str) -> str:
    """The text with everything that does not print written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def short(value: Any, limit: int = 60) -> str:
    """A value as it can stand in a one-line message."""
    try:
        text = one_line(repr(value))
    except (RecursionError, ValueError):  # nested too deep, or an integer too long to print
        text = f"a {type(value).__name__}"
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


# Reading

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
    """YAML 1.2's core types. Only composes: no constructor is ever called."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(
                None, None, "aliases (*name) are not used in a configuration", mark
            )
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    """Quotes exactly what `_Loader` would not read back as text."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _type, (_pattern, _first) in _RESOLVERS.items():
    _Loader.add_implicit_resolver(_TAG + _type, _pattern, _first)
    _Dumper.add_implicit_resolver(_TAG + _type, _pattern, _first)


def _write_text(dumper: _Dumper, text: str) -> yaml.Node:
    """Text that has line breaks or does not print is written with escapes, on one line."""
    return dumper.represent_scalar(_TAG + "str", text, style=None if text.isprintable() else '"')


_Dumper.add_representer(str, _write_text)
_STYLE: dict[str, Any] = {"allow_unicode": True, "width": 2**30}


_STREAMS = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")
"""What a shell hands over as a file: ``--config <(program)``. Another pipe is not waited for."""


def read_file(path: Path) -> list[Setting]:
    """Every key of a YAML file, nested mappings opened.

    Raises:
        ConfigError: missing, no file, no UTF-8, malformed, no mapping, a key given twice, a tag.
    """
    name = one_line(str(path))
    try:
        if not (path.is_file() or str(path).startswith(_STREAMS)) and path.exists():
            raise ConfigError(f"configuration {name}: it is no regular file", "name a YAML file")
        with path.open("rb") as file:
            content = file.read(MAXIMUM_BYTES + 1)
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigError(f"{name}, line {line}: not UTF-8 text", "name a YAML file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise ConfigError(f"configuration {name}: {one_line(reason)}", "name a readable YAML file") from None
    if len(content) > MAXIMUM_BYTES:
        raise ConfigError(f"{name}: larger than 1 MiB, not a configuration", "name a YAML file")
    node = _compose(text, lambda line: f"{name}, line {line}")
    if node is None:
        return []
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{name}, line {_line(node)}: no mapping of keys to values", "write `key: value`")
    return list(_settings(node, (), name))


def nested_form(key: str) -> str:
    """The fix for a key with dots in a file, where sections are mappings; empty for another key."""
    if not re.fullmatch(r"\w+(\.\w+)+", key):
        return ""
    *outer, last = key.split(".")
    return f"in a file write `{': {'.join([*outer, last])}: ...{'}' * len(outer)}`"


def read_value(text: str, where: str) -> Any:
    """One value of ``--set``, as YAML."""
    node = _compose(text, lambda line: where)
    return None if node is None else _value(node, lambda line: where)


def _compose(text: str, place: Callable[[int], str]) -> yaml.Node | None:
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problem = one_line(error.problem or error.context or "malformed")
        if "'\\t'" in problem:
            problem = "a tab; YAML is indented by spaces"
        raise ConfigError(f"{place(line)}: not YAML: {problem}", "mend it, or quote the text") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{place(line)}: a character that YAML does not allow", "remove it") from None
    except RecursionError:
        raise ConfigError(f"{place(1)}: nested too deeply", "a configuration has sections and keys") from None
    except (ValueError, OverflowError):  # an escape beyond Unicode, \UFFFFFFFF
        raise ConfigError(f"{place(1)}: not YAML: an escape beyond Unicode", "mend it") from None


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _pairs(node: yaml.MappingNode, place: Callable[[int], str]) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
    """The keys of a mapping as text, each once."""
    if node.tag != _TAG + "map":
        raise _tagged(node, place)
    seen: set[str] = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError(f"{place(_line(key))}: a key that is no text", "write `key: value`")
        if key.value in seen:
            raise ConfigError(f"{place(_line(key))}: {short(key.value)} is given twice", "keep one of them")
        seen.add(key.value)
        yield key.value, key, value


def _settings(node: yaml.MappingNode, path: tuple[str, ...], name: str) -> Iterator[Setting]:
    def place(line: int) -> str:
        return f"{name}, line {line}"

    if len(path) > 16:
        raise ConfigError(f"{place(_line(node))}: nested too deeply", "a configuration has sections and keys")
    for key, key_node, value in _pairs(node, place):
        here = (*path, key)
        if isinstance(value, yaml.MappingNode) and value.value:
            yield from _settings(value, here, name)
        else:
            yield Setting(here, _value(value, place), place(_line(key_node)))


def _value(node: yaml.Node, place: Callable[[int], str], depth: int = 0) -> Any:
    if depth > 16:
        raise ConfigError(f"{place(_line(node))}: nested too deeply", "write a value or a list")
    if isinstance(node, yaml.MappingNode):
        return {key: _value(value, place, depth + 1) for key, _, value in _pairs(node, place)}
    if isinstance(node, yaml.SequenceNode):
        if node.tag != _TAG + "seq":
            raise _tagged(node, place)
        return [_value(item, place, depth + 1) for item in node.value]
    read = _SCALARS.get(node.tag.removeprefix(_TAG))
    if read is None:
        raise _tagged(node, place)
    try:
        return read(node.value)
    except (ValueError, KeyError):
        raise ConfigError(f"{place(_line(node))}: {short(node.value)} cannot be read", "mend it") from None


def _tagged(node: yaml.Node, place: Callable[[int], str]) -> ConfigError:
    tag = one_line(node.tag.replace(_TAG, "!!"))[:60]
    return ConfigError(f"{place(_line(node))}: the tag {tag} is not allowed", "write plain values")


# Writing


def dump(config: Section) -> str:
    """YAML that loads back to the same configuration, each key under a comment that says what it means."""
    return "\n".join([*_describe(config, 0), ""])


def _describe(section: Section, depth: int) -> Iterator[str]:
    indent = "  " * depth
    plain = section.model_dump(mode="json")
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if field.description:
            yield f"{indent}# {one_line(field.description)}"
        if isinstance(value, Section):
            yield f"{indent}{name}:"
            yield from _describe(value, depth + 1)
        else:
            yield indent + _pair(name, plain[name])


def _pair(name: str, value: Any) -> str:
    """``name: value`` on one line: values are written as the one item of a flow list, less its brackets."""
    text: str = yaml.dump([value], Dumper=_Dumper, default_flow_style=True, sort_keys=False, **_STYLE)
    return f"{name}: {text.rstrip()[1:-1]}"
