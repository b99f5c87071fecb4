"""The labels that a recipe's networks are told."""

from __future__ import annotations

from gancore import ConfigError, Spec


def classes_of(conditional: bool, spec: Spec) -> int:
    """How many labels the networks are told; 0: none."""
    classes = spec.get("classes") or []
    if conditional and not classes:
        raise ConfigError("model.conditional is true, but the data have no labels", "set data.labels")
    return len(classes) if conditional else 0
