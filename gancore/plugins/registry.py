"""The registry: the installed plugins, and what they provide by name. The only global state of gancore."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from gancore.entries import DomainEntry, Entry, MetricEntry, PretrainedModelEntry, RecipeEntry
from gancore.errors import PluginError
from gancore.plugins.discovery import discover
from gancore.plugins.extras import install_command
from gancore.plugins.faults import Fault, PluginId
from gancore.plugins.imports import import_object, instantiate, load_program_recipe
from gancore.plugins.plugin import ENTRY_HOOKS, OBSERVER_HOOKS, Plugin, PluginInfo, check_entry
from gancore.text import escape_control, suggestion

if TYPE_CHECKING:
    from gancore.domain import Domain
    from gancore.metrics.metric import Metric
    from gancore.recipe import Recipe


P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def _locked(
    method: Callable[Concatenate[PluginRegistry, P], R],
) -> Callable[Concatenate[PluginRegistry, P], R]:
    """Holds the registry's lock: a plugin that two threads load at once would be registered twice."""

    @wraps(method)
    def locked(self: PluginRegistry, /, *arguments: P.args, **options: P.kwargs) -> R:
        with self._guard:
            return method(self, *arguments, **options)

    return locked


CORE_PACKAGES = frozenset({"", "gancore", "torch", *sys.stdlib_module_names}) - {"__main__"}
"""Packages that an entry may name and that belong to no plugin."""


ARRAYS = DomainEntry("arrays", "gancore.array_domain:ArrayDomain", "rows of numbers of any shape")
"""The domain of the core. It has no recipes and is in no list: ``gancore.train(data=, game=)`` uses it."""


