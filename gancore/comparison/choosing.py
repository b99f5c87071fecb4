"""What chooses the models of a comparison: one measure on valid, the same for all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gancore.comparison.asked import LAST, Asked
from gancore.comparison.entrants import selecting
from gancore.comparison.folder import Entrant
from gancore.domain import Domain, Spec, View
from gancore.errors import ConfigError, nearest
from gancore.models.model import build_game
from gancore.plugins import plugins
from gancore.runtime.randomness import Key
from gancore.training.evaluation import NLL, Evaluator


def choice(
    asked: Asked, domain: Domain, spec: Spec, valid: View, everyone: Iterable[Entrant]
) -> dict[str, Any]:
    """``select``, the measure that chooses each model (the domain's own counts where it has a meaning for
    such data), and ``on_valid``, what is told of those that could.

    Raises:
        ConfigError: ``--select`` names none of them, or the likelihood where a recipe tells none.
    """
    evaluator = Evaluator(domain, spec, valid, 1, Key.of("select"))
    able = {name: measure for name, measure in evaluator.measures.items() if measure.better}
    if asked.select not in (None, LAST, NLL, *able):
        message = f"--select {asked.select}: no measure of that name can choose here"
        raise ConfigError(message, nearest(str(asked.select), [*able, NLL]))
    told = {name: {"better": measure.better, "unit": measure.unit} for name, measure in able.items()}
    if asked.select == NLL:
        _refuse_unlikely(evaluator, everyone)
        told[NLL] = {"better": "lower", "unit": "nats a sample"}
    own = domain.selection if domain.selection in able else ""
    return {"select": selecting(asked, own), "on_valid": told}


def _refuse_unlikely(evaluator: Evaluator, everyone: Iterable[Entrant]) -> None:
    """Raises ConfigError, with its name, on a recipe whose models tell no likelihood of such data."""
    for entrant in everyone:
        _, recipe = plugins().recipe(evaluator.domain, entrant.recipe)
        sampler = build_game(recipe, entrant.config.model, evaluator.spec, entrant.seed).sampler()
        try:
            evaluator.check(NLL, sampler)
        except ConfigError as error:
            message = f"--select {NLL}: {entrant.name} tells no likelihood of these data"
            raise ConfigError(message, f"leave out {entrant.name}, or let another measure select") from error
