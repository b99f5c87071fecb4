"""Adversarial losses as pure functions of (real logits, fake logits), one value a row, to be minimised.

Logits have shape (batch, ...); r is D before its sigmoid on reals, f on fakes. ``softplus(-x)`` is
``-log sigmoid(x)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, relu, softplus

from gancore.errors import ConfigError, GancoreError, nearest
from gancore.games.loss_trial import Values, couples_rows, reads_real, require_rows
from gancore.games.names import find_named


@dataclass(frozen=True)
class AdversarialLoss:
    """Two functions of (real logits, fake logits): what each player minimises, one value for each row.

    ``generator_needs_real``: the generator's function reads the real logits. ``batch_coupled``: a value
    depends on other rows, as through their mean. Both are found by calling the functions once; state
    them only where that cannot show it (a function that takes logits of a special shape).
    ``probability``: sigmoid(logit) is a probability of being real (not so for a critic).
    ``difference``: only differences of logits count, so that one logit's sign says nothing.

    Raises:
        ConfigError: a function returns one number for a batch, or reads what is stated to be unread.
    """

    discriminator: Values
    generator: Values
    generator_needs_real: bool | None = None
    batch_coupled: bool | None = None
    probability: bool = True
    difference: bool = False

    def __post_init__(self) -> None:
        for name, function in (("discriminator", self.discriminator), ("generator", self.generator)):
            require_rows(function, name)
        found = {
            "generator_needs_real": reads_real(self.generator),
            "batch_coupled": couples_rows(self.discriminator) or couples_rows(self.generator),
        }
        for name, holds in found.items():
            stated = getattr(self, name)
            if holds and stated is False:
                raise ConfigError(f"the loss states {name}=False, and it is not so", f"leave out {name}")
            object.__setattr__(self, name, holds if stated is None else stated)


def minimax(smooth: float = 0.0) -> AdversarialLoss:
    """Goodfellow et al. 2014, eq. 1: D maximises E log D(x) + E log(1 - D(G(z))), G minimises it.

    ``smooth``: one-sided label smoothing, the reals' target is 1 - smooth (Salimans et al. 2016, 3.4).
    """
    return AdversarialLoss(_cross_entropy(smooth), lambda r, f: -softplus(f))


def nonsaturating(smooth: float = 0.0) -> AdversarialLoss:
    """Goodfellow et al. 2014, section 3: the generator maximises E log D(G(z)) instead."""
    return AdversarialLoss(_cross_entropy(smooth), lambda r, f: softplus(-f))


def _cross_entropy(smooth: float) -> Values:
    if not 0 <= smooth < 1:
        raise ConfigError(f"one-sided label smoothing of {smooth}", "give 0 <= smooth < 1")
    return lambda r, f: (1 - smooth) * softplus(-r) + smooth * softplus(r) + softplus(f)


MEASURING: dict[str, Callable[[Tensor], Tensor]] = {
    "log": logsigmoid,
    "identity": torch.sigmoid,
    "square": lambda x: torch.sigmoid(x) ** 2,
    "sqrt": lambda x: torch.exp(0.5 * logsigmoid(x)),
}
"""Measuring functions by name, each written on the logit: ``phi(sigmoid(x))``; add your own."""


def measuring(phi: str | Callable[[Tensor], Tensor] = "log") -> AdversarialLoss:
    """Arora et al. 2017, definition 1: D maximises E phi(D(x)) + E phi(1 - D(G(z))), G minimises it.

    ``phi``: a name in :data:`MEASURING`, or any increasing function on (0, 1).

    Raises:
        ConfigError: no measuring function of this name.
    """
    if isinstance(phi, str) and phi not in MEASURING:
        raise ConfigError(f"no measuring function is named {phi!r}", nearest(phi, MEASURING))
    measure = MEASURING[phi] if isinstance(phi, str) else lambda x: phi(torch.sigmoid(x))
    return AdversarialLoss(lambda r, f: -measure(r) - measure(-f), lambda r, f: measure(-f))


def wasserstein() -> AdversarialLoss:
    """Arjovsky et al. 2017, eq. 2 and 3: the critic maximises E C(x) - E C(G(z))."""
    return AdversarialLoss(lambda r, f: f - r, lambda r, f: -f, probability=False, difference=True)


def hinge() -> AdversarialLoss:
    """Lim & Ye 2017; Miyato et al. 2018, eq. 16 and 17."""
    return AdversarialLoss(lambda r, f: relu(1 - r) + relu(1 + f), lambda r, f: -f, probability=False)


def least_squares() -> AdversarialLoss:
    """Mao et al. 2017, eq. 2 with a = 0, b = c = 1."""
    return AdversarialLoss(
        lambda r, f: 0.5 * (r - 1) ** 2 + 0.5 * f**2, lambda r, f: 0.5 * (f - 1) ** 2, probability=False
    )


def relativistic_paired() -> AdversarialLoss:
    """Jolicoeur-Martineau 2019, RSGAN: each fake is judged beside one real."""
    return AdversarialLoss(
        lambda r, f: softplus(-(r - f)),
        lambda r, f: softplus(-(f - r)),
        probability=False,
        difference=True,
    )


def relativistic_average() -> AdversarialLoss:
    """Jolicoeur-Martineau 2019, RaSGAN: each is judged beside the mean of the others."""

    def judged(up: Tensor, down: Tensor) -> Tensor:
        return softplus(-(up - down.mean(0))) + softplus(down - up.mean(0))

    return AdversarialLoss(
        judged,
        lambda r, f: judged(f, r),
        probability=False,
        difference=True,
    )


LOSSES: Mapping[str, Callable[[], AdversarialLoss]] = {
    "minimax": minimax,
    "nonsaturating": nonsaturating,
    "measuring-log": lambda: measuring("log"),
    "measuring-identity": lambda: measuring("identity"),
    "measuring-square": lambda: measuring("square"),
    "measuring-sqrt": lambda: measuring("sqrt"),
    "wasserstein": wasserstein,
    "hinge": hinge,
    "least-squares": least_squares,
    "relativistic": relativistic_paired,
    "relativistic-average": relativistic_average,
}
"""Losses by the name that a configuration uses."""


def loss_of(named: str | AdversarialLoss) -> AdversarialLoss:
    """The loss, or where its name is unknown one that says so when a cost is evaluated.

    Sampling evaluates none: a model is read where the plugin that brought its loss is not installed.
    """
    if isinstance(named, AdversarialLoss):
        return named
    try:
        return find_loss(named)
    except GancoreError as error:
        missing = error

    def refuse(real: Tensor, fake: Tensor) -> Tensor:
        raise missing

    return AdversarialLoss(refuse, refuse)


def find_loss(name: str) -> AdversarialLoss:
    """The loss of this name, here or from a plugin.

    Raises:
        ConfigError: no such loss.
    """
    found = find_named("loss", name, LOSSES, "gancore_losses")
    loss: AdversarialLoss = found if isinstance(found, AdversarialLoss) else found()
    return loss
