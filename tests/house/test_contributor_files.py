"""The files that GitHub reads: how to cite, how to report, and the templates of issues."""

from __future__ import annotations

import yaml
from places import ROOT

import gancore

FORMS = [path for path in sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")) if path.stem != "config"]
FIELDS = {"markdown", "textarea", "input", "dropdown", "checkboxes"}


def test_the_citation_has_the_version_and_the_licence_of_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == gancore.__version__
    assert f'license = "{citation["license"]}"' in (ROOT / "pyproject.toml").read_text()
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()


def test_every_form_is_one_that_github_accepts():
    assert [path.stem for path in FORMS] == ["bug", "feature", "question"]
    for path in FORMS:
        form = yaml.safe_load(path.read_text())
        assert {"name", "description", "body"} <= form.keys(), path.name
        fields = [field for field in form["body"] if field["type"] != "markdown"]
        ids = [field["id"] for field in fields]
        assert len(set(ids)) == len(ids) > 0, path.name
        assert {field["type"] for field in form["body"]} <= FIELDS, path.name
        assert all(field["attributes"].get("label") for field in fields), path.name


def test_a_report_of_a_bug_needs_what_info_prints():
    bug = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text())
    info = next(field for field in bug["body"] if field.get("id") == "info")
    assert info["attributes"]["label"] == "gancore info" and info["validations"]["required"]


def test_vulnerabilities_are_reported_in_private_without_an_address():
    text = (ROOT / "SECURITY.md").read_text()
    assert "Report a vulnerability" in text and "@" not in text
