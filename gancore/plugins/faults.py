"""What is wrong with a plugin, said in one line that names its distribution and the fix."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gancore.errors import PluginError, in_words


class LeftError(BaseException):
    """Foreign code called ``os._exit``, which would end the program as if all were done."""


@dataclass(frozen=True)
class Origin:
    """Where a plugin comes from. ``distribution`` empty: the running program registered it."""

    name: str
    module: str
    distribution: str = ""
    version: str = ""

    def __str__(self) -> str:
        if not self.distribution:
            return f"plugin {self.name!r}"
        return f"plugin {self.name!r} ({self.distribution} {self.version})"

    def remedy(self) -> str:
        """What helps against a fault inside the plugin."""
        if not self.distribution:
            return f"mend {self.module or 'it'}, or do not register it"
        return f"pip install --upgrade {self.distribution}, or set GANCORE_DISABLE_PLUGINS={self.name}"

    def removal(self) -> str:
        return f"pip uninstall {self.distribution}" if self.distribution else "do not register it"

    def reinstall(self) -> str:
        return f"pip install --force-reinstall {self.distribution}" if self.distribution else self.remedy()


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with one plugin. ``subject`` is the name of the record concerned, if one is."""

    origin: Origin
    reason: str
    fix: str
    state: Literal["broken", "incompatible"] = "broken"
    subject: str = ""
    cause: BaseException | None = field(default=None, compare=False, repr=False)

    def error(self) -> PluginError:
        error = PluginError(f"{self.origin} {self.reason}", self.fix)
        error.__cause__ = self.cause
        return error


def explain(error: BaseException, origin: Origin, where: str, module: str = "", subject: str = "") -> Fault:
    """The fault behind ``error``, which came out of the plugin's code ``where`` ("at import")."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _missing(error.name, error, origin, module or origin.module, subject)
    return Fault(origin, deed(error, where) + _place(error), origin.remedy(), subject=subject, cause=error)


def deed(error: BaseException, where: str) -> str:
    """What the plugin did ``where``: ``calls sys.exit at import``, ``fails at import: KeyError: 'a'``."""
    if isinstance(error, SystemExit):
        return f"calls sys.exit {where}"
    return f"calls {error} {where}" if isinstance(error, LeftError) else f"fails {where}: {in_words(error)}"


def _missing(name: str, error: BaseException, origin: Origin, module: str, subject: str) -> Fault:
    package = name.partition(".")[0]
    if package == module.partition(".")[0]:  # its own module: a wrong entry, or files that are gone
        return Fault(
            origin, f"lacks its own module {name!r}", origin.reinstall(), subject=subject, cause=error
        )
    reason = f"needs the module {name!r}, which is not installed{_place(error)}"
    return Fault(origin, reason, f"pip install {package}", subject=subject, cause=error)


def _place(error: BaseException) -> str:
    """`` (package/file.py:12)``: the innermost line of somebody else's code, if there is one."""
    own = str(Path(__file__).parent)
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        machinery = frame.filename.startswith((own, "<frozen")) or path.parent.name in ("importlib", "pluggy")
        if not machinery:
            return f" ({path.parent.name}/{path.name}:{frame.lineno})"
    return ""
