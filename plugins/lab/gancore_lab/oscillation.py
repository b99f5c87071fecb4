"""``oscillation``: a game with and without averages of the generator."""

# ruff: noqa: N803 (matrices have the letters of the formulas)

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from gancore.games import Adam, AdversarialGame, Alternating, Simultaneous
from gancore.random import Key
from gancore.training import TrainState, play, set_up
from gancore_lab import games, theory
from gancore_lab.experiment import Check, Experiment, ExperimentResult
from gancore_lab.games import ring_points, small_gan
from gancore_lab.orbits import Orbit, orbit, parameter_reader
from gancore_lab.plots import PREDICTED, legend, panels, set_labels

GAN_SETTINGS = (
    "modes", "radius", "std", "rows", "latents", "width", "loss", "batch_size", "betas", "gan_rate",
    "gan_half_life", "gan_steps", "gan_from", "gan_every",
)  # fmt: skip
FEWEST_TURNS = 20
"""The number of rotations from which the slope of the mean is that of its envelope."""
LARGEST = 1e100
"""A diverging orbit ends before the square of its length overflows."""


def running_mean(path: Orbit) -> Orbit:
    """The mean of all points up to each point."""
    return np.cumsum(path, axis=0) / np.arange(1, len(path) + 1)[:, None]


def mean_bound(M: theory.Matrix, path: Orbit) -> float:
    """A bound of t |mean of z_0 ... z_{t-1}|: the sum is (I - M)^-1 (z_0 - z_t), and |z| is bounded."""
    lengths = np.linalg.norm(path, axis=1)
    return float(np.linalg.norm(np.linalg.inv(theory.EYE - M), 2) * 2 * lengths.max())


def rotation_angle(h: float) -> float:
    """The angle w of a step of alternating updates on min max xy: 2 sin(w / 2) = h."""
    return 2 * math.asin(h / 2)


def ema_gain(half_life: float, h: float) -> float:
    """The factor by which an EMA reduces the amplitude of alternating updates.

    The EMA of e^{i w t} has the modulus (1 - beta) / |1 - beta e^{-i w}| with beta = 2^(-1 / half life).
    """
    beta, w = 0.5 ** (1 / half_life), rotation_angle(h)
    result: float = (1 - beta) / abs(1 - beta * complex(math.cos(w), -math.sin(w)))
    return result


def bilinear_checks(settings: Mapping[str, Any], seed: int, plot_data: dict[str, Any]) -> list[Check]:
    """Check means of iterates of alternating updates, whose orbit is bounded, and of simultaneous updates."""
    h, steps, J = settings["rate"], settings["steps"], theory.dirac_jacobian(1.0)
    paths = {}
    for dynamics in (Alternating(), Simultaneous()):
        game = games.Bilinear(dynamics, rate=h)
        paths[type(dynamics).__name__.lower()] = orbit(
            game,
            steps,
            parameter_reader(game),
            seed=seed,
            stop_when=lambda z: not np.linalg.norm(z) < LARGEST,
        )
    circle, away = paths["alternating"], paths["simultaneous"]
    means = np.linalg.norm(running_mean(circle), axis=1)
    t = np.arange(1, len(means) + 1)
    plot_data |= {"last": np.linalg.norm(circle, axis=1), "mean": means}
    bound = mean_bound(theory.alternating(J, h * theory.EYE), circle)
    plot_data["bound"] = bound
    left = np.linalg.norm(running_mean(away)[-1]) / np.linalg.norm(away[0])
    ratio = float(plot_data["last"][-1] / plot_data["last"][0])
    narrow = math.sqrt((2 - h) / (2 + h))  # the orbit is on the ellipse x^2 + y^2 - h x y = const
    turns = steps * rotation_angle(h) / (2 * math.pi)
    slope = _slope(means, h) if turns >= 4 else math.nan
    grown = predicted_mean(theory.simultaneous(J, h * theory.EYE), away[0], len(away))
    return [
        Check("min max xy, alternating: |last| / |first|", ratio, ">", 0.8).only_if(
            narrow > 0.8, f"the orbit is a narrow ellipse (ratio of axes {narrow:.2g})"
        ),
        Check("min max xy, alternating: t |mean|, at most", float((t * means)[1:].max()), "<", bound),
        Check("min max xy, alternating: slope of log |mean| in log t", slope, "=", -1.0, 0.01).only_if(
            turns >= FEWEST_TURNS, f"{turns:.1f} rotations are fewer than {FEWEST_TURNS}"
        ),
        Check(
            "min max xy, simultaneous: |mean| / |first|", float(left), ">", 1.0, note="the mean diverges, too"
        ).only_if(grown > 1, "too few steps for the orbit to diverge"),
    ]


