"""``oscillation``: the same game with and without averaging its generator."""

# ruff: noqa: N803 (matrices have the letters of the formulas)

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from gancore.games import Adam, AdversarialGame, Alternating, Simultaneous
from gancore.runtime.randomness import Key
from gancore.training.playing import play, set_table
from gancore.training.state import State
from gancore_lab import games, theory
from gancore_lab.experiment import Check, Experiment, Outcome
from gancore_lab.measuring import Orbit, orbit, parameters
from gancore_lab.pictures import PREDICTED, label, legend, panels
from gancore_lab.small import ring, small_gan


def running_mean(path: Orbit) -> Orbit:
    """The uniform average of the points up to and with each."""
    return np.cumsum(path, axis=0) / np.arange(1, len(path) + 1)[:, None]


def mean_bound(M: theory.Matrix, path: Orbit) -> float:
    """t |mean of z_0 ... z_{t-1}| at most: the sum is (I - M)^-1 (z_0 - z_t), and |z| keeps its range."""
    lengths = np.linalg.norm(path, axis=1)
    return float(np.linalg.norm(np.linalg.inv(theory.EYE - M), 2) * 2 * lengths.max())


def frequency(h: float) -> float:
    """By how much alternating play of min max xy turns in a round: 2 sin(w / 2) = h."""
    return 2 * math.asin(h / 2)


def gain(half_life: float, h: float) -> float:
    """By how much an exponential average shrinks the circle that alternating play runs on.

    The average of e^{i w t} is (1 - beta) / |1 - beta e^{-i w}| long, beta = 2^(-1 / half life) a round.
    """
    beta, w = 0.5 ** (1 / half_life), frequency(h)
    return (1 - beta) / abs(1 - beta * complex(math.cos(w), -math.sin(w)))


def bilinear_checks(setup: Mapping[str, Any], seed: int, curves: dict[str, Any]) -> list[Check]:
    """Uniform averages of iterates: alternating, whose orbit stays, and simultaneous, whose orbit leaves."""
    h, rounds, J = setup["rate"], setup["rounds"], theory.coupled(1.0)
    paths = {}
    for dynamics in (Alternating(), Simultaneous()):
        game = games.Bilinear(dynamics, rate=h)
        paths[type(dynamics).__name__.lower()] = orbit(game, rounds, parameters(game), seed=seed)
    circle, away = paths["alternating"], paths["simultaneous"]
    means = np.linalg.norm(running_mean(circle), axis=1)
    t = np.arange(1, len(means) + 1)
    curves |= {"last": np.linalg.norm(circle, axis=1), "mean": means}
    bound = mean_bound(theory.alternating(J, h * theory.EYE), circle)
    curves["bound"] = bound
    left = np.linalg.norm(running_mean(away)[-1]) / np.linalg.norm(away[0])
    return [
        Check(
            "min max xy, alternating: |last| / |first|",
            float(curves["last"][-1] / curves["last"][0]),
            ">",
            0.8,
        ),
        Check("min max xy, alternating: t |mean|, at most", float((t * means)[1:].max()), "<", bound),
        Check("min max xy, alternating: slope of log |mean| in log t", _slope(means, h), "=", -1.0, 0.01),
        Check(
            "min max xy, simultaneous: |mean| / |first|", float(left), ">", 1.0, note="the mean leaves, too"
        ),
    ]


def _slope(means: Orbit, h: float) -> float:
    """Of the envelope: the largest mean within each turn of the game."""
    turn = math.ceil(2 * math.pi / frequency(h))
    tops = [a + int(means[a : a + turn].argmax()) for a in range(turn, len(means) - turn, turn)]
    return float(np.polyfit(np.log(np.array(tops) + 1), np.log(means[tops]), 1)[0])


def average_checks(setup: Mapping[str, Any], seed: int, curves: dict[str, Any]) -> list[Check]:
    """The core's own average, on a Dirac-GAN with linear cost (min max xy), batch 1: half-lives in rounds."""
    checks = []
    for half_life in setup["half_lives"]:
        h = (setup["rate"], setup["rate"])
        game = games.dirac("wasserstein", Alternating(), rates=h, start=(0.0, 1.0), average=half_life)
        both = lambda game=game: torch.stack([game.generator.value, game.average.module.value])  # noqa: E731
        tail = orbit(game, setup["average_rounds"], both, seed=seed)[-setup["average_tail"] :]
        last, mean = np.abs(tail).max(axis=0)
        name = f"Dirac-GAN, average of half-life {half_life:g}: amplitude beside the generator's"
        expected = gain(half_life, setup["rate"])
        checks.append(Check(name, float(mean / last), "=", expected, 0.02 * expected))
        curves[f"average {half_life:g}"] = tail
    return checks


def sliced_distance(one: torch.Tensor, other: torch.Tensor, directions: torch.Tensor) -> float:
    """Mean over directions of the 1-Wasserstein distance of projections, of equally many points."""
    a, b = ((points @ directions.T).sort(dim=0).values for points in (one, other))
    return float((a - b).abs().mean())


