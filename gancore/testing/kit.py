"""The kit: a plugin's benches, and every check made on each of them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gancore.errors import ConfigError, GancoreError, PluginError, nearest
from gancore.plugins import PluginInfo, plugins
from gancore.records import RecipeEntry
from gancore.testing.bench import DomainBench, PluginBench, RecipeBench
from gancore.testing.check import Result, perform
from gancore.testing.checks import CHECKS
from gancore.testing.part_bench import DynamicsBench, LoggerBench, LossBench, MeasureBench, PartBench

GATES = ("resolves_records", "opens", "builds")
"""Where one of these fails there is nothing to look at: the checks behind it would say so again."""


@dataclass
class Kit:
    """Checks one plugin: it, the domains that it brings, and the recipes that it brings for any domain."""

    plugin: PluginBench

    @classmethod
    def of(cls, name: str) -> Kit:
        """Of the plugin of this name, or that brings the domain of this name.

        Raises:
            PluginError: there is none.
        """
        plugins().load_all()
        found = {info.name: info for info in plugins().listing()}
        info = found.get(name) or _bringing(name)
        if info is None:
            raise PluginError(f"no plugin is named {name!r}", nearest(name, found))
        if info.state == "disabled":
            raise PluginError(f"the plugin {name!r} ({info.distribution}) is {info.reason}", info.fix)
        return cls(PluginBench(info))

    @cached_property
    def domains(self) -> dict[str, DomainBench]:
        """Of the plugin, by name."""
        names = [entry.name for hook, entry in self.plugin.records if hook == "gancore_domains"]
        return {name: DomainBench(plugins().domain(name)) for name in names}

    def domain(self, name: str) -> DomainBench:
        """Raises PluginError where the plugin does not bring it."""
        if name not in self.domains:
            raise PluginError(
                f"the plugin {self.plugin.subject!r} brings no domain {name!r}", nearest(name, self.domains)
            )
        return self.domains[name]

    @cached_property
    def recipes(self) -> dict[str, RecipeBench]:
        """Of the plugin, by ``domain/recipe``: those of its domains, and those that it lends to others."""
        benches = [
            RecipeBench(home, *plugins().recipe(home.domain, name))
            for home in self.domains.values()
            for name, entry in plugins().recipes(home.domain).items()
            if self.plugin.owns(entry)
        ]
        for _, entry in self.plugin.records:
            if isinstance(entry, RecipeEntry) and entry.domain not in self.domains:
                home = DomainBench(plugins().domain(entry.domain))
                benches.append(RecipeBench(home, *plugins().recipe(home.domain, entry.name)))
        return {bench.subject: bench for bench in benches}

    @cached_property
    def parts(self) -> dict[str, PartBench]:
        """The plugin's losses, dynamics, measures for others and loggers, by ``loss/name`` and so on."""
        kinds: dict[str, Callable[[Any], PartBench]] = {
            "gancore_losses": LossBench,
            "gancore_dynamics": DynamicsBench,
            "gancore_measures": MeasureBench,
            "gancore_loggers": LoggerBench,
        }
        benches = [kinds[hook](entry) for hook, entry in self.plugin.records if hook in kinds]
        return {bench.subject: bench for bench in benches}

    def only(self, recipe: str | None) -> list[RecipeBench]:
        """The recipes of this name, or all.

        Raises:
            ConfigError: there is none.
        """
        chosen = [bench for bench in self.recipes.values() if recipe in (None, bench.entry.name)]
        if recipe is not None and not chosen:
            known = [bench.entry.name for bench in self.recipes.values()]
            raise ConfigError(
                f"the plugin {self.plugin.subject!r} has no recipe {recipe!r}", nearest(recipe, known)
            )
        return chosen

    def run(self, recipe: str | None = None) -> Iterator[Result]:
        """Every check, as it is made. What can be looked at no further is left at its first failure."""
        gate = yield from _checked(self.plugin, "plugin")
        if not gate:
            return
        chosen = self.only(recipe)
        for home in self.domains.values():
            gate = yield from _checked(home, "domain")
            if not gate:
                return
        for bench in chosen:
            yield from _checked(bench, "recipe")
        for part in self.parts.values() if recipe is None else ():
            yield from _checked(part, part.scope)


def _checked(bench: Any, scope: str) -> Generator[Result, None, bool]:
    """The checks of one subject; returns False where one failed that the others stand on."""
    for check in CHECKS:
        if check.scope == scope:
            result = perform(check, bench)
            yield result
            if check.name in GATES and result.state == "failed":
                return False
    return True


def _bringing(domain: str) -> PluginInfo | None:
    for entry in plugins().records("gancore_domains"):
        if entry.name == domain:
            return plugins().origin(entry)
    return None


def summary(results: list[Result]) -> str:
    counts = {
        state: sum(result.state == state for result in results) for state in ("ok", "failed", "skipped")
    }
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    return f"{len(results)} checks in {sum(result.seconds for result in results):.0f} s: {told}"


def failure(plugin: str, results: list[Result]) -> GancoreError | None:
    """The one line where a check failed."""
    failed = [result for result in results if result.state == "failed"]
    if not failed:
        return None
    first = failed[0]
    count = f"{len(failed)} of {len(results)} checks of {plugin!r} failed"
    return PluginError(f"{count}, first {first.check} of {first.subject}: {first.reason}", first.fix)
