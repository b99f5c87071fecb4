"""What is needed to ask, to list and to complete is light: it imports no torch."""

from __future__ import annotations

import re
import sys

import pytest
from places import CORE, DISTRIBUTIONS, ROOT, run

HEAVY = ("torch", "torchaudio", "scipy", "matplotlib", "tensorboard", "soundfile")
LIGHT = [
    "gancore",
    "gancore.errors",
    "gancore.entries",
    "gancore.hookspecs",
    "gancore.config",
    "gancore.config_layers",
    "gancore.evaluation.catalogue",
    "gancore.evaluation.result",
    "gancore.evaluation.report",
    "gancore.summaries",
    "gancore.plugins",
    "gancore.api",
    "gancore.run_folder",
    "gancore.progress",
    "gancore.data.sources",
    *(f"gancore.cli.{path.stem}" for path in sorted((CORE / "cli").glob("[!_]*.py"))),
    *(f"gancore_{place.name}" for place in DISTRIBUTIONS if place != ROOT),
]


def test_light_modules_import_nothing_heavy(tmp_path):
    program = f"""
import sys
for name in {LIGHT!r}:
    __import__(name)
    heavy = [module for module in {HEAVY!r} if module in sys.modules]
    if heavy:
        sys.exit(f"{{name}} imports {{heavy}}")
"""
    done = run([sys.executable, "-c", program], tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", [["-m", "gancore", "--version"], ["-c", "import gancore; dir(gancore)"]])
def test_a_question_is_answered_without_torch(words, tmp_path):
    done = run([sys.executable, "-X", "importtime", *words], tmp_path)
    assert done.returncode == 0
    imported = re.findall(r"\|\s+([\w.]+)$", done.stderr, re.MULTILINE)
    assert "gancore" in imported
    assert "torch" not in imported
