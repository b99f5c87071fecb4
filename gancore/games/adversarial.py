"""The game of two players: a generator and a discriminator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from gancore.domain import Batch
from gancore.errors import ConfigError
from gancore.games.augmentation import Augmentation, Augmented
from gancore.games.cost import Cost
from gancore.games.discriminator import Discriminator
from gancore.games.draw import Draw
from gancore.games.dynamics import Alternating, Dynamics
from gancore.games.field import Field
from gancore.games.game import Game, Move, Phase, Player
from gancore.games.loss_trial import Values, check_rows
from gancore.games.losses import AdversarialLoss, loss_of
from gancore.games.penalties import Penalty, with_own_names
from gancore.games.prior import Prior
from gancore.games.representation import Identity, Representation
from gancore.games.rules import Adam, Rule
from gancore.games.schedules import value
from gancore.nn.average import Average
from gancore.runtime.randomness import Key
from gancore.trees import Tree, map_tree

Network = TypeVar("Network", bound=nn.Module)

Remedy = Callable[[nn.Module], nn.Module]
"""Rebuilds a network: ``spectral_norm`` is one."""


class GeneratorSampler(nn.Module):
    """Samples in parallel: latents through a generator, decoded to canonical samples."""

    def __init__(
        self, generator: nn.Module, prior: Prior, representation: Representation, conditional: bool
    ) -> None:
        super().__init__()
        self.conditional = conditional
        self.generator, self.prior, self.representation = generator, prior, representation

    def sample(self, n: int, key: Key, condition: Tree = None) -> Tree:
        """``n`` canonical samples; row i depends on the key's row i alone."""
        return self.render(self.latents(n, key), condition)

    def latents(self, n: int, key: Key) -> Tensor:
        return self.prior.sample(key / "z", n)

    def render(self, latents: Tensor, condition: Tree = None) -> Tree:
        return self.representation.decode(_generate(self.generator, latents, condition))


class AdversarialGame(Game):
    """Built by :func:`adversarial`; subclass it to change one term of one cost."""

    def __init__(
        self,
        generator: nn.Module,
        discriminator: Discriminator,
        prior: Prior,
        loss: AdversarialLoss,
        penalties: Sequence[Penalty],
        representation: Representation,
        average: float | None,
        conditional: bool,
    ) -> None:
        super().__init__()
        self.conditional = conditional
        self.generator, self.discriminator = generator, discriminator
        self.representation = representation
        self.average = Average(generator, average) if average else None
        self.prior, self.loss = prior, loss
        self.penalties = {penalty.name: penalty for penalty in with_own_names(penalties)}
        self.batch_coupled = bool(loss.batch_coupled)

    def cost(self, move: Move, draw: Draw) -> Cost:
        if move.player == "generator":
            return self.generator_cost(draw)
        if move.cost == "loss":
            return self.discriminator_cost(draw)
        return self.penalty_cost(self.penalties[move.cost], draw)

    def discriminator_cost(self, draw: Draw) -> Cost:
        batch = self.real(draw)
        with draw.frozen():
            fake = self.fake(draw, batch.condition)
        real_logits = self.logits(draw, batch.data, batch.condition)
        fake_logits = self.logits(draw, fake, batch.condition)
        cost = Cost().add("loss", self._values("discriminator", real_logits, fake_logits))
        for penalty in self.penalties.values():
            if penalty.every == 1:
                self._penalise(cost, penalty, batch, fake, draw)
        return self._see_logits(cost, real_logits, fake_logits)

    def generator_cost(self, draw: Draw) -> Cost:
        real = self.real(draw) if self.loss.generator_needs_real else None
        condition = real.condition if real else draw.condition() if self.conditional else None
        fake_logits = self.logits(draw, self.fake(draw, condition), condition)
        if real is None:  # the function does not read its first argument
            return Cost().add("loss", self._values("generator", fake_logits, fake_logits))
        with draw.frozen():
            real_logits = self.logits(draw, real.data, real.condition)
        return Cost().add("loss", self._values("generator", real_logits, fake_logits))

    def _values(self, player: str, real: Tensor, fake: Tensor) -> Tensor:
        """What the loss gives this player, one value a row. Raises ConfigError where it does not."""
        function: Values = getattr(self.loss, player)
        values = function(real, fake)
        check_rows(values, len(fake), player)
        return values

    def penalty_cost(self, penalty: Penalty, draw: Draw) -> Cost:
        """A lazy penalty, alone."""
        batch, fake = self.real(draw), None
        if penalty.needs_fake:
            with draw.frozen():
                fake = self.fake(draw, batch.condition)
        return self._penalise(Cost(), penalty, batch, fake, draw)

    def real(self, draw: Draw) -> Batch:
        """Rows of train, without their condition where the game is unconditional."""
        batch = draw.real()
        return batch if self.conditional else Batch(batch.data)

    def logits(self, draw: Draw, data: Tree, condition: Tree) -> Tensor:
        """What the loss sees, in fp32 at least: own rows, or where it couples rows the joined batch."""
        logits: Tensor = self.discriminator(data, condition)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return draw.joined(logits) if self.loss.batch_coupled else logits

    def fake(self, draw: Draw, condition: Tree) -> Tree:
        latents = self.prior.sample(draw.key("z"), draw.rows)
        return _generate(self.generator, latents, condition)

    def _penalise(self, cost: Cost, penalty: Penalty, batch: Batch, fake: Tree, draw: Draw) -> Cost:
        """In full precision from the data on: the embedding too."""
        alpha = draw.uniform(name="alpha")
        with torch.autocast(draw.device.type, enabled=False):
            real, fake = (self._embedded(tree) for tree in (batch.data, fake))
            values = penalty.function(self.discriminator, real, fake, batch.condition, alpha)
        return cost.add(penalty.name, values, scale=value(penalty.weight, draw.progress))

    def _embedded(self, data: Tree) -> Tree:
        if data is None:
            return None
        return self.discriminator.embed(
            map_tree(lambda x: x.float() if x.dtype is torch.bfloat16 else x, data)
        )

    def _see_logits(self, cost: Cost, real: Tensor, fake: Tensor) -> Cost:
        if isinstance(self.discriminator, Augmented):
            self.discriminator.see(cost, real - fake if self.loss.difference else real)
        if self.loss.probability:
            return cost.see("D(real)", real.sigmoid()).see("D(fake)", fake.sigmoid())
        return cost.see("logit(real)", real).see("logit(fake)", fake)

    @torch.no_grad()
    def judge(self, real: Batch, key: Key) -> tuple[Tensor, Tensor]:
        """Logits of encoded rows and of fakes of the same conditions, (batch, ...) each."""
        condition = real.condition if self.conditional else None
        fake = _generate(self.generator, self.prior.sample(key / "z", len(real)), condition)
        real_logits = self.discriminator(real.data, condition).float()
        return real_logits, self.discriminator(fake, condition).float()

    def after_move(self, move: Move, means: Mapping[str, Tensor]) -> None:
        if isinstance(self.discriminator, Augmented):
            self.discriminator.after_move(means)

    def after_round(self, field: Field) -> None:
        super().after_round(field)
        if isinstance(self.discriminator, Augmented):
            self.discriminator.after_round(field.step, field.table.samples_a_round, field.progress)
        if self.average is not None:
            self.average.update(field.table.samples_a_round, field.samples)

    def sampler(self) -> nn.Module:
        generator = self.generator if self.average is None else self.average.module
        return GeneratorSampler(generator, self.prior, self.representation, self.conditional)


