"""From ``"package.module:Object"`` to the object, with errors that name the plugin and the fix."""

from __future__ import annotations

import importlib
from functools import reduce
from typing import TypeVar

from gancore.plugins import foreign
from gancore.plugins.checks import REFERENCE
from gancore.plugins.faults import Fault, Origin, explain
from gancore.plugins.foreign import importing
from gancore.records import Entry

Made = TypeVar("Made")


def import_factory(entry: Entry, origin: Origin) -> object:
    """The object that ``entry.factory`` names.

    Raises:
        PluginError: it cannot be imported, whatever the reason.
    """
    reference, subject = entry.factory, entry.name
    if not REFERENCE.fullmatch(reference):
        reason = f"names {reference!r} for {subject!r}, which is not 'package.module:Object'"
        raise Fault(origin, reason, origin.remedy(), subject=subject).error()
    module, _, path = reference.partition(":")
    try:
        with importing(origin, foreign.HEAVY_SECONDS, f"is importing {module}"):
            return reduce(getattr, path.split("."), importlib.import_module(module))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        where = f"when {reference!r} is imported"
        raise explain(error, origin, where, module, subject).error() from error


def make(entry: Entry, origin: Origin, base: type[Made]) -> Made:
    """An instance of the class that ``entry.factory`` names, which must be a ``base``.

    Raises:
        PluginError: it cannot be imported, is no such class, or cannot be made without arguments.
    """
    found = import_factory(entry, origin)
    if not (isinstance(found, type) and issubclass(found, base)):
        reason = (
            f"names {entry.factory!r} for {entry.name!r}, which is not a subclass of gancore.{base.__name__}"
        )
        raise Fault(origin, reason, origin.remedy(), subject=entry.name).error()
    try:
        with importing(origin, foreign.HEAVY_SECONDS, f"is making {entry.factory}"):
            return found()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise explain(
            error, origin, f"when {entry.factory}() is called", subject=entry.name
        ).error() from error
