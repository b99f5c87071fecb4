"""Imports the code of plugins: stdout goes to stderr, os._exit is blocked, slow imports are reported."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import reduce
from typing import Any, NoReturn, TypeVar, cast

from gancore.entries import REFERENCE, Entry, RecipeEntry
from gancore.errors import ConfigError, PluginError
from gancore.plugins.faults import ExitCalledError, Fault, PluginId, fault_from
from gancore.recipe import Recipe
from gancore.text import escape_control

LIGHT_SECONDS, HEAVY_SECONDS = 5.0, 30.0
"""The import of a plugin's light module, or of one that imports torch, is reported after this time."""

T = TypeVar("T")


class _Output:
    """``sys.stdout``, which is stderr while any thread imports a plugin."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._depth = 0
        self._before: Any = None

    @contextmanager
    def to_stderr(self) -> Iterator[None]:
        with self._guard:
            if self._depth == 0:
                self._before, sys.stdout = sys.stdout, sys.stderr
            self._depth += 1
        try:
            yield
        finally:
            with self._guard:
                self._depth -= 1
                if self._depth == 0:
                    sys.stdout, self._before = self._before, None


_output = _Output()
stdout_to_stderr = _output.to_stderr
"""Sends what is printed in the block to stderr: stdout is for the output of commands."""

_thread = threading.local()
_exit = os._exit


def _checked_exit(status: int) -> NoReturn:
    """``os._exit``, which raises in a thread that imports a plugin; other threads, and forks, may exit."""
    if getattr(_thread, "forbids_exit", None) == os.getpid():
        raise ExitCalledError(f"os._exit({status})")
    _exit(status)


@contextmanager
def forbid_exit() -> Iterator[None]:
    """``os._exit`` called in this thread raises ExitCalledError."""
    before = getattr(_thread, "forbids_exit", None)
    _thread.forbids_exit, os._exit = os.getpid(), _checked_exit  # stays in place; elsewhere it is os._exit
    try:
        yield
    finally:
        _thread.forbids_exit = before


@contextmanager
def warn_when_slow(plugin: PluginId, seconds: float, doing: str) -> Iterator[None]:
    """Prints one line to stderr once the block has taken ``seconds``; ``doing``: ``is being imported``."""

    def warn() -> None:
        disable = f"set GANCORE_DISABLE_PLUGINS={plugin.name}"
        fix = disable if plugin.distribution else plugin.uninstall_command()
        line = f"gancore: {plugin} {doing}, for {seconds:g} s now; wait, or interrupt it (Ctrl-C) and {fix}"
        print(escape_control(line), file=sys.stderr, flush=True)

    timer = threading.Timer(seconds, warn)
    timer.daemon = True
    with suppress(RuntimeError):  # no thread can be started: then there is no warning
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if timer.ident is not None:
            timer.join()


@contextmanager
def plugin_import(plugin: PluginId, seconds: float, doing: str = "is being imported") -> Iterator[None]:
    """All three, around code of a plugin that runs for the first time."""
    with stdout_to_stderr(), forbid_exit(), warn_when_slow(plugin, seconds, doing):
        yield


def import_object(entry: Entry, plugin: PluginId) -> object:
    """The object that ``entry.factory`` names.

    Raises:
        PluginError: it cannot be imported, whatever the reason.
    """
    reference, name = entry.factory, entry.name
    if not REFERENCE.fullmatch(reference):
        reason = f"names {reference!r} for {name!r}, which is not 'package.module:Object'"
        raise Fault(plugin, reason, plugin.fix(), entry=name).to_error()
    module, _, path = reference.partition(":")
    try:
        with plugin_import(plugin, HEAVY_SECONDS, f"is importing {module}"):
            return reduce(getattr, path.split("."), importlib.import_module(module))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        where = f"when {reference!r} is imported"
        raise fault_from(error, plugin, where, module, name).to_error() from error


def instantiate(entry: Entry, plugin: PluginId, base: type[T]) -> T:
    """An instance of the class that ``entry.factory`` names, which must be a subclass of ``base``.

    Raises:
        PluginError: it cannot be imported, is not such a class, or cannot be called without arguments.
    """
    found = import_object(entry, plugin)
    if not (isinstance(found, type) and issubclass(found, base)):
        reason = (
            f"names {entry.factory!r} for {entry.name!r}, which is not a subclass of gancore.{base.__name__}"
        )
        raise Fault(plugin, reason, plugin.fix(), entry=entry.name).to_error()
    try:
        with plugin_import(plugin, HEAVY_SECONDS, f"is calling {entry.factory}"):
            return found()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        where = f"when {entry.factory}() is called"
        raise fault_from(error, plugin, where, entry=entry.name).to_error() from error


def is_recipe_class(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Recipe)


def program_reference(given: str | type, kind: str) -> str:
    """``module:Class`` of a class, by which a process that has imported the module finds it again.

    ``kind`` says in messages what the class is.

    Raises:
        ConfigError: the class is defined inside a function.
    """
    if isinstance(given, str):
        return given
    if "<locals>" in given.__qualname__:
        raise ConfigError(
            f"the {kind} {given.__qualname__} is defined inside a function",
            "define it at the top of a module",
        )
    return f"{given.__module__}:{given.__qualname__}"


def find_program_object(name: str, kind: str) -> object:
    """What ``module:Class`` names, in a module that this program has already imported.

    A name in a file imports nothing and runs no code: only what is in the ``vars`` of a module or a class
    is found.

    Raises:
        PluginError: the module is not imported, or has no such class.
    """
    module, _, path = name.partition(":")
    try:
        return reduce(
            lambda holder, part: vars(holder)[part], path.split("."), cast(object, sys.modules[module])
        )
    except (KeyError, TypeError):
        raise PluginError(
            f"{kind} {name!r}: module {module!r} is not imported in this program, or has no class {path!r}",
            f"import {module} before, or bring the {kind} as a plugin (`gancore plugins new`)",
        ) from None


def load_program_recipe(name: str) -> tuple[RecipeEntry, Recipe]:
    """The recipe that ``module:Class`` names, in a module that this program has already imported.

    Raises:
        PluginError: the module is not imported, or has no such recipe.
    """
    found = find_program_object(name, "recipe")
    if not (isinstance(found, type) and issubclass(found, Recipe)):
        raise PluginError(f"{name!r} is not a subclass of gancore.Recipe", "name a recipe")
    return RecipeEntry(name, name, (found.__doc__ or "").partition("\n")[0]), found()
