"""PluginRegistry are listed from metadata; the environment chooses among them; nothing heavy is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gancore.plugins import PluginInfo

LOSSES = """
from gancore import hookimpl, LossEntry

@hookimpl
def gancore_losses():
    return [LossEntry(__name__, "somewhere:LOSS", "a loss")]
"""


def states(plugins) -> dict[str, str]:
    return {found.name: found.state for found in plugins.list_plugins()}


def test_listing_reads_metadata_and_imports_nothing(site):
    site.install_tides()
    before = set(sys.modules)
    (tides,) = site.plugins().list_plugins()
    assert tides == PluginInfo("tides", "gancore-tides", "1.2", "tides", "listed")
    assert {name for name in set(sys.modules) - before if not name.startswith("email")} == set()


def test_a_loaded_plugin_says_what_it_registers(site):
    site.install_tides()
    plugins = site.plugins()
    plugins.load_all()
    (tides,) = plugins.list_plugins()
    assert (tides.state, tides.registers) == ("ok", {"gancore_domains": ("tides",)})


@pytest.mark.parametrize(
    ("only", "without", "loaded"),
    [
        (None, None, ["ebb", "flow"]),
        ("ebb", None, ["ebb"]),
        ("", None, []),
        (" flow , ebb ", "ebb", ["flow"]),
        (None, "ebb", ["flow"]),
        ("gancore_flow", None, ["flow"]),
    ],
)
def test_the_environment_chooses_plugins(site, monkeypatch, capsys, only, without, loaded):
    for name in ("ebb", "flow"):
        site.install(f"gancore-{name}", {name: LOSSES})
    for variable, value in {"GANCORE_PLUGINS": only, "GANCORE_DISABLE_PLUGINS": without}.items():
        if value is not None:
            monkeypatch.setenv(variable, value)
    plugins = site.plugins()
    assert [record.name for record in plugins.entries("gancore_losses")] == loaded
    assert states(plugins) == {name: "ok" if name in loaded else "disabled" for name in ("ebb", "flow")}
    assert {"ebb", "flow"} & set(sys.modules) == set(loaded)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("variable", ["GANCORE_PLUGINS", "GANCORE_DISABLE_PLUGINS"])
def test_a_chosen_plugin_that_is_not_installed_is_told(site, monkeypatch, capsys, variable):
    site.install("gancore-flow", {"flow": LOSSES})
    monkeypatch.setenv(variable, "flwo")
    site.plugins().load_all()
    output = capsys.readouterr().err.splitlines()
    about = f"plugin 'flwo' is named in {variable} and is not installed"
    assert output == [f"gancore: warning: {about}; did you mean 'flow'?"]


@pytest.mark.parametrize(
    "statement", ["import gancore", "import gancore.plugins; gancore.plugins.plugins().load_all()"]
)
def test_no_torch_is_imported(statement):
    program = f"import sys; {statement}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
