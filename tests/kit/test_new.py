"""`gancore plugins new`: a project that installs, holds to the contract, trains and gives samples."""

from __future__ import annotations

import ast
import keyword
import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from gancore.cli import main
from gancore.errors import ConfigError
from gancore.scaffold import names_of, render, write_project

WORDS = [
    "none",
    "true",
    "false",
    "class",
    "data",
    "domain",
    "test",
    "import",
    "spec",
    "a",
    "x1",
    "domain-test",
]
NAMES = st.one_of(
    st.text(max_size=60),
    st.sampled_from(WORDS),
    st.from_regex(r"[a-zA-Z0-9._-]{1,60}", fullmatch=True),
    st.from_regex(r"[a-z][a-z0-9]{0,8}([-_][a-z0-9]{1,5}){0,3}", fullmatch=True),
)


@given(NAMES)
@example("gancore-tides")
@example("gancore_")
@example("a" * 51)
@example("tides\n")
@example("İ")
def test_any_name_gives_a_project_or_one_line(name):
    try:
        names = names_of(name)
    except ConfigError as error:
        assert error.fix and len(str(error)) < 300
        return
    assert canonicalize_name(Requirement(f"gancore-{name}").name) == f"gancore-{name.replace('_', '-')}"
    assert names.package.isidentifier() and names.package.isascii()
    files = render(names)
    project = tomllib.loads(files["pyproject.toml"])
    assert project["project"]["entry-points"]["gancore"] == {name: names.package}
    for path, text in files.items():
        assert "$" not in re.sub(r"\$\{\{ matrix\.\w+ \}\}", "", text), path
        if path.endswith(".py"):
            made = {node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)}
            used = {
                alias.asname or alias.name
                for node in ast.walk(ast.parse(text))
                if isinstance(node, ast.ImportFrom | ast.Import)
                for alias in node.names
            }
            assert not made & used, path
            assert not any(map(keyword.iskeyword, made)), path


