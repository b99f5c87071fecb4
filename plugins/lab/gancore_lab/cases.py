"""Pairs of laws whose truth is known, and what a measure of each kind must say of them.

Two lists in one: the checks of Raisa, van Breugel and van der Schaar 2025 ("Position: all current generative
fidelity and diversity metrics are flawed", ICML), rebuilt from what they are, and faults that samples of
people's models have: too narrow, collapsed, copied, few rows.

Fidelity and diversity here are those of laws, not of their supports: where two laws hardly overlap (their
total variation is about 1), as two Gaussians of one mean and of standard deviations 1 and 1/2 in 64
dimensions, samples of either lie where the other has none, so both must fall. Where that is a question of
definition, nothing is asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import torch
from torch import Tensor

from gancore.evaluation.measure import Anchor
from gancore.runtime.randomness import Key
from gancore_lab import laws
from gancore_lab.laws import MODES, Law

Kind = Literal["distance", "two-sample", "fidelity", "diversity", "support", "memory", "classes", "labels"]
"""What is asked of a measure: its own kind, with tests of two samples, the number of different samples, the
shares of classes, and labels apart.
"""
KINDS = frozenset(get_args(Kind))
LAWS = frozenset({"fidelity", "diversity", "distance", "two-sample"})
EVEN = laws.mixture([1.0] * MODES)
FAR_DIMENSIONS = 64
OUTLYING = 24.0
"""How far an outlier is from the origin, along the diagonal; coordinates have standard deviation 1."""

Truth = Literal["worse", "same", "not worse"]
Twin = Literal["order", "seed", "size"]
"""What differs between two readings that must agree: the order of rows, the evaluation's seed, or the number
of rows (a quarter)."""


@dataclass(frozen=True)
class World:
    """Rows of the real law, the same for all cases of that law: (n, d) each."""

    law: Law
    key: Key
    n: int
    d: int

    def rows(self, name: str) -> Tensor:
        return self.law(self.key / name, self.n, self.d)

    @cached_property
    def real(self) -> Tensor:
        return self.rows("real")

    @cached_property
    def train(self) -> Tensor:
        return self.rows("train")

    @cached_property
    def held(self) -> Tensor:
        return self.rows("held")

    def fresh(self, law: Law | None = None) -> Tensor:
        """Rows of the real law, or of another, that are in none of the three."""
        return (law or self.law)(self.key / "fake", self.n, self.d)


@dataclass(frozen=True)
class Case:
    """Samples ``fake(world)`` beside rows of ``law``.

    ``worse``: kinds of measure that must say so; ``far``: those that must where the laws stand far apart
    because of the dimension alone (64 and more). ``same``: kinds that must not tell them from real rows;
    ``kept``: those that must not call them worse. Kinds in none are not asked. ``spot``: what the samples
    are, in words. ``like``: anchors that are this fault, so that a measure which declares its blindness to
    one has said so. ``beside``, ``held``: rows of the reference and held-out ones, over those of the samples.
    ``classes``: the law is the mixture, and measures of classes see its exact posteriors. ``labels``: what
    the samples were asked to be, given the modes that they are of.
    """

    spot: str
    law: Law
    fake: Callable[[World], Tensor]
    worse: frozenset[Kind] = frozenset()
    same: frozenset[Kind] = frozenset()
    kept: frozenset[Kind] = frozenset()
    far: frozenset[Kind] = frozenset()
    like: frozenset[Anchor] = frozenset()
    beside: float = 1.0
    held: float = 1.0
    classes: bool = False
    labels: Callable[[Tensor], Tensor] = lambda modes: modes
    twin: Twin | None = None
    reference: Callable[[Tensor], Tensor] = lambda real: real
    """What the rows of the reference have that no other set has."""
    paper: bool = False
    """One of those of the position paper."""

    def truth(self, kind: Kind, d: int) -> Truth | None:
        """What a measure of this kind must say in d dimensions; None: it is not asked."""
        if kind in self.worse or (kind in self.far and d >= FAR_DIMENSIONS):
            return "worse"
        if kind in self.same:
            return "same"
        return "not worse" if kind in self.kept else None


def _kinds(words: str) -> frozenset[Kind]:
    found = frozenset(words.split())
    assert found <= KINDS, found - KINDS
    return found  # type: ignore[return-value]


def _shifted(by: float, column: int | None = None) -> Callable[[World], Tensor]:
    """Fresh rows moved by so much in all, along the diagonal, or along one coordinate."""

    def fake(world: World) -> Tensor:
        rows: Tensor = world.fresh()
        if column is None:
            return rows + by / math.sqrt(world.d)
        rows[:, column] += by
        return rows

    return fake


def _few(world: World) -> Tensor:
    """A twentieth of the rows, over and over."""
    return world.fresh()[torch.arange(world.n) % max(1, world.n // 20)]


def _near(rows: Tensor, world: World, by: float) -> Tensor:
    return rows + by * (world.key / "near").normal(world.n, world.d)


def _with_outlier(real: Tensor) -> Tensor:
    rows = real.clone()
    rows[0] = OUTLYING / math.sqrt(real.shape[1])
    return rows


def _all_but_one(world: World) -> Tensor:
    """The ball about the one that is not far away holds all real rows."""
    rows = world.fresh() + OUTLYING / math.sqrt(world.d)
    rows[0] = 0
    return rows


def _tenth_copied(world: World) -> Tensor:
    rows, count = world.fresh(), world.n // 10
    rows[:count] = world.train[:count]
    return rows


def _overlapping(world: World) -> Tensor:
    """A cube that shares a fifth of its volume with the real one."""
    return world.fresh() + 1 - math.pow(0.2, 1 / world.d)


def _asked_for_another(modes: Tensor) -> Tensor:
    """Half of the samples are of the mode after the one that was asked for."""
    return torch.where(torch.arange(len(modes)) % 2 == 0, modes, (modes + 1) % MODES)


def _of(law: Law) -> Callable[[World], Tensor]:
    return lambda world: world.fresh(law)


ALL_LAWS = _kinds("fidelity diversity distance two-sample")
NEVER_MEMORY = _kinds("memory")
EQUAL = _kinds("fidelity diversity distance two-sample memory support classes labels")
LOST = _kinds("diversity distance two-sample")
DROPPED = [1.0] * (MODES - 3)
HEAVY_MODE = [0.9, *[0.1 / (MODES - 1)] * (MODES - 1)]

CASES: dict[str, Case] = {
    "equal laws": Case("samples of the same law", laws.gaussian, World.fresh, same=EQUAL),
    "equal mixtures": Case("samples of the same mixture", EVEN, World.fresh, same=EQUAL, classes=True),
    "equal, heavy tails": Case("samples of the same heavy-tailed law", laws.heavy, World.fresh, same=EQUAL),
    "mean": Case(
        "a mean that is 8 standard deviations away",
        laws.gaussian,
        _shifted(8.0),
        worse=ALL_LAWS,
        kept=NEVER_MEMORY,
        paper=True,
    ),
    "shrunken": Case(
        "samples at half the spread",
        laws.gaussian,
        lambda world: world.fresh() / 2,
        worse=LOST,
        far=_kinds("fidelity"),
        kept=NEVER_MEMORY,
        like=frozenset({"shrunk"}),
        paper=True,
    ),
    "point-like": Case(
        "samples all near the mean",
        laws.gaussian,
        lambda world: world.fresh() / 100,
        worse=LOST | _kinds("support"),
        far=_kinds("fidelity"),
        kept=NEVER_MEMORY,
        like=frozenset({"shrunk"}),
        paper=True,
    ),
    "widened": Case(
        "samples at twice the spread",
        laws.gaussian,
        lambda world: world.fresh() * 2,
        worse=_kinds("fidelity distance two-sample"),
        far=_kinds("diversity"),
        kept=NEVER_MEMORY,
        like=frozenset({"widened"}),
        paper=True,
    ),
    "repeated": Case(
        "a few samples over and over",
        laws.gaussian,
        _few,
        worse=LOST | _kinds("support"),
        like=frozenset({"collapse"}),
    ),
    "few points": Case(
        "samples close to a few points",
        laws.gaussian,
        lambda world: _near(_few(world), world, 0.01),
        worse=LOST | _kinds("support"),
        like=frozenset({"collapse", "points"}),
    ),
    "3 of 10 modes dropped": Case(
        "dropped modes",
        EVEN,
        _of(laws.mixture(DROPPED)),
        worse=LOST | _kinds("classes"),
        kept=_kinds("fidelity labels"),
        classes=True,
        paper=True,
    ),
    "90 % on one mode": Case(
        "nearly all samples in one mode",
        EVEN,
        _of(laws.mixture(HEAVY_MODE)),
        worse=LOST | _kinds("classes"),
        kept=_kinds("fidelity labels"),
        classes=True,
        paper=True,
    ),
    "5 modes invented": Case(
        "invented modes",
        laws.mixture([1.0] * 5),
        _of(EVEN),
        worse=_kinds("fidelity distance two-sample"),
        kept=_kinds("diversity"),
        paper=True,
    ),
    "3 of 10 modes moved": Case(
        "modes that stand elsewhere", EVEN, _of(laws.moved_modes(3, 8.0)), worse=ALL_LAWS
    ),
    "labels swapped": Case(
        "samples of another class than asked for",
        EVEN,
        World.fresh,
        worse=_kinds("labels"),
        same=EQUAL - {"labels"},
        classes=True,
        labels=_asked_for_another,
    ),
    "one against two modes": Case(
        "one mode in the place of two, of equal mean and covariance",
        laws.two_modes,
        _of(laws.one_mode),
        worse=_kinds("fidelity distance two-sample"),
        paper=True,
    ),
    "independent": Case(
        "coordinates that are not tied to each other",
        laws.correlated,
        _of(laws.gaussian),
        worse=_kinds("fidelity distance two-sample"),
        far=_kinds("diversity"),
        like=frozenset({"noise"}),
    ),
    "onto an outlier": Case(
        "all samples about one real outlier",
        laws.gaussian,
        lambda world: world.fresh() + OUTLYING / math.sqrt(world.d),
        reference=_with_outlier,
        worse=ALL_LAWS,
        kept=NEVER_MEMORY,
        paper=True,
    ),
    "all but one far away": Case(
        "samples far away, but for one",
        laws.gaussian,
        _all_but_one,
        worse=ALL_LAWS,
        kept=NEVER_MEMORY,
        paper=True,
    ),
    "one disjoint dimension": Case(
        "one coordinate that is elsewhere", laws.gaussian, _shifted(6.0, 0), worse=ALL_LAWS, paper=True
    ),
    "beside a dimension times 1000": Case(
        "a coordinate that is elsewhere, beside one in large units",
        laws.one_wide,
        _shifted(6.0, 0),
        worse=ALL_LAWS,
        paper=True,
    ),
    "beside a Pareto tail": Case(
        "a coordinate that is elsewhere, beside one with a very heavy tail",
        laws.pareto,
        _shifted(6.0, 0),
        worse=ALL_LAWS,
        paper=True,
    ),
    "integers for reals": Case(
        "rounded values", laws.gaussian, _of(laws.integers), worse=_kinds("distance two-sample"), paper=True
    ),
    "reals for integers": Case(
        "values that should be whole",
        laws.integers,
        _of(laws.gaussian),
        worse=_kinds("distance two-sample"),
        paper=True,
    ),
    "sphere, half the radius": Case(
        "a sphere of half the radius", laws.sphere(1.0), _of(laws.sphere(0.5)), worse=ALL_LAWS, paper=True
    ),
    "sphere, 1.5 radii": Case(
        "a sphere of larger radius", laws.sphere(1.0), _of(laws.sphere(1.5)), worse=ALL_LAWS, paper=True
    ),
    "torus for a ball": Case(
        "a ring about the real ball", laws.ball, _of(laws.torus), worse=ALL_LAWS, paper=True
    ),
    "ball for a torus": Case(
        "a ball within the real ring", laws.torus, _of(laws.ball), worse=ALL_LAWS, paper=True
    ),
    "cubes, a fifth shared": Case(
        "four fifths outside a cube", laws.cube, _overlapping, worse=ALL_LAWS, paper=True
    ),
    "copies of train": Case(
        "copies of train",
        laws.gaussian,
        lambda world: world.train.clone(),
        worse=_kinds("memory"),
        kept=_kinds("fidelity diversity distance"),
    ),
    "near copies of train": Case(
        "train with a little noise",
        laws.gaussian,
        lambda world: _near(world.train, world, 0.01),
        worse=_kinds("memory"),
        kept=_kinds("fidelity diversity distance"),
    ),
    "a tenth copied": Case(
        "a tenth of copies of train", laws.gaussian, _tenth_copied, worse=_kinds("memory")
    ),
    "copies of the reference": Case(
        "copies of the reference rows",
        laws.gaussian,
        lambda world: world.real.clone(),
        worse=_kinds("two-sample"),
    ),
    "fewer held-out rows": Case(
        "equal laws, with few held-out rows", EVEN, World.fresh, same=EQUAL, held=0.2, classes=True
    ),
    "fewer held-out rows, half of the modes": Case(
        "dropped modes, with few held-out rows",
        EVEN,
        _of(laws.mixture([1.0] * 5)),
        worse=LOST | _kinds("classes"),
        kept=_kinds("fidelity labels"),
        held=0.2,
        classes=True,
    ),
    "fewer real rows": Case(
        "equal laws, with few real rows", EVEN, World.fresh, same=EQUAL, beside=0.2, classes=True, paper=True
    ),
    "order of rows": Case(
        "the order of rows", EVEN, _of(laws.mixture(DROPPED)), same=KINDS, classes=True, twin="order"
    ),
    "seed": Case(
        "the evaluation's seed", EVEN, _of(laws.mixture(DROPPED)), same=KINDS, classes=True, twin="seed"
    ),
    "number of rows": Case(
        "the number of rows", laws.cube, _overlapping, same=KINDS, twin="size", paper=True
    ),
}
"""By name, in the order of the table."""
