"""A check: a name, a statement that must hold, and a function that raises if it does not."""

from __future__ import annotations

import contextlib
import random
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from gancore.errors import GancoreError, safe_str
from gancore.trees import Tree, tree_leaves

Scope = Literal["plugin", "domain", "recipe", "loss", "dynamics", "measure", "logger"]
State = Literal["ok", "failed", "skipped"]


class CheckFailure(AssertionError):  # noqa: N818
    """A check does not hold. ``message`` says what is wrong, ``fix`` how to fix it."""

    def __init__(self, message: str, fix: str) -> None:
        self.message, self.fix = message, fix
        super().__init__(f"{message}; {fix}")


class SkipCheck(Exception):  # noqa: N818
    """The check does not apply to this subject; the message says why."""


@dataclass(frozen=True)
class Check:
    """One check. ``function`` takes the fixture of ``scope``: a RegisteredPlugin, a DomainFixture, ..."""

    name: str
    holds: str
    scope: Scope
    function: Callable[[Any], None]

    @classmethod
    def from_function(cls, scope: Scope, function: Callable[[Any], None]) -> Check:
        """Make a check of a function. The summary of its docstring is the statement."""
        statement = (function.__doc__ or "").partition("\n\n")[0]
        return cls(function.__name__, collapse_spaces(statement), scope, function)


@dataclass(frozen=True)
class CheckResult:
    """The result of one check of one subject (``tides``, ``tides/dense``)."""

    check: str
    subject: str
    holds: str
    state: State
    reason: str = ""
    fix: str = ""
    seconds: float = 0.0

    @property
    def text(self) -> str:
        """The reason and the fix; the statement if the check holds."""
        return self.holds if self.state == "ok" else f"{self.reason}; {self.fix}" if self.fix else self.reason


def run_check(check: Check, fixture: Any) -> CheckResult:
    """Run one check. An exception of the plugin's code becomes the reason of the result."""
    began = time.perf_counter()

    def result(state: State, reason: str = "", fix: str = "") -> CheckResult:
        seconds = round(time.perf_counter() - began, 3)
        return CheckResult(
            check.name,
            fixture.subject,
            check.holds,
            state,
            collapse_spaces(reason),
            collapse_spaces(fix),
            seconds,
        )

    try:
        check.function(fixture)
    except SkipCheck as reason:
        return result("skipped", str(reason))
    except (CheckFailure, GancoreError) as breach:
        return result("failed", breach.message, breach.fix)
    except (Exception, SystemExit) as error:
        return result(
            "failed",
            f"raises {error_text(error)}",
            "run the same check under pytest for the traceback",
        )
    return result("ok")


def error_text(error: BaseException) -> str:
    """Describe an exception in one line, with its innermost line of code outside gancore and torch."""
    text = collapse_spaces(safe_str(error))[:300]
    return f"{type(error).__name__}: {text}{_place(error)}" if text else type(error).__name__ + _place(error)


def _place(error: BaseException) -> str:
    """The innermost line outside gancore and torch, as `` (package/file.py:12)``; empty if there is none."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if not {"gancore", "torch"} & set(path.parts[-4:]) and path.is_file():
            return f" ({path.parent.name}/{path.name}:{frame.lineno})"
    return ""


def collapse_spaces(text: str) -> str:
    return " ".join(text.split())


def tree_signature(tree: Tree) -> Any:
    """The tree with every tensor replaced by its shape without the axis of rows, and its dtype."""
    if isinstance(tree, Tensor):
        return tuple(tree.shape[1:]), str(tree.dtype).removeprefix("torch.")
    if isinstance(tree, Mapping):
        return {name: tree_signature(branch) for name, branch in tree.items()}
    if isinstance(tree, tuple | list):
        return [type(tree).__name__, *(tree_signature(branch) for branch in tree)]
    return None


def describe_tree(tree: Tree) -> str:
    """Shapes and dtypes as text, such as ``(rows, 1, 64) float32``."""
    if isinstance(tree, Tensor):
        shape = ", ".join(["rows", *map(str, tree.shape[1:])])
        return f"({shape}) {str(tree.dtype).removeprefix('torch.')}"
    if isinstance(tree, Mapping):
        return "{" + ", ".join(f"{name}: {describe_tree(branch)}" for name, branch in tree.items()) + "}"
    if isinstance(tree, tuple | list):
        return type(tree).__name__ + "(" + ", ".join(map(describe_tree, tree)) + ")"
    return "None" if tree is None else type(tree).__name__


def trees_equal(one: Tree, other: Tree) -> bool:
    """Whether two trees are equal bit by bit; NaN equals NaN."""
    if tree_signature(one) != tree_signature(other):
        return False
    return all(_equal(a, b) for a, b in zip(tree_leaves(one), tree_leaves(other), strict=True))


def _equal(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    same = a == b
    return bool((same | (a.isnan() & b.isnan()) if a.is_floating_point() else same).all())


def relative_difference(one: Tree, other: Tree) -> float:
    """The largest absolute difference, divided by the largest absolute value or 1, whichever is larger.

    Infinite if the trees differ in structure, shape or dtype.
    """
    if tree_signature(one) != tree_signature(other):
        return float("inf")
    shares = [0.0]
    for a, b in zip(tree_leaves(one), tree_leaves(other), strict=True):
        a, b = (x.detach().double().cpu() for x in (a, b))
        if a.shape != b.shape or not bool(a.isfinite().all() and b.isfinite().all()):
            return float("inf")
        scale = max(1.0, float(a.abs().max())) if a.numel() else 1.0
        shares.append(float((a - b).abs().max()) / scale if a.numel() else 0.0)
    return max(shares)


def tree_all_finite(tree: Tree) -> bool:
    return all(bool(leaf.isfinite().all()) for leaf in tree_leaves(tree) if leaf.is_floating_point())


def differing_names(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that differ, or that are in only one of the mappings."""
    names = [*one, *(name for name in other if name not in one)]
    return [n for n in names if n not in one or n not in other or not trees_equal(one[n], other[n])]


@contextlib.contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Context manager that seeds the global generators of torch, numpy and random, and restores them."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
