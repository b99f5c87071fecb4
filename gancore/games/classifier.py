"""The game of a classifier: p(label | data) by cross-entropy."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gancore.data.dataset import Batch
from gancore.games.cost import Cost
from gancore.games.draw import Draw
from gancore.games.game import Game, Move, Phase, Player
from gancore.games.optimizers import Adam, Optimizer
from gancore.games.representation import Identity, Representation
from gancore.games.sampler import Sampler
from gancore.trees import Tree


class Classifier(nn.Module):
    """From data to logits in two steps, ``classify(embed(data))``; metrics use the embedding as features."""

    def embed(self, data: Tree) -> Tensor:
        """(batch, features), float."""
        raise TypeError(f"{type(self).__name__} must define embed(data)")

    def classify(self, embedded: Tensor) -> Tensor:
        """Logits, (batch, classes)."""
        raise TypeError(f"{type(self).__name__} must define classify(embedded)")

    def forward(self, data: Tree) -> Tensor:
        return self.classify(self.embed(data))


class TrainedClassifier(Sampler):
    """What a classifier's model folder stores: it classifies canonical samples and generates none.

    Its likelihood is that of the labels.
    """

    capabilities = frozenset({"classification", "likelihood"})

    def __init__(self, model: Classifier, representation: Representation) -> None:
        super().__init__()
        self.model, self.representation = model, representation

    def embed(self, data: Tree) -> Tensor:
        """Features of canonical samples, (batch, features)."""
        features: Tensor = self.model.embed(self.representation.encode(Batch(data)).data)
        return features

    def log_posteriors(self, data: Tree) -> Tensor:
        """log p(class | data), (batch, classes)."""
        return self.log_posteriors_of(self.embed(data))

    def log_posteriors_of(self, features: Tensor) -> Tensor:
        """The same from the features of :meth:`embed`."""
        return self.model.classify(features).log_softmax(1)

    def log_prob(self, batch: Batch) -> Tensor:
        """log p(label | data) of each row's own label, (batch,): a likelihood of labels, not of data."""
        return self.log_posteriors(batch.data).gather(1, batch.condition[:, None]).squeeze(1)


class ClassifierGame(Game):
    """Built by :func:`classifier_game`."""

    conditional = True

    def __init__(self, model: Classifier, representation: Representation, ema_halflife: float | None) -> None:
        super().__init__()
        self.model, self.representation = model, representation
        self.track_ema(model, ema_halflife)

    def cost(self, move: Move, draw: Draw) -> Cost:
        """-log p(label | data) in nats per sample; ``accuracy`` is logged."""
        batch = draw.real()
        logits = self.model(batch.data)  # (batch, classes)
        correct = (logits.argmax(1) == batch.condition).to(torch.float32)
        cost = Cost().add("cross_entropy", cross_entropy(logits, batch.condition, reduction="none"))
        return cost.log("accuracy", correct)

    def sampler(self) -> TrainedClassifier:
        return TrainedClassifier(cast(Classifier, self.averaged(self.model)), self.representation)


def classifier_game(
    model: Callable[[], Classifier],
    *,
    optimizer: Optimizer = Adam(1e-3),  # noqa: B008
    ema_halflife: float | None = None,
    clip_grad_norm: float | None = None,
    representation: Representation | None = None,
) -> ClassifierGame:
    """A classifier: a model of the labels given the data.

    It is trained, selected and stored like a generator but generates nothing; its recipe declares the
    capability ``classification``.
    """
    game = ClassifierGame(model(), representation or Identity(), ema_halflife)
    game.players = {"classifier": Player(["model"], optimizer, clip_grad_norm)}
    game.phases = [Phase([Move("classifier")], name="classification")]
    return game
