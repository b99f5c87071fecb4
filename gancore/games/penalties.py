"""Gradient penalties on a discriminator: R1, R2 and WGAN-GP, in fp32, with respect to its embedding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

import torch
from torch import Tensor

from gancore.errors import ConfigError, GancoreError
from gancore.games.discriminator import Discriminator
from gancore.games.lookup import find_by_name
from gancore.games.schedules import Schedule, require_every
from gancore.trees import Tree, tree_leaves, tree_map, tree_unflatten


def gradient_squared_norm(discriminator: Discriminator, embedded: Tree, condition: Tree) -> Tensor:
    """|grad_x D(x)|^2 per row, (batch,), differentiable in the discriminator's parameters."""
    points = tree_map(lambda x: x if x.requires_grad else x.detach().requires_grad_(), embedded)
    logits = discriminator.logits(points, condition)
    gradients = torch.autograd.grad(
        logits.sum(), tree_leaves(points), create_graph=True, materialize_grads=True
    )
    return discriminator.squared_norm(tree_unflatten(points, gradients))


def interpolate(real: Tree, fake: Tree, alpha: Tensor) -> Tree:
    """alpha x + (1 - alpha) y with one alpha per example, whatever the leaves' shapes.

    ``alpha`` may have more rows than the trees (packed samples). Each pack takes the alpha of its first
    sample, so that a divided batch gives the same result.
    """

    def blend(x: Tensor, y: Tensor) -> Tensor:
        first_of_pack = alpha[:: len(alpha) // len(x)][: len(x)]
        a = first_of_pack.to(x.dtype).view(-1, *[1] * (x.dim() - 1))
        return a * x + (1 - a) * y

    return tree_unflatten(
        real, [blend(x, y) for x, y in zip(tree_leaves(real), tree_leaves(fake), strict=True)]
    )


def r1(discriminator: Discriminator, real: Tree, fake: Tree, condition: Tree, alpha: Tensor) -> Tensor:
    """1/2 |grad D(x)|^2 at reals (Mescheder et al. 2018, eq. 9); (batch,)."""
    return 0.5 * gradient_squared_norm(discriminator, real, condition)


def r2(discriminator: Discriminator, real: Tree, fake: Tree, condition: Tree, alpha: Tensor) -> Tensor:
    """1/2 |grad D(G(z))|^2 at fakes (Mescheder et al. 2018, eq. 10); (batch,)."""
    return 0.5 * gradient_squared_norm(discriminator, fake, condition)


def wgan_gp(discriminator: Discriminator, real: Tree, fake: Tree, condition: Tree, alpha: Tensor) -> Tensor:
    """(|grad D(x')| - 1)^2 at interpolates, norm per example (Gulrajani et al. 2017, eq. 3); (batch,)."""
    interpolates = interpolate(real, fake, alpha)
    return (gradient_squared_norm(discriminator, interpolates, condition).add(1e-12).sqrt() - 1) ** 2


PenaltyFunction = Callable[[Discriminator, Tree, Tree, Tree, Tensor], Tensor]
"""From (discriminator, embedded reals, embedded fakes, condition, alpha) to one value per row."""


@dataclass(frozen=True)
class PenaltyTerm:
    """``weight * function``: a term of each discriminator move, or with ``every`` above 1 a lazy move.

    A record, no base class: :func:`R1`, :func:`R2`, :func:`WGANGP` and :func:`find_penalty` return one.
    ``needs_fake``: the function uses fakes.
    """

    name: str
    function: PenaltyFunction = field(repr=False)
    weight: Schedule | float
    every: int = 1
    needs_fake: bool = False

    def __post_init__(self) -> None:
        require_every(self.every, f"the penalty {self.name!r}")


def with_unique_names(penalties: Sequence[PenaltyTerm]) -> list[PenaltyTerm]:
    """The penalties with unique names: of two named ``r1`` the second becomes ``r1-2``."""
    used, renamed = {"loss"}, []
    for penalty in penalties:
        numbered = (penalty.name if k == 1 else f"{penalty.name}-{k}" for k in count(1))
        name = next(name for name in numbered if name not in used)
        used.add(name)
        renamed.append(penalty if name == penalty.name else replace(penalty, name=name))
    return renamed


def R1(gamma: Schedule | float = 1.0, every: int = 1) -> PenaltyTerm:  # noqa: N802
    """gamma/2 E |grad D(x)|^2 over reals."""
    return PenaltyTerm("r1", r1, gamma, every)


def R2(gamma: Schedule | float = 1.0, every: int = 1) -> PenaltyTerm:  # noqa: N802
    """gamma/2 E |grad D(G(z))|^2 over fakes."""
    return PenaltyTerm("r2", r2, gamma, every, needs_fake=True)


def WGANGP(weight: Schedule | float = 10.0, every: int = 1) -> PenaltyTerm:  # noqa: N802
    """lambda E (|grad D(x')| - 1)^2 over interpolates, alpha one per example."""
    return PenaltyTerm("wgan-gp", wgan_gp, weight, every, needs_fake=True)


PENALTIES: Mapping[str, Callable[[Schedule | float, int], PenaltyTerm]] = {
    "r1": R1,
    "r2": R2,
    "wgan-gp": WGANGP,
}
"""Penalties by name, as in ``model.penalty``: functions of (weight, every)."""


def find_penalty(name: str, weight: Schedule | float, every: int = 1) -> PenaltyTerm:
    """The penalty of this name, built in or of a plugin, with this weight.

    Raises:
        ConfigError: no such penalty, or the plugin's entry does not name a function that returns one.
    """
    factory = find_by_name("penalty", name, PENALTIES, "gancore_penalties")
    penalty = factory(weight, every) if callable(factory) else factory
    if not isinstance(penalty, PenaltyTerm):
        raise ConfigError(
            f"the penalty {name!r} is registered as something that gives {type(penalty).__name__}",
            "change the plugin's entry: name a function of (weight, every) that returns a PenaltyTerm",
        )
    return penalty


def resolve_penalties(names: str, weight: Schedule | float, every: int) -> list[PenaltyTerm]:
    """The penalties of names joined by ``+``; ``none`` gives an empty list.

    A name that is unknown gives a stand-in that raises the error when it is evaluated, so that a model can
    be sampled without the plugin of its penalty.
    """
    return [_resolve_penalty(name, weight, every) for name in names.split("+")] if names != "none" else []


def _resolve_penalty(name: str, weight: Schedule | float, every: int) -> PenaltyTerm:
    try:
        return find_penalty(name, weight, every)
    except GancoreError as caught:
        error = caught

    def refuse(
        discriminator: Discriminator, real: Tree, fake: Tree, condition: Tree, alpha: Tensor
    ) -> Tensor:
        raise error

    return PenaltyTerm(name, refuse, weight, every)
