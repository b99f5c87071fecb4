"""Which plugin an unexpected error came out of, told by the frames of its traceback."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

from gancore.errors import PluginError
from gancore.plugins.faults import Fault, Origin, deed
from gancore.plugins.registry import plugins


@dataclass(frozen=True)
class Frame:
    """A call on the way to an error, in code of gancore (``origin`` None) or of a plugin."""

    module: str
    code: CodeType
    line: int
    origin: Origin | None
    innermost: bool

    @property
    def place(self) -> str:
        path = Path(self.code.co_filename)
        return f"{path.parent.name}/{path.name}:{self.line}"


def blamed(error: BaseException) -> PluginError | None:
    """The line to tell of ``error`` where the code at fault is a plugin's; None: it is not.

    At fault is the innermost frame that lies in gancore or in a plugin: those of torch and of Python below it
    do what they were told.
    """
    frames = list(_frames(error))
    if not frames or frames[-1].origin is None:
        return None
    if isinstance(error, KeyboardInterrupt) or (isinstance(error, SystemExit) and not _is_an_exit(frames)):
        return None
    last, origin = frames[-1], frames[-1].origin
    who = f"those who wrote {origin.distribution}" if origin.distribution else "whoever registers it"
    fix = f"run again with --traceback (or GANCORE_TRACEBACK=1), and mend it or report it to {who}"
    reason = f"{deed(error, f'in {last.code.co_qualname}')} ({last.place})"
    return Fault(origin, reason, fix, cause=error).error()


def caller(error: BaseException) -> str:
    """The plugin that called the code of gancore in which ``error`` arose, and where; empty: none did."""
    for frame in reversed(list(_frames(error))):
        if frame.origin is not None:
            return f"{frame.origin}, {frame.place}"
    return ""


def _is_an_exit(frames: Sequence[Frame]) -> bool:
    """Whether a plugin ends what gancore does for the user. A command of its own may exit, and so may a
    handler of signals that the program sets: it is called in the midst of any code.
    """
    verbs = any(frame.origin is None and not frame.module.startswith("gancore.cli") for frame in frames)
    return verbs and frames[-1].innermost


def _frames(error: BaseException) -> Iterator[Frame]:
    """Those of plugins and of gancore, but for what loads plugins; the outermost first."""
    packages = plugins().packages()
    trace = error.__traceback__
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        top = module.partition(".")[0]
        if (top == "gancore" and not module.startswith("gancore.plugins")) or top in packages:
            innermost = trace.tb_next is None
            yield Frame(module, trace.tb_frame.f_code, trace.tb_lineno, packages.get(top), innermost)
        trace = trace.tb_next
