"""The Dockerfile is not built here. What can be known without Docker: its lines, and what pip is told."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tomllib

import pytest
from packaging.requirements import Requirement
from places import ROOT

TEXT = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
LINES = [line.partition(" ") for line in TEXT.splitlines() if line and not line.startswith("#")]
KNOWN = {"FROM", "ARG", "RUN", "USER", "ENV", "VOLUME", "WORKDIR", "ENTRYPOINT", "CMD"}


def given(instruction: str) -> list[str]:
    return [rest for name, _, rest in LINES if name == instruction]


def commands() -> list[str]:
    """What RUN runs, after the options of RUN itself."""
    return [re.sub(r"^(--\S+ )+", "", rest) for rest in given("RUN")]


def test_it_copies_nothing_and_does_not_run_as_root():
    assert {name for name, _, _ in LINES} == KNOWN  # no COPY, no ADD
    assert given("USER") == ["gancore"] and [name for name, _, _ in LINES].index("USER") > 0
    assert not [rest for name, _, rest in LINES[[n for n, _, _ in LINES].index("USER") :] if name == "RUN"]
    assert given("VOLUME") == given("WORKDIR") == ["/data"]
    assert json.loads(given("ENTRYPOINT")[0]) == ["gancore"]


@pytest.mark.parametrize("command", commands())
def test_its_commands_are_shell(command):
    assert subprocess.run(["sh", "-n", "-c", command]).returncode == 0


def test_pip_is_told_pinned_versions_and_known_extras():
    arguments = dict(rest.split("=", 1) for rest in given("ARG"))
    pins = set((ROOT / "constraints.txt").read_text().splitlines())
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    told = []
    for command in commands():
        words = shlex.split(command.replace("$EXTRAS", arguments["EXTRAS"]))
        if words[:2] == ["pip", "install"]:
            told += [word for word in words[2:] if re.match(r"[a-z]+(==|\[|$)", word)]
    needs = [Requirement(word) for word in told]
    assert {need.name for need in needs} == {"torch", "torchaudio", "gancore"}
    assert {str(need) for need in needs if need.name != "gancore"} <= pins
    assert all(need.extras and need.extras <= extras.keys() for need in needs if need.name == "gancore")
