"""A game: its players, their costs, and the phases of its training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from torch import Tensor, nn

from gancore.data.dataset import Batch, View
from gancore.errors import ConfigError
from gancore.games.cost import Cost
from gancore.games.dynamics import Alternating, Dynamics, Unrolled
from gancore.games.optimizers import Adam, MissingOptimizer, Optimizer, OptimizerState
from gancore.games.representation import Identity, Representation
from gancore.games.sampler import Sampler
from gancore.games.schedules import require_every
from gancore.nn.ema import EMA
from gancore.nn.spectral_normalization import SpectralNorm, spectral_norm_layers
from gancore.text import suggestion

if TYPE_CHECKING:
    from gancore.games.draw import Draw
    from gancore.games.training_step import TrainingStep
    from gancore.random import Key


MAIN = "loss"
"""The name of a player's main cost, which logs leave out of the names of its scalars."""


@dataclass(frozen=True)
class Move:
    """One update of one player by one of its costs.

    With ``every`` above 1 the move is lazy: it is made once in ``every`` steps, as a separate update in fp32.
    Its gradient is multiplied by ``every``, and the player's optimizer is scaled for the additional updates
    (Karras et al. 2020, appendix B).
    """

    player: str
    cost: str = MAIN
    every: int = 1

    def __post_init__(self) -> None:
        require_every(self.every, f"the move {self.cost!r} of player {self.player!r}")


@dataclass(frozen=True)
class Player:
    """A set of parameters and its optimizer.

    ``networks`` names modules of the game; a mapping gives each a factor on the learning rate. A network may
    belong to several players, each of which has its own optimizer state for it. ``clip_grad_norm`` bounds the
    norm of the gradient.
    """

    networks: Sequence[str] | Mapping[str, float]
    optimizer: Optimizer = field(default_factory=Adam)
    clip_grad_norm: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.networks, str):
            raise ConfigError(
                f"the networks of a player are the string {self.networks!r}",
                f"give a list: [{self.networks!r}]",
            )

    def lr_factors(self) -> Mapping[str, float]:
        """The factor on the learning rate of each network."""
        return self.networks if isinstance(self.networks, Mapping) else dict.fromkeys(self.networks, 1.0)


@dataclass(frozen=True)
class Phase:
    """A part of training with its own list of moves. Each step makes every move of the list once.

    Its length is ``steps``, or ``seconds``, or else a share of the remaining budget in proportion to
    ``budget_share``. A move listed five times is made five times, each time with its own draw. ``selects``:
    a validation in this phase may select the model that the run keeps (``validation.select``).
    """

    moves: Sequence[Move]
    steps: int | None = None
    seconds: float | None = None
    budget_share: float = 1.0
    dynamics: Dynamics = field(default_factory=Alternating)
    name: str = "training"
    selects: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.dynamics, Dynamics):
            raise ConfigError(
                f"the dynamics of phase {self.name!r} is {_describe(self.dynamics)}",
                "give an object, such as gancore.games.ConsensusOptimization()",
            )

    def lazy_reg_scale(self, player: str) -> float:
        """m / (m + sum 1/every) for m main moves: their share in the updates of this player."""
        moves = [move for move in self.moves if move.player == player]
        num_main = sum(move.every == 1 for move in moves)
        lazy_rate = sum(1 / move.every for move in moves if move.every > 1)
        return num_main / (num_main + lazy_rate) if num_main else 1.0

    @property
    def lazy_period(self) -> int:
        """The number of steps in which every lazy move is made at least once."""
        return max((move.every for move in self.moves), default=1)


