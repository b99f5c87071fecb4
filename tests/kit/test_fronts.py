"""The kit has two fronts, pytest and the command line, and both make the same checks."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from broken_plugins import DENSE, NORMAL
from refusals import refused

from gancore.cli import main
from gancore.errors import PluginError
from gancore.testing import CHECKS, ConformanceKit, DomainConformance, PluginConformance


def test_every_check_says_what_it_holds_under_a_name_of_its_own():
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names) >= 30
    for check in CHECKS:
        assert check.holds.endswith(".") and "\n" not in check.holds, check.name


def test_both_fronts_make_the_same_checks():
    fronts = (DomainConformance, PluginConformance)
    tests = {name for front in fronts for name in vars(front) if name.startswith("test_")}
    assert tests == {f"test_{check.name}" for check in CHECKS}
    assert DomainConformance.test_trains.__doc__ == next(c.holds for c in CHECKS if c.name == "trains")


@pytest.mark.slow
def test_the_class_needs_no_pytest_to_be_imported():
    program = "import sys, gancore.testing; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def tides() -> type[DomainConformance]:
    class TestTides(DomainConformance):
        domain = "tides"

    return TestTides


def test_each_recipe_is_a_test_of_its_own(site):
    site.install()
    made = []
    metafunc = SimpleNamespace(fixturenames=["recipe"], parametrize=lambda *given: made.append(given))
    tides()().pytest_generate_tests(metafunc)
    assert made == [("recipe", ["tides/dense", "tides/normal"])]


def test_a_breach_fails_a_test_with_its_message_and_what_must_hold(site):
    site.install(*DENSE["a mean of the batch"][0])
    test = tides()()
    test.test_gives_finite_logits("tides/dense")
    with pytest.raises(pytest.fail.Exception) as failed:
        test.test_scores_rows_independently("tides/dense")
    assert "mixes rows" in str(failed.value)
    assert "The check requires: The logits of a row" in str(failed.value)


def test_what_is_not_there_is_skipped_with_the_reason(site):
    site.install()
    with pytest.raises(pytest.skip.Exception, match="likelihood"):
        tides()().test_gives_likelihoods("tides/dense")


def test_a_plugin_that_is_missing_fails_the_tests_and_not_their_collection(site):
    made = []
    metafunc = SimpleNamespace(fixturenames=["recipe"], parametrize=lambda *given: made.append(given))
    tides()().pytest_generate_tests(metafunc)
    assert made == [("recipe", [""])]
    with refused(PluginError, "tides", fix="audio"):
        tides()().test_trains("")


@pytest.mark.usefixtures("alone")
def test_as_json_every_check_stands_with_its_reason(site, capsys):
    site.install(*NORMAL["likelihoods summed over the batch"][0])
    assert main(["plugins", "check", "tides", "--recipe", "normal", "--json"]) == 2
    output = capsys.readouterr()
    answer = json.loads(output.out)
    assert (answer["plugin"], answer["ok"]) == ("tides", False)
    states = {(row["subject"], row["check"]): row for row in answer["checks"]}
    assert len(states) == len(answer["checks"])
    assert {row["state"] for row in answer["checks"]} == {"ok", "failed", "skipped"}
    failed = states["tides/normal", "gives_likelihoods"]
    assert failed["state"] == "failed" and failed["reason"] and failed["fix"]
    assert len(output.err.splitlines()) == 1
    assert not any(subject == "tides/dense" for subject, _ in states)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tide"], "no plugin is named 'tide'; did you mean 'tides'?"),
        (["tides", "--recipe", "dnse"], "has no recipe 'dnse'; did you mean 'dense'?"),
    ],
)
def test_an_unknown_name_gets_one_line(site, capsys, words, said):
    site.install()
    assert main(["plugins", "check", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_plugin_that_is_switched_off_says_so(site, monkeypatch):
    site.install()
    monkeypatch.setenv("GANCORE_DISABLE_PLUGINS", "tides")
    with refused(PluginError, "tides", fix="GANCORE_DISABLE_PLUGINS"):
        site.check()


def test_a_plugin_of_recipes_for_another_domain_is_checked_on_that_domain(site, monkeypatch):
    """A loss and a recipe, and no domain of its own."""
    site.install()
    package = site.folder / "shore.py"
    package.write_text(
        "from gancore import LossEntry, RecipeEntry, hookimpl\n\n\n"
        "@hookimpl\ndef gancore_recipes():\n"
        '    return [RecipeEntry("again", "gancore_tides.recipes:Normal", "once more", domain="tides")]\n\n\n'
        "@hookimpl\ndef gancore_losses():\n"
        '    return [LossEntry("hinged", "gancore.games.losses:hinge", "as in the core")]\n'
    )
    info = site.folder / "gancore_shore-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gancore-shore\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[gancore]\nshore = shore\n")
    monkeypatch.setenv("GANCORE_PLUGINS", "tides,shore")
    monkeypatch.delitem(sys.modules, "shore", raising=False)
    kit = ConformanceKit.for_name("shore")
    assert list(kit.recipes) == ["tides/again"]
    assert kit.domains == {}
    results = list(kit.run())
    assert {result.subject for result in results} == {"shore", "tides/again", "loss/hinged"}
    assert [result for result in results if result.state == "failed"] == []
