"""A plugin whose distribution excludes this gancore is refused in one line with both versions and the fix."""

from __future__ import annotations

import pytest
from refusals import refused

import gancore
from gancore import PluginError

NEVER = {"reef": "raise AssertionError('imported')"}


@pytest.mark.parametrize("requires", ["gancore>=99", "gancore<0.0.1", "gancore (!=0.1.0,<0.1.0)"])
def test_it_is_not_imported_and_loses_only_itself(site, capsys, requires):
    site.install("gancore-reef", NEVER, requires=requires)
    site.install_tides()
    plugins = site.plugins()
    plugins.load_all()
    (line,) = capsys.readouterr().err.splitlines()
    for word in ("(gancore-reef 1.2)", "requires gancore", f"gancore {gancore.__version__} (contract 2)"):
        assert word in line
    reef = next(plugin for plugin in plugins.list_plugins() if plugin.name == "reef")
    assert (reef.state, reef.fix) == ("incompatible", "pip install --upgrade gancore gancore-reef")
    assert plugins.load_domain("tides").name == "tides"


def test_its_domain_is_refused_by_the_same_line(site, capsys):
    site.install("gancore-reef", NEVER, requires="gancore>=99")
    with refused(PluginError, "gancore-reef", 1.2, 99, gancore.__version__, fix="--upgrade"):
        site.plugins().load_domain("reef")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "requires",
    [
        "",
        f"gancore=={gancore.__version__}",
        "GANCORE[app]>=0.1,<1",
        "gancore-tides>=99",
        'gancore>=99; extra == "later"',
        'gancore>=99; python_version < "3"',
        "gancore >>= what pip cannot read",
    ],
)
def test_a_requirement_that_is_met_or_of_something_else_changes_nothing(site, capsys, requires):
    site.install_tides()
    site.install("gancore-reef", {"reef": "from gancore import hookimpl\n" + HOOK}, requires=requires)
    plugins = site.plugins(strict=True)
    plugins.load_all()
    assert {plugin.state for plugin in plugins.list_plugins()} == {"ok"}


HOOK = "@hookimpl\ndef gancore_losses():\n    return []\n"
