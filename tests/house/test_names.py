"""Every name on the pages of words and of the architecture exists: classes, members, files, keys, options."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from importlib import import_module

import pytest
import typer
from places import CORE, PACKAGES, ROOT, sources

GLOSSARY = ["docs/glossary.md", "docs/glossary-runs.md"]
MARKED = re.compile(r"`([^`]+)`")
OF_A_RUN = {"optimizers.safetensors", "data.json", "metrics.jsonl", "comparison.yaml", "report.html"}
OF_A_RUN |= {"evaluations.jsonl", "samples/step-000000100/", "checkpoints/step-000000100/", "RUN/model/"}
OF_A_RUN |= {"RUN/checkpoints/step-000000100/"}
"""Files and folders that a run or a comparison writes; other tests name them."""
OF_PYTHON = {"KeyboardInterrupt", "result", "__all__", "main", "gancore", "verdict", "GANCORE_CACHE"}


def code_of_glossary(page: str) -> list[str]:
    """What stands in the column ``code``."""
    return [name for row in rows_of(page) for name in MARKED.findall(row[2])]


def rows_of(page: str) -> list[list[str]]:
    """The cells of every line of a table: word, meaning, code, elsewhere."""
    lines = [line for line in (ROOT / page).read_text().splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
    assert {len(row) for row in rows} == {4}, "a row has four columns"
    return [row for row in rows if row[0] != "word"]


def code_of_architecture() -> list[str]:
    text = re.sub(r"```.*?```", "", (ROOT / "docs/architecture.md").read_text(), flags=re.DOTALL)
    return MARKED.findall(text)


@cache
def members() -> dict[str, set[str]]:
    """Members of every class and function of core and lab by its name; inherited ones under their base."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sources(CORE, *PACKAGES):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                found[node.name] |= set(_class_members(node))
            elif isinstance(node, ast.FunctionDef):
                found[node.name] |= {argument.arg for argument in node.args.args + node.args.kwonlyargs}
        for statement in tree.body:
            found |= {name: found[name] for name in _targets(statement)}
    return found


def _class_members(node: ast.ClassDef) -> Iterable[str]:
    for statement in node.body:
        yield from _targets(statement)
        if isinstance(statement, ast.FunctionDef):
            yield statement.name
    for inner in ast.walk(node):  # self.x = ...
        if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store):
            yield inner.attr


def _targets(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.AnnAssign):
        return [statement.target.id] if isinstance(statement.target, ast.Name) else []
    if isinstance(statement, ast.Assign):
        return [target.id for target in statement.targets if isinstance(target, ast.Name)]
    return []


@cache
def commands() -> dict[str, set[str]]:
    """The options of every command, by its words: ``plugins check``."""
    from gancore_lab.cli import app as lab

    from gancore.cli.app import app

    found = {"lab": {option for each in typer.main.get_command(lab).params for option in each.opts}}
    pending = [((), typer.main.get_command(app))]
    while pending:
        words, command = pending.pop()
        found[" ".join(words)] = {option for each in command.params for option in each.opts}
        pending += [((*words, name), each) for name, each in getattr(command, "commands", {}).items()]
    return found


@cache
def keys() -> dict[str, set[str]]:
    """The keys of every section that all recipes of a kind share."""
    from gancore.config import DataConfig
    from gancore.config_layers import CORE_SECTIONS
    from gancore.games import AdversarialConfig, LikelihoodConfig

    found = {name: set(section.model_fields) for name, section in CORE_SECTIONS.items()}
    found["model"] = {*AdversarialConfig.model_fields, *LikelihoodConfig.model_fields}
    return {**found, "data": set(DataConfig.model_fields)}


def exists(name: str) -> bool:
    if name in OF_A_RUN | OF_PYTHON or name in keys():
        return True
    if name.startswith("--"):
        return any(name in options for options in commands().values())
    if name.startswith("gancore "):
        return name.removeprefix("gancore ") in commands()
    if name.endswith((".py", "/")):
        return any(ROOT.glob(name.rstrip("/"))) or any(CORE.rglob(name.rstrip("/")))
    head, _, rest = name.partition(".")
    if head in keys() and rest in keys()[head]:
        return True
    if head == "gancore":
        return _is_importable(name)
    return _is_member(name)


def _is_importable(name: str) -> bool:
    module, _, last = name.rpartition(".")
    try:
        return hasattr(import_module(module), last) or bool(import_module(name))
    except ImportError:
        return False


def _is_member(name: str) -> bool:
    """``Class``, ``Class.member``, ``function``, ``Class(argument)``, ``Class.method(...)``, or a metric."""
    plain, _, arguments = name.rstrip(")").partition("(")
    head, _, member = plain.rpartition(".")
    given = [word.partition("=")[0].strip() for word in arguments.split(",") if word]
    if head:
        return any(member in found for cls, found in members().items() if head in ("", cls))
    known = members().get(plain)
    if known is None:
        is_inner_class = plain[0].isupper() and any(plain in found for found in members().values())
        return is_inner_class or plain in metrics()
    return all(word in known for word in given)


@cache
def metrics() -> set[str]:
    from gancore.evaluation.catalogue import CORE_METRICS

    return {entry.name for entry in CORE_METRICS}


@pytest.mark.parametrize("page", GLOSSARY)
def test_the_code_of_every_word_exists(page):
    assert [name for name in code_of_glossary(page) if not exists(name)] == []


def test_every_name_of_the_architecture_exists():
    assert [name for name in code_of_architecture() if not exists(name)] == []


@pytest.mark.parametrize(
    "name",
    [
        "gancore.games.Judge",
        "Move.often",
        "games/judging.py",
        "--seconds",
        "model.latent",
        "gancore film",
        "Trial.x",
    ],
)
def test_a_name_that_does_not_exist_is_found(name):
    assert not exists(name)


def test_every_word_stands_once():
    words = [row[0] for page in GLOSSARY for row in rows_of(page)]
    assert len(words) == len({*words})
