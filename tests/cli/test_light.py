"""What must be instant imports nothing heavy. The time itself is measured in benchmarks/help_speed.py."""

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
from gancore.cli import main
code = main(sys.argv[1:])
print()
print(json.dumps([code, [name for name in ("torch", "scipy", "matplotlib", "rich") if name in sys.modules]]))
"""


def run(*words: str) -> tuple[str, int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        capture_output=True,
        text=True,
        env={**os.environ, "GANCORE_TRACEBACK": "1"},
    )
    assert done.returncode == 0, done.stderr
    output, _, last = done.stdout.rstrip("\n").rpartition("\n")
    code, heavy = json.loads(last)
    return output, code, heavy


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--help"], "generate"),
        (["train", "--help"], "--print-config"),
        (["generate", "--help"], "--interpolate"),
        (["plugins"], "plugin"),
        (["runs"], "runs"),
        (["models"], "models"),
        (["--version"], "gancore"),
    ],
)
def test_nothing_heavy_is_imported(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output, code, heavy = run(*words)
    assert said in output
    assert code == 0
    assert heavy == []


def test_a_domain_is_completed_from_metadata_alone():
    program = """
import sys
from gancore.cli import main
try:
    main([])
finally:
    print("", "HEAVY" if "torch" in sys.modules else "LIGHT")
"""
    line = "gancore train --domain "
    variables = {"_GANCORE_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": "3"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, **variables}
    )
    assert done.stdout.endswith("LIGHT\n"), done.stderr
