"""Which plugins are installed, read from the metadata of distributions; nothing is imported."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from importlib import metadata

from gancore.plugins.faults import Fault, PluginId
from gancore.plugins.plugin import Plugin
from gancore.text import suggestion

GROUP = "gancore"
ENABLED_VARIABLE, DISABLED_VARIABLE = "GANCORE_PLUGINS", "GANCORE_DISABLE_PLUGINS"


def discover() -> tuple[list[Plugin], list[Fault]]:
    """The installed plugins in the order of precedence, and what is wrong with their metadata or selection.

    Those by the authors of gancore itself come first, then by distribution and name.
    """
    authors, plugins = _authors("gancore"), []
    faults: list[Fault] = []
    for point in _entry_points(faults):
        plugin_id = _plugin_id(point)
        first_party = bool(authors) and _authors(plugin_id.distribution) == authors
        plugin = Plugin(plugin_id, point.load, _disabled(plugin_id), _requirements(point))
        plugins.append((not first_party, plugin_id.distribution, plugin_id.name, plugin))
    found = [plugin for *_, plugin in sorted(plugins, key=lambda ranked: ranked[:3])]
    return found, faults + _unknown_names([plugin.id for plugin in found])


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
                plugin_id = PluginId("?", "", distribution.name, distribution.version)
                reason = "has entry points that cannot be read"
                faults.append(Fault(plugin_id, reason, plugin_id.reinstall_command(), cause=error))
            continue
        if points and name not in seen:
            seen.add(name)
            yield from points


def _plugin_id(point: metadata.EntryPoint) -> PluginId:
    module = point.value.partition(":")[0].strip()
    distribution = point.dist
    if distribution is None:
        return PluginId(point.name, module)
    return PluginId(point.name, module, distribution.name or "", distribution.version or "")


def _requirements(point: metadata.EntryPoint) -> list[str]:
    """What the entry point's distribution requires; nothing where its metadata cannot be read."""
    try:
        return list((point.dist.requires if point.dist else None) or ())
    except Exception:
        return []


def _authors(distribution: str) -> str:
    try:
        about = metadata.metadata(distribution)
    except (metadata.PackageNotFoundError, ValueError):
        return ""
    return "; ".join(sorted(about.get_all("Author", []) + about.get_all("Author-email", [])))


def _names_in(variable: str) -> set[str] | None:
    """The names in an environment variable; None when it is not set."""
    value = os.environ.get(variable)
    return None if value is None else {_normalised(name) for name in value.split(",") if name.strip()}


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _disabled(plugin_id: PluginId) -> str:
    """The variable that keeps this plugin out, named by plugin or by distribution; empty: none does."""
    only, without = _names_in(ENABLED_VARIABLE), _names_in(DISABLED_VARIABLE)
    names = {_normalised(plugin_id.name), _normalised(plugin_id.distribution)}
    if without is not None and names & without:
        return DISABLED_VARIABLE
    return ENABLED_VARIABLE if only is not None and not names & only else ""


def _unknown_names(ids: list[PluginId]) -> list[Fault]:
    known = {_normalised(name) for plugin_id in ids for name in (plugin_id.name, plugin_id.distribution)}
    return [
        Fault(
            PluginId(name, ""), f"is named in {variable} and is not installed", suggestion(name, known - {""})
        )
        for variable in (ENABLED_VARIABLE, DISABLED_VARIABLE)
        for name in sorted((_names_in(variable) or set()) - known)
    ]
