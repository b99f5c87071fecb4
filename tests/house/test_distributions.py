"""The distributions: what they say of themselves, and the versions that are known to work together."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from places import DISTRIBUTIONS, ROOT

import gancore

DECLARED = [tomllib.loads((place / "pyproject.toml").read_text()) for place in DISTRIBUTIONS]
NAMES = [declared["project"]["name"] for declared in DECLARED]


def pins() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.partition("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, _, version in pairs}


def test_the_source_distribution_holds_the_constraints_that_the_readme_installs_by():
    assert "-c constraints.txt" in (ROOT / "README.md").read_text()
    assert "include constraints.txt" in (ROOT / "MANIFEST.in").read_text().splitlines()


def direct(declared: dict[str, Any]) -> list[Requirement]:
    """What a distribution asks for itself: to run, to be tested, to be built."""
    project = declared["project"]
    extras = [text for group in project.get("optional-dependencies", {}).values() for text in group]
    texts = [*project["dependencies"], *extras, *declared["build-system"]["requires"]]
    return [Requirement(text) for text in texts]


def pulled_in() -> set[str]:
    """All that an installation of our distributions, tests included, brings along here."""
    found: set[tuple[str, str]] = set()
    waiting = [(canonicalize_name(name), "test") for name in NAMES]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in found:
            continue
        found.add((name, extra))
        for text in metadata.requires(name) or []:
            need = Requirement(text)
            if need.marker is None or need.marker.evaluate({"extra": extra}):
                waiting += [(canonicalize_name(need.name), each) for each in need.extras or {""}]
    return {name for name, _ in found} - {canonicalize_name(name) for name in NAMES}


@pytest.mark.parametrize("declared", DECLARED, ids=NAMES)
def test_every_requirement_has_a_pin_that_satisfies_it(declared):
    known = pins() | {canonicalize_name(name): Version(metadata.version(name)) for name in NAMES}
    unmet = [
        str(need)
        for need in direct(declared)
        if canonicalize_name(need.name) not in known
        or known[canonicalize_name(need.name)] not in need.specifier
    ]
    assert unmet == []


def test_the_pins_are_what_is_pulled_in_and_no_more():
    build_tools = {"setuptools", "wheel"}
    assert pulled_in() - pins().keys() == set()
    assert pins().keys() - pulled_in() - build_tools == set()


def test_what_is_installed_here_is_what_is_pinned():
    assert {name: Version(metadata.version(name)) for name in pins()} == pins()


def test_the_version_stands_in_one_place():
    assert "version" in DECLARED[0]["project"]["dynamic"]
    assert metadata.version("gancore") == gancore.__version__
    assert f"## {gancore.__version__}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("place", DISTRIBUTIONS, ids=NAMES)
def test_every_distribution_brings_the_whole_licence(place: Path):
    text = (place / "LICENSE").read_text()
    assert "Apache License" in text and "Version 2.0, January 2004" in text
    assert "9. Accepting Warranty or Additional Liability." in text
    assert "END OF TERMS AND CONDITIONS" in text


@pytest.mark.parametrize("declared", DECLARED[1:], ids=NAMES[1:])
def test_plugins_come_from_the_authors_of_the_core(declared):
    """By this they are first in line when two plugins claim one name."""
    assert declared["project"]["authors"] == DECLARED[0]["project"]["authors"]


def test_the_page_of_the_installation_lists_every_extra():
    section = (ROOT / "docs/installation.md").read_text().split("## Extras of the core")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert listed == set(DECLARED[0]["project"]["optional-dependencies"])


def test_extras_of_the_core_name_every_plugin():
    extras = DECLARED[0]["project"]["optional-dependencies"]
    named = {Requirement(extras[name][0]).name: name for name in own_names()}
    assert set(named) == set(NAMES[1:])
    (everything,) = map(Requirement, extras["all"])
    assert everything.name == "gancore" and everything.extras == set(named.values())


def test_the_page_of_plugins_lists_ours_as_they_are():
    rows = re.findall(
        r"^\| `([\w-]+)` \| \[`([\w-]+)`\].*\| `(.+)` \| (\d) \| (.+) \|$",
        (ROOT / "docs/plugins.md").read_text(),
        re.MULTILINE,
    )
    declared = [each["project"] for each in DECLARED[1:]]
    core = [
        next(n for n in map(Requirement, each["dependencies"]) if n.name == "gancore") for each in declared
    ]
    contract = str(gancore.CONTRACT_VERSION)
    assert [
        (name, dist, Requirement(f"x{bounds}").specifier, *rest) for name, dist, bounds, *rest in rows
    ] == [
        (name, each["name"], need.specifier, contract, each["license"])
        for name, each, need in zip(own_names(), declared, core, strict=True)
    ]


def own_names() -> list[str]:
    """The plugins' names, in the order of their distributions."""
    return [next(iter(each["project"]["entry-points"]["gancore"])) for each in DECLARED[1:]]


def test_no_text_of_the_project_names_a_machine_or_a_registry():
    pattern = re.compile(r"https?://[^/\s]*(pypi|pythonhosted|anaconda)|(?<![\w.])/(work|home|root)/")
    texts = [ROOT / name for name in ("Makefile", "constraints.txt", ".ci/run", "CITATION.cff")]
    texts += [
        *ROOT.glob("*.md"),
        *ROOT.glob(".github/**/*.*"),
        *ROOT.glob("gancore/scaffold/project/**/*.template"),
        *ROOT.glob("docs/*.md"),
        *(p for p in ROOT.glob("examples/**/*") if p.suffix in (".py", ".md", ".toml")),
        *ROOT.glob("plugins/*/README.md"),
    ]
    named = [f"{text.name}: {hit[0]}" for text in texts for hit in pattern.finditer(text.read_text())]
    assert named == []
