"""Build a GAN: :func:`adversarial_game`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import nn

from gancore.errors import ConfigError
from gancore.games.adversarial import AdversarialGame, PenaltyMove
from gancore.games.augmentation import Augmentation, AugmentedDiscriminator
from gancore.games.discrete import DiscreteGame
from gancore.games.discriminator import Discriminator
from gancore.games.dynamics import Alternating, Dynamics
from gancore.games.estimators import Estimator
from gancore.games.game import Move, Phase, Player
from gancore.games.losses import AdversarialLoss, resolve_loss
from gancore.games.optimizers import Adam, Optimizer
from gancore.games.penalties import PenaltyTerm
from gancore.games.prior import Prior, normal
from gancore.games.representation import Identity, Representation


def adversarial_game(
    *,
    generator: Callable[[], nn.Module],
    discriminator: Callable[[], Discriminator],
    prior: Prior | None = None,
    estimator: Estimator | None = None,
    loss: str | AdversarialLoss = "nonsaturating",
    penalties: Sequence[PenaltyTerm] = (),
    generator_optimizer: Optimizer = Adam(2e-4, (0.5, 0.99)),  # noqa: B008
    discriminator_optimizer: Optimizer = Adam(2e-4, (0.5, 0.99)),  # noqa: B008
    discriminator_steps: int = 1,
    ema_halflife: float | None = None,
    clip_grad_norm: float | None = None,
    conditional: bool = False,
    representation: Representation | None = None,
    augmentation: Augmentation | None = None,
    dynamics: Dynamics = Alternating(),  # noqa: B008
    phases: Sequence[Phase] | None = None,
    players: Mapping[str, Player] | None = None,
    game: type[AdversarialGame] | None = None,
) -> AdversarialGame:
    """A GAN.

    ``generator`` and ``discriminator`` build the networks; they are called in this order, so that a seed
    gives the same weights. The generator takes ``(latents)``, or ``(latents, condition)`` if the game is
    ``conditional``, and gives data or what the discriminator embeds. A step is :func:`adversarial_moves`.
    ``ema_halflife`` is the half-life of the generator's EMA in samples, ``clip_grad_norm`` bounds the norm of
    each gradient, ``augmentation`` is applied to the discriminator's inputs in training.

    ``estimator``: how gradients cross discrete samples. The generator is then one of sequences, such as
    :class:`gancore.nn.SequenceGenerator`, which has latents of its own instead of a ``prior``, and ``game``,
    a subclass of :class:`AdversarialGame`, one of :class:`gancore.games.DiscreteGame`. ``phases`` replace the
    one phase of such steps, ``players`` are further ones, for example to pretrain at another learning rate.

    Raises:
        ConfigError: the discriminator is not a :class:`Discriminator`; not one of prior and estimator.
    """
    generator_net, discriminator_net = generator(), discriminator()
    build = _game_class(game, prior, estimator)
    built = build(
        generator_net,
        _augmented(discriminator_net, augmentation),
        normal(0) if prior is None else prior,
        resolve_loss(loss),
        penalties,
        representation or Identity(),
        ema_halflife,
        conditional,
        **({} if estimator is None else {"estimator": estimator}),
    )
    built.players = {
        "discriminator": Player(["discriminator"], discriminator_optimizer, clip_grad_norm),
        "generator": Player(_networks_of_generator(estimator), generator_optimizer, clip_grad_norm),
        **(players or {}),
    }
    moves = adversarial_moves(discriminator_steps, built.penalties)
    built.phases = phases or [Phase(moves, dynamics=dynamics, name="adversarial")]
    return built


def adversarial_moves(discriminator_steps: int = 1, penalties: Sequence[PenaltyTerm] = ()) -> list[Move]:
    """The moves of a step: the discriminator's, its lazy penalties, the generator's."""
    lazy = [PenaltyMove.of("discriminator", penalty) for penalty in penalties if penalty.every > 1]
    return [*[Move("discriminator")] * discriminator_steps, *lazy, Move("generator")]


def _augmented(discriminator: object, augmentation: Augmentation | None) -> Discriminator:
    """With the augmentation, if there is one. Raises ConfigError if it is no Discriminator."""
    if not isinstance(discriminator, Discriminator):
        raise ConfigError(
            f"the discriminator is {type(discriminator).__name__}, not a gancore.games.Discriminator",
            "wrap it as Discriminator(network), or subclass it and define logits(embedded, condition)",
        )
    return AugmentedDiscriminator(discriminator, augmentation) if augmentation else discriminator


def _networks_of_generator(estimator: Estimator | None) -> list[str]:
    trained = estimator is not None and next(estimator.parameters(), None) is not None
    return ["generator", "estimator"] if trained else ["generator"]


def _game_class(
    game: type[AdversarialGame] | None, prior: Prior | None, estimator: Estimator | None
) -> Callable[..., AdversarialGame]:
    """The class to build. Raises ConfigError if it does not fit the prior or the estimator."""
    if (prior is None) == (estimator is None):
        given = "neither a prior nor an" if prior is None else "a prior and an"
        raise ConfigError(
            f"an adversarial game has {given} estimator",
            "give prior=normal(size), or for a generator of sequences estimator=Reinforce() and no prior",
        )
    if estimator is None:
        return game or AdversarialGame
    if game is not None and not issubclass(game, DiscreteGame):
        raise ConfigError(
            f"the game {game.__name__} has no estimator", "subclass gancore.games.DiscreteGame instead"
        )
    return game or DiscreteGame
