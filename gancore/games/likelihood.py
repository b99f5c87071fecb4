"""The game of one player: maximum likelihood."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from gancore.data.dataset import Batch
from gancore.games.cost import Cost
from gancore.games.draw import Draw
from gancore.games.game import Game, Move, Phase, Player
from gancore.games.optimizers import Adam, Optimizer
from gancore.games.prior import Prior, normal
from gancore.games.representation import Identity, Representation
from gancore.nn.vae import VariationalAutoencoder
from gancore.random import Key
from gancore.trees import Tree


class ModelSampler(nn.Module):
    """Samples of a model, decoded to canonical samples."""

    def __init__(self, model: nn.Module, representation: Representation, conditional: bool) -> None:
        super().__init__()
        self.model, self.representation, self.conditional = model, representation, conditional

    @property
    def unit(self) -> int | None:
        """The number of rows to sample at once, if the model has one."""
        return getattr(self.model, "unit", None)

    def sample(self, n: int, key: Key, condition: Tree = None) -> Tree:
        outputs = self.model.sample(n, key, *_condition_args(condition))  # type: ignore[operator]
        return self.representation.decode(outputs)


class LikelihoodSampler(ModelSampler):
    """A sampler that also has ``log_prob``: exact, or a lower bound if model or representation say so."""

    @property
    def lower_bound(self) -> bool:
        return self.representation.lower_bound or bool(getattr(self.model, "lower_bound", False))

    def log_prob(self, batch: Batch) -> Tensor | None:
        """Nats per canonical sample, (batch,); None if the representation makes it not comparable."""
        log_det = self.representation.log_det(batch)
        if log_det is None:
            return None
        encoded = self.representation.encode(batch)
        condition = encoded.condition if self.conditional else None
        log_prob: Tensor = self.model.log_prob(encoded.data, *_condition_args(condition))  # type: ignore[operator]
        return log_prob + log_det


class LatentSampler(LikelihoodSampler):
    """The sampler of an autoencoder: ``latents`` with a standard normal prior, and ``render``."""

    @property
    def prior(self) -> Prior:
        return normal(int(self.model.latent))  # type: ignore[arg-type]

    def latents(self, n: int, key: Key) -> Tensor:
        return self.model.latents(n, key)  # type: ignore[operator, no-any-return]

    def render(self, latents: Tensor, condition: Tree = None) -> Tree:
        outputs = self.model.render(latents, *_condition_args(condition))  # type: ignore[operator]
        return self.representation.decode(outputs)


def model_sampler(model: nn.Module, representation: Representation, conditional: bool) -> ModelSampler:
    """A sampler with ``log_prob`` if the model has it, else without."""
    kind = LikelihoodSampler if hasattr(model, "log_prob") else ModelSampler
    return kind(model, representation, conditional)


class LikelihoodGame(Game):
    """Built by :func:`likelihood_game`."""

    def __init__(
        self, model: nn.Module, representation: Representation, average: float | None, conditional: bool
    ) -> None:
        super().__init__()
        self.model, self.representation, self.conditional = model, representation, conditional
        self.track_ema(model, average)

    def cost(self, move: Move, draw: Draw) -> Cost:
        """-log p(x) in nats per encoded sample."""
        batch = draw.real()
        condition = batch.condition if self.conditional else None
        return Cost().add("nll", -self.model.log_prob(batch.data, *_condition_args(condition)))  # type: ignore[operator]

    def sampler(self) -> nn.Module:
        model = self.averaged(self.model)
        kind = LatentSampler if isinstance(model, VariationalAutoencoder) else LikelihoodSampler
        return kind(model, self.representation, self.conditional)


def likelihood_game(
    model: Callable[[], nn.Module],
    *,
    optimizer: Optimizer = Adam(1e-3),  # noqa: B008
    average: float | None = None,
    clip: float | None = None,
    conditional: bool = False,
    representation: Representation | None = None,
    phases: Sequence[Phase] | None = None,
    game: type[LikelihoodGame] = LikelihoodGame,
) -> LikelihoodGame:
    """A likelihood model.

    The module has ``log_prob(data)`` -> (batch,) in nats, and ``sample(n, key)``; both take ``condition`` as
    last argument if the game is ``conditional``. It sets ``lower_bound = True`` if its ``log_prob`` is a
    lower bound.
    """
    built = game(model(), representation or Identity(), average, conditional)
    built.players = {"model": Player(["model"], optimizer, clip)}
    built.phases = phases or [Phase([Move("model")], name="likelihood")]
    return built


def _condition_args(condition: Tree) -> tuple[Tree, ...]:
    return () if condition is None else (condition,)