def adversarial(
    *,
    generator: Callable[[], nn.Module],
    discriminator: Callable[[], Discriminator],
    prior: Prior,
    loss: str | AdversarialLoss = "nonsaturating",
    penalties: Sequence[Penalty] = (),
    generator_rule: Rule = Adam(2e-4, (0.5, 0.99)),  # noqa: B008
    discriminator_rule: Rule = Adam(2e-4, (0.5, 0.99)),  # noqa: B008
    discriminator_moves: int = 1,
    average: float | None = None,
    clip: float | None = None,
    conditional: bool = False,
    representation: Representation | None = None,
    generator_remedies: Sequence[Remedy] = (),
    discriminator_remedies: Sequence[Remedy] = (),
    augmentation: Augmentation | None = None,
    dynamics: Dynamics = Alternating(),  # noqa: B008
    game: type[AdversarialGame] = AdversarialGame,
) -> AdversarialGame:
    """A GAN. Networks come as factories, so that remedies can rebuild them.

    ``generator(latents)``, or ``generator(latents, condition)`` where the game is ``conditional``, gives
    data or what the discriminator embeds; ``average`` is the EMA's half-life in samples; ``clip`` bounds each
    gradient's norm; a round is ``discriminator_moves`` moves, the lazy penalties that are due, and
    one move of the generator. ``augmentation`` is of all that the discriminator sees while it trains.
    """
    generating = _remedied(generator(), generator_remedies)  # first: networks draw in this order
    judging = _remedied(discriminator(), discriminator_remedies)
    if not isinstance(judging, Discriminator):
        raise ConfigError(
            f"the discriminator is {type(judging).__name__}, no gancore.games.Discriminator",
            "subclass Discriminator and define judge(embedded, condition), which gives the logits",
        )
    made = game(
        generating,
        Augmented(judging, augmentation) if augmentation else judging,
        prior,
        loss_of(loss),
        penalties,
        representation or Identity(),
        average,
        conditional,
    )
    made.players = {
        "discriminator": Player(["discriminator"], discriminator_rule, clip),
        "generator": Player(["generator"], generator_rule, clip),
    }
    lazy = [Move("discriminator", name, penalty.every) for name, penalty in made.penalties.items()]
    lazy = [move for move in lazy if move.every > 1]
    moves = [*[Move("discriminator")] * discriminator_moves, *lazy, Move("generator")]
    made.phases = [Phase(moves, dynamics=dynamics, name="adversarial")]
    return made


def _remedied(network: Network, remedies: Sequence[Remedy]) -> Network:
    for remedy in remedies:
        network = remedy(network)  # type: ignore[assignment]
    return network


def _generate(generator: nn.Module, latents: Tensor, condition: Tree) -> Tree:
    return generator(latents) if condition is None else generator(latents, condition)