def predicted_mean(M: theory.Matrix, start: Orbit, count: int) -> float:
    """|mean| / |first| for the first ``count`` points of z_{t+1} = M z_t."""
    last = np.linalg.matrix_power(M, count) @ start
    total = np.linalg.solve(theory.EYE - M, start - last)
    return float(np.linalg.norm(total) / count / np.linalg.norm(start))


def _slope(means: Orbit, h: float) -> float:
    """The slope of the envelope, which is the largest mean within each rotation of the game."""
    turn = math.ceil(2 * math.pi / rotation_angle(h))
    tops = [a + int(means[a : a + turn].argmax()) for a in range(turn, len(means) - turn, turn)]
    return float(np.polyfit(np.log(np.array(tops) + 1), np.log(means[tops]), 1)[0])


def ema_checks(settings: Mapping[str, Any], seed: int, plot_data: dict[str, Any]) -> list[Check]:
    """Check the EMA of the core on a Dirac-GAN with linear cost (min max xy); half-lives are in steps."""
    checks = []
    for half_life in settings["half_lives"]:
        h = (settings["rate"], settings["rate"])
        game = games.dirac("wasserstein", Alternating(), rates=h, start=(0.0, 1.0), ema_halflife=half_life)
        generator_and_ema = lambda game=game: torch.stack([game.generator.value, game.ema.module.value])  # noqa: E731
        path = orbit(game, settings["average_steps"], generator_and_ema, seed=seed)
        tail = path[-settings["average_tail"] :]
        name = f"Dirac-GAN, average of half-life {half_life:g}: amplitude beside the generator's"
        expected = ema_gain(half_life, settings["rate"])
        check = Check(name, _amplitude_ratio(tail), "=", expected, 0.02 * expected)
        shown = _amplitude_ratio(predicted_average(half_life, len(path), settings["rate"])[-len(tail) :])
        is_valid = abs(shown - expected) <= 0.02 * expected
        checks.append(check.only_if(is_valid, "average_steps or average_tail is too small"))
        plot_data[f"average {half_life:g}"] = tail
    return checks


def _amplitude_ratio(path: Orbit) -> float:
    last, mean = np.abs(path).max(axis=0)
    return float(mean / last)


def predicted_average(half_life: float, count: int, h: float) -> Orbit:
    """(theta, its EMA) from (0, 1), by powers of the matrix of alternating updates and the recursion."""
    M, beta = theory.alternating(theory.dirac_jacobian(1.0), h * theory.EYE), 0.5 ** (1 / half_life)
    z, average = np.array([0.0, 1.0]), 1.0
    path = [(z[1], average)]
    for _ in range(count - 1):
        z = M @ z
        average = beta * average + (1 - beta) * z[1]
        path.append((z[1], average))
    return np.array(path)


def sliced_distance(one: torch.Tensor, other: torch.Tensor, directions: torch.Tensor) -> float:
    """The mean over directions of the Wasserstein-1 distance of projections of equal numbers of points."""
    a, b = ((points @ directions.T).sort(dim=0).values for points in (one, other))
    return float((a - b).abs().mean())


def gan_checks(settings: Mapping[str, Any], seed: int, plot_data: dict[str, Any]) -> list[Check]:
    """Check the generator and its EMA during one training of a GAN on a ring of Gaussians."""
    optimizer = Adam(settings["gan_rate"], tuple(settings["betas"]))
    game = small_gan(
        settings, seed, dynamics=Alternating(), optimizer=optimizer, ema_halflife=settings["gan_half_life"]
    )
    table = set_up(
        game, ring_points(settings["rows"], settings, seed), batch_size=settings["batch_size"], seed=seed
    )
    angles = torch.arange(32, dtype=torch.float64) * math.pi / 32
    directions = torch.stack([angles.cos(), angles.sin()], 1)
    held_out = ring_points(settings["rows"], settings, seed + 1)
    distances: list[tuple[int, float, float]] = []

    def watch(state: TrainState) -> None:
        table.scalars.reset()
        if state.step >= settings["gan_from"] and state.step % settings["gan_every"] == 0:
            raw, ema = (_distance(game, net, held_out, directions) for net in _generator_and_ema(game))
            distances.append((state.step, raw, ema))

    play(table, settings["gan_steps"], watch)
    steps, last, mean = np.array(distances).T
    plot_data["gan"] = (steps, last, mean)
    jumps = [float(np.abs(np.diff(each)).mean()) for each in (last, mean)]
    is_valid = EXPERIMENT.as_given(settings, GAN_SETTINGS)
    checks = [
        Check("GAN on a ring: distance of its average", float(mean.mean()), "<", float(last.mean()),
              note="sliced W1, mean over training; predicted: that of the generator"),
        Check("GAN on a ring: jumps of that distance", jumps[1], "<", jumps[0] / 2,
              note="half of those of the generator"),
    ]  # fmt: skip
    return [check.only_if(is_valid, "there is no prediction for other settings") for check in checks]


