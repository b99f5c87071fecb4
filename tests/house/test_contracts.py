"""docs/design*.md show the contracts; every signature in them is that of the code."""

from __future__ import annotations

import ast
import re

import pytest
from places import ROOT

BLOCK = re.compile(r"^```python\n# (gancore[\w.]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHOWN = [block for path in sorted(ROOT.glob("docs/design*.md")) for block in BLOCK.findall(path.read_text())]


def signatures(source: str) -> dict[str, str]:
    """Functions and ``Class.method`` with signatures, fields with types and defaults, classes with bases."""
    messages: dict[str, str] = {}
    for node in ast.parse(source).body:
        messages.update(signature_text(node, ""))
        if isinstance(node, ast.ClassDef):
            messages[node.name] = f"class {node.name}({', '.join(map(ast.unparse, node.bases))})"
            for part in node.body:
                messages.update(signature_text(part, f"{node.name}."))
    return messages


def signature_text(node: ast.stmt, prefix: str) -> dict[str, str]:
    if isinstance(node, ast.FunctionDef):
        returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        return {prefix + node.name: f"({ast.unparse(node.args)}){returns}"}
    if isinstance(node, ast.AnnAssign):
        return {prefix + ast.unparse(node.target): ast.unparse(node).partition(": ")[2]}
    return {}


def test_the_contracts_of_domain_recipe_and_game_are_shown():
    needed = {
        f"gancore.{name}" for name in ("domain", "recipe", "games.game", "games.training_step", "games.draw")
    }
    assert needed <= {module for module, _ in SHOWN}


@pytest.mark.parametrize(
    ("module", "body"), SHOWN, ids=[f"{n}-{module}" for n, (module, _) in enumerate(SHOWN)]
)
def test_every_signature_is_that_of_the_code(module, body):
    path = ROOT / f"{module.replace('.', '/')}.py"
    real, shown = signatures(path.read_text()), signatures(body)
    assert shown
    assert {name: real.get(name, "is gone") for name in shown} == shown