class PluginRegistry:
    """Installed and registered plugins, in order of precedence: when two claim a name, the first keeps it.

    Each fault is printed once, in one line on stderr; with ``strict`` it raises PluginError.
    """

    def __init__(self, strict: bool = False) -> None:
        self.strict = strict
        self._found, self._metadata_faults = discover()
        self._reported: set[Fault] = set()
        self._guard = threading.RLock()

    def list_plugins(self) -> list[PluginInfo]:
        """Every installed or registered plugin. Loads none and prints nothing: shells complete from it."""
        return [plugin.info() for plugin in self._found]

    @_locked
    def load_all(self) -> None:
        """Load every plugin that is not disabled."""
        self._load_all()
        self._report_faults()

    @_locked
    def register(self, module: object, name: str) -> None:
        """Add a module or object with hook implementations, after the installed plugins."""
        plugin_id = PluginId(name, getattr(module, "__name__", type(module).__name__))
        self._found.append(Plugin(plugin_id, lambda: module))
        self._found[-1].load()
        self._report_faults()

    @_locked
    def entries(self, hook: str) -> list[Entry]:
        """All entries of a registration hook, such as ``gancore_losses``; loads all plugins."""
        if hook not in ENTRY_HOOKS:
            raise ValueError(f"{hook!r} registers nothing; {suggestion(hook, ENTRY_HOOKS)}")
        self.load_all()
        return list(self._first_claims(hook).values())

    def load_domain(self, name: str) -> Domain:
        """The domain of this name; loads only the plugin of the same name, unless that has no such domain.

        Raises:
            PluginError: no such domain, or it cannot be loaded.
        """
        entry = self._find_domain(name)
        self._report_faults()
        from gancore.domain import Domain

        plugin_id = self._id_of(entry)
        domain = instantiate(entry, plugin_id, Domain)
        actual = getattr(domain, "name", None)
        if actual != name:
            reason = f"provides the domain {name!r} by a class whose name is {actual!r}"
            raise Fault(plugin_id, reason, f"write name = {name!r} in {entry.target}", entry=name).to_error()
        return domain

    @_locked
    def recipe_entries(self, domain: Domain) -> dict[str, RecipeEntry]:
        """Recipes by name: the domain's own, the default one first, then those of other plugins."""
        self._load_all()
        found = self._domain_recipes(domain)
        for entry in list(self._first_claims("gancore_recipes").values()):
            if not isinstance(entry, RecipeEntry) or entry.domain != domain.name:
                continue
            if entry.name in found:
                self._drop_duplicate("gancore_recipes", entry, f"the domain {domain.name!r} itself has")
            else:
                found[entry.name] = entry
        self._report_faults()
        return found

    @_locked
    def load_recipe(self, domain: Domain, name: str | None = None) -> tuple[RecipeEntry, Recipe]:
        """A recipe of the domain, by default its first; loads other plugins only if the domain lacks it.

        ``module:Class`` is a recipe of a program, ``module:function`` a builder (find_program_object).

        Raises:
            PluginError: no such recipe, or it cannot be loaded.
        """
        if name is not None and ":" in name:
            return load_program_recipe(name)
        known = self._domain_recipes(domain)
        self._report_faults()
        if not known or (name is not None and name not in known):
            known = self.recipe_entries(domain)
        name = name or next(iter(known), "")
        if name not in known:
            requested = f"no recipe {name!r}" if name else "no recipe"
            fix = suggestion(name, known) if known else "pass game=, a function that builds a game"
            raise PluginError(f"the domain {domain.name!r} has {requested}", fix)
        from gancore.recipe import Recipe

        return known[name], instantiate(known[name], self._id_of(known[name]), Recipe)

    def load_object(self, entry: Entry) -> Any:
        """The object that ``entry.target`` names, imported.

        Raises:
            PluginError: it cannot be imported; names the distribution and the fix.
        """
        return import_object(entry, self._id_of(entry))

    def load_metric(self, entry: MetricEntry) -> Metric:
        """The metric that ``entry`` names. Raises PluginError: it cannot be imported, or is not a metric."""
        from gancore.metrics.metric import Metric

        found, plugin_id = self.load_object(entry), self._id_of(entry)
        if not isinstance(found, Metric):
            reason = f"names {entry.target!r} for {entry.name!r}, which is not a gancore.Metric"
            raise Fault(plugin_id, reason, plugin_id.fix(), entry=entry.name).to_error()
        return found

    def load(self, entry: Entry, kind: type[T]) -> T:
        """A new object of the class that ``entry`` names, which must be a ``kind``.

        Raises:
            PluginError: it cannot be instantiated, or is not a ``kind``.
        """
        return instantiate(entry, self._id_of(entry), kind)

    def plugin_of(self, entry: Entry) -> PluginInfo | None:
        """The plugin that registered ``entry``, or whose package holds its target; None: no plugin."""
        plugin = self._owning_plugin(entry)
        return plugin.info() if plugin else None

    def packages(self) -> dict[str, PluginId]:
        """The plugin that each top-level package belongs to, among loaded plugins."""
        found: dict[str, PluginId] = {}
        for plugin in self._found:
            entries = [entry for entries in plugin.entries.values() for entry in entries]
            targets = [entry.target for entry in entries if not isinstance(entry, PretrainedModelEntry)]
            for name in (plugin.id.module, *targets):
                top = name.partition(":")[0].partition(".")[0]
                if top not in CORE_PACKAGES:
                    found.setdefault(top, plugin.id)
        return found

    def call_observers(self, hook: str, **arguments: Any) -> None:
        """Call this observer of every loaded plugin that has it."""
        if hook not in OBSERVER_HOOKS:
            raise ValueError(f"{hook!r} observes nothing; {suggestion(hook, OBSERVER_HOOKS)}")
        for plugin in self._found:
            plugin.observe(hook, arguments)
        self._report_faults()

    def _load_all(self) -> None:
        for plugin in self._found:
            plugin.load()
        for hook in ENTRY_HOOKS:
            self._first_claims(hook)

    def _first_claims(self, hook: str) -> Mapping[tuple[str, str], Entry]:
        """Entries by (domain of a recipe, name); on a duplicate the first plugin keeps the name."""
        own = {("", ARRAYS.name): ARRAYS} if hook == "gancore_domains" else {}
        claims: dict[tuple[str, str], Entry] = {**own}
        for plugin in self._found:
            for entry in plugin.entries.get(hook, ()):
                key = (entry.domain if isinstance(entry, RecipeEntry) else "", entry.name)
                first = claims.setdefault(key, entry)
                if first is not entry:
                    holder = "gancore itself" if first is ARRAYS else self._id_of(first)
                    self._drop_duplicate(hook, entry, f"{holder} has")
        return {key: entry for key, entry in claims.items() if entry is not ARRAYS}

    def _drop_duplicate(self, hook: str, entry: Entry, holder: str) -> None:
        plugin = next(p for p in self._found if any(e is entry for e in p.entries.get(hook, ())))
        reason = f"registers {entry.name!r} in {hook}, which {holder} already; that one stays"
        fix = f"rename it, or {plugin.id.uninstall_command()}"
        plugin.remove_entry(hook, entry, Fault(plugin.id, reason, fix, entry=entry.name))

    @_locked
    def _find_domain(self, name: str) -> Entry:
        if name == ARRAYS.name:
            return ARRAYS
        for plugin in self._found:
            if plugin.id.name == name:
                plugin.load()
        key = ("", name)
        if key not in self._first_claims("gancore_domains"):
            self._load_all()
        claims = self._first_claims("gancore_domains")
        if key in claims:
            return claims[key]
        raise self._missing_domain(name, sorted(known for _, known in claims))

    def _missing_domain(self, name: str, known: list[str]) -> PluginError:
        for plugin in self._found:
            for fault in plugin.faults:
                if name in (fault.entry, plugin.id.name):
                    self._reported.add(fault)  # it becomes the error itself
                    return fault.to_error()
        self._report_faults()
        info = next((plugin.info() for plugin in self._found if plugin.id.name == name), None)
        if info and info.state == "disabled":
            return PluginError(f"the plugin {name!r} ({info.distribution}) is {info.reason}", info.fix)
        if command := install_command(name):
            return PluginError(f"the plugin of the domain {name!r} is not installed", command)
        hint = f"{suggestion(name, known)}; " if known else ""
        installed = f"installed: {', '.join(known) or 'none'}; `gancore plugins` lists them"
        return PluginError(f"no plugin provides the domain {name!r}", hint + installed)

    def _domain_recipes(self, domain: Domain) -> dict[str, RecipeEntry]:
        plugin = next(
            (p for p in self._found for e in p.entries.get("gancore_domains", ()) if e.name == domain.name),
            None,
        )
        plugin_id = plugin.id if plugin else PluginId(domain.name, type(domain).__module__)
        if not isinstance(domain.recipes, Mapping):
            reason = f"has a {type(domain.recipes).__name__} as {type(domain).__name__}.recipes"
            raise Fault(plugin_id, reason, "write a mapping of names to RecipeEntry").to_error()
        valid = {}
        for name, entry in domain.recipes.items():
            fault = check_entry(entry, RecipeEntry, f"{type(domain).__name__}.recipes", plugin_id)
            if fault is None:
                valid[name] = entry
            elif plugin:
                plugin.add_fault(fault)
            else:
                raise fault.to_error()
        return valid

    def _owning_plugin(self, entry: Entry) -> Plugin | None:
        for plugin in self._found:
            if any(own is entry for entries in plugin.entries.values() for own in entries):
                return plugin
        package = entry.target.partition(":")[0].partition(".")[0]
        return next((p for p in self._found if p.id.module.partition(".")[0] == package), None)

    def _id_of(self, entry: Entry) -> PluginId:
        plugin = self._owning_plugin(entry)
        return plugin.id if plugin else PluginId(entry.name, entry.target.partition(":")[0])

    @_locked
    def _report_faults(self) -> None:
        faults = [*self._metadata_faults, *(fault for plugin in self._found for fault in plugin.faults)]
        for fault in faults:
            if fault in self._reported:
                continue
            self._reported.add(fault)
            if self.strict:
                raise fault.to_error()
            print(escape_control(f"gancore: warning: {fault.to_error()}"), file=sys.stderr)


class _Registry:
    """The registry of this process, made at its first use: one for all threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._made: PluginRegistry | None = None

    def __call__(self) -> PluginRegistry:
        with self._guard:
            self._made = self._made or PluginRegistry()
            return self._made

    def cache_clear(self) -> None:
        self._made = None


plugins = _Registry()
"""Called, the registry of the installed plugins; found at the first call."""
