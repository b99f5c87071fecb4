"""Trackio as a logger of gancore, for runs that are started with ``GANCORE_TRACKIO=PROJECT``."""

from __future__ import annotations

import os
from collections.abc import Iterable

from gancore import LoggerEntry, hookimpl

PROJECT = "GANCORE_TRACKIO"
"""The environment variable that names the project; without it nothing is logged."""


@hookimpl
def gancore_loggers() -> Iterable[LoggerEntry]:
    if not os.environ.get(PROJECT):
        return []
    return [LoggerEntry("trackio", "gancore_trackio.logger:TrackioLogger", "scalars and samples in Trackio")]
