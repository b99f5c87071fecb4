"""A new plugin: from a domain's name to the files of a project that installs, passes the kit and trains."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path
from string import Template

from gancore.errors import ConfigError
from gancore.files import remove, temporary_path

NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
LONGEST = 50
SUFFIX = ".template"
HIDDEN_PREFIX = "dot-"
"""In the templates' names, for the dot of hidden files, which would be left out of the distribution."""


@dataclass(frozen=True)
class Names:
    """What a domain's name becomes: ``sea-level``, ``gancore_sea_level``, ``SeaLevel``."""

    name: str
    package: str
    title: str


def names_of(name: str) -> Names:
    """Raises ConfigError where no distribution, package and class can have the name."""
    if name.startswith(("gancore-", "gancore_")):
        raise ConfigError(
            f"{name!r} is the name of a distribution", f"give the domain's alone: {name[len('gancore-') :]!r}"
        )
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        shown = name if len(name) <= LONGEST else f"{name[:LONGEST]}..."
        raise ConfigError(
            f"{shown!r} cannot be the name of a domain",
            f"use up to {LONGEST} of a-z, 0-9 and single dashes, a letter first: tides, sea-level",
        )
    words = re.split("[-_]", name)
    return Names(name, f"gancore_{'_'.join(words)}", "".join(word.capitalize() for word in words))


def render(names: Names) -> dict[str, str]:
    """The project's files by their path."""
    project = resources.files("gancore.scaffold") / "project"
    return {
        path.replace("package/", f"{names.package}/"): Template(text).substitute(asdict(names))
        for path, text in _templates(project, "")
    }


def _templates(folder: Traversable, prefix: str) -> Iterator[tuple[str, str]]:
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        name = item.name.replace(HIDDEN_PREFIX, ".", 1) if item.name.startswith(HIDDEN_PREFIX) else item.name
        if item.is_dir():
            yield from _templates(item, f"{prefix}{name}/")
        elif name.endswith(SUFFIX):
            yield prefix + name.removesuffix(SUFFIX), item.read_text(encoding="utf-8")


def write_project(name: str, folder: Path) -> list[Path]:
    """Write the project into ``folder``, a new or empty one; returns its files.

    Raises:
        ConfigError: the name cannot be, or is taken; something stands in the folder.
    """
    names = names_of(name)
    _require_free_name(names)
    _require_room(folder)
    files = render(names)
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = temporary_path(folder.absolute())
    try:
        for path, text in files.items():
            (aside / path).parent.mkdir(parents=True, exist_ok=True)
            (aside / path).write_text(text, encoding="utf-8")
        os.rename(aside, folder)  # which may be an empty folder
    finally:
        if aside.exists():
            remove(aside)
    return [folder / path for path in files]


def _require_free_name(names: Names) -> None:
    from gancore.plugins import plugins

    for plugin in plugins().list_plugins():
        if plugin.name == names.name or plugin.module.partition(".")[0] == names.package:
            raise ConfigError(
                f"a plugin named {plugin.name!r} is installed ({plugin.distribution or 'by this program'})",
                "give another name",
            )
    with contextlib.suppress(ImportError, ValueError):
        if find_spec(names.package) is not None:
            raise ConfigError(f"a package named {names.package} is installed already", "give another name")


def _require_room(folder: Path) -> None:
    try:
        occupied = os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir()))
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}", "give another --out") from error
    if occupied:
        what = "holds other things" if folder.is_dir() else "is a file"
        raise ConfigError(f"{folder} {what}", "give another --out, or empty it")