class Game(nn.Module):
    """What a recipe builds.

    Networks, EMA, baselines, replay buffers and mixture weights are sub-modules and buffers, so that one
    ``state_dict`` is the whole state. Subclasses set ``players`` and ``phases`` and define ``cost`` and
    ``sampler``.
    """

    players: Mapping[str, Player]
    phases: Sequence[Phase]
    batch_coupled: bool = False
    """A cost couples the rows of a batch: it is reduced over processes and refused with micro-batches."""
    fp32_by_default: bool = False
    """``precision=auto`` means fp32 for this game, because its data need more than bf16's 8 bits."""
    conditional: bool = False
    """Its players are given the condition of each row."""
    local_batch_norm: bool = False
    """Batch normalisation may use the rows of one process; if False, several processes are refused."""

    def __init__(self) -> None:
        super().__init__()
        self.representation: Representation = Identity()
        self.ema: EMA | None = None

    def track_ema(self, network: nn.Module, halflife: float | None) -> None:
        """Average this network over training; ``halflife`` in samples, None: no EMA."""
        self.ema = EMA(network, halflife) if halflife else None

    def averaged(self, network: nn.Module) -> nn.Module:
        """The EMA of ``network``, which :meth:`track_ema` was given; without an EMA the network itself."""
        return network if self.ema is None else self.ema.module

    def samples_per_step(self, batch_size: int, views: Mapping[str, View]) -> int:
        """Real samples that a step uses; reports, budgets and the EMA count them."""
        return batch_size

    def cost(self, move: Move, draw: Draw) -> Cost:
        """The cost of a move: a pure function, since dynamics and micro-batches evaluate it several times."""
        raise TypeError(f"{type(self).__name__} must define cost(move, draw)")

    def forward(self, move: Move, draw: Draw) -> Cost:
        """:meth:`cost`, so that ``torch.func.functional_call`` can evaluate it at other parameters."""
        return self.cost(move, draw)

    def sampler(self) -> Sampler:
        """What a model folder stores, with its capabilities."""
        raise TypeError(f"{type(self).__name__} must define sampler()")

    def discriminator_logits(self, real: Batch, key: Key) -> tuple[Tensor, Tensor] | None:
        """Logits of encoded real rows and of as many fakes, or None without a discriminator.

        Changes no state. The diagnosis compares training rows with held-out rows by it.
        """
        return None

    def initialize(self, draw: Draw) -> None:
        """Called once before training: data-dependent initialisation and reference batches, into buffers."""

    def fit(self, views: Mapping[str, View]) -> None:
        """Called once before ``initialize``: fits the representation on all of train."""
        for view in views.values():
            self.representation.fit(view)

    def after_move(self, move: Move, means: Mapping[str, Tensor]) -> None:
        """Update baselines and adaptive settings from the means over the global batch, on the device.

        ``means["ok"]`` is 0 if the update was masked because its gradient was not finite.
        """

    def after_step(self, step: TrainingStep) -> None:
        """Update replay buffers and the like.

        Call ``super().after_step(step)``: it updates the spectral norms and the EMA.
        """
        for norm, weight in self._spectral_norm_layers:
            norm.power_iterate(weight)
        if self.ema is not None:
            self.ema.update(step.setup.samples_per_step, step.samples)

    @cached_property
    def _spectral_norm_layers(self) -> list[tuple[SpectralNorm, Tensor]]:
        return spectral_norm_layers(self)

    def optimizer_states(self) -> dict[str, OptimizerState]:
        """A new optimizer state for every player.

        Raises:
            ConfigError: the game is built wrongly, as :func:`check_game` says.
        """
        check_game(self)
        return {
            name: OptimizerState(
                player.optimizer, self._param_groups(player), self._dynamics_state_names(name)
            )
            for name, player in self.players.items()
        }

    def _dynamics_state_names(self, player: str) -> list[str]:
        """The names of the state that the dynamics of this player's phases keep."""
        names = [
            name
            for phase in self.phases
            if any(move.player == player for move in phase.moves)
            for name in phase.dynamics.state_names
        ]
        return list(dict.fromkeys(names))

    def _param_groups(self, player: Player) -> list[tuple[float, dict[str, Tensor]]]:
        groups: list[tuple[float, dict[str, Tensor]]] = []
        for network, factor in player.lr_factors().items():
            module = self.get_submodule(network)
            params: dict[str, Tensor] = {
                f"{network}.{name}": p for name, p in module.named_parameters() if p.requires_grad
            }
            groups.append((factor, params))
        return groups


def check_game(game: Game) -> None:
    """Check the players, moves and phases of a game, before anything is computed with it.

    Raises:
        ConfigError: it has no players or phases; a move or a dynamics names a player, or a player a network,
            that the game does not have; a player has no trainable parameter, or no optimizer.
    """
    for name, example in (
        ("players", '{"model": Player(["model"])}'),
        ("phases", '[Phase([Move("model")])]'),
    ):
        if not hasattr(game, name) or (name == "phases" and not game.phases):
            raise ConfigError(f"{type(game).__name__} sets no {name}", f"set self.{name} = {example}")
    for phase in game.phases:
        for move in phase.moves:
            _require_player(game, move.player, f"a move of phase {phase.name!r} names")
        if isinstance(phase.dynamics, Unrolled) and phase.moves:
            _require_player(game, phase.dynamics.player, "Unrolled looks ahead for")
    moved = {move.player for phase in game.phases for move in phase.moves}
    for name, player in game.players.items():
        _check_player(game, name, player, name in moved)


def _require_player(game: Game, player: str, what: str) -> None:
    if player not in game.players:
        raise ConfigError(
            f"{what} the player {player!r}, which this game does not have", suggestion(player, game.players)
        )


def _check_player(game: Game, name: str, player: Player, is_moved: bool) -> None:
    """``is_moved``: a move updates this player, so it needs parameters."""
    modules = dict(game.named_modules())
    for network in player.lr_factors():
        if network not in modules:
            raise ConfigError(
                f"player {name!r} names the network {network!r}, which this game does not have",
                suggestion(network, [child for child, _ in game.named_children()]),
            )
    params = [p for network in player.lr_factors() for p in modules[network].parameters()]
    if is_moved and not any(p.requires_grad for p in params):
        raise ConfigError(
            f"player {name!r} has no trainable parameter",
            "list a network that has parameters, or remove the player and its moves",
        )
    if isinstance(player.optimizer, MissingOptimizer):
        raise player.optimizer.error
    if isinstance(player.optimizer, type) or not hasattr(player.optimizer, "update"):
        raise ConfigError(
            f"the optimizer of player {name!r} is {_describe(player.optimizer)}",
            "use gancore.games.Adam(lr), or TorchOptimizer(torch.optim.RAdam, lr)",
        )


def _describe(value: object) -> str:
    """A string as it is, a class by its name, any other object by the name of its class."""
    if isinstance(value, str):
        return repr(value)
    return (
        f"the class {value.__name__}" if isinstance(value, type) else f"an object of {type(value).__name__}"
    )