def gan_checks(setup: Mapping[str, Any], seed: int, curves: dict[str, Any]) -> list[Check]:
    """A GAN on a ring of Gaussians: the generator as it is, and its average, along one training."""
    rule = Adam(setup["gan_rate"], tuple(setup["betas"]))
    game = small_gan(setup, seed, dynamics=Alternating(), rule=rule, average=setup["gan_half_life"])
    table = set_table(game, ring(setup["rows"], setup, seed), batch_size=setup["batch_size"], seed=seed)
    angles = torch.arange(32, dtype=torch.float64) * math.pi / 32
    directions = torch.stack([angles.cos(), angles.sin()], 1)
    held_out = ring(setup["rows"], setup, seed + 1)
    found: list[tuple[int, float, float]] = []

    def watch(state: State) -> None:
        table.statistics.forget()
        if state.step >= setup["gan_from"] and state.step % setup["gan_every"] == 0:
            found.append((state.step, *(_distance(game, net, held_out, directions) for net in _both(game))))

    play(table, setup["gan_rounds"], watch)
    steps, last, mean = np.array(found).T
    curves["gan"] = (steps, last, mean)
    jumps = [float(np.abs(np.diff(each)).mean()) for each in (last, mean)]
    return [
        Check("GAN on a ring: distance of its average", float(mean.mean()), "<", float(last.mean()),
              note="sliced W1, mean over training; beside the generator's as it is"),
        Check("GAN on a ring: jumps of that distance", jumps[1], "<", jumps[0] / 2,
              note="half the generator's"),
    ]  # fmt: skip


def _both(game: AdversarialGame) -> tuple[torch.nn.Module, torch.nn.Module]:
    assert game.average is not None
    return game.generator, game.average.module


@torch.no_grad()
def _distance(
    game: AdversarialGame, network: torch.nn.Module, data: torch.Tensor, directions: torch.Tensor
) -> float:
    latents = game.prior.sample(Key.of("oscillation"), len(data))
    return sliced_distance(network(latents), data, directions)


def measure(setup: Mapping[str, Any], seed: int) -> Outcome:
    curves: dict[str, Any] = {}
    checks = bilinear_checks(setup, seed, curves)
    checks += average_checks(setup, seed, curves)
    checks += gan_checks(setup, seed, curves)
    return Outcome(checks, curves, REMARKS)


REMARKS = (
    "An average mends a game that circles; it does not mend one that runs away.",
    "The exponential average shrinks the circle by a factor of its half-life and never to a point; the "
    "uniform one goes to the equilibrium as 1/t.",
)


def draw(outcome: Outcome) -> Figure:
    figure, (first, second, third) = panels(3, "The same game with and without averaging")
    curves = outcome.curves
    t = np.arange(1, len(curves["mean"]) + 1)
    first.plot(t, curves["last"], label="last point", color="tab:red")
    first.plot(t, curves["mean"], label="uniform mean", color="tab:blue", linewidth=1.0)
    first.plot(t, curves["bound"] / t, label="bound, c / t", **PREDICTED)
    first.set_ylim(bottom=1e-4)
    label(first, "min max xy, alternating", "round", "distance to the equilibrium", log="xy")
    names = [name for name in curves if name.startswith("average ")]
    second.plot(curves[names[0]][:, 0], color="tab:red", label="generator")
    for name in names:
        second.plot(curves[name][:, 1], label=f"half-life {name.split()[1]}")
    label(second, "Dirac-GAN: theta, the last rounds", "round", "")
    steps, last, mean = curves["gan"]
    third.plot(steps, last, color="tab:red", label="generator")
    third.plot(steps, mean, color="tab:blue", label="its average")
    label(third, "GAN on a ring: sliced distance to the data", "round", "")
    for ax in (first, second, third):
        legend(ax)
    return figure


EXPERIMENT = Experiment(
    question="Does averaging the generator mend a game that circles, and by how much?",
    prediction=(
        "uniform averages of an orbit that stays go to the equilibrium as 1/t while the last point circles; "
        "an exponential average shrinks the circle by (1 - beta) / |1 - beta e^{-iw}|; where the orbit runs "
        "away so does the average; on a GAN the average is nearer the data and steadier"
    ),
    source="sums of powers of the round's matrix; Yazici et al. 2019 on averaging in GANs",
    setup={
        "rate": 0.2,
        "rounds": 3000,
        "half_lives": (5.0, 20.0, 80.0),
        "average_rounds": 3000,
        "average_tail": 200,
        "modes": 8,
        "radius": 1.0,
        "std": 0.05,
        "rows": 4096,
        "latents": 4,
        "width": 16,
        "loss": "nonsaturating",
        "batch_size": 128,
        "betas": (0.5, 0.9),
        "gan_rate": 5e-3,
        "gan_half_life": 20000.0,
        "gan_rounds": 4000,
        "gan_from": 1000,
        "gan_every": 20,
    },
    quick={
        "rounds": 1000, "half_lives": (5.0, 20.0), "average_rounds": 1500,
        "gan_rounds": 1000, "gan_from": 400, "gan_every": 10, "rows": 1024, "gan_half_life": 10000.0,
    },
    measure=measure,
    draw=draw,
    seconds=(8, 30),
)  # fmt: skip
