"""Imports the code of plugins: stdout goes to stderr, os._exit is blocked, slow imports are reported."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import reduce
from pathlib import Path
from types import FunctionType
from typing import Any, NoReturn, TypeVar, cast

from gancore.entries import REFERENCE, CommandEntry, Entry, ExperimentEntry, RecipeEntry
from gancore.errors import ConfigError, GancoreError, PluginError, describe_error
from gancore.plugins.faults import ExitCalledError, Fault, PluginId, fault_from
from gancore.recipe import BUILDER_PARAMETERS, Recipe, recipe_from_function
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
def warn_when_slow(plugin: PluginId, seconds: float, doing: str, dispensable: bool) -> Iterator[None]:
    """Prints one line to stderr once the block has taken ``seconds``; ``doing``: ``is being imported``.

    ``dispensable``: what runs may work without the plugin, so that the line says how to disable it.
    """

    def warn() -> None:
        disable = f"set GANCORE_DISABLE_PLUGINS={plugin.name}"
        fix = disable if plugin.distribution else plugin.uninstall_command()
        line = f"gancore: {plugin} {doing}, for {seconds:g} s now; wait, or interrupt it (Ctrl-C)"
        line += f" and {fix}" if dispensable else ""
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
def plugin_import(
    plugin: PluginId, seconds: float, doing: str = "is being imported", dispensable: bool = True
) -> Iterator[None]:
    """All three, around code of a plugin that runs for the first time."""
    with stdout_to_stderr(), forbid_exit(), warn_when_slow(plugin, seconds, doing, dispensable):
        yield


def import_object(entry: Entry, plugin: PluginId) -> object:
    """The object that ``entry.target`` names.

    Raises:
        PluginError: it cannot be imported, whatever the reason.
    """
    reference, name = entry.target, entry.name
    if not REFERENCE.fullmatch(reference):
        reason = f"names {reference!r} for {name!r}, which is not 'package.module:Object'"
        raise Fault(plugin, reason, plugin.fix(), entry=name).to_error()
    module, _, path = reference.partition(":")
    try:
        dispensable = not isinstance(entry, CommandEntry | ExperimentEntry)  # these are what the user runs
        with plugin_import(plugin, HEAVY_SECONDS, f"is importing {module}", dispensable):
            return reduce(getattr, path.split("."), importlib.import_module(module))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        where = f"when {reference!r} is imported"
        raise fault_from(error, plugin, where, module, name).to_error() from error


def instantiate(entry: Entry, plugin: PluginId, base: type[T]) -> T:
    """An instance of the class that ``entry.target`` names, which must be a subclass of ``base``.

    Raises:
        PluginError: it cannot be imported, is not such a class, or cannot be called without arguments.
    """
    found = import_object(entry, plugin)
    if not (isinstance(found, type) and issubclass(found, base)):
        reason = (
            f"names {entry.target!r} for {entry.name!r}, which is not a subclass of gancore.{base.__name__}"
        )
        raise Fault(plugin, reason, plugin.fix(), entry=entry.name).to_error()
    try:
        with plugin_import(plugin, HEAVY_SECONDS, f"is calling {entry.target}"):
            return found()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        where = f"when {entry.target}() is called"
        raise fault_from(error, plugin, where, entry=entry.name).to_error() from error


def is_recipe_class(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Recipe)


def program_reference(given: str | type | FunctionType, kind: str) -> str:
    """``module:name`` of a class or function, by which other processes find it again.

    One of a script is named by the script's file, ``my_gan:build`` of ``my_gan.py``. ``kind`` says in
    messages what the class is.

    Raises:
        ConfigError: it is defined inside a function, or has no name (a lambda).
    """
    if isinstance(given, str):
        return given
    if "<" in given.__qualname__:
        raise ConfigError(
            f"the {kind} {given.__qualname__} is defined inside a function, or has no name",
            "define it at the top of a module",
        )
    module = given.__module__
    return f"{(module == '__main__' and _script_module()) or module}:{given.__qualname__}"


def _script_module() -> str:
    """The name under which other processes import the running script; empty: none, as in a notebook."""
    main = sys.modules["__main__"]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    name = spec.name if spec is not None else Path(file).stem if file else ""
    return name if name.isidentifier() or spec is not None else ""


def find_program_object(name: str, kind: str) -> object:
    """What ``module:name`` names; ``kind``, ``recipe`` or ``game``, is said in messages.

    A name in a file runs no code but that of a module that is written for it: a module is imported if its
    source has a builder of this name, or imports gancore and has a class of this name. Then only what is in
    the ``vars`` of the module or of a class is found.

    Raises:
        PluginError: no such module is imported or on the path, it fails, or it has no such name.
    """
    _import_for(name, kind)
    module, _, path = name.partition(":")
    if module not in sys.modules and module == _script_module():
        module = "__main__"
    try:
        return reduce(
            lambda holder, part: vars(holder)[part], path.split("."), cast(object, sys.modules[module])
        )
    except (KeyError, TypeError):
        raise PluginError(
            f"{kind} {name!r}: module {module!r} is not imported in this program, or has no {path!r}",
            _how_to_find(module, kind),
        ) from None


def _how_to_find(module: str, kind: str) -> str:
    if module == "__main__":  # of a notebook or an interactive session
        return "define it in a file of its own, and import it from there"
    other = "pass game= or recipe= again" if kind == "recipe" else "bring the game as a plugin"
    return f"set PYTHONPATH to the folder of {module}, import it before, or {other}"


def load_program_recipe(name: str) -> tuple[RecipeEntry, Recipe]:
    """The recipe that ``module:Class`` or ``module:function`` names; errors of find_program_object.

    Raises:
        PluginError: what it names is no recipe.
    """
    found = find_program_object(name, "recipe")
    summary = (found.__doc__ or "").partition("\n")[0]
    if isinstance(found, FunctionType):
        return RecipeEntry(name, name, summary), recipe_from_function(found)
    if not (isinstance(found, type) and issubclass(found, Recipe)):
        raise PluginError(f"{name!r} is not a subclass of gancore.Recipe", "name a recipe")
    return RecipeEntry(name, name, summary), found()


_importing = threading.local()
"""``name``: the builder or class whose module this thread imports."""


def require_no_import(verb: str) -> None:
    """Raises ConfigError in a module that is imported for what it defines: it would train unasked."""
    if name := getattr(_importing, "name", ""):
        module = name.partition(":")[0]
        raise ConfigError(
            f"{module}.py calls gancore.{verb} when it is imported for {name!r}",
            'put the call under if __name__ == "__main__":',
        )


def _import_for(name: str, kind: str) -> None:
    """Import the module of ``module:name``, if it is not imported and its source defines the name."""
    module, _, path = name.partition(":")
    if module in sys.modules or module == _script_module() or not _defines(module, path):
        return
    with stdout_to_stderr():
        _importing.name = name
        try:
            importlib.import_module(module)
        except GancoreError:
            raise
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"{kind} {name!r}: {describe_error(error)} when {module} is imported",
                'fix it, or put what is not to run then under if __name__ == "__main__":',
            ) from error
        finally:
            _importing.name = ""


def _defines(module: str, name: str) -> bool:
    """Whether the source of a module on the path has a function ``name(spec)`` or ``name(config, spec)``, or
    imports gancore and has a class ``name``.

    Imports nothing.
    """
    try:
        file = source_file(module)
        tree = ast.parse(file.read_text(encoding="utf-8") if file else "")
    except (ImportError, OSError, ValueError, SyntaxError):
        return False
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    if any(_required_parameters(node.args) in BUILDER_PARAMETERS for node in functions):
        return True
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    return name in classes and any(map(_imports_gancore, tree.body))


def _imports_gancore(node: ast.stmt) -> bool:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
    return any(name.partition(".")[0] == "gancore" for name in names)


def source_file(module: str) -> Path | None:
    """The file of a module on the path; None: there is none. No package is imported."""
    top, *inner = module.split(".")
    spec = importlib.util.find_spec(top) if top else None
    if spec is None:
        return None
    if not inner:
        return Path(spec.origin) if spec.origin and spec.has_location else None
    bases = [Path(folder, *inner) for folder in spec.submodule_search_locations or ()]
    files = [file for base in bases for file in (base.with_suffix(".py"), base / "__init__.py")]
    return next((file for file in files if file.is_file()), None)


def _required_parameters(arguments: ast.arguments) -> tuple[str, ...]:
    named = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    return tuple(named[: len(named) - len(arguments.defaults)])
