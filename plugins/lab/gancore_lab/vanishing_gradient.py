"""``vanishing-gradient``: the gradient of the generator with a discriminator that wins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from gancore.games import (
    LOSSES,
    Adam,
    AdversarialGame,
    Cost,
    Discriminator,
    Draw,
    Move,
    Phase,
    TrainingSetup,
    TrainingStep,
    adversarial_game,
    normal,
)
from gancore.training import TrainState, play, set_up
from gancore_lab.experiment import Check, Experiment, ExperimentResult
from gancore_lab.plots import legend, panels, set_labels

GENERATOR_COSTS = {"log(1 - D)": "minimax", "-log D": "nonsaturating"}
"""Costs of the generator, and the losses to which they belong."""
GIVEN = (
    "dimensions", "latents", "generator_width", "discriminator_width", "rate", "batch_size", "rows", "from",
    "to",
)  # fmt: skip
"""The settings for which numbers are predicted: the theorems give limits, not numbers."""


class ReLUDiscriminator(Discriminator):
    """A discriminator with three hidden layers and ReLU."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        sizes = [inputs, width, width, width]
        hidden = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU())]
        self.layers = nn.Sequential(*hidden, nn.Linear(width, 1))

    def logits(self, embedded: Tensor, condition: object = None) -> Tensor:
        result: Tensor = self.layers(embedded).squeeze(-1)
        return result


class DiscriminatorOnlyGame(AdversarialGame):
    """A game in which only the discriminator moves; costs of the generator have the names of their losses."""

    def cost(self, move: Move, draw: Draw) -> Cost:
        if move.player != "generator":
            return super().cost(move, draw)
        fake = self.logits(draw, self.make_fake(draw, None), None)
        return Cost().add("loss", LOSSES[move.cost]().generator(fake, fake))


def build(settings: Mapping[str, Any]) -> DiscriminatorOnlyGame:
    d, width, latents = settings["dimensions"], settings["generator_width"], settings["latents"]
    game = adversarial_game(
        generator=lambda: nn.Sequential(
            nn.Linear(latents, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, d)
        ),
        discriminator=lambda: ReLUDiscriminator(d, settings["discriminator_width"]),
        prior=normal(latents),
        loss="minimax",
        discriminator_optimizer=Adam(settings["rate"]),
        game=DiscriminatorOnlyGame,
    )
    assert isinstance(game, DiscriminatorOnlyGame)
    game.phases = [Phase([Move("discriminator")], name="discriminator alone")]
    return game


def plane_points(settings: Mapping[str, Any], seed: int) -> Tensor:
    """Gaussian points on a random plane through 0 in R^d, (rows, d)."""
    chance = torch.Generator().manual_seed(seed)
    axes, _ = torch.linalg.qr(torch.randn(settings["dimensions"], 2, generator=chance))
    result: Tensor = torch.randn(settings["rows"], 2, generator=chance) @ axes.T
    return result


def gradient_norms(table: TrainingSetup, state: TrainState, rows: int) -> dict[str, float]:
    """|d cost / d theta| of the generator for each cost, on ``rows`` latents, without an update."""
    training_step = TrainingStep(
        replace(table, batch_size=rows), table.game.phases[0], state.step, state.step, 0.0
    )
    norms = {}
    for name, loss in GENERATOR_COSTS.items():
        gradient = training_step.gradient(Move("generator", loss), training_step.draw(0))
        norms[name] = float(torch.cat([g.flatten() for g in gradient.tensors if g is not None]).norm())
    return norms


def run(settings: Mapping[str, Any], seed: int) -> ExperimentResult:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        game = build(settings)
    table = set_up(game, plane_points(settings, seed), batch_size=settings["batch_size"], seed=seed)
    marks = sorted({0, *settings["marks"], settings["from"], settings["to"]})
    rows: list[dict[str, float]] = []

    def watch(state: TrainState) -> None:
        if state.step in marks:
            rows.append({"step": state.step, **gradient_norms(table, state, settings["rows_measured"])})
            rows[-1]["accuracy"] = accuracy(table)
        table.scalars.reset()

    watch(TrainState([0]))
    play(table, settings["to"], watch)
    return ExperimentResult(_gradient_checks(rows, settings), {"rows": rows}, NOTES)


