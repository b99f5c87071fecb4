"""Which plugins are installed, read from the metadata of distributions; nothing is imported."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from importlib import metadata

from gancore.errors import nearest
from gancore.plugins.faults import Fault, Origin
from gancore.plugins.plugin import Plugin

GROUP = "gancore"
ONLY, WITHOUT = "GANCORE_PLUGINS", "GANCORE_DISABLE_PLUGINS"


def discover() -> tuple[list[Plugin], list[Fault]]:
    """The installed plugins in the order of precedence, and what is wrong with their metadata or selection.

    Those by the authors of gancore itself come first, then by distribution and name.
    """
    authors, plugins = _authors("gancore"), []
    faults: list[Fault] = []
    for point in _entry_points(faults):
        origin = _origin(point)
        first_party = bool(authors) and _authors(origin.distribution) == authors
        plugin = Plugin(origin, point.load, disabled=_disabled(origin))
        plugins.append((not first_party, origin.distribution, origin.name, plugin))
    found = [plugin for *_, plugin in sorted(plugins, key=lambda ranked: ranked[:3])]
    return found, faults + _unknown_selection([plugin.origin for plugin in found])


def _entry_points(faults: list[Fault]) -> list[metadata.EntryPoint]:
    try:
        return list(metadata.entry_points(group=GROUP))
    except Exception:  # one distribution's unreadable file would hide all others
        return list(_entry_points_one_by_one(faults))


def _entry_points_one_by_one(faults: list[Fault]) -> Iterator[metadata.EntryPoint]:
    seen = set()
    for distribution in metadata.distributions():
        try:
            points = [point for point in distribution.entry_points if point.group == GROUP]
            name = distribution.name if points else ""
        except Exception as error:
            if f"[{GROUP}]" in (distribution.read_text("entry_points.txt") or ""):
                origin = Origin("?", "", distribution.name, distribution.version)
                reason = "has entry points that cannot be read"
                faults.append(Fault(origin, reason, origin.reinstall(), cause=error))
            continue
        if points and name not in seen:
            seen.add(name)
            yield from points


def _origin(point: metadata.EntryPoint) -> Origin:
    module = point.value.partition(":")[0].strip()
    distribution = point.dist
    if distribution is None:
        return Origin(point.name, module)
    return Origin(point.name, module, distribution.name or "", distribution.version or "")


def _authors(distribution: str) -> str:
    try:
        about = metadata.metadata(distribution)
    except (metadata.PackageNotFoundError, ValueError):
        return ""
    return "; ".join(sorted(about.get_all("Author", []) + about.get_all("Author-email", [])))


def _selection(variable: str) -> set[str] | None:
    """The names in an environment variable; None when it is not set."""
    value = os.environ.get(variable)
    return None if value is None else {_plain(name) for name in value.split(",") if name.strip()}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _disabled(origin: Origin) -> str:
    """The variable that keeps this plugin out, named by plugin or by distribution; empty: none does."""
    only, without = _selection(ONLY), _selection(WITHOUT)
    names = {_plain(origin.name), _plain(origin.distribution)}
    if without is not None and names & without:
        return WITHOUT
    return ONLY if only is not None and not names & only else ""


def _unknown_selection(origins: list[Origin]) -> list[Fault]:
    known = {_plain(name) for origin in origins for name in (origin.name, origin.distribution)}
    return [
        Fault(Origin(name, ""), f"is named in {variable} and is not installed", nearest(name, known - {""}))
        for variable in (ONLY, WITHOUT)
        for name in sorted((_selection(variable) or set()) - known)
    ]
