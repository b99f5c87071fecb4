"""The examples: programs that run, and plugins that a stranger could have written."""

from __future__ import annotations

import io
import os
import runpy
import shutil
import subprocess
import sys
import tokenize
from collections.abc import Callable
from pathlib import Path

import pytest
from forks import Fork, import_all
from places import ROOT, run
from play import TINY_AUDIO, play

EXAMPLES = ROOT / "examples"
PLUGINS = sorted(path.parent for path in EXAMPLES.glob("*/pyproject.toml"))
MOST_LINES = {"sensors": 150}
"""Lines of code of a plugin that has several files: without blank lines, comments and docstrings."""


@pytest.fixture(scope="module")
def imported() -> None:
    import_all()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugins, installed from a copy into a folder of their own."""
    place = tmp_path_factory.mktemp("examples")
    copies = [str(shutil.copytree(path, place / path.name)) for path in PLUGINS]
    words = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", str(place / "site")]
    subprocess.run([sys.executable, "-m", "pip", "install", *words, *copies], check=True)
    return place / "site"


def test_programs_train_and_generate(imported, tmp_path):
    trained = Fork(tmp_path, script(EXAMPLES / "train_and_sample.py", *TINY_AUDIO))
    assert trained.join() == 0, trained.log.read_text()
    (folder,) = (tmp_path / "runs").iterdir()
    assert len(list((folder / "sounds").glob("*.wav"))) == 8
    drawn = Fork(tmp_path, script(EXAMPLES / "generate_from_model.py", folder))
    assert drawn.join() == 0, drawn.log.read_text()
    assert "(16, 1, 1024)" in drawn.log.read_text()
    assert len(list((tmp_path / "samples").glob("*/*.wav"))) == 32


def script(path: Path, *words: object) -> Callable[[], None]:
    """What ``python path words`` does."""

    def main() -> None:
        sys.argv = [str(path), *map(str, words)]
        runpy.run_path(str(path), run_name="__main__")

    return main


def test_a_loss_is_a_plugin_like_any_other(imported, tmp_path):
    shutil.copytree(EXAMPLES / "margin_loss", tmp_path / "margin_loss")
    guide = """
```sh
pip install ./margin_loss
gancore train --domain audio --set model.loss=margin --out runs/margin
gancore train --domain audio --recipe wavegan --set model.phase_shuffle=0 --out runs/wavegan
```
"""
    (tmp_path / "guide.md").write_text(guide)
    played(tmp_path / "guide.md", tmp_path)
    assert "loss: margin" in (tmp_path / "runs/margin/config.yaml").read_text()


def played(document: Path, folder: Path) -> None:
    player = Fork(folder, lambda: play(document), log=folder / "played.txt")
    assert player.join(600) == 0, player.log.read_text()


@pytest.mark.slow
def test_a_domain_of_others_does_all_that_its_readme_shows(imported, tmp_path):
    shutil.copytree(EXAMPLES / "sensors", tmp_path / "examples/sensors")
    played(EXAMPLES / "sensors/README.md", tmp_path)


@pytest.mark.slow
def test_their_own_tests_pass(site):
    """The checks of the domain, half a minute, are below."""
    run_tests(site, *(path for path in PLUGINS if path.name != "sensors"))
    run_tests(site, *(EXAMPLES / "sensors/tests" / name for name in ("test_sources.py", "test_models.py")))


@pytest.mark.long
def test_the_domain_keeps_the_contract(site):
    run_tests(site, EXAMPLES / "sensors/tests/test_conformance.py")


def run_tests(site: Path, *places: Path) -> None:
    """In a process that finds the plugins as any installed one is found."""
    path = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), str(site)])
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *map(str, places)]
    done = run([sys.executable, *words], site, PYTHONPATH=path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("place", [EXAMPLES, *PLUGINS], ids=lambda place: place.name)
def test_they_are_short(place):
    counts = {path.name: count_code(path) for path in place.glob("*.py")}
    package = sum(count_code(path) for path in place.glob("gancore_*/*.py"))
    assert max(counts.values(), default=0) <= 25
    assert package <= MOST_LINES.get(place.name, 0)


def count_code(path: Path) -> int:
    """Lines that hold a token, other than those of comments and docstrings."""
    lines: set[int] = set()
    start = True
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type in (
            tokenize.COMMENT,
            tokenize.NL,
            tokenize.INDENT,
            tokenize.DEDENT,
            tokenize.ENDMARKER,
        ):
            continue
        if token.type == tokenize.NEWLINE:
            start = True
        elif not (start and token.type == tokenize.STRING):  # text that begins a line is no expression's part
            lines |= set(range(token.start[0], token.end[0] + 1))
            start = False
    return len(lines)
