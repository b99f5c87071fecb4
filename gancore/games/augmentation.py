"""Differentiable augmentation of the discriminator's inputs, real and fake, in every move."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gancore.errors import ConfigError
from gancore.games.cost import Cost
from gancore.games.discriminator import Discriminator
from gancore.games.schedules import Schedule, linear, schedule_value
from gancore.random import ModuleNoise, noise
from gancore.trees import Tree, tree_batch_size, tree_leaves, tree_map, tree_unflatten

BatchTransform = Callable[[Tree, ModuleNoise], Tree]
"""Changes each row by its own draws, ``noise.uniform(rows, ...)``. It is differentiable and keeps shapes."""


@dataclass(frozen=True)
class AdaptiveProbability:
    """A probability that follows the discriminator's overfitting (Karras et al. 2020, ADA, section 3.1).

    r_t = E sign D(x) on reals is held at ``target``: every ``every`` steps the probability rises if r_t is
    above, and falls if it is below, at a speed that leads from 0 to 1 within ``samples`` reals.
    """

    target: float = 0.6
    samples: int = 500_000
    every: int = 4


@dataclass(frozen=True)
class Augmentation:
    """``probability`` is that of each transform being applied to a row, independently for each transform.

    1.0 is Zhao et al. 2020 (every transform on every row); a schedule runs over the phase.
    """

    transforms: Sequence[BatchTransform]
    probability: Schedule | float | AdaptiveProbability = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.probability, (int, float)) and not 0 <= self.probability <= 1:
            raise ConfigError(
                f"the probability of an augmentation is {self.probability}", "give a number from 0 to 1"
            )


AugmentationMode = Literal["none", "fixed", "rising", "adaptive"]
"""None, a constant probability, one that rises linearly from 0, or one that follows overfitting."""


def make_augmentation(
    mode: AugmentationMode, transforms: Sequence[BatchTransform], probability: float = 1.0
) -> Augmentation | None:
    """The augmentation of this mode; ``probability`` is the constant one, or the last of a rising one."""
    probabilities: dict[str, Schedule | float | AdaptiveProbability] = {
        "fixed": probability,
        "rising": linear(0.0, probability),
        "adaptive": AdaptiveProbability(),
    }
    return None if mode == "none" else Augmentation(transforms, probabilities[mode])


class AugmentedDiscriminator(Discriminator):
    """A discriminator whose embedded inputs are augmented in training.

    Penalties differentiate through the transforms, at the row before them. The probability is the buffer
    ``strength``, so that a resumed run continues with it.
    """

    def __init__(self, inner: Discriminator, augmentation: Augmentation) -> None:
        super().__init__()
        self.inner, self.augmentation = inner, augmentation
        probability = augmentation.probability
        self.strength: Tensor
        self.signs: Tensor
        start = 0.0 if isinstance(probability, AdaptiveProbability) else schedule_value(probability, 0.0)
        self.register_buffer("strength", torch.tensor(start))
        self.register_buffer(
            "signs", torch.zeros(2)
        )  # sum of r_t and number of moves since the last adjustment

    def embed(self, data: Tree) -> Tree:
        return self.inner.embed(data)

    def logits(self, embedded: Tree, condition: Tree = None) -> Tensor:
        augmented = self.augment(embedded) if self.training else embedded
        return self.inner.logits(augmented, condition)

    def mask(self, data: Tree) -> Tensor | None:
        return self.inner.mask(data)

    def squared_norm(self, gradients: Tree) -> Tensor:
        return self.inner.squared_norm(gradients)

    def augment(self, embedded: Tree) -> Tree:
        """In fp32 or better for reals and fakes, so that rounding does not distinguish them."""
        rows, device = tree_batch_size(embedded), tree_leaves(embedded)[0].device
        generator = noise(rows, device)
        with torch.autocast(device.type, enabled=False):
            x = tree_map(lambda leaf: leaf.to(torch.promote_types(leaf.dtype, torch.float32)), embedded)
            for transform in self.augmentation.transforms:
                applied = generator.uniform(rows) < self.strength
                x = _select_rows(applied, transform(x, generator), x)
        return x

    def log_overfitting(self, cost: Cost, real_score: Tensor) -> None:
        """Log r_t and the probability. ``real_score`` is above 0 for a real row classified as real."""
        cost.log("r_t", real_score.sign()).log("augmentation", self.strength)

    def after_move(self, means: Mapping[str, Tensor]) -> None:
        """Add r_t to its sum, unless the update was masked."""
        if isinstance(self.augmentation.probability, AdaptiveProbability) and "r_t" in means:
            ok = means["ok"]
            self.signs += torch.stack([torch.where(ok > 0, means["r_t"].to(ok.dtype), 0.0), ok])

    def after_step(self, step: int, samples: int, progress: float) -> None:
        probability = self.augmentation.probability
        if not isinstance(probability, AdaptiveProbability):
            self.strength.fill_(schedule_value(probability, progress))
        elif (step + 1) % probability.every == 0:
            direction = (self.signs[0] - probability.target * self.signs[1]).sign()
            self.strength.add_(direction * (probability.every * samples / probability.samples)).clamp_(0, 1)
            self.signs.zero_()


def _select_rows(applied: Tensor, changed: Tree, given: Tree) -> Tree:
    """For each row the changed or the given one, bit by bit."""

    def row_wise(new: Tensor, old: Tensor) -> Tensor:
        return torch.where(applied.view(-1, *[1] * (old.dim() - 1)), new, old)

    return tree_unflatten(
        given, [row_wise(n, o) for n, o in zip(tree_leaves(changed), tree_leaves(given), strict=True)]
    )
