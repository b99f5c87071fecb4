"""The registry: every plugin there is, and what they provide by name. The only global state of gancore."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from gancore.errors import PluginError, nearest, printable
from gancore.plugins.checks import REGISTRATIONS, check_record
from gancore.plugins.discovery import discover
from gancore.plugins.faults import Fault, Origin
from gancore.plugins.plugin import OBSERVERS, Plugin, PluginInfo
from gancore.plugins.resolve import import_factory, make
from gancore.records import Entry, FeaturesEntry, MeasureEntry, ModelEntry, RecipeEntry

if TYPE_CHECKING:
    from gancore.domain import Domain
    from gancore.evaluation.features import Features
    from gancore.evaluation.measure import Measure
    from gancore.recipe import Recipe


Given = ParamSpec("Given")
Returned = TypeVar("Returned")


def _one_at_a_time(
    method: Callable[Concatenate[Plugins, Given], Returned],
) -> Callable[Concatenate[Plugins, Given], Returned]:
    """Threads take turns: a plugin that two of them load at once would be registered twice."""

    @wraps(method)
    def guarded(self: Plugins, /, *arguments: Given.args, **options: Given.kwargs) -> Returned:
        with self._guard:
            return method(self, *arguments, **options)

    return guarded


NO_PLUGINS = frozenset({"", "gancore", "torch", *sys.stdlib_module_names}) - {"__main__"}
"""Packages that a record may name and no plugin brings."""


class Plugins:
    """Installed and registered plugins, in order of precedence: when two claim a name, the first keeps it.

    Each fault of a plugin is told once, in one line on stderr; with ``strict`` it raises PluginError.
    """

    def __init__(self, strict: bool = False) -> None:
        self.strict = strict
        self._found, self._metadata_faults = discover()
        self._told: set[Fault] = set()
        self._guard = threading.RLock()

    def listing(self) -> list[PluginInfo]:
        """Every installed or registered plugin; loads none and tells nothing: shells complete from it."""
        return [plugin.info() for plugin in self._found]

    @_one_at_a_time
    def load_all(self) -> None:
        """Load every plugin that is not disabled."""
        self._load_all()
        self._tell()

    @_one_at_a_time
    def register(self, module: object, name: str) -> None:
        """Take in a module or object with hook implementations, after the installed plugins."""
        origin = Origin(name, getattr(module, "__name__", type(module).__name__))
        self._found.append(Plugin(origin, lambda: module))
        self._found[-1].load()
        self._tell()

    @_one_at_a_time
    def records(self, hook: str) -> list[Entry]:
        """All records of a registration hook, such as ``gancore_losses``; loads all plugins."""
        if hook not in REGISTRATIONS:
            raise ValueError(f"{hook!r} registers nothing; {nearest(hook, REGISTRATIONS)}")
        self.load_all()
        return list(self._claims(hook).values())

    def domain(self, name: str) -> Domain:
        """The domain of this name; loads only the plugin of the same name, unless that has no such domain.

        Raises:
            PluginError: no such domain, or it cannot be loaded.
        """
        entry = self._find_domain(name)
        self._tell()
        from gancore.domain import Domain

        origin = self._origin(entry)
        domain = make(entry, origin, Domain)
        called = getattr(domain, "name", None)
        if called != name:
            reason = f"provides the domain {name!r} by a class whose name is {called!r}"
            raise Fault(origin, reason, f"write name = {name!r} in {entry.factory}", subject=name).error()
        return domain

    @_one_at_a_time
    def recipes(self, domain: Domain) -> dict[str, RecipeEntry]:
        """Recipes by name: the domain's own, the default one first, then those of other plugins."""
        self._load_all()
        found = self._own_recipes(domain)
        for entry in list(self._claims("gancore_recipes").values()):
            if not isinstance(entry, RecipeEntry) or entry.domain != domain.name:
                continue
            if entry.name in found:
                self._lose("gancore_recipes", entry, f"the domain {domain.name!r} itself has")
            else:
                found[entry.name] = entry
        self._tell()
        return found

    @_one_at_a_time
    def recipe(self, domain: Domain, name: str | None = None) -> tuple[RecipeEntry, Recipe]:
        """A recipe of the domain, by default its first; loads other plugins only if the domain has none such.

        ``module:Class`` is a recipe that this program has imported itself.

        Raises:
            PluginError: no such recipe, or it cannot be loaded.
        """
        if name is not None and ":" in name:
            from gancore.plugins.own_recipe import own_recipe

            return own_recipe(name)
        known = self._own_recipes(domain)
        self._tell()
        if not known or (name is not None and name not in known):
            known = self.recipes(domain)
        name = name or next(iter(known), "")
        if name not in known:
            asked = f"no recipe {name!r}" if name else "no recipe"
            raise PluginError(f"the domain {domain.name!r} has {asked}", nearest(name, known))
        from gancore.recipe import Recipe

        return known[name], make(known[name], self._origin(known[name]), Recipe)

    def resolve(self, entry: Entry) -> Any:
        """The object that ``entry.factory`` names, imported.

        Raises:
            PluginError: it cannot be imported; names the distribution and the fix.
        """
        return import_factory(entry, self._origin(entry))

    def measure(self, entry: MeasureEntry) -> Measure:
        """The measure that ``entry`` names. Raises PluginError: it cannot be imported, or is none."""
        from gancore.evaluation.measure import Measure

        found, origin = self.resolve(entry), self._origin(entry)
        if not isinstance(found, Measure):
            reason = f"names {entry.factory!r} for {entry.name!r}, which is not a gancore.Measure"
            raise Fault(origin, reason, origin.remedy(), subject=entry.name).error()
        return found

    def features(self, entry: FeaturesEntry) -> Features:
        """What ``entry`` names, not prepared yet. Raises PluginError: it cannot be made, or is none."""
        from gancore.evaluation.features import Features

        return make(entry, self._origin(entry), Features)

    def origin(self, entry: Entry) -> PluginInfo | None:
        """The plugin that registered ``entry``, or whose package holds its factory; None: no plugin."""
        owner = self._owner(entry)
        return owner.info() if owner else None

    def packages(self) -> dict[str, Origin]:
        """The plugin that each top-level package belongs to, as far as plugins are loaded."""
        found: dict[str, Origin] = {}
        for plugin in self._found:
            records = [record for records in plugin.records.values() for record in records]
            factories = [record.factory for record in records if not isinstance(record, ModelEntry)]
            for name in (plugin.origin.module, *factories):
                top = name.partition(":")[0].partition(".")[0]
                if top not in NO_PLUGINS:
                    found.setdefault(top, plugin.origin)
        return found

    def observe(self, hook: str, **arguments: Any) -> None:
        """Tell every loaded plugin's observer what happened."""
        if hook not in OBSERVERS:
            raise ValueError(f"{hook!r} observes nothing; {nearest(hook, OBSERVERS)}")
        for plugin in self._found:
            plugin.observe(hook, arguments)
        self._tell()

    def _load_all(self) -> None:
        for plugin in self._found:
            plugin.load()
        for hook in REGISTRATIONS:
            self._claims(hook)

    def _claims(self, hook: str) -> Mapping[tuple[str, str], Entry]:
        """The records of loaded plugins by (domain of a recipe, name); who claims a name twice loses it."""
        held: dict[tuple[str, str], Entry] = {}
        for plugin in self._found:
            for record in plugin.records.get(hook, ()):
                key = (record.domain if isinstance(record, RecipeEntry) else "", record.name)
                holder = held.setdefault(key, record)
                if holder is not record:
                    self._lose(hook, record, f"{self._origin(holder)} has")
        return held

    def _lose(self, hook: str, record: Entry, holder: str) -> None:
        loser = next(p for p in self._found if any(r is record for r in p.records.get(hook, ())))
        reason = f"registers {record.name!r} in {hook}, which {holder} already; that one stays"
        fix = f"rename it, or {loser.origin.removal()}"
        loser.drop(hook, record, Fault(loser.origin, reason, fix, subject=record.name))

    @_one_at_a_time
    def _find_domain(self, name: str) -> Entry:
        for plugin in self._found:
            if plugin.origin.name == name:
                plugin.load()
        key = ("", name)
        if key not in self._claims("gancore_domains"):
            self._load_all()
        claims = self._claims("gancore_domains")
        if key in claims:
            return claims[key]
        raise self._no_domain(name, sorted(known for _, known in claims))

    def _no_domain(self, name: str, known: list[str]) -> PluginError:
        for plugin in self._found:
            for fault in plugin.faults:
                if name in (fault.subject, plugin.origin.name):
                    self._told.add(fault)  # it becomes the error itself
                    return fault.error()
        self._tell()
        info = next((plugin.info() for plugin in self._found if plugin.origin.name == name), None)
        if info and info.state == "disabled":
            return PluginError(f"the plugin {name!r} ({info.distribution}) is {info.reason}", info.fix)
        hint = f"{nearest(name, known)}; " if known else ""
        installed = f"installed: {', '.join(known) or 'none'}; `gancore plugins` lists them"
        return PluginError(f"no plugin provides the domain {name!r}", hint + installed)

    def _own_recipes(self, domain: Domain) -> dict[str, RecipeEntry]:
        owner = next(
            (p for p in self._found for r in p.records.get("gancore_domains", ()) if r.name == domain.name),
            None,
        )
        origin = owner.origin if owner else Origin(domain.name, type(domain).__module__)
        if not isinstance(domain.recipes, Mapping):
            reason = f"has a {type(domain.recipes).__name__} as {type(domain).__name__}.recipes"
            raise Fault(origin, reason, "write a mapping of names to RecipeEntry").error()
        good = {}
        for name, entry in domain.recipes.items():
            fault = check_record(entry, RecipeEntry, f"{type(domain).__name__}.recipes", origin)
            if fault is None:
                good[name] = entry
            elif owner:
                owner.blame(fault)
            else:
                raise fault.error()
        return good

    def _owner(self, entry: Entry) -> Plugin | None:
        for plugin in self._found:
            if any(record is entry for records in plugin.records.values() for record in records):
                return plugin
        package = entry.factory.partition(":")[0].partition(".")[0]
        return next((p for p in self._found if p.origin.module.partition(".")[0] == package), None)

    def _origin(self, entry: Entry) -> Origin:
        owner = self._owner(entry)
        return owner.origin if owner else Origin(entry.name, entry.factory.partition(":")[0])

    @_one_at_a_time
    def _tell(self) -> None:
        faults = [*self._metadata_faults, *(fault for plugin in self._found for fault in plugin.faults)]
        for fault in faults:
            if fault in self._told:
                continue
            self._told.add(fault)
            if self.strict:
                raise fault.error()
            print(printable(f"gancore: warning: {fault.error()}"), file=sys.stderr)


class _Registry:
    """The registry of this process, made at its first use: one for all threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._made: Plugins | None = None

    def __call__(self) -> Plugins:
        with self._guard:
            self._made = self._made or Plugins()
            return self._made

    def cache_clear(self) -> None:
        self._made = None


plugins = _Registry()
