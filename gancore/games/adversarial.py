"""The game of two players: a generator and a discriminator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from gancore.data.dataset import Batch
from gancore.errors import ConfigError
from gancore.games.augmentation import AugmentedDiscriminator
from gancore.games.cost import Cost
from gancore.games.discriminator import Discriminator
from gancore.games.draw import Draw
from gancore.games.game import MAIN, Game, Move
from gancore.games.lookup import find_by_name
from gancore.games.loss_probe import LossFunction, require_value_per_row
from gancore.games.losses import AdversarialLoss
from gancore.games.penalties import PenaltyTerm, with_unique_names
from gancore.games.prior import Prior
from gancore.games.representation import Representation
from gancore.games.sampler import Sampler
from gancore.games.schedules import schedule_value
from gancore.games.training_step import TrainingStep
from gancore.plugins.imports import find_program_object
from gancore.random import Key
from gancore.trees import Tree, tree_map

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class PenaltyMove(Move):
    """A lazy penalty as a separate update; ``cost`` is the penalty's name, ``every`` its interval."""

    penalty: PenaltyTerm = field(kw_only=True)

    @classmethod
    def of(cls, player: str, penalty: PenaltyTerm) -> PenaltyMove:
        """The move of this penalty by this player."""
        return cls(player, penalty.name, penalty.every, penalty=penalty)


class GeneratorSampler(Sampler):
    """Generates canonical samples: latents, through the generator, decoded by the representation."""

    def __init__(
        self, generator: nn.Module, prior: Prior, representation: Representation, conditional: bool
    ) -> None:
        super().__init__()
        self.generator, self.prior, self.representation = generator, prior, representation
        self.capabilities = frozenset({"sample", "parallel", "latents"})
        if conditional:
            self.capabilities |= {"conditional"}

    def sample(self, n: int, key: Key, condition: Tree = None) -> Tree:
        """``n`` canonical samples; row i depends only on the key's row i."""
        return self.render(self.latents(n, key), condition)

    def latents(self, n: int, key: Key) -> Tensor:
        return self.prior.sample(key / "z", n)

    def render(self, latents: Tensor, condition: Tree = None) -> Tree:
        return self.representation.decode(self.network_outputs(latents, condition))

    def network_outputs(self, latents: Tensor, condition: Tree = None) -> Tree:
        return _generate(self.generator, latents, condition)