def _generator_and_ema(game: AdversarialGame) -> tuple[torch.nn.Module, torch.nn.Module]:
    assert game.ema is not None
    return game.generator, game.ema.module


@torch.no_grad()
def _distance(
    game: AdversarialGame, network: torch.nn.Module, data: torch.Tensor, directions: torch.Tensor
) -> float:
    latents = game.prior.sample(Key.of("oscillation"), len(data))
    return sliced_distance(network(latents), data, directions)


def run(settings: Mapping[str, Any], seed: int) -> ExperimentResult:
    plot_data: dict[str, Any] = {}
    checks = bilinear_checks(settings, seed, plot_data)
    checks += ema_checks(settings, seed, plot_data)
    checks += gan_checks(settings, seed, plot_data)
    return ExperimentResult(checks, plot_data, NOTES)


NOTES = (
    "Averages of a rotating game converge; averages of a diverging game do not.",
    "An EMA reduces the amplitude by a factor that depends on its half-life; the uniform average converges "
    "to the equilibrium as 1/t.",
)


def plot(result: ExperimentResult) -> Figure:
    figure, (first, second, third) = panels(3, "The same game with and without averaging")
    plot_data = result.plot_data
    t = np.arange(1, len(plot_data["mean"]) + 1)
    first.plot(t, plot_data["last"], label="last point", color="tab:red")
    first.plot(t, plot_data["mean"], label="uniform mean", color="tab:blue", linewidth=1.0)
    first.plot(t, plot_data["bound"] / t, label="bound, c / t", **PREDICTED)
    first.set_ylim(bottom=1e-4)
    set_labels(first, "min max xy, alternating", "step", "distance to the equilibrium", log="xy")
    names = [name for name in plot_data if name.startswith("average ")]
    second.plot(plot_data[names[0]][:, 0], color="tab:red", label="generator")
    for name in names:
        second.plot(plot_data[name][:, 1], label=f"half-life {name.split()[1]}")
    set_labels(second, "Dirac-GAN: theta, the last steps", "step", "")
    steps, last, mean = plot_data["gan"]
    third.plot(steps, last, color="tab:red", label="generator")
    third.plot(steps, mean, color="tab:blue", label="its average")
    set_labels(third, "GAN on a ring: sliced distance to the data", "step", "")
    for ax in (first, second, third):
        legend(ax)
    return figure


EXPERIMENT = Experiment(
    question="Do averages of the generator of a rotating game converge, and how fast?",
    prediction=(
        "uniform averages of a bounded orbit converge to the equilibrium as 1/t while the last point "
        "rotates; an EMA reduces the amplitude by (1 - beta) / |1 - beta e^{-iw}|; averages of a diverging "
        "orbit diverge; on a GAN the EMA is nearer to the data and changes less"
    ),
    source="sums of powers of the step's matrix; Yazici et al. 2019 on averaging in GANs",
    settings={
        "rate": 0.2,
        "steps": 3000,
        "half_lives": (5.0, 20.0, 80.0),
        "average_steps": 3000,
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
        "gan_steps": 4000,
        "gan_from": 1000,
        "gan_every": 20,
    },
    descriptions={
        "rate": "learning rate h of the Dirac-GAN",
        "steps": "steps of the Dirac-GAN without averaging",
        "half_lives": "half-lives of its averages, in steps",
        "average_steps": "steps of the Dirac-GAN with averaging",
        "average_tail": "last steps of it over which amplitudes are measured",
        "modes": "Gaussians on the ring of the data",
        "radius": "radius of the ring",
        "std": "standard deviation of each Gaussian",
        "rows": "training examples",
        "latents": "dimension of the latents",
        "width": "hidden units of both networks",
        "loss": "adversarial loss of the ring GAN by name",
        "batch_size": "examples in a batch",
        "betas": "decay rates of Adam",
        "gan_rate": "learning rate of the ring GAN (Adam)",
        "gan_half_life": "half-life of its EMA, in training examples",
        "gan_steps": "steps of the ring GAN",
        "gan_from": "step from which its samples are measured",
        "gan_every": "steps between these measurements",
    },
    quick_settings={
        "steps": 1000, "half_lives": (5.0, 20.0), "average_steps": 1500,
        "gan_steps": 1000, "gan_from": 400, "gan_every": 10, "rows": 1024, "gan_half_life": 10000.0,
    },
    run=run,
    plot=plot,
    seconds=(8, 30),
)  # fmt: skip
