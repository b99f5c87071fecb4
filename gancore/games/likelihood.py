"""The game of one player: maximum likelihood."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, cast

from torch import Tensor, nn

from gancore.data.dataset import Batch
from gancore.games.cost import Cost
from gancore.games.draw import Draw
from gancore.games.game import Game, Move, Phase, Player
from gancore.games.optimizers import Adam, Optimizer
from gancore.games.prior import normal
from gancore.games.representation import Identity, Representation
from gancore.games.sampler import Capability, Sampler
from gancore.random import Key
from gancore.trees import Tree


class ModelSampler(Sampler):
    """Samples of a model, decoded to canonical samples.

    Its capabilities are what the model has: ``log_prob``; ``latents``, ``render`` and ``latent_dim``, the
    number of standard normal latents; ``invert``; a ``temperature`` of its ``sample``. A likelihood is a
    lower bound if model or representation say so; a model with ``has_likelihood = False`` has none.
    """

    def __init__(self, model: nn.Module, representation: Representation, conditional: bool) -> None:
        super().__init__()
        self.model: Any = model
        self.representation = representation
        self.capabilities = _capabilities(model, representation, conditional)
        self.preferred_batch = getattr(model, "preferred_batch", None)
        if self.can("latents"):
            self.prior = normal(int(cast(Any, model).latent_dim))

    def sample(self, n: int, key: Key, condition: Tree = None, temperature: float | None = None) -> Tree:
        options = {} if temperature is None else {"temperature": temperature}
        return self.representation.decode(self.model.sample(n, key, *_condition_args(condition), **options))

    def latents(self, n: int, key: Key) -> Tensor:
        latents: Tensor = self.model.latents(n, key)
        return latents

    def render(self, latents: Tensor, condition: Tree = None) -> Tree:
        return self.representation.decode(self.network_outputs(latents, condition))

    def network_outputs(self, latents: Tensor, condition: Tree = None) -> Tree:
        return self.model.render(latents, *_condition_args(condition))

    def log_prob(self, batch: Batch) -> Tensor | None:
        """Nats per canonical sample, (batch,); None if the representation makes it not comparable."""
        log_det = self.representation.log_det(batch)
        if log_det is None:
            return None
        encoded = self.representation.encode(batch)
        log_prob: Tensor = self.model.log_prob(encoded.data, *self._condition_of(encoded))
        return log_prob + log_det

    def invert(self, batch: Batch) -> Tensor:
        encoded = self.representation.preimage(batch)
        latents: Tensor = self.model.invert(encoded.data, *self._condition_of(encoded))
        return latents

    def _condition_of(self, batch: Batch) -> tuple[Tree, ...]:
        return _condition_args(batch.condition) if self.conditional else ()


def _capabilities(
    model: nn.Module, representation: Representation, conditional: bool
) -> frozenset[Capability]:
    """What a model can do, by its methods."""
    latents = all(hasattr(model, name) for name in ("latents", "render", "latent_dim"))
    likelihood = hasattr(model, "log_prob") and bool(getattr(model, "has_likelihood", True))
    able: dict[Capability, bool] = {
        "sample": True,
        "parallel": bool(getattr(model, "parallel", latents)),
        "conditional": conditional,
        "temperature": _takes_temperature(model),
        "latents": latents,
        "likelihood": likelihood,
        "bound": likelihood and (representation.lower_bound or bool(getattr(model, "lower_bound", False))),
        "inversion": latents and hasattr(model, "invert"),
    }
    return frozenset(capability for capability, is_able in able.items() if is_able)


def _takes_temperature(model: nn.Module) -> bool:
    sample = getattr(model, "sample", None)
    return callable(sample) and "temperature" in inspect.signature(sample).parameters


class LikelihoodGame(Game):
    """A game of one player, trained by maximum likelihood. Built by :func:`likelihood_game`."""

    def __init__(
        self, model: nn.Module, representation: Representation, ema_halflife: float | None, conditional: bool
    ) -> None:
        super().__init__()
        self.model: Any = model
        self.representation, self.conditional = representation, conditional
        self.track_ema(model, ema_halflife)

    def cost(self, move: Move, draw: Draw) -> Cost:
        """-log p(x) in nats per encoded sample."""
        batch = draw.real()
        condition = batch.condition if self.conditional else None
        return Cost().add("nll", -self.model.log_prob(batch.data, *_condition_args(condition)))

    def sampler(self) -> Sampler:
        return ModelSampler(self.averaged(self.model), self.representation, self.conditional)


def likelihood_game(
    model: Callable[[], nn.Module],
    *,
    optimizer: Optimizer = Adam(1e-3),  # noqa: B008
    ema_halflife: float | None = None,
    clip_grad_norm: float | None = None,
    conditional: bool = False,
    representation: Representation | None = None,
    phases: Sequence[Phase] | None = None,
    game: type[LikelihoodGame] = LikelihoodGame,
) -> LikelihoodGame:
    """A likelihood model.

    The module has ``log_prob(data)`` -> (batch,) in nats, and ``sample(n, key)``; both take ``condition`` as
    last argument if the game is ``conditional``. It sets ``lower_bound = True`` if its ``log_prob`` is a
    lower bound. What its samples offer beyond that, :class:`ModelSampler` reads from its methods.
    """
    built = game(model(), representation or Identity(), ema_halflife, conditional)
    built.players = {"model": Player(["model"], optimizer, clip_grad_norm)}
    built.phases = phases or [Phase([Move("model")], name="likelihood")]
    return built


def _condition_args(condition: Tree) -> tuple[Tree, ...]:
    return () if condition is None else (condition,)
