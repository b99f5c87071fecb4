"""The arguments of the processes of a sweep."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preparation:
    """Open the data, and write the facts of the sweep into the file ``out``. It ends with ``parent_pid``."""

    config: Mapping[str, Any]
    out: str
    data_root: str | None = None
    parent_pid: int = 0

    def to_json(self) -> str:
        return json.dumps(vars(self))


@dataclass(frozen=True)
class TrialTraining:
    """Train with ``arguments`` of :func:`gancore.train` in the folder ``run``. Ends with ``parent_pid``."""

    arguments: Mapping[str, Any]
    run: str
    device: str
    fingerprint: str
    data_root: str | None = None
    parent_pid: int = 0

    def to_json(self) -> str:
        return json.dumps(vars(self))
