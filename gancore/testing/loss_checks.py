"""Checks of a loss: a value a row, finite, of the right sign, with rows apart or stated to be coupled."""

from __future__ import annotations

import torch
from torch import Tensor

from gancore.games.loss_trial import check_rows
from gancore.runtime.randomness import Key
from gancore.testing.check import Breach
from gancore.testing.part_bench import LossBench
from gancore.testing.toy import toy_table
from gancore.training.loop import prepare
from gancore.training.opening import APART, check_costs, coupling

PLAYERS = ("discriminator", "generator")
FAR = 30.0
"""Logits that a discriminator reaches; ``log(sigmoid(x))``, written out, is not finite there."""


def _logits(centre: float, spread: float, *shape: int) -> tuple[Tensor, Tensor]:
    key = Key.of("kit", "logits")
    real, fake = ((key / name).normal(*shape) * spread + centre for name in ("real", "fake"))
    return real.requires_grad_(), fake.requires_grad_()


def gives_values_by_row(bench: LossBench) -> None:
    """Both functions give one value for each row, for logits of shape (rows,) and (rows, several)."""
    for shape in ((8,), (8, 3)):
        for player in PLAYERS:
            check_rows(getattr(bench.loss, player)(*_logits(0.0, 1.0, *shape)), 8, player)


def stays_finite(bench: LossBench) -> None:
    """Values and gradients are finite, at logits of -30 and 30 too."""
    for centre in (-FAR, 0.0, FAR):
        for player in PLAYERS:
            logits = _logits(centre, 1.0, 8)
            values = getattr(bench.loss, player)(*logits)
            grads = torch.autograd.grad(values.sum(), logits, allow_unused=True)
            if not all(bool(t.isfinite().all()) for t in (values, *(g for g in grads if g is not None))):
                raise Breach(
                    f"the {player}'s value or gradient is not finite at logits of {centre:g}",
                    "write it on the logit: softplus(-x) for -log sigmoid(x)",
                )


def pulls_players_apart(bench: LossBench) -> None:
    """The discriminator gains by raising reals and lowering fakes, the generator by raising fakes."""
    logits = _logits(0.5, 0.2, 8)
    up, down = torch.autograd.grad(bench.loss.discriminator(*logits).sum(), logits, materialize_grads=True)
    _, fake = torch.autograd.grad(bench.loss.generator(*logits).sum(), logits, materialize_grads=True)
    slopes = {
        "the discriminator's loss does not fall where real logits rise": up.sum(),
        "the discriminator's loss does not rise where fake logits rise": -down.sum(),
        "the generator's loss does not fall where fake logits rise": fake.sum(),
    }
    for fault, slope in slopes.items():
        if not float(slope) < 0:
            raise Breach(fault, "both functions are minimised: look at the sign and the order (real, fake)")


def couples_as_stated(bench: LossBench) -> None:
    """Rows are apart, or the loss states batch_coupled: two micro-batches give the whole gradient."""
    if bench.loss.batch_coupled:
        return  # found by calling it, or stated: then it is refused under accumulation
    table = toy_table(bench.loss)
    prepare(table)
    for index, move in enumerate(table.game.phases[0].moves):
        if move.every == 1 and coupling(table, table.game.phases[0], index, move, rows=8) > APART:
            raise Breach(
                f"the {move.player}'s gradient of two halves of a batch is not that of the whole",
                "keep rows apart, or state batch_coupled=True",
            )


def gives_gradients(bench: LossBench) -> None:
    """In a small GAN both players get a gradient that is finite and not 0."""
    table = toy_table(bench.loss)
    prepare(table)
    check_costs(table)
