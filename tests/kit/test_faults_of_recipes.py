"""What goes wrong in a plugin's recipe is told as that plugin's: with its version and its line."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest
from kit_site import Change
from refusals import names

from gancore.cli import main
from gancore.errors import ExitCode, PluginError
from gancore.plugins import plugins
from gancore.plugins.faults import plugin_error
from gancore.runtime.distributed import ProcessGroup
from gancore.training.launch import _picklable_error

TRAIN = ["train", "--domain", "tides", "--recipe", "normal", "--steps", "2", "--set", "data.length=16"]
BUILD = "    def build(self, config, spec):\n        return likelihood_game("


def doing(deed: str) -> Change:
    """A recipe that does this when its game is built."""
    return Change("recipes.py", BUILD, BUILD.replace("        return", f"        {deed}\n        return"))


@pytest.fixture
def train(tmp_path, monkeypatch, capsys):
    """(exit code, stdout, stderr) of ``gancore train`` with the recipe so changed."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        code = main([*TRAIN, "--out", "run", *words])
        return code, *capsys.readouterr()

    return call


DEEDS = {
    "an error": ("{}['newer']", "KeyError"),
    "an end": ("raise SystemExit(0)", "sys.exit"),
    "another end": ("import os; os._exit(0)", "os._exit"),
    "a cancellation": ("import asyncio; raise asyncio.CancelledError", "CancelledError"),
}


@pytest.mark.parametrize(("deed", "word"), DEEDS.values(), ids=list(DEEDS))
def test_the_line_names_plugin_version_and_place(site, train, deed, word):
    site.install(doing(deed))
    code, out, err = train("--json")
    line = err.splitlines()[-1]
    assert code == ExitCode.USER_ERROR
    assert line.startswith("error: ")
    for named in ("gancore-tides", "0.1.0", word, "recipes.py"):
        assert names(line, named), line
    assert json.loads(out.splitlines()[-1])["error"]["kind"] == "PluginError"
    assert not Path("run", "model").exists()


def test_an_error_deep_in_gancore_names_the_plugin_that_called_it(site, train):
    site.install(doing("from gancore.trees import tree_map; tree_map(lambda leaf: leaf.gone, object())"))
    code, _, err = train("--quiet")
    line = err.splitlines()[-1]
    assert code == ExitCode.INTERNAL_ERROR
    for named in ("gancore-tides", "0.1.0", "recipes.py"):
        assert names(line, named), line


def test_what_a_recipe_prints_does_not_break_lines_of_json(site, train):
    site.install(doing("print('hello')"))
    code, out, err = train("--json")
    assert code == 0
    assert "hello" in err
    for line in out.splitlines():
        json.loads(line)


def test_a_worker_hands_over_which_plugin_failed(site):
    site.install()
    from gancore_tides.recipes import Normal  # type: ignore[import-not-found]

    try:
        Normal().build(None, {})
    except Exception as error:
        result = _picklable_error(error, ProcessGroup(1, 2))
    assert isinstance(result, PluginError)
    assert names(result.message, "gancore-tides")
    multiprocessing.reduction.ForkingPickler.dumps(result)


def test_a_command_of_a_plugin_may_exit_and_ctrl_c_is_nobodys_fault(site):
    site.install(doing("raise SystemExit(3)"), doing_interrupt())
    from gancore_tides.recipes import Dense, Normal

    for recipe, kind in ((Normal, SystemExit), (Dense, KeyboardInterrupt)):
        with pytest.raises(kind) as caught:
            recipe().build(None, {})
        assert plugin_error(caught.value, plugins().packages()) is None


def doing_interrupt() -> Change:
    old = "    def build(self, config, spec):\n        return adversarial_game("
    return Change(
        "recipes.py", old, old.replace("        return", "        raise KeyboardInterrupt\n        return")
    )
