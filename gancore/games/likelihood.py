"""The game of one player: maximum likelihood, in the same loop as every GAN."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from gancore.domain import Batch
from gancore.games.cost import Cost
from gancore.games.draw import Draw
from gancore.games.field import Field
from gancore.games.game import Game, Move, Phase, Player
from gancore.games.prior import Prior, normal
from gancore.games.representation import Identity, Representation
from gancore.games.rules import Adam, Rule
from gancore.nn.average import Average
from gancore.nn.variational import VariationalAutoencoder
from gancore.runtime.randomness import Key
from gancore.trees import Tree


class ModelSampler(nn.Module):
    """What a model samples, decoded to canonical samples."""

    def __init__(self, model: nn.Module, representation: Representation, conditional: bool) -> None:
        super().__init__()
        self.model, self.representation, self.conditional = model, representation, conditional

    @property
    def unit(self) -> int | None:
        """Rows that the model wants to sample at once; None: it has no wish."""
        return getattr(self.model, "unit", None)

    def sample(self, n: int, key: Key, condition: Tree = None) -> Tree:
        outputs = self.model.sample(n, key, *_optional(condition))  # type: ignore[operator]
        return self.representation.decode(outputs)


class LikelihoodSampler(ModelSampler):
    """One that has ``log_prob`` too: exact, or a bound where model or representation have it so."""

    @property
    def bound(self) -> bool:
        return self.representation.bound or bool(getattr(self.model, "bound", False))

    def log_prob(self, batch: Batch) -> Tensor | None:
        """Nats per canonical sample, (batch,); None where the representation makes it not comparable."""
        log_det = self.representation.log_det(batch)
        if log_det is None:
            return None
        encoded = self.representation.encode(batch)
        condition = encoded.condition if self.conditional else None
        log_prob: Tensor = self.model.log_prob(encoded.data, *_optional(condition))  # type: ignore[operator]
        return log_prob + log_det


class LatentSampler(LikelihoodSampler):
    """One whose model has ``latents`` with a standard normal prior, and renders them: an autoencoder."""

    @property
    def prior(self) -> Prior:
        return normal(int(self.model.latent))  # type: ignore[arg-type]

    def latents(self, n: int, key: Key) -> Tensor:
        return self.model.latents(n, key)  # type: ignore[operator, no-any-return]

    def render(self, latents: Tensor, condition: Tree = None) -> Tree:
        made = self.model.render(latents, *_optional(condition))  # type: ignore[operator]
        return self.representation.decode(made)


def model_sampler(model: nn.Module, representation: Representation, conditional: bool) -> ModelSampler:
    """The sampler that suits what the model can."""
    kind = LikelihoodSampler if hasattr(model, "log_prob") else ModelSampler
    return kind(model, representation, conditional)


class LikelihoodGame(Game):
    """Built by :func:`likelihood`."""

    def __init__(
        self, model: nn.Module, representation: Representation, average: float | None, conditional: bool
    ) -> None:
        super().__init__()
        self.model, self.representation, self.conditional = model, representation, conditional
        self.average = Average(model, average) if average else None

    def cost(self, move: Move, draw: Draw) -> Cost:
        """-log p(x) in nats a sample, of the representation."""
        batch = draw.real()
        condition = batch.condition if self.conditional else None
        return Cost().add("nll", -self.model.log_prob(batch.data, *_optional(condition)))  # type: ignore[operator]

    def after_round(self, field: Field) -> None:
        super().after_round(field)
        if self.average is not None:
            self.average.update(field.table.samples_a_round, field.samples)

    def sampler(self) -> nn.Module:
        model = self.model if self.average is None else self.average.module
        kind = LatentSampler if isinstance(model, VariationalAutoencoder) else LikelihoodSampler
        return kind(model, self.representation, self.conditional)


def likelihood(
    model: Callable[[], nn.Module],
    *,
    rule: Rule = Adam(1e-3),  # noqa: B008
    average: float | None = None,
    clip: float | None = None,
    conditional: bool = False,
    representation: Representation | None = None,
    phases: Sequence[Phase] | None = None,
    game: type[LikelihoodGame] = LikelihoodGame,
) -> LikelihoodGame:
    """A likelihood model. The module has ``log_prob(data)`` -> (batch,) in nats, and ``sample(n, key)``,
    each with ``condition`` behind where the game is ``conditional``; ``bound = True`` where its
    ``log_prob`` is a lower bound.
    """
    made = game(model(), representation or Identity(), average, conditional)
    made.players = {"model": Player(["model"], rule, clip)}
    made.phases = phases or [Phase([Move("model")], name="likelihood")]
    return made


def _optional(condition: Tree) -> tuple[Tree, ...]:
    return () if condition is None else (condition,)
