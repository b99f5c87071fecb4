"""Data sets of a hub on this machine, opened in another process: datasets reads its settings once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAM = """
import json
import sys

from gancore.data.sources import resolve_source
from gancore.errors import GancoreError
from gancore.plugins import plugins

domain, name, settings = plugins().load_domain(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
try:
    source = resolve_source(name, domain.sources, None, print, reads_shards=True)
    data = domain.open(source, domain.Config(**settings))
    print([len(data.view(split)) for split in ("train", "valid", "test")], data.fingerprint)
    print(data.spec["classes"], data.spec["source"], data.spec["licence"])
except GancoreError as error:
    print("error:", error)
"""


def repository_files(folder: Path) -> dict[str, bytes]:
    """What a data set of the hub holds for a folder of shards."""
    return {f"data/{path.name}": path.read_bytes() for path in folder.iterdir()}


def open_in_process(
    domain: str, name: str, folder: Path, settings: dict[str, Any] | None = None, **environment: str
) -> list[str]:
    """What the program prints: announcements, then either an error, or two lines.

    These are the sizes of train, valid and test with the fingerprint; classes, source and licence.
    ``folder`` keeps the cache of the libraries.
    """
    known = {"HF_HOME": str(folder / "hub"), "HF_HUB_DISABLE_TELEMETRY": "1", **environment}
    command = [sys.executable, "-c", PROGRAM, domain, name, json.dumps(settings or {})]
    done = subprocess.run(command, env=os.environ | known, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
