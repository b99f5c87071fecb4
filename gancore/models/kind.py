"""The kind of a model, from its game. Imports no torch."""

from __future__ import annotations


def model_kind(players: int, has_likelihood: bool) -> str:
    """``GAN`` for several players; of one ``likelihood model`` or ``model``, of none ``fitted model``."""
    if players > 1:
        return "GAN"
    if has_likelihood:
        return "likelihood model"
    return "model" if players else "fitted model"


def kind_tag(kind: str, is_classifier: bool = False) -> str:
    """As a tag of the hub: ``gan``, ``likelihood-model``, ``classifier``; empty if it says nothing."""
    if is_classifier:
        return "classifier"
    return "" if kind == "model" else kind.lower().replace(" ", "-")