def accuracy(table: TrainingSetup) -> float:
    """The accuracy of the discriminator on equal numbers of real and fake rows."""
    game = table.game
    assert isinstance(game, DiscriminatorOnlyGame)
    view = table.batches.encoded_views["train"]
    real = view.get_batch(torch.arange(min(512, len(view))), table.batches.key / "accuracy")
    real_logits, fake_logits = game.discriminator_logits(real, table.batches.key / "accuracy")
    return float(((real_logits > 0).float().mean() + (fake_logits < 0).float().mean()) / 2)


def _gradient_checks(rows: list[dict[str, float]], settings: Mapping[str, Any]) -> list[Check]:
    first, last = (next(row for row in rows if row["step"] == settings[end]) for end in ("from", "to"))
    decades = {name: float(np.log10(last[name] / first[name])) for name in GENERATOR_COSTS}
    between = f"from step {settings['from']} to {settings['to']}"
    is_given = EXPERIMENT.as_given(settings, GIVEN)
    predicted = [
        Check(f"decades of |gradient| of log(1 - D) {between}", decades["log(1 - D)"], "<", -2.0),
        Check(f"decades of |gradient| of -log D {between}", decades["-log D"], ">", 0.0),
        Check(f"accuracy of the discriminator at step {settings['to']}", last["accuracy"], ">", 0.99),
    ]
    return [
        *(check.only_if(is_given, "there is no prediction for these settings") for check in predicted),
        *(
            Check(f"|gradient| of {name} at step {row['step']:.0f}", row[name])
            for row in rows
            for name in GENERATOR_COSTS
        ),
    ]


NOTES = (
    "Only the discriminator moves; gradients of the generator are measured without an update.",
    "A growing gradient of -log D is not an advantage: it grows with the slope of the discriminator, not "
    "with the distance to the data (Arjovsky & Bottou 2017, theorem 2.6).",
)


def plot(result: ExperimentResult) -> Figure:
    figure, (ax, other) = panels(2, "A fixed generator and a discriminator that is trained alone")
    rows = result.plot_data["rows"]
    steps = [max(row["step"], 1) for row in rows]
    for name, colour in zip(GENERATOR_COSTS, ("tab:red", "tab:blue"), strict=True):
        ax.plot(steps, [row[name] for row in rows], "o-", label=name, color=colour, markersize=4)
    set_labels(ax, "the generator's gradient", "discriminator step", "|gradient|", log="xy")
    legend(ax)
    other.plot(steps, [row["accuracy"] for row in rows], "o-", color="black", markersize=4)
    set_labels(other, "accuracy of the discriminator", "discriminator step", "", log="x")
    other.set_ylim(0, 1.05)
    return figure


EXPERIMENT = Experiment(
    question="How does the gradient of the generator change if the discriminator is trained to win?",
    prediction=(
        "data and samples are on different surfaces, which a discriminator can distinguish: the gradient of "
        "log(1 - D) decreases by at least 2 decades from step 30 to 1,500, that of -log D increases"
    ),
    source="Arjovsky & Bottou 2017, theorems 2.4 and 2.6, figures 2 and 3",
    settings={
        "dimensions": 64,
        "latents": 2,
        "generator_width": 64,
        "discriminator_width": 128,
        "rate": 1e-3,
        "batch_size": 512,
        "rows": 16384,
        "rows_measured": 4096,
        "from": 30,
        "to": 1500,
        "marks": (3, 10, 60, 100, 200, 500, 1000),
    },
    descriptions={
        "dimensions": "numbers of an example",
        "latents": "dimension of the latents",
        "generator_width": "hidden units of the generator",
        "discriminator_width": "hidden units of the discriminator",
        "rate": "learning rate of the discriminator (Adam)",
        "batch_size": "examples in a batch",
        "rows": "training examples",
        "rows_measured": "latents over which the generator's gradient is averaged",
        "from": "step at which the comparison begins",
        "to": "step at which it ends, the last",
        "marks": "further steps at which the gradient is measured",
    },
    quick_settings={"batch_size": 128, "rows_measured": 1024, "marks": (10, 100, 500)},
    run=run,
    plot=plot,
    seconds=(5, 11),
)
