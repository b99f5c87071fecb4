"""Checks of a dynamics: its settings, a game whose rest is known, micro-batches, a resume."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import torch

from gancore.config import DynamicsSection
from gancore.games.dynamics import Dynamics, find_dynamics
from gancore.games.field import Table
from gancore.games.losses import find_loss
from gancore.testing.check import Breach, NotApplicable
from gancore.testing.compare import differing, finite, global_generators
from gancore.testing.part_bench import DynamicsBench, LossBench, play_to, take_in, tensors
from gancore.testing.toy import LinearGame, linear_table, toy_table
from gancore.training.state import State

ROUNDS = 12
APPROACH = 150
"""Rounds at a rate of 0.05 in which plain steps come from a distance of 1.1 to 1e-3 of the rest."""


def takes_its_settings(bench: DynamicsBench) -> None:
    """Every setting has a default, can stand in a configuration, and comes back from it as it was."""
    kind = type(bench.dynamics)
    values = {field.name: getattr(bench.dynamics, field.name) for field in _fields(kind)}
    try:
        section = DynamicsSection(name=bench.entry.name, settings=values)
        given = DynamicsSection.model_validate_json(section.model_dump_json()).settings
    except ValueError as error:
        raise Breach(f"a setting cannot stand in a configuration: {error}", "use JSON's types") from error
    again = find_dynamics(bench.entry.name, given)
    for name, value in values.items():
        if getattr(again, name) != value:
            raise Breach(
                f"the setting {name} of {value!r} comes back as {getattr(again, name)!r}",
                "annotate it: tuple[float, float], int | None, ...",
            )


def _fields(kind: type[Dynamics]) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()


def comes_to_rest(bench: DynamicsBench) -> None:
    """On a linear game with one stable rest it comes there: a wrong sign or a step of NaN does not."""
    table = linear_table(bench.dynamics)
    assert isinstance(table.game, LinearGame)
    begin = table.game.distance()
    play_to(table, State([APPROACH]), APPROACH)
    end = table.game.distance()
    if end == begin:
        raise Breach("it moves no player", "call field.apply(move, field.gradient(move, draw))")
    if not math.isfinite(end) or end > 0.1 * begin:
        raise Breach(
            f"on x^2/2 + xy/2 and y^2/2 - xy/2 at a rate of 0.05 it goes from {begin:.3g} to {end:.3g} of"
            f" the rest in {APPROACH} rounds, where plain steps go to 0",
            "look at the sign of its corrections",
        )


def adds_up(bench: DynamicsBench) -> None:
    """Two micro-batches train what the whole batch does, unless it states needs_graph."""
    if bench.dynamics.needs_graph:
        raise NotApplicable("it states needs_graph, and is refused under accumulation")
    one, two = (toy_table(dynamics=bench.dynamics, accumulate=parts) for parts in (1, 2))
    for table in (one, two):
        play_to(table, State([ROUNDS]), ROUNDS)
    other = tensors(two)
    for name, tensor in tensors(one).items():
        if not torch.allclose(tensor, other[name], rtol=1e-3, atol=1e-4):
            raise Breach(
                f"with model.accumulate=2 {name} ends elsewhere", "take gradients from field.gradient"
            )


def resumes_with_the_dynamics(bench: DynamicsBench) -> None:
    """In a small GAN, saved at half and resumed, the dynamics equals an undisturbed one byte for byte."""
    _require_resume(lambda seed: toy_table(dynamics=find_dynamics(bench.entry.name), build_seed=seed))


def resumes_with_the_loss(bench: LossBench) -> None:
    """In a small GAN, saved at half and resumed, training by the loss ends where it does undisturbed."""
    _require_resume(lambda seed: toy_table(find_loss(bench.entry.name), build_seed=seed))


def _require_resume(build: Callable[[int], Table]) -> None:
    whole, first, second = build(0), build(0), build(1)
    play_to(whole, State([ROUNDS]), ROUNDS)
    state = play_to(first, State([ROUNDS]), ROUNDS // 2)
    take_in(second, tensors(first))
    with global_generators(2):
        play_to(second, state, ROUNDS)
    broken = [name for name, tensor in tensors(whole).items() if not finite(tensor)]
    if broken:
        raise Breach(f"after {ROUNDS} rounds {broken[0]} is not finite", "look for a division by 0")
    lost = differing(tensors(whole), tensors(second))
    if lost:
        raise Breach(
            f"saved at round {ROUNDS // 2} and resumed, {lost[0]} differs ({len(lost)} tensors do)",
            "remember in slots alone (field.memory), draw from the draw alone",
        )
