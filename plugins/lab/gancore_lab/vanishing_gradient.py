"""``vanishing-gradient``: what a discriminator that wins leaves to the generator."""

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
    Field,
    Move,
    Phase,
    adversarial,
    normal,
)
from gancore.games.field import Table
from gancore.training.playing import play, set_table
from gancore.training.state import State
from gancore_lab.experiment import Check, Experiment, Outcome
from gancore_lab.pictures import label, legend, panels

COSTS = {"log(1 - D)": "minimax", "-log D": "nonsaturating"}
"""The generator's costs, and the losses that they are part of."""


class Judge(Discriminator):
    """Three hidden layers with rectifiers."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        sizes = [inputs, width, width, width]
        hidden = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU())]
        self.layers = nn.Sequential(*hidden, nn.Linear(width, 1))

    def judge(self, embedded: Tensor, condition: object = None) -> Tensor:
        return self.layers(embedded).squeeze(-1)


class OneSided(AdversarialGame):
    """Only the discriminator moves; each of the generator's costs can be asked for by its loss's name."""

    def cost(self, move: Move, draw: Draw) -> Cost:
        if move.player != "generator":
            return super().cost(move, draw)
        fake = self.logits(draw, self.fake(draw, None), None)
        return Cost().add("loss", LOSSES[move.cost]().generator(fake, fake))


def build(setup: Mapping[str, Any]) -> OneSided:
    d, width, latents = setup["dimensions"], setup["generator_width"], setup["latents"]
    game = adversarial(
        generator=lambda: nn.Sequential(
            nn.Linear(latents, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, d)
        ),
        discriminator=lambda: Judge(d, setup["discriminator_width"]),
        prior=normal(latents),
        loss="minimax",
        discriminator_rule=Adam(setup["rate"]),
        game=OneSided,
    )
    assert isinstance(game, OneSided)
    game.phases = [Phase([Move("discriminator")], name="discriminator alone")]
    return game


def plane(setup: Mapping[str, Any], seed: int) -> Tensor:
    """Gaussian points on a random plane through 0 in R^d: (rows, d)."""
    chance = torch.Generator().manual_seed(seed)
    axes, _ = torch.linalg.qr(torch.randn(setup["dimensions"], 2, generator=chance))
    return torch.randn(setup["rows"], 2, generator=chance) @ axes.T


def gradient_norms(table: Table, state: State, rows: int) -> dict[str, float]:
    """|d cost / d theta| of the generator under each cost, on ``rows`` latents; no step is made."""
    field = Field(replace(table, batch_size=rows), table.game.phases[0], state.step, state.step, 0.0)
    norms = {}
    for name, loss in COSTS.items():
        gradient = field.gradient(Move("generator", loss), field.draw(0))
        norms[name] = float(torch.cat([g.flatten() for g in gradient.tensors if g is not None]).norm())
    return norms


def measure(setup: Mapping[str, Any], seed: int) -> Outcome:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        game = build(setup)
    table = set_table(game, plane(setup, seed), batch_size=setup["batch_size"], seed=seed)
    marks = sorted({0, *setup["marks"], setup["from"], setup["to"]})
    rows: list[dict[str, float]] = []

    def watch(state: State) -> None:
        if state.step in marks:
            rows.append({"step": state.step, **gradient_norms(table, state, setup["rows_measured"])})
            rows[-1]["accuracy"] = accuracy(table)
        table.statistics.forget()

    watch(State([0]))
    play(table, setup["to"], watch)
    return Outcome(_checks(rows, setup), {"rows": rows}, REMARKS)


def accuracy(table: Table) -> float:
    """Of the discriminator in the round that was just made: both sides of 1/2 count alike."""
    game = table.game
    assert isinstance(game, OneSided)
    real = table.dealer.encoded["train"].take(torch.arange(512), table.dealer.key / "accuracy")
    told, fooled = game.judge(real, table.dealer.key / "accuracy")
    return float(((told > 0).float().mean() + (fooled < 0).float().mean()) / 2)


def _checks(rows: list[dict[str, float]], setup: Mapping[str, Any]) -> list[Check]:
    first, last = (next(row for row in rows if row["step"] == setup[end]) for end in ("from", "to"))
    decades = {name: float(np.log10(last[name] / first[name])) for name in COSTS}
    between = f"from step {setup['from']} to {setup['to']}"
    return [
        Check(f"decades of |gradient| of log(1 - D) {between}", decades["log(1 - D)"], "<", -2.0),
        Check(f"decades of |gradient| of -log D {between}", decades["-log D"], ">", 0.0),
        Check(f"accuracy of the discriminator at step {setup['to']}", last["accuracy"], ">", 0.99),
        *(
            Check(f"|gradient| of {name} at step {row['step']:.0f}", row[name])
            for row in rows
            for name in COSTS
        ),
    ]


REMARKS = (
    "The generator never moves: only the discriminator does, and the gradients are measured without a step.",
    "That the gradient of -log D grows is no comfort: it grows with the discriminator's slope, not with what "
    "is left to learn (Arjovsky & Bottou 2017, theorem 2.6).",
)


def draw(outcome: Outcome) -> Figure:
    figure, (ax, other) = panels(2, "A fixed generator under a discriminator that is trained alone")
    rows = outcome.curves["rows"]
    steps = [max(row["step"], 1) for row in rows]
    for name, colour in zip(COSTS, ("tab:red", "tab:blue"), strict=True):
        ax.plot(steps, [row[name] for row in rows], "o-", label=name, color=colour, markersize=4)
    label(ax, "the generator's gradient", "discriminator step", "|gradient|", log="xy")
    legend(ax)
    other.plot(steps, [row["accuracy"] for row in rows], "o-", color="black", markersize=4)
    label(other, "accuracy of the discriminator", "discriminator step", "", log="x")
    other.set_ylim(0, 1.05)
    return figure


EXPERIMENT = Experiment(
    question="What is left of the generator's gradient when the discriminator is trained to win?",
    prediction=(
        "data and samples lie on different surfaces, so that a discriminator can tell them apart: the "
        "gradient of log(1 - D) falls by at least 2 decades from step 30 to 1,500, that of -log D grows"
    ),
    source="Arjovsky & Bottou 2017, theorems 2.4 and 2.6, figures 2 and 3",
    setup={
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
    quick={"batch_size": 128, "rows_measured": 1024, "marks": (10, 100, 500)},
    measure=measure,
    draw=draw,
    seconds=(5, 11),
)
