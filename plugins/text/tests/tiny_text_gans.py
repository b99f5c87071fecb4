"""Recipes on texts of a few words, small enough to enumerate all sequences."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from gancore_text.config import TextConfig
from gancore_text.dataset import open_text
from gancore_text.tokenizer import END
from torch import Tensor

from gancore import Batch, Recipe, Spec
from gancore.data.dataset import TensorView
from gancore.data.sources import Source
from gancore.games import DiscreteGame, Draw
from gancore.games.training_step import TrainingStep
from gancore.nn import until_end
from gancore.training.setup import set_up

WORDS = ("a", "b")
SIZES = {"width": 6, "embedding_dim": 4, "batch_size": 8, "discriminator_embedding": 4}


def tiny_spec(folder: Path, longest: int = 2) -> Spec:
    """Of all texts of at most ``longest`` words: four tokens with the end and the unknown one."""
    texts = [" ".join(row) for n in range(1, longest + 1) for row in itertools.product(WORDS, repeat=n)]
    data = folder / "tiny"
    data.mkdir()
    for split, lines in {"train": texts, "valid": ["c"], "test": ["d"]}.items():
        (data / f"{split}.txt").write_text("".join(f"{text}\n" for text in lines))
    return open_text(Source("tiny", data), TextConfig(min_count=1)).spec


def tiny_game(recipe: Recipe, spec: Spec, seed: int = 0, **settings: Any) -> DiscreteGame:
    """With parameters away from their initial values, so that rewards differ."""
    torch.manual_seed(seed)
    game = recipe.build(recipe.Config(**{**SIZES, **settings}), spec)
    for parameter in game.parameters():
        parameter.data.add_(0.5 * torch.randn_like(parameter))
    assert isinstance(game, DiscreteGame)
    return game


def all_sequences(game: DiscreteGame) -> Tensor:
    """Every sequence once, with nothing but ends after the first."""
    length, size = game.representation.length, game.representation.vocab_size
    every = torch.tensor(list(itertools.product(range(size), repeat=length)))
    return torch.where(until_end(every, END), every, END).unique(dim=0)


def context_of(game: DiscreteGame, ids: Sequence[int | None]) -> Tensor:
    """Ids (1, length) with gaps where None is."""
    gap = game.representation.vocab_size
    return torch.tensor([[gap if at is None else at for at in ids]])


def draw_of(game: DiscreteGame, rows: int = 8, index: int = 1) -> Draw:
    """A draw of the generator's move, whose data are rows of ids."""
    ids = all_sequences(game)
    data = ids[torch.arange(4 * rows) % len(ids)]
    context = context_of(game, [None] * ids.shape[1]).expand(rows, -1) if game.conditional else None
    game.representation.encode = lambda batch: Batch(batch.data, context)  # type: ignore[method-assign]
    setup = set_up(game, TensorView(data), batch_size=rows)
    return TrainingStep(setup, game.phases[-1], 0, 0, 1.0).draw(index)


def gradient(game: DiscreteGame, cost: Tensor) -> Tensor:
    """Of the generator's parameters, flat."""
    parameters = list(game.generator.parameters())
    found = torch.autograd.grad(cost, parameters, materialize_grads=True, retain_graph=True)
    return torch.cat([part.flatten() for part in found])
