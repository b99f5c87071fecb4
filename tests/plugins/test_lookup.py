"""Domains, recipes and entries are found by name; an unknown name gets the nearest and the fix."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from refusals import refused

from gancore import DomainEntry, PluginError, RecipeEntry, hookimpl

STRAND = """
    from gancore import hookimpl, RecipeEntry

    @hookimpl
    def gancore_recipes():
        return [
            RecipeEntry("star", "strand_recipes:Star", "for tides", domain="tides"),
            RecipeEntry("moon", "strand_recipes:Star", "has the name of another", domain="tides"),
            RecipeEntry("star", "strand_recipes:Star", "for another domain", domain="lagoon"),
        ]
    """
TIDES_THAT_FAIL = """
from gancore import Domain

class Tides(Domain):
    name = "tides"

    def __init__(self):
        {}["ebb"]
"""
STAR = "from gancore import Recipe\nclass Star(Recipe):\n    pass\n"


def say(error) -> str:
    return str(error.value)


def test_a_domain_loads_only_the_plugin_of_its_name(site):
    site.install("gancore-other", {"other": "raise AssertionError('imported')"})
    site.install_tides()
    assert type(site.plugins().load_domain("tides")).__name__ == "Tides"
    assert "other" not in sys.modules


def test_a_domain_of_a_plugin_with_another_name_is_found(site):
    site.install_tides()
    metadata = site.folder / "gancore_tides-1.2.dist-info" / "entry_points.txt"
    metadata.write_text("[gancore]\nsea = tides\n")
    assert site.plugins().load_domain("tides").name == "tides"


def test_an_unknown_domain_names_the_nearest_and_the_installed_but_no_package_of_that_name(site):
    site.install_tides()
    with pytest.raises(PluginError) as error:
        site.plugins().load_domain("tidse")
    for word in ["'tidse'", "did you mean 'tides'?", "installed: tides"]:
        assert word in say(error)
    assert "pip install" not in say(error) and "gancore-tidse" not in say(error)


def test_the_domain_of_a_broken_plugin_gives_its_fault_as_the_error(site, capsys):
    site.install("gancore-reef", {"reef": "import librarium"})
    with pytest.raises(PluginError) as error:
        site.plugins().load_domain("reef")
    assert "(gancore-reef 1.2) needs the module 'librarium'" in say(error)
    assert capsys.readouterr().err == ""


def test_the_domain_of_a_disabled_plugin_names_the_variable(site, monkeypatch):
    site.install_tides()
    monkeypatch.setenv("GANCORE_DISABLE_PLUGINS", "tides")
    with refused(PluginError, "tides", fix="GANCORE_DISABLE_PLUGINS"):
        site.plugins().load_domain("tides")


@pytest.mark.parametrize(
    ("source", "named", "fix"),
    [
        ("import librarium", "librarium", "librarium"),
        ("", "AttributeError Tides", "gancore-tides"),
        ("Tides = 3", "tides_domain:Tides gancore.Domain", "gancore-tides"),
        ("import sys; sys.exit()", "sys.exit tides_domain:Tides", "gancore-tides"),
        (
            "from gancore import Domain\nclass Tides(Domain):\n    name = 'sea'",
            "sea",
            "tides",
        ),
        (
            TIDES_THAT_FAIL,
            "tides_domain:Tides() KeyError",
            "gancore-tides",
        ),
    ],
)
def test_a_domain_class_that_cannot_be_used_names_distribution_and_fix(site, source, named, fix):
    site.install_tides()
    (site.folder / "tides_domain.py").write_text(source)
    with refused(PluginError, *named.split(), fix=fix) as error:
        site.plugins().load_domain("tides")
    assert "plugin 'tides' (gancore-tides 1.2)" in say(error)
    assert "\n" not in say(error)


def test_the_default_recipe_is_the_first(site):
    site.install_tides()
    plugins = site.plugins()
    entry, recipe = plugins.load_recipe(plugins.load_domain("tides"))
    assert (entry.name, type(recipe).__name__) == ("moon", "Moon")
    entry, recipe = plugins.load_recipe(plugins.load_domain("tides"), "sun")
    assert (entry.name, type(recipe).__name__) == ("sun", "Sun")


def test_a_recipe_of_another_plugin_is_found_and_cannot_take_a_name_of_the_domain(site, capsys):
    site.install_tides()
    site.install("tide-recipes", {"strand": STRAND, "strand_recipes": STAR})
    plugins = site.plugins()
    tides = plugins.load_domain("tides")
    assert plugins.load_recipe(tides, "moon")[0].summary == "the default"
    assert "strand" not in sys.modules, "the domain has that recipe itself"
    assert type(plugins.load_recipe(tides, "star")[1]).__name__ == "Star"
    assert list(plugins.recipe_entries(tides)) == ["moon", "sun", "star"]
    output = capsys.readouterr().err.splitlines()
    assert len(output) == 1
    assert (
        "(tide-recipes 1.2) registers 'moon' in gancore_recipes, which the domain 'tides' itself has"
        in output[0]
    )


def test_an_unknown_recipe_names_the_nearest(site):
    site.install_tides()
    plugins = site.plugins()
    with refused(PluginError, "tides", "mono", fix="moon"):
        plugins.load_recipe(plugins.load_domain("tides"), "mono")


def test_a_record_remembers_its_plugin(site):
    site.install_tides()
    plugins = site.plugins()
    (entry,) = plugins.entries("gancore_domains")
    found = plugins.plugin_of(entry)
    assert found is not None
    assert (found.name, found.distribution) == ("tides", "gancore-tides")
    assert plugins.load_object(entry).name == "tides"


def test_a_bad_record_in_a_domains_recipes_is_told_and_the_rest_works(site, capsys):
    site.install_tides()
    source = (site.folder / "tides_domain.py").read_text().replace('"another")', '"another", contract=3)')
    (site.folder / "tides_domain.py").write_text(source)
    plugins = site.plugins()
    assert list(plugins.recipe_entries(plugins.load_domain("tides"))) == ["moon"]
    (output,) = capsys.readouterr().err.splitlines()
    assert "(gancore-tides 1.2) is incompatible: 'sun' is written for contract 3" in output


def test_an_object_can_be_registered_by_the_program(site):
    class Extra:
        @hookimpl
        def gancore_recipes(self):
            return [RecipeEntry("extra", "strand_recipes:Star", "", domain="tides")]

    site.install_tides()
    plugins = site.plugins()
    plugins.register(Extra(), "extra")
    assert "extra" in plugins.recipe_entries(plugins.load_domain("tides"))


def test_a_registered_object_that_is_broken_is_told(site, capsys):
    plugins = site.plugins()
    plugins.register(SimpleNamespace(), "nothing")
    assert "plugin 'nothing' implements no hook" in capsys.readouterr().err


def test_a_missing_factory_is_blamed_on_the_plugin_that_names_it(site):
    site.install_tides()
    with refused(PluginError, "gancore-tides", 1.2, "tides.gone"):
        plugins = site.plugins()
        plugins.load_all()
        plugins.load_object(DomainEntry("tides", "tides.gone:Tides", ""))