class AdversarialGame(Game):
    """A generator against a discriminator.

    Built by :func:`adversarial_game`; subclass it to change one term of one cost.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: Discriminator,
        prior: Prior,
        loss: AdversarialLoss,
        penalties: Sequence[PenaltyTerm],
        representation: Representation,
        ema_halflife: float | None,
        conditional: bool,
    ) -> None:
        super().__init__()
        self.conditional = conditional
        self.generator, self.discriminator = generator, discriminator
        self.representation = representation
        self.track_ema(generator, ema_halflife)
        self.prior, self.loss = prior, loss
        self.penalties = tuple(with_unique_names(penalties))
        self.batch_coupled = bool(loss.batch_coupled)

    def cost(self, move: Move, draw: Draw) -> Cost:
        if isinstance(move, PenaltyMove):
            return self.penalty_cost(move.penalty, draw)
        if move.cost != MAIN or move.player not in ("generator", "discriminator"):
            raise ConfigError(
                f"{type(self).__name__} has no cost {move.cost!r} for player {move.player!r}",
                f"override cost(move, draw), or use PenaltyMove.of({move.player!r}, penalty)",
            )
        return self.generator_cost(draw) if move.player == "generator" else self.discriminator_cost(draw)

    def discriminator_cost(self, draw: Draw) -> Cost:
        batch = self.real(draw)
        with draw.freeze_opponents():
            fake = self.make_fake(draw, batch.condition)
        real_logits = self.logits(draw, batch.data, batch.condition)
        fake_logits = self.logits(draw, fake, batch.condition)
        masks = self.discriminator.mask(batch.data), self.discriminator.mask(fake)
        if masks == (None, None):
            cost = Cost().add("loss", self.loss_values("discriminator", real_logits, fake_logits))
        else:
            real_part, fake_part = self.loss.parts
            cost = Cost().add("loss_real", real_part(real_logits), mask=masks[0])
            cost.add("loss_fake", fake_part(fake_logits), mask=masks[1])
        for penalty in self.penalties:
            if penalty.every == 1:
                self._add_penalty(cost, penalty, batch, fake, draw)
        return self._log_logits(cost, real_logits, fake_logits, masks)

    def generator_cost(self, draw: Draw) -> Cost:
        condition = self.fake_condition(draw)
        fake = self.make_fake(draw, condition)
        fake_logits = self.logits(draw, fake, condition)
        real_logits = self.real_logits(draw) if self.loss.generator_needs_real else fake_logits
        values = self.loss_values("generator", real_logits, fake_logits)
        return Cost().add("loss", values, mask=self.discriminator.mask(fake))

    def fake_condition(self, draw: Draw) -> Tree:
        """The condition of the generator's fakes: that of rows of train, or None."""
        if not self.conditional:
            return None
        return self.real(draw).condition if self.loss.generator_needs_real else draw.condition()

    def real_logits(self, draw: Draw) -> Tensor:
        """The logits of rows of train for the generator's loss, which does not change the discriminator."""
        real = self.real(draw)
        with draw.freeze_opponents():
            return self.logits(draw, real.data, real.condition)

    def loss_values(self, player: str, real: Tensor, fake: Tensor) -> Tensor:
        """The loss of this player, one value per row. Raises ConfigError if it gives anything else."""
        function: LossFunction = getattr(self.loss, player)
        values = function(real, fake)
        require_value_per_row(values, len(fake), player)
        return values

    def penalty_cost(self, penalty: PenaltyTerm, draw: Draw) -> Cost:
        """The cost of a lazy penalty."""
        batch, fake = self.real(draw), None
        if penalty.needs_fake:
            with draw.freeze_opponents():
                fake = self.make_fake(draw, batch.condition)
        return self._add_penalty(Cost(), penalty, batch, fake, draw)

    def real(self, draw: Draw) -> Batch:
        """Rows of train, without their condition if the game is unconditional."""
        batch = draw.real()
        return batch if self.conditional else Batch(batch.data)

    def logits(self, draw: Draw, data: Tree, condition: Tree) -> Tensor:
        """Logits for the loss, in fp32 or better; of the global batch if the loss couples rows."""
        logits: Tensor = self.discriminator(data, condition)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return draw.all_gather(logits) if self.loss.batch_coupled else logits

    def fake(self, n: int, key: Key, condition: Tree, progress: float) -> Tree:
        """``n`` outputs of the generator, as the costs and :meth:`discriminator_logits` use them.

        Row i is a function of the key's row i. ``progress``: of the phase, 1 in its last step, for schedules.
        """
        return _generate(self.generator, self.prior.sample(key / "z", n), condition)

    def make_fake(self, draw: Draw, condition: Tree) -> Tree:
        """:meth:`fake` with the rows, the key and the progress of a draw."""
        return self.fake(draw.num_rows, draw.root, condition, draw.progress_end)

    def _add_penalty(self, cost: Cost, penalty: PenaltyTerm, batch: Batch, fake: Tree, draw: Draw) -> Cost:
        """In fp32 or better, the embedding included."""
        alpha = draw.uniform(name="alpha")
        with torch.autocast(draw.device.type, enabled=False):
            real, fake = (self._embed_fp32(tree) for tree in (batch.data, fake))
            values = penalty.function(self.discriminator, real, fake, batch.condition, alpha)
        return cost.add(penalty.name, values, scale=schedule_value(penalty.weight, draw.progress))

    def _embed_fp32(self, data: Tree) -> Tree:
        if data is None:
            return None
        return self.discriminator.embed(
            tree_map(lambda x: x.float() if x.dtype is torch.bfloat16 else x, data)
        )

    def _log_logits(
        self, cost: Cost, real: Tensor, fake: Tensor, masks: tuple[Tensor | None, Tensor | None]
    ) -> Cost:
        if isinstance(self.discriminator, AugmentedDiscriminator):
            self.discriminator.log_overfitting(cost, real - fake if self.loss.shift_invariant else real)
        if self.loss.logit_is_log_odds:
            cost.log("D(real)", real.sigmoid(), masks[0])
            return cost.log("D(fake)", fake.sigmoid(), masks[1])
        return cost.log("logit(real)", real, masks[0]).log("logit(fake)", fake, masks[1])

    @torch.no_grad()
    def discriminator_logits(self, real: Batch, key: Key) -> tuple[Tensor, Tensor]:
        """Logits of encoded rows and of fakes with the same conditions, (batch, ...) each."""
        condition = real.condition if self.conditional else None
        fake = self.fake(len(real), key, condition, self.current_progress())
        real_logits = self.discriminator(real.data, condition).float()
        return real_logits, self.discriminator(fake, condition).float()

    def current_progress(self) -> float:
        """The progress of :meth:`fake` outside a step; 1 for a game whose fakes do not depend on it."""
        return 1.0

    def after_move(self, move: Move, means: Mapping[str, Tensor]) -> None:
        if isinstance(self.discriminator, AugmentedDiscriminator):
            self.discriminator.after_move(means)

    def after_step(self, step: TrainingStep) -> None:
        super().after_step(step)
        if isinstance(self.discriminator, AugmentedDiscriminator):
            self.discriminator.after_step(step.number, step.setup.samples_per_step, step.progress)

    def sampler(self) -> Sampler:
        generator = self.averaged(self.generator)
        return GeneratorSampler(generator, self.prior, self.representation, self.conditional)


def find_game(name: str | None) -> type[AdversarialGame] | None:
    """The game of a plugin by its name, or ``module:Class`` of a program; None: the recipe's own.

    Raises:
        ConfigError: no such game, or something else of this name.
        PluginError: the module is neither imported nor on the path, or has no such class.
    """
    if name is None:
        return None
    with torch.random.fork_rng(devices=[]):  # what a module draws at its import leaves the seed's weights
        found = _find_game_class(name)
    if isinstance(found, type) and issubclass(found, AdversarialGame):
        return found
    raise ConfigError(
        f"the game {name!r} is no subclass of gancore.games.AdversarialGame",
        "name a class that is one: it changes a term, the recipe builds the networks",
    )


def _find_game_class(name: str) -> object:
    if ":" in name:
        return find_program_object(name, "game")
    return find_by_name("game", name, {}, "gancore_games")


def _generate(generator: nn.Module, latents: Tensor, condition: Tree) -> Tree:
    return generator(latents) if condition is None else generator(latents, condition)
