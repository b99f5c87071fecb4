"""One plugin, isolated from all others: whatever goes wrong in it becomes a fault of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

import pluggy

from gancore import entries, hookspecs
from gancore.entries import CONTRACT_VERSION, REFERENCE, Entry
from gancore.plugins import imports
from gancore.plugins.faults import Fault, PluginId, fault_from
from gancore.plugins.imports import plugin_import
from gancore.plugins.versions import find_version_fault
from gancore.text import suggestion

ENTRY_HOOKS: Mapping[str, type[Entry]] = {
    "gancore_domains": entries.DomainEntry,
    "gancore_recipes": entries.RecipeEntry,
    "gancore_losses": entries.LossEntry,
    "gancore_penalties": entries.PenaltyEntry,
    "gancore_optimizers": entries.OptimizerEntry,
    "gancore_games": entries.GameEntry,
    "gancore_dynamics": entries.DynamicsEntry,
    "gancore_metrics": entries.MetricEntry,
    "gancore_feature_extractors": entries.FeatureExtractorEntry,
    "gancore_models": entries.PretrainedModelEntry,
    "gancore_loggers": entries.LoggerEntry,
    "gancore_experiments": entries.ExperimentEntry,
    "gancore_commands": entries.CommandEntry,
}
"""Registration hooks, with the kind of entry that each returns."""

OBSERVER_HOOKS = frozenset(
    {
        "gancore_train_start",
        "gancore_step_logged",
        "gancore_samples_written",
        "gancore_checkpoint_saved",
        "gancore_train_end",
    }
)
"""Hooks that are called after an event of training."""

MAX_ENTRIES = 1000
"""Entries that one hook of one plugin may return: a generator could be endless."""

State = Literal["listed", "ok", "broken", "incompatible", "disabled"]


@dataclass(frozen=True)
class PluginInfo:
    """What ``gancore plugins`` shows of one plugin.

    ``listed``: installed and not loaded yet; only then is ``registers`` (names by hook) unknown.
    ``reason`` and ``fix`` are those of its first fault; the rest of a broken plugin works.
    """

    name: str
    distribution: str
    version: str
    module: str
    state: State
    reason: str = ""
    fix: str = ""
    registers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    observes: tuple[str, ...] = ()


class Plugin:
    """A plugin from its entry point to its entries. It has a plugin manager of its own.

    ``requirements`` are those of its distribution; one that excludes this gancore is not imported.
    """

    def __init__(
        self,
        plugin_id: PluginId,
        source: Callable[[], object],
        disabled: str = "",
        requirements: Sequence[str] = (),
    ) -> None:
        self.id = plugin_id
        self.entries: dict[str, list[Entry]] = {}
        self.observers: set[str] = set()
        self.faults: list[Fault] = []
        self.loaded = False
        self._source, self._disabled, self._requirements = source, disabled, requirements
        self._manager = pluggy.PluginManager("gancore")

    def load(self) -> None:
        """Import the plugin and read its entries, once. Raises nothing but KeyboardInterrupt."""
        if self.loaded or self._disabled:
            return
        try:
            if fault := find_version_fault(self.id, self._requirements):
                self.loaded = True
                return self.add_fault(fault)
            with plugin_import(self.id, imports.LIGHT_SECONDS):
                module = self._source()
                self.loaded = True
                self._register_hooks(module)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.loaded = True
            self.add_fault(fault_from(error, self.id, "at import"))

    def observe(self, hook: str, arguments: Mapping[str, Any]) -> None:
        """Call this plugin's observer, if it has one; one that raises is not called again."""
        if hook not in self.observers:
            return
        try:
            self._call(hook, arguments)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.observers.discard(hook)
            self.add_fault(fault_from(error, self.id, f"in {hook}, which is not called again"))

    def add_fault(self, fault: Fault) -> None:
        if fault not in self.faults:
            self.faults.append(fault)

    def remove_entry(self, hook: str, entry: Entry, fault: Fault) -> None:
        self.entries[hook] = [other for other in self.entries[hook] if other is not entry]
        self.add_fault(fault)

    def info(self) -> PluginInfo:
        reason = fix = ""
        if self.faults:
            reason, fix = self.faults[0].reason, self.faults[0].fix
        elif self._disabled:
            reason, fix = f"disabled by {self._disabled}", f"change {self._disabled}"
        return PluginInfo(
            self.id.name,
            self.id.distribution,
            self.id.version,
            self.id.module,
            self._state(),
            reason,
            fix,
            registers={
                hook: tuple(entry.name for entry in found) for hook, found in self.entries.items() if found
            },
            observes=tuple(sorted(self.observers)),
        )

    def _state(self) -> State:
        if self.faults:
            return self.faults[0].state
        if self._disabled:
            return "disabled"
        return "ok" if self.loaded else "listed"

    def _register_hooks(self, module: object) -> None:
        self._manager.add_hookspecs(hookspecs)
        try:
            self._manager.register(module, self.id.name)
        except pluggy.PluginValidationError as error:  # it takes arguments that the hook does not pass
            reason = "cannot be registered: " + " ".join(str(error).split())
            self.add_fault(Fault(self.id, reason, self.id.fix(), cause=error))
            return
        callers = {caller.name: caller.has_spec() for caller in self._manager.get_hookcallers(module) or ()}
        fault = self._check_hooks(module, callers)
        if fault is not None:
            self.add_fault(fault)
            return
        self.observers = set(OBSERVER_HOOKS & callers.keys())
        for hook in ENTRY_HOOKS:
            if hook in callers:
                self._read_entries(hook)

    def _check_hooks(self, module: object, implemented: Mapping[str, bool]) -> Fault | None:
        known = ENTRY_HOOKS.keys() | OBSERVER_HOOKS
        unknown = sorted(name for name, specified in implemented.items() if not specified)
        if unknown:
            return Fault(self.id, f"implements an unknown hook {unknown[0]!r}", suggestion(unknown[0], known))
        unmarked = sorted(
            name for name in known - implemented.keys() if callable(getattr(module, name, None))
        )
        if unmarked:
            return Fault(self.id, f"has {unmarked[0]} without a mark", f"write @hookimpl above {unmarked[0]}")
        if not implemented:
            return Fault(self.id, f"implements no hook in {self.id.module or 'its module'}", self.id.fix())
        return None

    def _read_entries(self, hook: str) -> None:
        try:
            returned = self._call(hook, {})
            self.entries[hook], faults = split_entries(hook, returned, self.id)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            faults = [fault_from(error, self.id, f"in {hook}")]
        for fault in faults:
            self.add_fault(fault)

    def _call(self, hook: str, arguments: Mapping[str, Any]) -> object:
        results: list[object] = getattr(self._manager.hook, hook)(**arguments)
        return results[0] if results else None


