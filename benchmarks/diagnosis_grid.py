"""The grid: families of games, each with a fault by construction, or without a fault."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import torch
from diagnosis_games import (
    Affine,
    Case,
    ClippedGame,
    Points,
    gan,
    gaussian,
    grid,
    linear_game,
    ring,
    rotated,
    scattered,
    spiral,
    step_map,
    turns,
)

from gancore.games import R1, WGANGP, Adam, likelihood_game
from gancore.games.dynamics import ConsensusOptimization, Extragradient, Simultaneous

Family = Callable[[random.Random, int], Case]


def some_points(chance: random.Random, seed: int) -> Points:
    return chance.choice(
        [
            lambda: ring(8),
            lambda: ring(5),
            lambda: ring(12),
            lambda: grid(3),
            lambda: grid(5),
            spiral,
            lambda: scattered(6, 2, 0.15, seed),
            lambda: scattered(8, 4, 0.2, seed),
            lambda: gaussian(2),
            lambda: gaussian(8),
            lambda: rotated(ring(8), 16, seed),
            lambda: rotated(spiral(), 8, seed),
        ]
    )()


def regularised(chance: random.Random, seed: int) -> Case:
    """A GAN with R1, with networks, learning rates, batches and losses of many kinds."""
    points, rate = some_points(chance, seed), chance.choice([1e-3, 2e-3, 3e-3])
    loss = chance.choice(
        ["nonsaturating", "nonsaturating", "hinge", "least-squares", "relativistic", "minimax"]
    )
    gamma = chance.choice([0.1, 0.3, 1.0])
    average = chance.choice([None, None, 2000.0])
    build = gan(
        points,
        width=chance.choice([32, 48, 64]),
        loss=loss,
        penalties=[R1(gamma, chance.choice([1, 1, 4]))],
        g_rate=rate,
        d_rate=rate,
        beta=chance.choice([0.0, 0.5]),
        ema_halflife=average,
        discriminator_steps=chance.choice([1, 1, 2]),
    )
    return Case(
        f"{loss} with R1 {gamma}",
        points,
        build,
        chance.choice([400, 600, 900]),
        seed,
        batch=chance.choice([16, 32, 64, 128]),
        log_every=chance.choice([None, None, 1, 10, 25]),
    )


def critic(chance: random.Random, seed: int) -> Case:
    """WGAN-GP on data of few modes."""
    points = chance.choice([ring(8), ring(5), gaussian(2), gaussian(8), scattered(6, 2, 0.15, seed)])
    weight = chance.choice([0.3, 1.0, 10.0])
    build = gan(
        points,
        loss="wasserstein",
        penalties=[WGANGP(weight)],
        g_rate=1e-3,
        d_rate=2e-3,
        beta=0.0,
        discriminator_steps=chance.choice([2, 3]),
        width=chance.choice([32, 64]),
    )
    return Case(
        f"WGAN-GP {weight}",
        points,
        build,
        chance.choice([500, 800]),
        seed,
        batch=chance.choice([32, 64, 128]),
    )


def fitted_gaussian(chance: random.Random, seed: int) -> Case:
    """Maximum likelihood, a game of one player."""
    points = chance.choice([gaussian(2), gaussian(8), rotated(gaussian(2), 2, seed)])
    rate = chance.choice([1e-2, 3e-3])
    return Case(
        "maximum likelihood",
        points,
        lambda: likelihood_game(lambda: Affine(points.dimension), optimizer=Adam(rate)),
        800,
        seed,
        batch=chance.choice([4, 16, 64]),
        log_every=chance.choice([None, 1, 20]),
    )


def damped(chance: random.Random, seed: int) -> Case:
    """A Dirac-GAN with R1: every eigenvalue is inside the unit circle."""
    gamma, rate = chance.choice([0.3, 0.5, 1.0, 2.0]), chance.choice([0.1, 0.2])
    std = chance.choice([0.0, 0.0, 0.3])
    dimension = chance.choice([1, 2])
    points, loss = gaussian(dimension, std), chance.choice(["minimax", "nonsaturating", "wasserstein"])
    build = linear_game(
        start=torch.ones(dimension), std=std, g_rate=rate, d_rate=rate, penalties=[R1(gamma)], loss=loss
    )
    return Case(
        f"Dirac with R1 {gamma}",
        points,
        build,
        chance.choice([300, 500, 1000]),
        seed,
        batch=chance.choice([8, 32]),
        truth=turns(step_map(rate, loss, gamma=gamma)),
    )


def averaged(chance: random.Random, seed: int) -> Case:
    """A bilinear game whose model is an EMA over several rotations."""
    rate, batch = chance.choice([0.1, 0.2]), 16
    points = gaussian(2, 0.0)
    turn = 2 * 3.14159 / rate * batch
    build = linear_game(
        start=torch.ones(2), std=0.0, g_rate=rate, d_rate=rate, loss="wasserstein", ema_halflife=6 * turn
    )
    return Case("bilinear, averaged", points, build, 2000, seed, batch=batch)


def calmed(chance: random.Random, seed: int) -> Case:
    """A rotating game with a dynamics that damps it."""
    dynamics = chance.choice([Extragradient(), ConsensusOptimization(1.0)])
    std, rate = chance.choice([0.0, 0.3]), chance.choice([0.2, 0.3])
    points = gaussian(2, std)
    build = linear_game(
        start=torch.ones(2), std=std, g_rate=rate, d_rate=rate, loss="wasserstein", dynamics=dynamics
    )
    return Case(
        f"bilinear, {type(dynamics).__name__}",
        points,
        build,
        1000,
        seed,
        batch=chance.choice([32, 128]),
        truth=turns(step_map(rate, "wasserstein", type(dynamics).__name__)),
    )


def bad_row(chance: random.Random, seed: int) -> Case:
    points = some_points(chance, seed)
    bad = chance.choice([float("nan"), float("inf")])

    def corrupt(rows: torch.Tensor) -> torch.Tensor:
        rows = rows.clone()
        rows[chance.randrange(len(rows)), 0] = bad
        return rows

    build = gan(points, penalties=[R1(0.3)], width=32)
    return Case(
        f"a row with {bad}", points, build, 400, seed, rows=2048, corrupt=corrupt, truth={"non-finite": True}
    )


def overflow(chance: random.Random, seed: int) -> Case:
    """A generator whose last function is the exponential of large numbers."""
    points = chance.choice([ring(8), gaussian(2)])
    scale = chance.choice([1000.0, 3000.0])
    build = gan(points, width=32, last=lambda x: (scale * x).exp() - 1)
    return Case(f"exp({scale:g} x)", points, build, 300, seed, truth={"non-finite": True})


def runaway(chance: random.Random, seed: int) -> Case:
    """A bilinear game with learning rates above 2, which grows until it overflows."""
    rate = chance.choice([3.0, 4.0])
    points = gaussian(2, 1.0)
    build = linear_game(start=torch.ones(2), std=1.0, g_rate=rate, d_rate=rate, loss="wasserstein")
    return Case(f"bilinear, rate {rate:g}", points, build, 400, seed, truth={"non-finite": True})


def confined(chance: random.Random, seed: int) -> Case:
    """A generator that is confined to a half or a quarter of the plane: the other modes stay empty."""
    points = chance.choice([ring(8), ring(12), grid(5), scattered(8, 2, 0.15, seed)])
    axes = chance.choice([1, 2])

    def last(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x[:, :axes].abs(), x[:, axes:]], 1)

    build = gan(points, last=last, penalties=[R1(chance.choice([0.1, 0.3]))], width=chance.choice([32, 64]))
    return Case(
        f"confined to {'half' if axes == 1 else 'a quarter'}",
        points,
        build,
        chance.choice([500, 800]),
        seed,
        batch=chance.choice([32, 64]),
    )


def one_mode(chance: random.Random, seed: int) -> Case:
    """A generator of one small mode on data of many modes."""
    points = chance.choice([ring(8), grid(5), scattered(6, 4, 0.15, seed)])
    scale = chance.choice([0.02, 0.1, 0.3])
    centre = points.draw(1, torch.Generator().manual_seed(seed))
    build = gan(points, last=lambda x: centre + scale * x.tanh(), penalties=[R1(0.3)])
    return Case(f"one blob, {scale}", points, build, 600, seed)


def unregularised(chance: random.Random, seed: int) -> Case:
    """A generator that is much faster than a discriminator without a penalty."""
    points = chance.choice([ring(8), grid(5), scattered(8, 2, 0.15, seed)])
    ratio = chance.choice([3, 10])
    build = gan(
        points,
        g_rate=2e-3 * ratio,
        d_rate=1e-3,
        beta=chance.choice([0.0, 0.5]),
        width=48,
        loss=chance.choice(["minimax", "nonsaturating"]),
    )
    return Case(f"generator {2 * ratio} times as fast", points, build, 800, seed)


def hard_critic(chance: random.Random, seed: int) -> Case:
    points = chance.choice([grid(5), spiral()])
    build = gan(points, loss="wasserstein", penalties=[WGANGP(1.0)], g_rate=1e-3, d_rate=1e-3, width=48)
    return Case("WGAN-GP, one move", points, build, 1000, seed)


def turning(chance: random.Random, seed: int) -> Case:
    """Alternating updates on Dirac or bilinear games: closed orbits (rate 1)."""
    loss, dimension = chance.choice(["wasserstein", "minimax", "wasserstein"]), chance.choice([1, 2])
    rate, std = chance.choice([0.05, 0.1, 0.2]), chance.choice([0.0, 0.3]) if loss == "wasserstein" else 0.0
    points = gaussian(dimension, std)
    build = linear_game(
        start=torch.ones(dimension) * chance.choice([0.5, 1.0]), std=std, g_rate=rate, d_rate=rate, loss=loss
    )
    return Case(
        f"{loss}, no penalty",
        points,
        build,
        chance.choice([600, 1000, 2000]),
        seed,
        batch=chance.choice([8, 32, 128]),
        truth=turns(step_map(rate, loss)),
    )


def clipped(chance: random.Random, seed: int) -> Case:
    """WGAN with clipped weights: a limit cycle (Mescheder et al., 2018, section 3.2)."""
    rate, std = chance.choice([0.1, 0.2]), chance.choice([0.0, 0.3])
    points = gaussian(1, std)
    build = linear_game(
        start=torch.ones(1) * 2, std=std, g_rate=rate, d_rate=rate, loss="wasserstein", game=ClippedGame
    )
    truth = turns(step_map(rate, "wasserstein"))
    return Case("WGAN, clipped", points, build, chance.choice([600, 1200]), seed, batch=32, truth=truth)


def simultaneous(chance: random.Random, seed: int) -> Case:
    """The bilinear game grows by sqrt(1 + h^2) a step; the non-saturating game has a limit cycle."""
    loss = chance.choice(["wasserstein", "nonsaturating"])
    rate = 0.05 if loss == "wasserstein" else 0.2
    points = gaussian(1, 0.0)
    build = linear_game(
        start=torch.ones(1), std=0.0, g_rate=rate, d_rate=rate, loss=loss, dynamics=Simultaneous()
    )
    truth = turns(step_map(rate, loss, "Simultaneous"))
    return Case(
        f"{loss}, simultaneous", points, build, chance.choice([800, 1200]), seed, batch=8, truth=truth
    )


def hopping(chance: random.Random, seed: int) -> Case:
    """A generator of one small mode that moves between distant modes of a ring."""
    points = chance.choice([ring(8), ring(5), grid(3)])
    build = gan(
        points,
        g_rate=5e-3,
        d_rate=2e-3,
        beta=0.5,
        latent_dim=1,
        width=48,
        last=lambda x: x.mean(0, keepdim=True) + 0.1 * (x - x.mean(0)),
        loss="minimax",
    )
    return Case("hopping blob", points, build, 800, seed)


def far_ahead(chance: random.Random, seed: int) -> Case:
    """A slow generator with the minimax loss (Arjovsky and Bottou, 2017, section 2.2)."""
    dimension = chance.choice([16, 32, 64])
    points = rotated(chance.choice([gaussian(2), ring(8), spiral()]), dimension, seed)
    build = gan(
        points,
        latent_dim=2,
        loss="minimax",
        g_rate=chance.choice([1e-6, 1e-5]),
        d_rate=chance.choice([1e-3, 2e-3]),
        beta=0.9,
        discriminator_width=chance.choice([64, 128]),
        discriminator_depth=chance.choice([2, 3]),
        discriminator_steps=chance.choice([1, 2]),
    )
    return Case("minimax, D far ahead", points, build, chance.choice([600, 900]), seed, batch=64)


def unsaturated(chance: random.Random, seed: int) -> Case:
    """A slow generator with the -log D loss, whose gradient does not vanish."""
    points = rotated(chance.choice([gaussian(2), ring(8), spiral()]), 32, seed)
    build = gan(
        points,
        latent_dim=2,
        loss="nonsaturating",
        g_rate=1e-6,
        d_rate=1e-3,
        beta=0.9,
        discriminator_width=64,
        discriminator_depth=2,
    )
    return Case("-log D, D far ahead", points, build, 600, seed)


def few_rows(chance: random.Random, seed: int) -> Case:
    """A wide discriminator without a penalty on few rows of many dimensions."""
    dimension, rows = chance.choice([(32, 32), (64, 32), (64, 48), (128, 64), (128, 96)])
    points = gaussian(dimension)
    build = gan(
        points,
        discriminator_width=chance.choice([96, 128, 192]),
        discriminator_depth=chance.choice([2, 3]),
        g_rate=2e-4,
        d_rate=2e-3,
        beta=0.5,
        latent_dim=dimension,
        loss=chance.choice(["nonsaturating", "hinge"]),
    )
    return Case(
        f"{rows} rows in {dimension} dimensions",
        points,
        build,
        chance.choice([400, 600]),
        seed,
        rows=rows,
        batch=32,
        truth={"diversity collapse": None},  # four cells are too few for so many dimensions
    )


def many_rows(chance: random.Random, seed: int) -> Case:
    """The game of ``few_rows`` with R1 and more rows than a run uses."""
    dimension = chance.choice([16, 32, 64])
    points = gaussian(dimension)
    build = gan(
        points,
        discriminator_width=128,
        penalties=[R1(1.0)],
        g_rate=1e-3,
        d_rate=1e-3,
        beta=0.5,
        latent_dim=dimension,
    )
    return Case(f"20,000 rows in {dimension} dimensions", points, build, 600, seed, rows=20_000, batch=32)


FAMILIES: dict[Family, int] = {
    regularised: 40,
    critic: 10,
    fitted_gaussian: 10,
    damped: 14,
    averaged: 4,
    calmed: 6,
    many_rows: 6,
    unsaturated: 5,
    bad_row: 8,
    overflow: 8,
    runaway: 6,
    confined: 12,
    one_mode: 8,
    unregularised: 8,
    hard_critic: 6,
    turning: 12,
    clipped: 6,
    simultaneous: 6,
    hopping: 6,
    far_ahead: 22,
    few_rows: 34,
}


def cases(base: int, only: str = "") -> Iterator[tuple[str, Case]]:
    """All games of the grid with these seeds, by family."""
    for family, count in FAMILIES.items():
        for number in range(count):
            seed = base + number
            if only in family.__name__:
                yield family.__name__, family(random.Random(f"{family.__name__} {seed}"), seed)
