"""Labels as numbers: which class each row is of, how often each occurs, and what networks are told."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gancore.domain import Spec
from gancore.errors import ConfigError


def numbered(labels: Sequence[str | None], classes: Sequence[str]) -> Tensor | None:
    """The place of each label in ``classes``, (n), int64; None where there are no classes."""
    if not classes:
        return None
    place = {name: index for index, name in enumerate(classes)}
    return torch.tensor([place[str(label)] for label in labels], dtype=torch.int64)


def class_facts(classes: Sequence[str], train: Tensor | None) -> dict[str, list[str] | list[float]]:
    """``classes`` and ``class_shares`` of a spec, from the numbers of train's rows; empty without classes."""
    if train is None:
        return {}
    counts = torch.bincount(train, minlength=len(classes))
    shares = [round(share, 6) for share in (counts / counts.sum()).tolist()]
    return {"classes": list(classes), "class_shares": shares}


def classes_told(conditional: bool, spec: Spec) -> int:
    """How many labels the networks of a recipe are told; 0: none.

    Raises:
        ConfigError: the recipe is to be conditional, and the data have no labels.
    """
    classes = spec.get("classes") or []
    if conditional and not classes:
        raise ConfigError("model.conditional is true, but the data have no labels", "set data.labels")
    return len(classes) if conditional else 0


def classes_judged(spec: Spec) -> int:
    """How many labels a recipe `classifier` tells apart.

    Raises:
        ConfigError: fewer than two.
    """
    count = len(spec.get("classes") or [])
    if count < 2:
        raise ConfigError(
            f"recipe 'classifier' needs two labels at least, the data have {count}", "set data.labels"
        )
    return count
