"""Digests (sha256, hexadecimal) of JSON values, of tensors and of code."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any

from gancore.trees import Tree, tree_leaves


def digest_json(*values: Any) -> str:
    """Digest of JSON values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def digest_tensors(tree: Tree) -> str:
    """Digest of the dtypes, shapes and bytes of all tensors of a tree."""
    content = hashlib.sha256()
    for leaf in tree_leaves(tree):
        content.update(repr((str(leaf.dtype), tuple(leaf.shape))).encode())
        content.update(leaf.detach().cpu().contiguous().numpy().data)
    return content.hexdigest()


@cache
def digest_code(target: str) -> str:
    """Digest of all Python files of the package of a target (``module:name``), since any may change its
    result.

    Empty if the package has no files, as in the running program. Files that cannot be read are skipped: they
    are not executed, such as broken links that editors leave.
    """
    package = target.partition(":")[0].partition(".")[0]
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # a module without a spec
        return ""
    folders = map(Path, (spec.submodule_search_locations if spec else None) or ())
    files = sorted(file for folder in folders for file in folder.rglob("*.py") if file.is_file())
    if not files and spec and spec.has_location and spec.origin:
        files = [Path(spec.origin)]
    digests = []
    for file in files:
        with contextlib.suppress(OSError):
            digests.append(hashlib.sha256(file.read_bytes()).digest())
    return hashlib.sha256(b"".join(digests)).hexdigest()