def split_entries(hook: str, returned: object, plugin: PluginId) -> tuple[list[Entry], list[Fault]]:
    """The valid entries that ``hook`` returned, and a fault for each other one."""
    kind = ENTRY_HOOKS[hook]
    if isinstance(returned, (str, Entry)) or not isinstance(returned, Iterable):
        reason = f"returns {_with_article(returned)} from {hook}, which must return a list of {kind.__name__}"
        return [], [Fault(plugin, reason, plugin.fix())]
    found = list(islice(returned, MAX_ENTRIES + 1))
    if len(found) > MAX_ENTRIES:
        reason = f"returns more than {MAX_ENTRIES:,} entries from {hook}, and all of them are left out"
        return [], [Fault(plugin, reason, plugin.fix())]
    valid, faults = [], []
    for entry in found:
        fault = check_entry(entry, kind, hook, plugin)
        if fault is not None:
            faults.append(fault)
        elif isinstance(entry, Entry):
            valid.append(entry)
    return valid, faults


def check_entry(entry: object, kind: type[Entry], where: str, plugin: PluginId) -> Fault | None:
    """What is wrong with an entry, if anything is. Nothing is imported."""
    if not isinstance(entry, kind):
        reason = f"returns {_with_article(entry)} from {where}, which takes {kind.__name__} only"
        return Fault(plugin, reason, plugin.fix())
    if entry.contract != CONTRACT_VERSION:
        reason = (
            f"is incompatible: {entry.name!r} is written for contract {entry.contract}, "
            f"this gancore has contract {CONTRACT_VERSION}"
        )
        is_newer = not isinstance(entry.contract, int) or entry.contract > CONTRACT_VERSION
        upgrade = "gancore" if is_newer else plugin.distribution or "gancore"
        return Fault(
            plugin, reason, f"pip install --upgrade {upgrade}", "incompatible", entry=str(entry.name)
        )
    flaw = _entry_flaw(entry, where)
    if flaw:
        reason = f"returns a {kind.__name__} from {where} {flaw}"
        return Fault(plugin, reason, plugin.fix(), entry=str(entry.name))
    return None


def _entry_flaw(entry: Entry, where: str) -> str:
    if not isinstance(entry.name, str) or not entry.name or entry.name != entry.name.strip():
        return f"whose name is {entry.name!r}"
    if not isinstance(entry.target, str) or not entry.target:
        return f"named {entry.name!r} whose target is {entry.target!r}"
    if isinstance(entry, entries.PretrainedModelEntry):
        return _model_flaw(entry)
    if not REFERENCE.fullmatch(entry.target):
        return f"named {entry.name!r} whose target {entry.target!r} is not 'package.module:Object'"
    if where == "gancore_recipes" and not getattr(entry, "domain", ""):
        return f"named {entry.name!r} that names no domain"
    return ""


def is_url(target: str) -> bool:
    return "://" in target


def _model_flaw(entry: entries.PretrainedModelEntry) -> str:
    """The path is not opened here: it may be large or remote."""
    of_entry = f"named {entry.name!r}"
    if not is_url(entry.target):
        absolute = os.path.isabs(entry.target)
        return "" if absolute else f"{of_entry} whose target {entry.target!r} is not an absolute path"
    if not entry.target.startswith(("https://", "http://")):
        return f"{of_entry} whose target {entry.target!r} is not an http:// or https:// URL"
    known = isinstance(entry.sha256, str) and re.fullmatch("[0-9a-f]{64}", entry.sha256)
    return "" if known else f"{of_entry} without the sha256 of its archive, 64 hexadecimal characters"


def _with_article(thing: object) -> str:
    if thing is None:
        return "nothing"
    name = type(thing).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
