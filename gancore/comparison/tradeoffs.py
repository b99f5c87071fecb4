"""What a model costs and what it can be asked beside samples: the trade-off table, measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gancore.comparison.speed import growth, time_batches
from gancore.config import RecipeSection
from gancore.domain import Batch, Data, View
from gancore.errors import GancoreError, in_words
from gancore.evaluation.intervals import of_mean
from gancore.games.game import Game
from gancore.models.model import Model
from gancore.models.sampling import to_cpu
from gancore.recipe import Recipe
from gancore.runtime.randomness import Key, Rows
from gancore.trees import leaves

LIKELIHOOD_ROWS, INVERTED_ROWS, AT_ONCE = 1000, 256, 50


@dataclass(frozen=True)
class Subject:
    """A trained model with the recipe that made it and the data that it is asked about."""

    model: Model
    game: Game
    recipe: Recipe
    section: RecipeSection
    data: Data

    @property
    def test(self) -> View:
        views = self.data.test
        return next(iter(views.values())) if isinstance(views, Mapping) else views

    def rows(self, count: int) -> list[Batch]:
        """Rows of test, the same for every model, a few at a time on the model's device."""
        count = min(count, len(self.test))
        key = Key.of("tradeoffs", 0)
        chosen = (key / "rows").permutation(len(self.test))[:count]
        batch = self.test.take(chosen, (key / "test").cut(Rows.all(count)))
        parts = range(0, count, AT_ONCE)
        return [batch.rows(at, min(count, at + AT_ONCE)).to(self.model.device) for at in parts]


def measure(subject: Subject, timed: bool) -> dict[str, Any]:
    """All of it; ``timed`` False leaves the clock out: another seed of the same recipe was timed."""
    model = subject.model
    told: dict[str, Any] = {
        "parameters": parameters(model.sampler),
        "players": players(subject.game),
        "likelihood": likelihood(subject),
        "inversion": inversion(subject),
    }
    if timed:
        told["seconds_a_sample"] = time_batches(model.sampler, model.domain, model.spec, model.device)
        told["growth"] = growth(model.domain, subject.recipe, subject.section, model.spec, model.device)
    return told


def parameters(module: nn.Module) -> int:
    """Numbers that sampling needs: parameters, and what was fitted into buffers."""
    return sum(tensor.numel() for tensor in module.state_dict().values() if tensor.is_floating_point())


def players(game: Game) -> dict[str, int]:
    """Parameters that each player of the game trains."""
    return {
        name: sum(p.numel() for part in player.factors() for p in game.get_submodule(part).parameters())
        for name, player in game.players.items()
    }


@torch.no_grad()
def likelihood(subject: Subject) -> dict[str, Any]:
    """-log p(x) on rows of test, nats a canonical sample: exact, a bound, or none to be had."""
    sampler = subject.model.sampler
    if not hasattr(sampler, "log_prob"):
        return {"kind": "none"}
    values: list[Tensor] = []
    try:
        for batch in subject.rows(LIKELIHOOD_ROWS):
            log_prob = sampler.log_prob(batch)  # type: ignore[operator]
            if log_prob is None:
                return {"kind": "none", "note": "not of canonical samples: its representation loses some"}
            values.append(-log_prob.double().cpu())
    except (GancoreError, RuntimeError) as error:
        return {"kind": "none", "note": f"{error}"}
    nll = torch.cat(values)
    kind = "bound" if getattr(sampler, "bound", False) else "exact"
    told = {"kind": kind, "nll": float(nll.mean()), "n": len(nll), "unit": "nats a sample"}
    if len(nll) < 2 or not bool(nll.isfinite().all()):
        return told
    low, high, method = of_mean(nll)
    return told | {"low": low, "high": high, "method": method}


@torch.no_grad()
def inversion(subject: Subject) -> dict[str, Any]:
    """|render(invert(x)) - x| over rows of test: the largest, the mean, and the largest |x| beside it."""
    sampler = subject.model.sampler
    if not (hasattr(sampler, "invert") and hasattr(sampler, "render")):
        return {"kind": "none"}
    apart: list[Tensor] = []
    values: list[Tensor] = []
    try:
        for batch in subject.rows(INVERTED_ROWS):
            condition = batch.condition if getattr(sampler, "conditional", False) else None
            back = to_cpu(sampler.render(sampler.invert(batch), condition))  # type: ignore[operator]
            for x, again in zip(leaves(to_cpu(batch.data)), leaves(back), strict=True):
                apart.append((again.double() - x.double()).abs().flatten())
                values.append(x.double().abs().max())
    except (GancoreError, RuntimeError, ValueError) as error:
        return {"kind": "failed", "note": in_words(error)}
    errors = torch.cat(apart)
    return {
        "kind": "measured",
        "largest": float(errors.max()),
        "mean": float(errors.mean()),
        "largest_value": float(torch.stack(values).max()),
        "n": min(INVERTED_ROWS, len(subject.test)),
    }
