"""Checks of the losses, dynamics and loggers of a plugin."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gancore.config import DynamicsConfig
from gancore.errors import safe_str
from gancore.games.dynamics import Dynamics, find_dynamics
from gancore.games.loss_probe import require_value_per_row
from gancore.games.losses import find_loss
from gancore.games.training_setup import TrainingSetup
from gancore.random import Key
from gancore.testing.check import CheckFailure, SkipCheck, differing_names, global_seed, tree_all_finite
from gancore.testing.part_fixtures import (
    DynamicsFixture,
    LinearGame,
    LoggerFixture,
    LossFixture,
    all_tensors,
    linear_setup,
    load_tensors,
    toy_fixture,
    toy_setup,
    train_until,
)
from gancore.training.checks import MAX_COUPLING, check_costs, row_coupling
from gancore.training.loop import prepare_game
from gancore.training.state import TrainState

PLAYERS = ("discriminator", "generator")
FAR = 30.0
"""The size of logits that a discriminator reaches; ``log(sigmoid(x))`` is not finite there in fp32."""


def _logits(centre: float, spread: float, *shape: int) -> tuple[Tensor, Tensor]:
    key = Key.of("kit", "logits")
    real, fake = ((key / name).normal(*shape) * spread + centre for name in ("real", "fake"))
    return real.requires_grad_(), fake.requires_grad_()


def returns_one_value_per_row(fixture: LossFixture) -> None:
    """Both functions of the loss give one value for each row, for logits (rows,) and (rows, several)."""
    for shape in ((8,), (8, 3)):
        for player in PLAYERS:
            require_value_per_row(getattr(fixture.loss, player)(*_logits(0.0, 1.0, *shape)), 8, player)


def stays_finite(fixture: LossFixture) -> None:
    """Values and gradients of the loss are finite, including those at logits of -30 and 30."""
    for centre in (-FAR, 0.0, FAR):
        for player in PLAYERS:
            logits = _logits(centre, 1.0, 8)
            values = getattr(fixture.loss, player)(*logits)
            grads = torch.autograd.grad(values.sum(), logits, allow_unused=True)
            if not all(bool(t.isfinite().all()) for t in (values, *(g for g in grads if g is not None))):
                raise CheckFailure(
                    f"the {player}'s value or gradient is not finite at logits of {centre:g}",
                    "write it as a function of the logit: softplus(-x) for -log sigmoid(x)",
                )


def gradients_have_right_signs(fixture: LossFixture) -> None:
    """Higher real and lower fake logits lower the discriminator's loss; higher fake ones the generator's."""
    logits = _logits(0.5, 0.2, 8)
    up, down = torch.autograd.grad(fixture.loss.discriminator(*logits).sum(), logits, materialize_grads=True)
    _, fake = torch.autograd.grad(fixture.loss.generator(*logits).sum(), logits, materialize_grads=True)
    slopes = {
        "the discriminator's loss does not decrease with higher real logits": up.sum(),
        "the discriminator's loss does not increase with higher fake logits": -down.sum(),
        "the generator's loss does not decrease with higher fake logits": fake.sum(),
    }
    for fault, slope in slopes.items():
        if not float(slope) < 0:
            raise CheckFailure(
                fault, "check the sign and the order (real, fake): both functions are minimised"
            )


def couples_rows_as_declared(fixture: LossFixture) -> None:
    """Two micro-batches give the gradient of the whole batch, unless the loss declares batch_coupled."""
    if fixture.loss.batch_coupled:
        return  # the loss is refused with micro-batches
    table = toy_setup(fixture.loss)
    prepare_game(table)
    for index, move in enumerate(table.game.phases[0].moves):
        if move.every == 1 and row_coupling(table, table.game.phases[0], index, move, rows=8) > MAX_COUPLING:
            raise CheckFailure(
                f"the {move.player}'s gradient of two halves differs from that of the whole batch",
                "compute rows independently, or declare batch_coupled=True",
            )


def gives_gradients(fixture: LossFixture) -> None:
    """Both players of a small GAN get a gradient that is finite and not 0."""
    table = toy_setup(fixture.loss)
    prepare_game(table)
    check_costs(table)


STEPS = 12
APPROACH = 150
"""The number of steps, at a learning rate of 0.05, in which plain gradient descent reduces the distance to
the equilibrium from 1.1 to 1e-3."""


def settings_round_trip(fixture: DynamicsFixture) -> None:
    """Every setting of the dynamics has a default and reads back unchanged from a configuration."""
    kind = type(fixture.dynamics)
    values = {field.name: getattr(fixture.dynamics, field.name) for field in _fields(kind)}
    try:
        section = DynamicsConfig(name=fixture.entry.name, settings=values)
        given = DynamicsConfig.model_validate_json(section.model_dump_json()).settings
    except ValueError as error:
        raise CheckFailure(
            f"a setting cannot be written to a configuration: {error}", "use types of JSON"
        ) from error
    again = find_dynamics(fixture.entry.name, given)
    for name, value in values.items():
        if getattr(again, name) != value:
            raise CheckFailure(
                f"the setting {name} is {value!r} and reads back as {getattr(again, name)!r}",
                "annotate its type, such as tuple[float, float] or int | None",
            )


def _fields(kind: type[Dynamics]) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()


def converges_on_linear_game(fixture: DynamicsFixture) -> None:
    """The dynamics converges to the stable equilibrium of a linear game."""
    table = linear_setup(fixture.dynamics)
    assert isinstance(table.game, LinearGame)
    begin = table.game.distance()
    train_until(table, TrainState([APPROACH]), APPROACH)
    end = table.game.distance()
    if end == begin:
        raise CheckFailure(
            "the dynamics updates no player", "call step.apply(move, step.gradient(move, draw))"
        )
    if not math.isfinite(end) or end > 0.1 * begin:
        raise CheckFailure(
            f"on x^2/2 + xy/2 and y^2/2 - xy/2 at a learning rate of 0.05, its distance to the equilibrium "
            f"goes from {begin:.3g} to {end:.3g} in {APPROACH} steps, with plain gradient descent to 0.001",
            "check the sign of its corrections",
        )


def dynamics_micro_batches_add_up(fixture: DynamicsFixture) -> None:
    """Two micro-batches give the updates of the whole batch, unless the dynamics differentiates_updates."""
    if fixture.dynamics.differentiates_updates:
        raise SkipCheck("the dynamics declares differentiates_updates, which is refused with micro-batches")
    one, two = (toy_setup(dynamics=fixture.dynamics, micro_batches=parts) for parts in (1, 2))
    for table in (one, two):
        train_until(table, TrainState([STEPS]), STEPS)
    other = all_tensors(two)
    for name, tensor in all_tensors(one).items():
        if not torch.allclose(tensor, other[name], rtol=1e-3, atol=1e-4):
            raise CheckFailure(
                f"with model.micro_batches=2 {name} has another value", "take gradients from step.gradient"
            )


def resumes_with_the_dynamics(fixture: DynamicsFixture) -> None:
    """A small GAN, saved half-way and resumed, equals an uninterrupted one byte for byte."""
    _require_resume(lambda seed: toy_setup(dynamics=find_dynamics(fixture.entry.name), build_seed=seed))


def resumes_with_the_loss(fixture: LossFixture) -> None:
    """A small GAN with the loss, saved half-way and resumed, equals an uninterrupted one byte for byte."""
    _require_resume(lambda seed: toy_setup(find_loss(fixture.entry.name), build_seed=seed))


def _require_resume(build: Callable[[int], TrainingSetup]) -> None:
    whole, first, second = build(0), build(0), build(1)
    train_until(whole, TrainState([STEPS]), STEPS)
    state = train_until(first, TrainState([STEPS]), STEPS // 2)
    load_tensors(second, all_tensors(first))
    with global_seed(2):
        train_until(second, state, STEPS)
    broken = [name for name, tensor in all_tensors(whole).items() if not tree_all_finite(tensor)]
    if broken:
        raise CheckFailure(f"{broken[0]} is not finite after {STEPS} steps", "look for a division by 0")
    lost = differing_names(all_tensors(whole), all_tensors(second))
    if lost:
        raise CheckFailure(
            f"saved at step {STEPS // 2} and resumed, {lost[0]} differs ({len(lost)} tensors do)",
            "keep state in step.dynamics_state under state_names only; take random numbers from the draw",
        )


SCALARS = {"generator/loss": 0.7, "discriminator/loss": 1.3, "valid/nll": math.nan, "rate": math.inf}
"""Scalars that training may log."""


def logs_a_run(fixture: LoggerFixture) -> None:
    """The logger accepts a run folder, scalars (also NaN), samples with their files, and close.

    The samples are 4 labelled points of the plane.
    """
    samples = toy_fixture().samples(4)
    with tempfile.TemporaryDirectory(prefix="gancore-check-") as place:
        file = Path(place) / "0001.txt"
        file.write_text("a sample")
        calls: list[tuple[str, tuple[object, ...]]] = [
            ("scalars", (1, dict(SCALARS))),
            ("samples", (1, samples, [file])),
            ("scalars", (2, dict(SCALARS))),
            ("close", ()),
        ]
        doing = "creating it with the path of a run folder"
        try:
            logger = fixture.make(Path(place))
            for call, given in calls:
                doing = call
                getattr(logger, call)(*given)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # asyncio.CancelledError is not an Exception
            raise CheckFailure(
                f"{doing} raises {type(error).__name__}: {safe_str(error)}",
                "define scalars(step, numbers), samples(step, samples, paths) and close()",
            ) from error
