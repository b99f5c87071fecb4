"""One plugin, kept apart from all others: whatever it does wrong becomes a fault of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pluggy

from gancore import hookspecs
from gancore.errors import nearest
from gancore.plugins import foreign
from gancore.plugins.checks import REGISTRATIONS, sort_records
from gancore.plugins.faults import Fault, Origin, explain
from gancore.plugins.foreign import importing
from gancore.records import Entry

OBSERVERS = frozenset(
    {"gancore_train_start", "gancore_step_end", "gancore_samples", "gancore_checkpoint", "gancore_train_end"}
)
"""Hooks that are told what training did."""

State = Literal["listed", "ok", "broken", "incompatible", "disabled"]


@dataclass(frozen=True)
class PluginInfo:
    """What ``gancore plugins`` shows of one plugin.

    ``listed``: installed and not loaded yet; only then is ``registers`` (names by hook) not known.
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
    """A plugin from its entry point to its records. It has a plugin manager for itself alone."""

    def __init__(self, origin: Origin, source: Callable[[], object], disabled: str = "") -> None:
        self.origin = origin
        self.records: dict[str, list[Entry]] = {}
        self.observers: set[str] = set()
        self.faults: list[Fault] = []
        self.loaded = False
        self._source, self._disabled = source, disabled
        self._manager = pluggy.PluginManager("gancore")

    def load(self) -> None:
        """Import the plugin and take in its records, once; never raises but for KeyboardInterrupt."""
        if self.loaded or self._disabled:
            return
        try:
            with importing(self.origin, foreign.LIGHT_SECONDS):
                module = self._source()
                self.loaded = True
                self._attach(module)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.loaded = True
            self.blame(explain(error, self.origin, "at import"))

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
            self.blame(explain(error, self.origin, f"in {hook}, which is not called again"))

    def blame(self, fault: Fault) -> None:
        if fault not in self.faults:
            self.faults.append(fault)

    def drop(self, hook: str, record: Entry, fault: Fault) -> None:
        self.records[hook] = [other for other in self.records[hook] if other is not record]
        self.blame(fault)

    def info(self) -> PluginInfo:
        origin, state, reason, fix = self.origin, self._state(), "", ""
        if self.faults:
            reason, fix = self.faults[0].reason, self.faults[0].fix
        elif self._disabled:
            reason, fix = f"disabled by {self._disabled}", f"change {self._disabled}"
        registers = {hook: tuple(r.name for r in found) for hook, found in self.records.items() if found}
        observes = tuple(sorted(self.observers))
        return PluginInfo(
            origin.name,
            origin.distribution,
            origin.version,
            origin.module,
            state,
            reason,
            fix,
            registers,
            observes,
        )

    def _state(self) -> State:
        if self.faults:
            return self.faults[0].state
        if self._disabled:
            return "disabled"
        return "ok" if self.loaded else "listed"

    def _attach(self, module: object) -> None:
        self._manager.add_hookspecs(hookspecs)
        try:
            self._manager.register(module, self.origin.name)
        except pluggy.PluginValidationError as error:  # asks for arguments that the hook does not give
            self.blame(Fault(self.origin, _one_line(error), self.origin.remedy(), cause=error))
            return
        callers = {caller.name: caller.has_spec() for caller in self._manager.get_hookcallers(module) or ()}
        fault = self._hook_fault(module, callers)
        if fault is not None:
            self.blame(fault)
            return
        self.observers = set(OBSERVERS & callers.keys())
        for hook in REGISTRATIONS:
            if hook in callers:
                self._register(hook)

    def _hook_fault(self, module: object, implemented: Mapping[str, bool]) -> Fault | None:
        known = REGISTRATIONS.keys() | OBSERVERS
        unknown = sorted(name for name, specified in implemented.items() if not specified)
        if unknown:
            return Fault(
                self.origin, f"implements an unknown hook {unknown[0]!r}", nearest(unknown[0], known)
            )
        unmarked = sorted(
            name for name in known - implemented.keys() if callable(getattr(module, name, None))
        )
        if unmarked:
            return Fault(
                self.origin, f"has {unmarked[0]} without a mark", f"write @hookimpl above {unmarked[0]}"
            )
        if not implemented:
            reason = f"implements no hook in {self.origin.module or 'its module'}"
            return Fault(self.origin, reason, self.origin.remedy())
        return None

    def _register(self, hook: str) -> None:
        try:
            returned = self._call(hook, {})
            self.records[hook], faults = sort_records(hook, returned, self.origin)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            faults = [explain(error, self.origin, f"in {hook}")]
        for fault in faults:
            self.blame(fault)

    def _call(self, hook: str, arguments: Mapping[str, Any]) -> object:
        results: list[object] = getattr(self._manager.hook, hook)(**arguments)
        return results[0] if results else None


def _one_line(error: pluggy.PluginValidationError) -> str:
    return "cannot be registered: " + " ".join(str(error).split())
