"""Adversarial losses: pure functions of (real logits, fake logits), one value per row, to be minimised.

Logits have shape (batch, ...); r is D before its sigmoid on reals, f on fakes. ``softplus(-x)`` is
``-log sigmoid(x)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, relu, softplus

from gancore.errors import ConfigError, GancoreError
from gancore.games.lookup import find_by_name
from gancore.games.loss_probe import LossFunction, couples_rows, is_sum, probe_values_per_row, reads_real
from gancore.text import suggestion


@dataclass(frozen=True)
class AdversarialLoss:
    """Two functions of (real logits, fake logits): what each player minimises, one value per row.

    ``generator_needs_real``: the generator's function reads the real logits. ``batch_coupled``: a value
    depends on other rows, for example on their mean. Both are found by calling the functions once; declare
    them only for a function that takes logits of a special shape.
    ``logit_is_log_odds``: sigmoid(logit) is the probability of being real (False for a critic).
    ``shift_invariant``: only differences of logits count, so the sign of one logit has no meaning.

    Raises:
        ConfigError: a function returns one number for a batch, or contradicts a declaration.
    """

    discriminator: LossFunction
    generator: LossFunction
    generator_needs_real: bool | None = None
    batch_coupled: bool | None = None
    logit_is_log_odds: bool = True
    shift_invariant: bool = False

    def __post_init__(self) -> None:
        for name, function in (("discriminator", self.discriminator), ("generator", self.generator)):
            probe_values_per_row(function, name)
        inferred = {
            "generator_needs_real": reads_real(self.generator),
            "batch_coupled": couples_rows(self.discriminator) or couples_rows(self.generator),
        }
        for name, holds in inferred.items():
            declared = getattr(self, name)
            if holds and declared is False:
                raise ConfigError(
                    f"the loss declares {name}=False, but its functions show that it is True",
                    f"remove {name}",
                )
            object.__setattr__(self, name, holds if declared is None else declared)

    @cached_property
    def parts(self) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
        """The discriminator's loss as a function of real logits and one of fake logits, whose sum it is.

        So that reals and fakes can be masked separately; half of the loss at 0 belongs to each.

        Raises:
            ConfigError: the loss is no such sum, because it compares reals with fakes.
        """

        def real_part(real: Tensor) -> Tensor:
            zeros = torch.zeros_like(real)
            return self.discriminator(real, zeros) - 0.5 * self.discriminator(zeros, zeros)

        def fake_part(fake: Tensor) -> Tensor:
            zeros = torch.zeros_like(fake)
            return self.discriminator(zeros, fake) - 0.5 * self.discriminator(zeros, zeros)

        if self.batch_coupled or not is_sum(self.discriminator, real_part, fake_part):
            raise ConfigError(
                "the loss compares logits of reals with logits of fakes, and the discriminator masks them",
                "use a loss that is a sum over both, such as nonsaturating, or mask none of the logits",
            )
        return real_part, fake_part


def minimax(label_smoothing: float = 0.0) -> AdversarialLoss:
    """Goodfellow et al. 2014, eq. 1: D maximises E log D(x) + E log(1 - D(G(z))), G minimises it.

    ``label_smoothing``: one-sided, the target of reals is 1 - label_smoothing (Salimans et al. 2016, 3.4).
    """
    return AdversarialLoss(_cross_entropy(label_smoothing), lambda r, f: -softplus(f))


def nonsaturating(label_smoothing: float = 0.0) -> AdversarialLoss:
    """Goodfellow et al. 2014, section 3: the generator maximises E log D(G(z)) instead."""
    return AdversarialLoss(_cross_entropy(label_smoothing), lambda r, f: softplus(-f))


def _cross_entropy(label_smoothing: float) -> LossFunction:
    if not 0 <= label_smoothing < 1:
        raise ConfigError(f"label_smoothing is {label_smoothing}", "give 0 <= label_smoothing < 1")
    return lambda r, f: (1 - label_smoothing) * softplus(-r) + label_smoothing * softplus(r) + softplus(f)


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
        raise ConfigError(f"no measuring function is named {phi!r}", suggestion(phi, MEASURING))
    measure = MEASURING[phi] if isinstance(phi, str) else lambda x: phi(torch.sigmoid(x))
    return AdversarialLoss(lambda r, f: -measure(r) - measure(-f), lambda r, f: measure(-f))


def wasserstein() -> AdversarialLoss:
    """Arjovsky et al. 2017, eq. 2 and 3: the critic maximises E C(x) - E C(G(z))."""
    return AdversarialLoss(lambda r, f: f - r, lambda r, f: -f, logit_is_log_odds=False, shift_invariant=True)


def hinge() -> AdversarialLoss:
    """Lim & Ye 2017; Miyato et al. 2018, eq. 16 and 17."""
    return AdversarialLoss(lambda r, f: relu(1 - r) + relu(1 + f), lambda r, f: -f, logit_is_log_odds=False)


def least_squares() -> AdversarialLoss:
    """Mao et al. 2017, eq. 2 with a = 0, b = c = 1."""
    return AdversarialLoss(
        lambda r, f: 0.5 * (r - 1) ** 2 + 0.5 * f**2, lambda r, f: 0.5 * (f - 1) ** 2, logit_is_log_odds=False
    )


def relativistic_paired() -> AdversarialLoss:
    """Jolicoeur-Martineau 2019, RSGAN: each fake is compared with one real."""
    return AdversarialLoss(
        lambda r, f: softplus(-(r - f)),
        lambda r, f: softplus(-(f - r)),
        logit_is_log_odds=False,
        shift_invariant=True,
    )


def relativistic_average() -> AdversarialLoss:
    """Jolicoeur-Martineau 2019, RaSGAN: each is compared with the mean of the others."""

    def relative_loss(higher: Tensor, lower: Tensor) -> Tensor:
        return softplus(-(higher - lower.mean(0))) + softplus(lower - higher.mean(0))

    return AdversarialLoss(
        relative_loss,
        lambda r, f: relative_loss(f, r),
        logit_is_log_odds=False,
        shift_invariant=True,
    )


LOSSES: Mapping[str, Callable[[], AdversarialLoss]] = {
    "minimax": minimax,
    "nonsaturating": nonsaturating,
    "measuring-log": partial(measuring, "log"),
    "measuring-identity": partial(measuring, "identity"),
    "measuring-square": partial(measuring, "square"),
    "measuring-sqrt": partial(measuring, "sqrt"),
    "wasserstein": wasserstein,
    "hinge": hinge,
    "least-squares": least_squares,
    "relativistic": relativistic_paired,
    "relativistic-average": relativistic_average,
}
"""Losses by name, as in ``model.loss``."""


def resolve_loss(loss: str | AdversarialLoss) -> AdversarialLoss:
    """The loss of this name.

    If it is unknown, a stand-in that raises the error when a cost is evaluated, so that a model can be
    sampled without the plugin of its loss.
    """
    if isinstance(loss, AdversarialLoss):
        return loss
    try:
        return find_loss(loss)
    except GancoreError as caught:
        error = caught

    def refuse(real: Tensor, fake: Tensor) -> Tensor:
        raise error

    return AdversarialLoss(refuse, refuse)


def find_loss(name: str) -> AdversarialLoss:
    """The loss of this name, built in or of a plugin.

    Raises:
        ConfigError: no such loss.
    """
    found = find_by_name("loss", name, LOSSES, "gancore_losses")
    loss: AdversarialLoss = found if isinstance(found, AdversarialLoss) else found()
    return loss
