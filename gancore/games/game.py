"""A game: players, their costs, and the phases of their play."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from torch import Tensor, nn

from gancore.domain import Batch, View
from gancore.errors import ConfigError, nearest
from gancore.games.cost import Cost
from gancore.games.dynamics import Alternating, Dynamics
from gancore.games.representation import Identity, Representation
from gancore.games.rules import Adam, Rule
from gancore.games.schedules import require_every
from gancore.games.updater import Updater
from gancore.nn.norms import Spectral, spectral_norms

if TYPE_CHECKING:
    from gancore.games.draw import Draw
    from gancore.games.field import Field
    from gancore.runtime.randomness import Key


@dataclass(frozen=True)
class Move:
    """One update of one player by one of its costs.

    With ``every`` above 1 the move is lazy: made in every so many rounds, as a step of its own,
    in fp32, its gradient multiplied by ``every`` and the player's rule corrected for the additional
    steps (Karras et al. 2020, appendix B).
    """

    player: str
    cost: str = "loss"
    every: int = 1

    def __post_init__(self) -> None:
        require_every(self.every, f"the move {self.cost!r} of player {self.player!r}")


@dataclass(frozen=True)
class Player:
    """A set of parameters and its update rule.

    ``parts`` names networks of the game, each with a factor on the rule's rate; a network may belong
    to several players, each of which keeps its own state for it. ``clip`` bounds the gradient's norm.
    """

    parts: Sequence[str] | Mapping[str, float]
    rule: Rule = field(default_factory=Adam)
    clip: float | None = None

    def factors(self) -> Mapping[str, float]:
        return self.parts if isinstance(self.parts, Mapping) else dict.fromkeys(self.parts, 1.0)


@dataclass(frozen=True)
class Phase:
    """A stretch of training with its own list of moves; a round makes that list once.

    Its length is ``rounds``, or ``seconds``, or else a ``share`` of what the budget leaves.
    A move listed five times is made five times, each time with draws of its own.
    """

    moves: Sequence[Move]
    rounds: int | None = None
    seconds: float | None = None
    share: float = 1.0
    dynamics: Dynamics = field(default_factory=Alternating)
    name: str = "training"

    def correction(self, player: str) -> float:
        """m / (m + sum 1/every): the share of this player's steps that its main moves are."""
        mine = [move for move in self.moves if move.player == player]
        main = sum(move.every == 1 for move in mine)
        lazy = sum(1 / move.every for move in mine if move.every > 1)
        return main / (main + lazy) if main else 1.0

    @property
    def cycle(self) -> int:
        """Rounds after which every lazy move has been made."""
        return max((move.every for move in self.moves), default=1)


class Game(nn.Module):
    """What a recipe builds.

    Networks, averages, baselines, replay, mixture weights are sub-modules and buffers, so that one
    state_dict is the whole state. Subclasses set ``players`` and ``phases`` and define ``cost`` and
    ``sampler``.
    """

    players: Mapping[str, Player]
    phases: Sequence[Phase]
    batch_coupled: bool = False
    """A cost mixes the rows of a batch: it is reduced over processes and refused under accumulation."""
    full_precision: bool = False
    """Costs are never evaluated in bf16 unless the user asks for it: data finer than bf16 can tell."""
    statistics_per_process: bool = False
    """Batch normalisation may see the rows of each process apart; without this it is refused on several."""

    def __init__(self) -> None:
        super().__init__()
        self.representation: Representation = Identity()

    def samples_a_round(self, batch_size: int, views: Mapping[str, View]) -> int:
        """Real samples that a round looks at; reports, budgets and averages count by them."""
        return batch_size

    def cost(self, move: Move, draw: Draw) -> Cost:
        """The cost of a move, pure: dynamics evaluate it twice, accumulation k times."""
        raise TypeError(f"{type(self).__name__} must define cost(move, draw)")

    def forward(self, move: Move, draw: Draw) -> Cost:
        """:meth:`cost`, so that ``torch.func.functional_call`` can evaluate it at other parameters."""
        return self.cost(move, draw)

    def sampler(self) -> nn.Module:
        """What a model folder holds: ``sample(n, key, condition)``; ``log_prob``, ``invert`` where it can."""
        raise TypeError(f"{type(self).__name__} must define sampler()")

    def judge(self, real: Batch, key: Key) -> tuple[Tensor, Tensor] | None:
        """What the discriminator says of encoded rows and of as many fakes; None where there is none to ask.

        Changes nothing: it is how a run sees whether rows of train are told from held-out ones.
        """
        return None

    def prepare(self, draw: Draw) -> None:
        """Once, before round 0: reference batches, data-dependent initialisation; into buffers."""

    def fit(self, views: Mapping[str, View]) -> None:
        """Once, before ``prepare``: what is fitted on the whole of train; the representation."""
        for view in views.values():
            self.representation.fit(view)

    def after_move(self, move: Move, means: Mapping[str, Tensor]) -> None:
        """Baselines and adaptive strengths, from the means of the joined batch, on the device.

        ``means["ok"]`` is 0 where the step was masked because its gradient was not finite.
        """

    def after_round(self, field: Field) -> None:
        """Averages, replay. Call ``super().after_round(field)``: it moves the spectral norms on."""
        for norm, weight in self._spectral_norms:
            norm.iterate(weight)

    @cached_property
    def _spectral_norms(self) -> list[tuple[Spectral, Tensor]]:
        return spectral_norms(self)

    def updaters(self) -> dict[str, Updater]:
        """A fresh update state for every player.

        Raises:
            ConfigError: a move names a player that the game has not, or a player a part.
        """
        for move in (move for phase in self.phases for move in phase.moves):
            if move.player not in self.players:
                raise ConfigError(
                    f"a move names the player {move.player!r}, and the game has none of this name",
                    nearest(move.player, self.players),
                )
        return {
            name: Updater(player.rule, self._groups(player), self._slots(name))
            for name, player in self.players.items()
        }

    def _slots(self, player: str) -> list[str]:
        """What the dynamics of this player's phases remember."""
        slots = [
            slot
            for phase in self.phases
            if any(move.player == player for move in phase.moves)
            for slot in phase.dynamics.slots
        ]
        return list(dict.fromkeys(slots))

    def _groups(self, player: Player) -> list[tuple[float, dict[str, Tensor]]]:
        groups: list[tuple[float, dict[str, Tensor]]] = []
        for part, factor in player.factors().items():
            module = dict(self.named_modules()).get(part)
            if module is None:
                parts = [name for name, _ in self.named_children()]
                raise ConfigError(
                    f"a player has the part {part!r}, no network of the game", nearest(part, parts)
                )
            groups.append(
                (factor, {f"{part}.{name}": p for name, p in module.named_parameters() if p.requires_grad})
            )
        return groups
