"""What is wrong with a plugin, in one line that names its distribution and the fix."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, ModuleType
from typing import Literal

from gancore.entries import CONTRACT_VERSION
from gancore.errors import PluginError, describe_error

LAZY_MODULES = (Path(__file__).parents[1] / "__init__.py", Path(__file__).parents[1] / "lazy.py")
"""Where a plugin's look-up of a public name of gancore ends."""


class ExitCalledError(BaseException):
    """A plugin called ``os._exit``, which would end the program without an error."""


@dataclass(frozen=True)
class PluginId:
    """A plugin's names. ``distribution`` empty: the running program registered it."""

    name: str
    module: str
    distribution: str = ""
    version: str = ""

    def __str__(self) -> str:
        if not self.distribution:
            return f"plugin {self.name!r}"
        return f"plugin {self.name!r} ({self.distribution} {self.version})"

    def fix(self) -> str:
        """What the user can do about a fault inside the plugin."""
        if not self.distribution:
            return f"fix {self.module or 'it'}, or do not register it"
        return f"pip install --upgrade {self.distribution}, or set GANCORE_DISABLE_PLUGINS={self.name}"

    def uninstall_command(self) -> str:
        return f"pip uninstall {self.distribution}" if self.distribution else "do not register it"

    def reinstall_command(self) -> str:
        return f"pip install --force-reinstall {self.distribution}" if self.distribution else self.fix()


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with one plugin. ``entry`` is the name of the entry concerned, if any."""

    plugin: PluginId
    reason: str
    fix: str
    state: Literal["broken", "incompatible"] = "broken"
    entry: str = ""
    cause: BaseException | None = field(default=None, compare=False, repr=False)

    def to_error(self) -> PluginError:
        error = PluginError(f"{self.plugin} {self.reason}", self.fix)
        error.__cause__ = self.cause
        return error


def core_version() -> str:
    """This gancore as faults name it: ``gancore 1.2.0 (contract 2)``."""
    from gancore import __version__

    return f"gancore {__version__} (contract {CONTRACT_VERSION})"


def fault_from(
    error: BaseException, plugin: PluginId, where: str, module: str = "", entry: str = ""
) -> Fault:
    """The fault behind ``error``, which the plugin's code raised ``where`` ("at import")."""
    if name := _missing_in_gancore(error):
        upgrade = f"pip install --upgrade {plugin.distribution}" if plugin.distribution else plugin.fix()
        return Fault(
            plugin,
            f"is incompatible: it needs {name}, which {core_version()} does not have{_source_line(error)}",
            f"{upgrade}, or see the renamed names in gancore's CHANGELOG",
            "incompatible",
            entry,
            error,
        )
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _missing_module(error.name, error, plugin, module or plugin.module, entry)
    reason = describe_failure(error, where) + _source_line(error)
    return Fault(plugin, reason, plugin.fix(), entry=entry, cause=error)


def describe_failure(error: BaseException, where: str) -> str:
    """What the plugin did ``where``: ``calls sys.exit at import``, ``fails at import: KeyError: 'a'``."""
    if isinstance(error, SystemExit):
        return f"calls sys.exit {where}"
    if isinstance(error, ExitCalledError):
        return f"calls {error} {where}"
    return f"fails {where}: {describe_error(error)}"


def _missing_in_gancore(error: BaseException) -> str:
    """The module or name of gancore that an import or a look-up did not find; empty: it failed otherwise."""
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] == "gancore":
        found = re.match(r"cannot import name '(\w+)' from '([\w.]+)'", str(error))
        return f"{found[1]!r} of {found[2]}" if found else f"the module {error.name!r}"
    if isinstance(error, AttributeError) and isinstance(error.obj, ModuleType):
        module = error.obj.__name__
        return f"{error.name!r} of {module}" if module.partition(".")[0] == "gancore" else ""
    return ""


def _missing_module(name: str, error: BaseException, plugin: PluginId, module: str, entry: str) -> Fault:
    package = name.partition(".")[0]
    if package == module.partition(".")[0]:  # its own module: a wrong entry point, or missing files
        reason = f"lacks its own module {name!r}"
        return Fault(plugin, reason, plugin.reinstall_command(), entry=entry, cause=error)
    reason = f"needs the module {name!r}, which is not installed{_source_line(error)}"
    return Fault(plugin, reason, f"pip install {package}", entry=entry, cause=error)


def _source_line(error: BaseException) -> str:
    """`` (package/file.py:12)``: the innermost line outside gancore's plugin loader, if there is one."""
    own = str(Path(__file__).parent)
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        loader = frame.filename.startswith((own, "<frozen")) or path.parent.name in ("importlib", "pluggy")
        if not loader and path not in LAZY_MODULES:
            return f" ({path.parent.name}/{path.name}:{frame.lineno})"
    return ""


@dataclass(frozen=True)
class PluginFrame:
    """A call on the way to an error, in code of gancore (``plugin`` None) or of a plugin."""

    module: str
    code: CodeType
    line: int
    plugin: PluginId | None
    innermost: bool

    @property
    def location(self) -> str:
        path = Path(self.code.co_filename)
        return f"{path.parent.name}/{path.name}:{self.line}"


def plugin_error(error: BaseException, packages: Mapping[str, PluginId]) -> PluginError | None:
    """The error to report if a plugin's code raised ``error``; None if gancore's did.

    The innermost frame counts that lies in gancore or in a plugin, not those of torch and of the standard
    library. ``packages``: the plugin of each top-level package (``PluginRegistry.packages``).
    """
    frames = list(_plugin_frames(error, packages))
    if not frames or frames[-1].plugin is None:
        return None
    if isinstance(error, KeyboardInterrupt):
        return None
    if isinstance(error, SystemExit) and not _ends_the_program(frames):
        return None
    last, plugin = frames[-1], frames[-1].plugin
    who = f"the authors of {plugin.distribution}" if plugin.distribution else "the program that registers it"
    fix = f"fix it, or report it to {who} with the output of --traceback (or GANCORE_TRACEBACK=1)"
    reason = f"{describe_failure(error, f'in {last.code.co_qualname}')} ({last.location})"
    return Fault(plugin, reason, fix, cause=error).to_error()


def calling_plugin(error: BaseException, packages: Mapping[str, PluginId]) -> str:
    """The plugin, and its line, that called the code of gancore which raised ``error``; empty: none did."""
    for frame in reversed(list(_plugin_frames(error, packages))):
        if frame.plugin is not None:
            return f"{frame.plugin}, {frame.location}"
    return ""


def _ends_the_program(frames: Sequence[PluginFrame]) -> bool:
    """Whether a plugin calls sys.exit inside an operation of gancore.

    A command of its own may exit, and so may a signal handler of the program, which interrupts any code.
    """
    verbs = any(
        frame.plugin is None and not frame.module.startswith(("gancore.cli", "gancore.console"))
        for frame in frames
    )
    return verbs and frames[-1].innermost


def _plugin_frames(error: BaseException, packages: Mapping[str, PluginId]) -> Iterator[PluginFrame]:
    """Frames of plugins and of gancore, except for the plugin loader's; the outermost first."""
    trace = error.__traceback__
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        top = module.partition(".")[0]
        if (top == "gancore" and not module.startswith("gancore.plugins")) or top in packages:
            innermost = trace.tb_next is None
            yield PluginFrame(module, trace.tb_frame.f_code, trace.tb_lineno, packages.get(top), innermost)
        trace = trace.tb_next
