"""What a check is: a name, the statement that must hold, and a function that raises where it does not."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gancore.errors import GancoreError, text_of

Scope = Literal["plugin", "domain", "recipe", "loss", "dynamics", "measure", "logger"]
State = Literal["ok", "failed", "skipped"]


class Breach(AssertionError):  # noqa: N818
    """A check does not hold. ``message`` says what was seen, ``fix`` how to mend it."""

    def __init__(self, message: str, fix: str) -> None:
        self.message, self.fix = message, fix
        super().__init__(f"{message}; {fix}")


class NotApplicable(Exception):  # noqa: N818
    """There is nothing here that the check could hold to; says why."""


@dataclass(frozen=True)
class Check:
    """``function`` takes what ``scope`` says: a PluginBench, a DomainBench, ..."""

    name: str
    holds: str
    scope: Scope
    function: Callable[[Any], None]

    @classmethod
    def of(cls, scope: Scope, function: Callable[[Any], None]) -> Check:
        """Named after its function, whose docstring begins with the statement."""
        statement = (function.__doc__ or "").partition("\n\n")[0]
        return cls(function.__name__, one_line(statement), scope, function)


@dataclass(frozen=True)
class Result:
    """What became of one check of one subject (``tides``, ``tides/dense``)."""

    check: str
    subject: str
    holds: str
    state: State
    reason: str = ""
    fix: str = ""
    seconds: float = 0.0

    @property
    def told(self) -> str:
        """The reason with the fix; of a check that holds, what it holds."""
        return self.holds if self.state == "ok" else f"{self.reason}; {self.fix}" if self.fix else self.reason


def perform(check: Check, bench: Any) -> Result:
    """Make one check; whatever the plugin's code raises becomes a line of the result."""
    began = time.perf_counter()

    def result(state: State, reason: str = "", fix: str = "") -> Result:
        seconds = round(time.perf_counter() - began, 3)
        return Result(check.name, bench.subject, check.holds, state, one_line(reason), one_line(fix), seconds)

    try:
        check.function(bench)
    except NotApplicable as reason:
        return result("skipped", str(reason))
    except (Breach, GancoreError) as breach:
        return result("failed", breach.message, breach.fix)
    except (Exception, SystemExit) as error:
        return result("failed", f"raises {quoted(error)}", "mend it; under pytest the traceback is shown")
    return result("ok")


def quoted(error: BaseException) -> str:
    """An exception in one line, with the innermost line of code that is neither gancore's nor torch's."""
    text = one_line(text_of(error))[:300]
    return f"{type(error).__name__}: {text}{_place(error)}" if text else type(error).__name__ + _place(error)


def _place(error: BaseException) -> str:
    """`` (package/file.py:12)``."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if not {"gancore", "torch"} & set(path.parts[-4:]) and path.is_file():
            return f" ({path.parent.name}/{path.name}:{frame.lineno})"
    return ""


def one_line(text: str) -> str:
    return " ".join(text.split())
