"""The one kind of error that users see: a line that says what, where, and how to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GancoreError(Exception):
    """A mistake that the user can mend. The CLI prints it as one line and exits with code 2.

    ``message`` says what is wrong and where; ``fix`` says how to mend it.
    """

    def __init__(self, message: str, fix: str = "") -> None:
        self.message, self.fix = message.rstrip(".;: "), fix
        super().__init__(f"{self.message}; {fix}" if fix else self.message)

    def __reduce__(self) -> tuple[type[GancoreError], tuple[str, str]]:
        """As made, so that it goes whole from one process to another."""
        return type(self), (self.message, self.fix)


class ConfigError(GancoreError):
    """A key or value of the configuration that cannot be."""


class DataError(GancoreError):
    """Data that cannot be found, read or used."""


class PluginError(GancoreError):
    """A plugin that is missing, broken or of another API version."""


class CheckpointError(GancoreError):
    """A checkpoint or model folder that is damaged, foreign or in use."""


class TrainingError(GancoreError):
    """Training that cannot go on."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint that names the nearest of ``known``, or lists them: ``did you mean 'width'?``"""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(known)}" if known else "none is known"