def test_its_lines_are_short():
    for path, text in render(names_of("sea-level")).items():
        longest = max(text.splitlines(), key=len)
        assert len(longest) <= 110, (path, longest)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["Tides"], "'Tides' cannot be the name of a domain; use up to 50 of a-z, 0-9 and single dashes"),
        (["gancore-tides"], "give the domain's alone: 'tides'"),
        (["audio"], "a plugin named 'audio' is installed (gancore-audio); give another name"),
        (["tides", "--out", "file"], "file is a file; give another --out"),
        (["tides", "--out", "file/below"], "file"),
        (["tides", "--out", "full"], "full holds other things; give another --out, or empty it"),
    ],
)
def test_what_cannot_be_gets_one_line_and_leaves_nothing(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("here")
    Path("full").mkdir()
    Path("full/already").write_text("there")
    before = sorted(tmp_path.rglob("*"))
    assert main(["plugins", "new", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and said in line
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OSError, match="No space"):
        write_project("tides", tmp_path / "here")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_and_a_deep_one_are_filled(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "a" / "b"):
        files = write_project("tides", folder)
        assert all(file.is_file() for file in files)
        assert {file.relative_to(folder).as_posix() for file in files} == {
            *("pyproject.toml", "README.md", "CHANGELOG.md", "tests/test_conformance.py"),
            *(".gitignore", ".github/workflows/test.yml", ".github/workflows/release.yml"),
            *(f"gancore_tides/{name}.py" for name in ("__init__", "domain", "recipes", "metrics")),
        }


def workflow(name: str) -> dict:
    """PyYAML reads the key ``on`` as True, as YAML 1.1 has it; GitHub reads YAML 1.2."""
    loaded = yaml.safe_load(FILES[f".github/workflows/{name}.yml"])
    return {"on" if key is True else key: value for key, value in loaded.items()}


FILES = render(names_of("sea-level"))
PROJECT = tomllib.loads(FILES["pyproject.toml"])["project"]


def test_the_workflow_runs_the_tests_and_the_kit_on_every_python_and_on_the_lowest_gancore():
    job = workflow("test")["jobs"]["test"]
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands[-3:] == ["pytest", "gancore plugins --strict-plugins", "gancore plugins check sea-level"]
    assert commands[-4] == 'pip install ".[test]" ${{ matrix.gancore }}'
    matrix = job["strategy"]["matrix"]
    assert matrix["python"] == ["3.11", "3.12", "3.13"] and matrix["gancore"] == ["gancore"]
    assert all(version in SpecifierSet(PROJECT["requires-python"]) for version in matrix["python"])
    (lowest,) = matrix["include"]
    pinned, required = Requirement(lowest["gancore"]), Requirement(PROJECT["dependencies"][0])
    (version,) = (Version(each.version) for each in pinned.specifier)
    (bound,) = (Version(each.version) for each in required.specifier if each.operator == ">=")
    assert pinned.name == required.name and version == bound and lowest["python"] == "3.11"


def test_a_release_is_published_after_the_tests_without_a_secret():
    release = workflow("release")
    assert (
        release["on"] == {"release": {"types": ["published"]}} and "workflow_call" in workflow("test")["on"]
    )
    jobs, text = release["jobs"], FILES[".github/workflows/release.yml"]
    assert jobs["test"] == {"uses": "./.github/workflows/test.yml"}
    assert set(jobs["publish"]["needs"]) == {"test", "build"} and "secrets." not in text
    assert (
        jobs["publish"]["permissions"] == {"id-token": "write"} and jobs["publish"]["environment"] == "pypi"
    )
    assert release["permissions"] == workflow("test")["permissions"] == {"contents": "read"}


def test_actions_are_pinned_by_major_version_and_agree_between_the_workflows():
    steps = [
        s for name in ("test", "release") for j in workflow(name)["jobs"].values() for s in j.get("steps", ())
    ]
    used = {step["uses"] for step in steps if "uses" in step}
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@(release/)?v\d+", action) for action in used), used
    assert len({action.partition("@")[0] for action in used}) == len(used)


@pytest.mark.parametrize(
    ("tag", "log", "passes"),
    [
        ("v0.1.0", "# Changelog\n\n## 0.1.0 (2030-01-31)\n", True),
        ("v0.2.0", "# Changelog\n\n## 0.1.0 (2030-01-31)\n", False),
        ("v0.1.0", FILES["CHANGELOG.md"], False),
    ],
)
def test_the_release_checks_tag_and_changelog(tag, log, passes, tmp_path):
    (command,) = (
        s["run"] for s in workflow("release")["jobs"]["build"]["steps"] if "tag" in s.get("name", "")
    )
    (tmp_path / "pyproject.toml").write_text(FILES["pyproject.toml"])
    (tmp_path / "CHANGELOG.md").write_text(log)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    variables = {"PATH": path, "GITHUB_REF_NAME": tag}
    done = subprocess.run(["bash", "-e", "-c", command], cwd=tmp_path, env=variables, capture_output=True)
    assert (done.returncode == 0) == passes, done.stderr


@pytest.mark.slow
def test_from_a_name_to_the_first_sample_in_under_three_minutes(tmp_path, capsys):
    """As a user does it: every step a program of its own. The figure is printed."""
    site = tmp_path / "site"
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "PYTHONPATH": str(site), "PATH": path, "OMP_NUM_THREADS": "1"}
    environment |= {"GANCORE_PLUGINS": "sea-level"}
    quietly = "--quiet --no-deps --no-build-isolation --no-index --disable-pip-version-check"
    steps = {
        "new": "gancore plugins new sea-level",
        "install": f"pip install {quietly} --target site ./gancore-sea-level",
        "check": "gancore plugins check sea-level",
        "train": "gancore train --domain sea-level --steps 500 --out run",
        "sample": "gancore generate run -n 2 --out samples",
    }
    took = {}
    for step, words in steps.items():
        began = time.perf_counter()
        command = [sys.executable, "-m", *words.split()]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        took[step] = time.perf_counter() - began
        assert done.returncode == 0, done.stdout + done.stderr
        if step == "check":
            assert re.search(r"^\d+ checks in \d+ s: \d+ ok, \d+ skipped$", done.stdout, re.MULTILINE), (
                done.stdout
            )
    values = [float(x) for x in (tmp_path / "samples" / "0001.csv").read_text().split()]
    assert len(values) == 64
    with capsys.disabled():
        result = ", ".join(f"{step} {seconds:.0f} s" for step, seconds in took.items())
        print(f"\nfrom a name to the first sample: {sum(took.values()):.0f} s ({result})")
    assert sum(took.values()) < 180


@pytest.mark.slow
def test_the_project_s_own_tests_pass(tmp_path):
    write_project("sea-level", tmp_path / "project")
    info = tmp_path / "project" / "gancore_sea_level-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gancore-sea-level\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[gancore]\nsea-level = gancore_sea_level\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "project"), "OMP_NUM_THREADS": "1"}
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        "not two_processes",
        "project",
    ]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert re.search(r"\d+ passed, \d+ skipped", done.stdout)
