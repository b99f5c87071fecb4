"""The game of one player that judges: p(label | data) by cross-entropy, in the same loop as every GAN."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gancore.domain import Batch
from gancore.games.cost import Cost
from gancore.games.draw import Draw
from gancore.games.field import Field
from gancore.games.game import Game, Move, Phase, Player
from gancore.games.representation import Identity, Representation
from gancore.games.rules import Adam, Rule
from gancore.nn.average import Average
from gancore.trees import Tree


class Classifier(nn.Module):
    """Data to logits in two steps, ``classify(embed(data))``; measures use the first as features."""

    def embed(self, data: Tree) -> Tensor:
        """(batch, features), float."""
        raise TypeError(f"{type(self).__name__} must define embed(data)")

    def classify(self, embedded: Tensor) -> Tensor:
        """Logits, (batch, classes)."""
        raise TypeError(f"{type(self).__name__} must define classify(embedded)")

    def forward(self, data: Tree) -> Tensor:
        return self.classify(self.embed(data))


class Judge(nn.Module):
    """What a model folder of a classifier holds. It has no ``sample``: it judges canonical samples."""

    def __init__(self, model: Classifier, representation: Representation) -> None:
        super().__init__()
        self.model, self.representation = model, representation

    def embed(self, data: Tree) -> Tensor:
        """Features of canonical samples, (batch, features)."""
        features: Tensor = self.model.embed(self.representation.encode(Batch(data)).data)
        return features

    def log_posteriors(self, data: Tree) -> Tensor:
        """log p(class | data), (batch, classes)."""
        return self.model.classify(self.embed(data)).log_softmax(1)

    def log_prob(self, batch: Batch) -> Tensor:
        """log p(label | data) of each row's own label, (batch,): a likelihood of labels, not of data."""
        return self.log_posteriors(batch.data).gather(1, batch.condition[:, None]).squeeze(1)


class ClassifierGame(Game):
    """Built by :func:`classifier`."""

    conditional = True

    def __init__(self, model: Classifier, representation: Representation, average: float | None) -> None:
        super().__init__()
        self.model, self.representation = model, representation
        self.average = Average(model, average) if average else None

    def cost(self, move: Move, draw: Draw) -> Cost:
        """-log p(label | data) in nats a sample; ``accuracy`` is seen beside it."""
        batch = draw.real()
        logits = self.model(batch.data)  # (batch, classes)
        right = (logits.argmax(1) == batch.condition).to(torch.float32)
        cost = Cost().add("cross_entropy", cross_entropy(logits, batch.condition, reduction="none"))
        return cost.see("accuracy", right)

    def after_round(self, field: Field) -> None:
        super().after_round(field)
        if self.average is not None:
            self.average.update(field.table.samples_a_round, field.samples)

    def sampler(self) -> Judge:
        model = self.model if self.average is None else cast(Classifier, self.average.module)
        return Judge(model, self.representation)


def classifier(
    model: Callable[[], Classifier],
    *,
    rule: Rule = Adam(1e-3),  # noqa: B008
    average: float | None = None,
    clip: float | None = None,
    representation: Representation | None = None,
) -> ClassifierGame:
    """A judge: a model of the labels given the data. It is trained, selected and kept like a generator, and
    samples nothing; its recipe declares ``judge``.
    """
    game = ClassifierGame(model(), representation or Identity(), average)
    game.players = {"classifier": Player(["model"], rule, clip)}
    game.phases = [Phase([Move("classifier")], name="classification")]
    return game
