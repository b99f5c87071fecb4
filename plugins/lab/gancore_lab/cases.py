"""Pairs of distributions with known answers: what a metric must report for each question.

The cases are the checks of Raisa, van Breugel and van der Schaar, 2025 ("Position: all current generative
fidelity and diversity metrics are flawed", ICML), implemented from their description, and common faults of
samples: too narrow, collapsed, copied, few rows.

Fidelity and diversity are those of distributions, not of their supports. Two distributions that hardly
overlap (total variation of about 1), such as Gaussians of equal mean and of standard deviations 1 and 1/2 in
64 dimensions, have samples in different regions, so that both must be lower. A case has no answer for a
question if the answer depends on the definition.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import torch
from torch import Tensor

from gancore.metrics import Control
from gancore.random import Key
from gancore_lab import distributions as dist
from gancore_lab.distributions import MODES, Distribution

Question = Literal[
    "distance", "two-sample", "fidelity", "diversity", "support", "memory", "classes", "labels"
]
"""The questions that metrics answer: their kinds, and two-sample tests, support size, classes and labels."""
QUESTIONS = frozenset(get_args(Question))
EVEN_MIXTURE = dist.mixture([1.0] * MODES)
FAR_DIMENSIONS = 64
OUTLIER_DISTANCE = 24.0
"""The distance of an outlier from the origin, along the diagonal; coordinates have standard deviation 1."""

Truth = Literal["worse", "same", "not worse"]
Twin = Literal["order", "seed", "size"]
"""The difference between two evaluations that must agree: the order of rows, the seed, or 1/4 of the rows."""


@dataclass(frozen=True)
class CaseData:
    """Rows of the real distribution, which all cases of it share: (n, d) each."""

    distribution: Distribution
    key: Key
    n: int
    d: int

    def rows(self, name: str) -> Tensor:
        return self.distribution(self.key / name, self.n, self.d)

    @cached_property
    def real(self) -> Tensor:
        return self.rows("real")

    @cached_property
    def train(self) -> Tensor:
        return self.rows("train")

    @cached_property
    def held_out(self) -> Tensor:
        return self.rows("held")

    def new_rows(self, distribution: Distribution | None = None) -> Tensor:
        """Further rows of the real or of another distribution, (n, d)."""
        return (distribution or self.distribution)(self.key / "fake", self.n, self.d)


@dataclass(frozen=True)
class Case:
    """Samples ``fake(case_data)`` compared with rows of ``distribution``.

    Attributes:
        description: the samples in words.
        worse: questions for which the samples are worse than real rows.
        worse_when_far: questions for which they are worse in 64 and more dimensions, where the distributions
            hardly overlap.
        same: questions for which there is no difference from real rows.
        not_worse: questions for which they are not worse. Other questions have no answer.
        same_as_controls: controls with this fault. A metric that is insensitive to one of them declares that
            it does not detect the fault.
        reference_share, held_out_share: the numbers of reference and held-out rows per sample.
        classes: whether the distribution is the mixture, whose exact posteriors metrics of classes get.
        labels: the requested labels as a function of the modes of the samples.
    """

    description: str
    distribution: Distribution
    fake: Callable[[CaseData], Tensor]
    worse: frozenset[Question] = frozenset()
    same: frozenset[Question] = frozenset()
    not_worse: frozenset[Question] = frozenset()
    worse_when_far: frozenset[Question] = frozenset()
    same_as_controls: frozenset[Control] = frozenset()
    reference_share: float = 1.0
    held_out_share: float = 1.0
    classes: bool = False
    labels: Callable[[Tensor], Tensor] = lambda modes: modes
    twin: Twin | None = None
    reference: Callable[[Tensor], Tensor] = lambda real: real
    """A change of the rows of the reference."""
    in_paper: bool = False
    """Whether it is a check of the position paper."""

    def truth(self, kind: Question, d: int) -> Truth | None:
        """The correct answer to this question in d dimensions; None if there is none."""
        if kind in self.worse or (kind in self.worse_when_far and d >= FAR_DIMENSIONS):
            return "worse"
        if kind in self.same:
            return "same"
        return "not worse" if kind in self.not_worse else None


def _questions(words: str) -> frozenset[Question]:
    found = frozenset(words.split())
    assert found <= QUESTIONS, found - QUESTIONS
    return frozenset(question for question in QUESTIONS if question in found)


def _shifted(by: float, column: int | None = None) -> Callable[[CaseData], Tensor]:
    """New rows, shifted by this distance along the diagonal or along one coordinate."""

    def fake(case_data: CaseData) -> Tensor:
        rows: Tensor = case_data.new_rows()
        if column is None:
            return rows + by / math.sqrt(case_data.d)
        rows[:, column] += by
        return rows

    return fake


def _few(case_data: CaseData) -> Tensor:
    """A twentieth of the rows, repeated."""
    return case_data.new_rows()[torch.arange(case_data.n) % max(1, case_data.n // 20)]


def _near(rows: Tensor, case_data: CaseData, by: float) -> Tensor:
    return rows + by * (case_data.key / "near").normal(case_data.n, case_data.d)


def _with_outlier(real: Tensor) -> Tensor:
    rows = real.clone()
    rows[0] = OUTLIER_DISTANCE / math.sqrt(real.shape[1])
    return rows


def _all_but_one(case_data: CaseData) -> Tensor:
    """All samples except one are far away; the k-NN ball around that one contains all real rows."""
    rows = case_data.new_rows() + OUTLIER_DISTANCE / math.sqrt(case_data.d)
    rows[0] = 0
    return rows


def _tenth_copied(case_data: CaseData) -> Tensor:
    rows, count = case_data.new_rows(), case_data.n // 10
    rows[:count] = case_data.train[:count]
    return rows


def _overlapping(case_data: CaseData) -> Tensor:
    """A cube that shares a fifth of its volume with the real one."""
    return case_data.new_rows() + 1 - math.pow(0.2, 1 / case_data.d)


def _shuffle_conditions(modes: Tensor) -> Tensor:
    """Requested labels: for half of the samples, the mode before their own."""
    return torch.where(torch.arange(len(modes)) % 2 == 0, modes, (modes + 1) % MODES)


def _of(distribution: Distribution) -> Callable[[CaseData], Tensor]:
    return lambda case_data: case_data.new_rows(distribution)


SAMPLES = _questions("fidelity diversity distance two-sample")
MEMORY = _questions("memory")
EVERY_QUESTION = _questions("fidelity diversity distance two-sample memory support classes labels")
LOST_DIVERSITY = _questions("diversity distance two-sample")
SEVEN_MODES = [1.0] * (MODES - 3)
HEAVY_MODE = [0.9, *[0.1 / (MODES - 1)] * (MODES - 1)]

CASES: dict[str, Case] = {
    "equal laws": Case("samples of the same law", dist.gaussian, CaseData.new_rows, same=EVERY_QUESTION),
    "equal mixtures": Case(
        "samples of the same mixture", EVEN_MIXTURE, CaseData.new_rows, same=EVERY_QUESTION, classes=True
    ),
    "equal, heavy tails": Case(
        "samples of the same heavy-tailed law", dist.heavy, CaseData.new_rows, same=EVERY_QUESTION
    ),
    "mean": Case(
        "a mean that is 8 standard deviations away",
        dist.gaussian,
        _shifted(8.0),
        worse=SAMPLES,
        not_worse=MEMORY,
        in_paper=True,
    ),
    "shrunken": Case(
        "samples at half the spread",
        dist.gaussian,
        lambda case_data: case_data.new_rows() / 2,
        worse=LOST_DIVERSITY,
        worse_when_far=_questions("fidelity"),
        not_worse=MEMORY,
        same_as_controls=frozenset({"shrunk"}),
        in_paper=True,
    ),
    "point-like": Case(
        "samples all near the mean",
        dist.gaussian,
        lambda case_data: case_data.new_rows() / 100,
        worse=LOST_DIVERSITY | _questions("support"),
        worse_when_far=_questions("fidelity"),
        not_worse=MEMORY,
        same_as_controls=frozenset({"shrunk"}),
        in_paper=True,
    ),
    "widened": Case(
        "samples at twice the spread",
        dist.gaussian,
        lambda case_data: case_data.new_rows() * 2,
        worse=_questions("fidelity distance two-sample"),
        worse_when_far=_questions("diversity"),
        not_worse=MEMORY,
        same_as_controls=frozenset({"widened"}),
        in_paper=True,
    ),
    "repeated": Case(
        "a few samples, repeated",
        dist.gaussian,
        _few,
        worse=LOST_DIVERSITY | _questions("support"),
        same_as_controls=frozenset({"collapse"}),
    ),
    "few points": Case(
        "samples close to a few points",
        dist.gaussian,
        lambda case_data: _near(_few(case_data), case_data, 0.01),
        worse=LOST_DIVERSITY | _questions("support"),
        same_as_controls=frozenset({"collapse", "points"}),
    ),
    "3 of 10 modes dropped": Case(
        "dropped modes",
        EVEN_MIXTURE,
        _of(dist.mixture(SEVEN_MODES)),
        worse=LOST_DIVERSITY | _questions("classes"),
        not_worse=_questions("fidelity labels"),
        classes=True,
        in_paper=True,
    ),
    "90 % on one mode": Case(
        "nearly all samples in one mode",
        EVEN_MIXTURE,
        _of(dist.mixture(HEAVY_MODE)),
        worse=LOST_DIVERSITY | _questions("classes"),
        not_worse=_questions("fidelity labels"),
        classes=True,
        in_paper=True,
    ),
    "5 modes invented": Case(
        "invented modes",
        dist.mixture([1.0] * 5),
        _of(EVEN_MIXTURE),
        worse=_questions("fidelity distance two-sample"),
        not_worse=_questions("diversity"),
        in_paper=True,
    ),
    "3 of 10 modes moved": Case(
        "modes at other positions", EVEN_MIXTURE, _of(dist.moved_modes(3, 8.0)), worse=SAMPLES
    ),
    "labels swapped": Case(
        "samples of another class than requested",
        EVEN_MIXTURE,
        CaseData.new_rows,
        worse=_questions("labels"),
        same=EVERY_QUESTION - {"labels"},
        classes=True,
        labels=_shuffle_conditions,
    ),
    "one against two modes": Case(
        "one mode in the place of two, of equal mean and covariance",
        dist.two_modes,
        _of(dist.one_mode),
        worse=_questions("fidelity distance two-sample"),
        in_paper=True,
    ),
    "independent": Case(
        "independent coordinates",
        dist.correlated,
        _of(dist.gaussian),
        worse=_questions("fidelity distance two-sample"),
        worse_when_far=_questions("diversity"),
        same_as_controls=frozenset({"noise"}),
    ),
    "onto an outlier": Case(
        "all samples around one real outlier",
        dist.gaussian,
        lambda case_data: case_data.new_rows() + OUTLIER_DISTANCE / math.sqrt(case_data.d),
        reference=_with_outlier,
        worse=SAMPLES,
        not_worse=MEMORY,
        in_paper=True,
    ),
    "all but one far away": Case(
        "samples far away, except for one",
        dist.gaussian,
        _all_but_one,
        worse=SAMPLES,
        not_worse=MEMORY,
        in_paper=True,
    ),
    "one disjoint dimension": Case(
        "one shifted coordinate", dist.gaussian, _shifted(6.0, 0), worse=SAMPLES, in_paper=True
    ),
    "beside a dimension times 1000": Case(
        "a shifted coordinate, next to one in large units",
        dist.one_wide,
        _shifted(6.0, 0),
        worse=SAMPLES,
        in_paper=True,
    ),
    "beside a Pareto tail": Case(
        "a shifted coordinate, next to one with a very heavy tail",
        dist.pareto,
        _shifted(6.0, 0),
        worse=SAMPLES,
        in_paper=True,
    ),
    "integers for reals": Case(
        "rounded values",
        dist.gaussian,
        _of(dist.integers),
        worse=_questions("distance two-sample"),
        in_paper=True,
    ),
    "reals for integers": Case(
        "real values in place of integers",
        dist.integers,
        _of(dist.gaussian),
        worse=_questions("distance two-sample"),
        in_paper=True,
    ),
    "sphere, half the radius": Case(
        "a sphere of half the radius", dist.sphere(1.0), _of(dist.sphere(0.5)), worse=SAMPLES, in_paper=True
    ),
    "sphere, 1.5 radii": Case(
        "a sphere of larger radius", dist.sphere(1.0), _of(dist.sphere(1.5)), worse=SAMPLES, in_paper=True
    ),
    "torus for a ball": Case(
        "a ring around the real ball", dist.ball, _of(dist.torus), worse=SAMPLES, in_paper=True
    ),
    "ball for a torus": Case(
        "a ball within the real ring", dist.torus, _of(dist.ball), worse=SAMPLES, in_paper=True
    ),
    "cubes, a fifth shared": Case(
        "four fifths outside a cube", dist.cube, _overlapping, worse=SAMPLES, in_paper=True
    ),
    "copies of train": Case(
        "copies of train",
        dist.gaussian,
        lambda case_data: case_data.train.clone(),
        worse=_questions("memory"),
        not_worse=_questions("fidelity diversity distance"),
    ),
    "near copies of train": Case(
        "train with a little noise",
        dist.gaussian,
        lambda case_data: _near(case_data.train, case_data, 0.01),
        worse=_questions("memory"),
        not_worse=_questions("fidelity diversity distance"),
    ),
    "a tenth copied": Case(
        "a tenth of copies of train", dist.gaussian, _tenth_copied, worse=_questions("memory")
    ),
    "copies of the reference": Case(
        "copies of the reference rows",
        dist.gaussian,
        lambda case_data: case_data.real.clone(),
        worse=_questions("two-sample"),
    ),
    "fewer held-out rows": Case(
        "equal laws, with few held-out rows",
        EVEN_MIXTURE,
        CaseData.new_rows,
        same=EVERY_QUESTION,
        held_out_share=0.2,
        classes=True,
    ),
    "fewer held-out rows, half of the modes": Case(
        "dropped modes, with few held-out rows",
        EVEN_MIXTURE,
        _of(dist.mixture([1.0] * 5)),
        worse=LOST_DIVERSITY | _questions("classes"),
        not_worse=_questions("fidelity labels"),
        held_out_share=0.2,
        classes=True,
    ),
    "fewer real rows": Case(
        "equal laws, with few real rows",
        EVEN_MIXTURE,
        CaseData.new_rows,
        same=EVERY_QUESTION,
        reference_share=0.2,
        classes=True,
        in_paper=True,
    ),
    "order of rows": Case(
        "the order of rows",
        EVEN_MIXTURE,
        _of(dist.mixture(SEVEN_MODES)),
        same=QUESTIONS,
        classes=True,
        twin="order",
    ),
    "seed": Case(
        "the evaluation's seed",
        EVEN_MIXTURE,
        _of(dist.mixture(SEVEN_MODES)),
        same=QUESTIONS,
        classes=True,
        twin="seed",
    ),
    "number of rows": Case(
        "the number of rows", dist.cube, _overlapping, same=QUESTIONS, twin="size", in_paper=True
    ),
}
"""Cases by name, in the order of the table."""
