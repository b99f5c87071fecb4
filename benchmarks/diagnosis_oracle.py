"""The true state of a game, from its density, new rows and the state of every step."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from diagnosis_games import Case
from torch import Tensor

from gancore.games.training_setup import TrainingSetup
from gancore.random import Key, RowRange
from gancore.training.state import TrainState

TRAIL = 400  # number of stored positions of the generator's mean
LOOKS = 40  # number of exact gradients
CHECKS = 10  # number of checks of modes and of the area under the ROC curve


@dataclass
class Oracle:
    """Called after every step. It measures on thousands of rows what the diagnosis estimates from few."""

    case: Case
    table: TrainingSetup
    total: int
    trail: list[Tensor] = field(default_factory=list)
    gradients: list[tuple[float, float]] = field(default_factory=list)
    lost: list[float] = field(default_factory=list)
    near: list[bool] = field(default_factory=list)
    widths: list[float] = field(default_factory=list)
    areas: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(99)
        self.fresh = self.case.points.draw(4000, generator)
        self.adversarial = hasattr(self.table.game, "discriminator")
        self.spread = self.case.points.spread
        among = torch.cdist(self.fresh[:500], self.fresh).kthvalue(2, dim=1).values
        self.reach = max(0.3 * self.spread, 1.5 * float(among.median()))
        rows = next(iter(self.table.batches.views.values())).data
        self.broken = not bool(torch.isfinite(rows).all())

    def __call__(self, state: TrainState) -> None:
        if state.step % max(1, self.total // TRAIL) == 0:
            self.trail.append(self._samples(256).mean(0))
        if self.adversarial and state.step % max(1, self.total // LOOKS) == 0:
            self.gradients.append(self._gradient())
            self.broken |= not math.isfinite(self.gradients[-1][0])
        if state.step % max(1, self.total // CHECKS) == 0:
            samples = self._samples(4096)
            self.broken |= not math.isfinite(float(samples.norm()))  # or too large for its square
            self.lost.append(self._lost(samples))
            width = (samples - samples.mean(0)).square().sum(1).mean().sqrt()
            self.widths.append(float(width) / max(self.spread, 1e-12))
            self.near.append(
                float(torch.cdist(samples[:1000], self.fresh).min(1).values.median()) < self.reach
            )
            if self.adversarial:
                self.areas.append(self._area())

    @torch.no_grad()
    def _samples(self, n: int) -> Tensor:
        sampler = self.table.game.sampler().eval()
        made = sampler.sample(n, Key.of("oracle").with_rows(RowRange.all(n)))
        self.table.game.train()
        return made

    def _gradient(self) -> tuple[float, float]:
        """The norm of the generator's exact gradient, and D(real) - D(fake)."""
        game = self.table.game
        z = torch.randn(1024, game.prior.size, generator=torch.Generator().manual_seed(7))
        fake = game.discriminator(game.generator(z))
        real = game.discriminator(self.fresh[:1024])
        norms = torch.autograd.grad(game.loss.generator(real, fake).mean(), list(game.generator.parameters()))
        correct = (real.detach() > 0).float().mean() + (fake.detach() < 0).float().mean()
        return float(torch.cat([g.flatten() for g in norms]).norm()), float(correct / 2)

    def _lost(self, samples: Tensor) -> float:
        """The share of the data in cells with less than a tenth of their expected number of samples."""
        shares = torch.tensor(self.case.points.shares)
        if not torch.isfinite(samples).all():
            return math.nan
        counts = torch.bincount(self.case.points.cell(samples), minlength=len(shares)) / len(samples)
        return float(shares[counts < 0.1 * shares].sum())

    @torch.no_grad()
    def _area(self) -> float:
        """P(D(row of train) > D(new row)), which is 1/2 if D has not memorised train."""
        judge = self.table.game.discriminator
        train = judge(next(iter(self.table.batches.views.values())).data[:4000])
        fresh = judge(self.fresh).sort().values
        below = torch.searchsorted(fresh, train) + torch.searchsorted(fresh, train, right=True)
        return float(below.double().mean() / 2 / len(fresh))

    def truth(self) -> dict[str, bool | None]:
        """Whether the game has each fault; None if it is undecided, which is not counted."""
        assert self.broken == self.case.truth.get("non-finite", False), (
            f"{self.case.name} does not have its fault by construction"
        )
        if self.broken:
            return {"non-finite": True}
        measured = {
            "non-finite": False,
            "diversity collapse": self._collapsed(),
            "oscillation": self._oscillates(),
            "vanishing generator gradient": self._vanishes(),
            "memorising discriminator": self._memorises(),
        }
        return measured | self.case.truth

    def _collapsed(self) -> bool | None:
        """Whether samples have collapsed.

        True if in the last three checks a quarter of the data is missing from samples that are on the data,
        or all samples are within a twentieth of the width of the data. False if neither is true in two
        successive checks, nor nearly so in the last eight.
        """
        if self.spread == 0:
            return False
        missing = [lost >= 0.25 for lost in self.lost]
        if (all(missing[-3:]) and all(self.near[-3:])) or max(self.widths[-3:]) < 0.05:
            return True
        ever = any(one and other for one, other in pairwise(missing)) or min(self.widths) < 0.15
        return None if ever or max(self.lost[2:]) > 0.1 else False

    def _oscillates(self) -> bool | None:
        """Whether the generator's mean oscillates.

        True if in the second half it moves back and forth twice, by more than 1.3 standard deviations of the
        data, without damping. False if in neither half it moves back and forth by 0.6 without damping.
        """
        trail = torch.stack(self.trail).double()
        half, extent = len(trail) // 2, float((trail - trail[0]).norm(dim=1).max())
        scale = self.spread or extent / 3  # a point has no width: use the length of the path
        reaches = [_undamped_reach(trail[start : start + half]) for start in (half, half // 2, 0)]
        if reaches[0] > 1.3 * scale:
            return True
        return False if max(reaches) < 0.6 * scale else None

    def _vanishes(self) -> bool | None:
        """Whether the gradient has fallen by two decades, with a discriminator of 99 % accuracy."""
        if not self.adversarial:
            return False
        norms = [norm for norm, _ in self.gradients]
        fallen = [math.log10(max(norms[: i + 1]) / max(norm, 1e-38)) for i, norm in enumerate(norms)]
        if fallen[-1] > 2 and self.gradients[-1][1] > 0.99:
            return True
        ever = any(f > 1.5 and right > 0.95 for f, (_, right) in zip(fallen, self.gradients, strict=True))
        return None if ever else False

    def _memorises(self) -> bool | None:
        if not self.adversarial or self.spread == 0:
            return False
        if min(self.areas[-3:]) > 0.65:
            return True
        return False if max(self.areas) < 0.58 else None


def _undamped_reach(path: Tensor) -> float:
    """The amplitude of a path along its widest direction; 0 if damped or with fewer than four crossings."""
    moved = path - path.mean(0)
    along = moved @ torch.linalg.svd(moved, full_matrices=False)[2][0]
    first, last = along[: len(along) // 2], along[len(along) // 2 :]
    reach, early, later = (float(x.quantile(0.95) - x.quantile(0.05)) for x in (along, first, last))
    low, high = (float(along.quantile(q)) for q in (0.25, 0.75))
    sides = [x > high for x in along.tolist() if x > high or x < low]
    returns = sum(a != b for a, b in pairwise(sides)) >= 4
    return reach if returns and later > 0.5 * early else 0.0
