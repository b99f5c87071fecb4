"""The plots of the commands: the field of a run's newest checkpoint, and the points of a source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gancore import Batch, ConfigError, Samples, Source, load_game
from gancore.games import AdversarialGame, Game
from gancore.random import Key
from gancore.training import resolve_config
from gancore_synthetic.config import SOURCES
from gancore_synthetic.domain import SyntheticDomain
from gancore_synthetic.export import draw_field, preview
from gancore_synthetic.registry import distribution_of

if TYPE_CHECKING:
    from PIL.Image import Image

ScalarField = Callable[[Tensor], Tensor]
"""A function on the plane: canonical points (n, 2) to (n)."""


def save_field_plot(folder: Path, out: Path, n: int, label: str | None) -> Path:
    """Plot the field of a run."""
    loaded = load_game(folder)
    game, spec, step = loaded.game, loaded.spec, loaded.step
    if loaded.domain.name != SyntheticDomain.name:
        raise ConfigError(
            f"{folder} is a run of the domain {loaded.domain.name}", "give a run of the synthetic domain"
        )
    if list(spec["shape"]) != [2]:
        raise ConfigError(
            f"{folder} is a run with samples of shape {list(spec['shape'])}",
            "give a run of points in the plane",
        )
    sampler = game.sampler().eval()
    conditional = sampler.conditional
    if conditional and label is None:
        raise ConfigError(
            f"{folder} was trained on labels, and no label is given",
            f"give --label, one of {', '.join(spec['classes'])}",
        )
    if label is not None and not conditional:
        raise ConfigError(f"label {label!r}: {folder} was trained without labels", "leave out --label")

    def condition(rows: int) -> Tensor | None:
        return SyntheticDomain().make_condition(label, rows, spec, Key.of("field")) if conditional else None

    with torch.no_grad():
        samples = sampler.sample(n, Key.of("field"), condition(n))
    title, value = scalar_field(game, condition)
    logarithm = not isinstance(game, AdversarialGame)
    image = draw_field(value, samples, distribution_of(spec), f"{title}, step {step:,}", logarithm)
    return _saved(image, out)


def scalar_field(game: Game, condition: Callable[[int], Tensor | None]) -> tuple[str, ScalarField]:
    """Title and function: the discriminator's logit (a pack repeats the point), or a model's log p."""
    representation = game.representation
    if isinstance(game, AdversarialGame):
        pack = getattr(game.discriminator, "pack", 1)

        def logit(points: Tensor) -> Tensor:
            encoded = representation.encode(Batch(points.repeat_interleave(pack, 0), condition(len(points))))
            result: Tensor = game.discriminator(encoded.data, encoded.condition)
            return result

        return "discriminator's logit and its gradient", logit
    sampler = game.sampler().eval()
    if not sampler.can("likelihood"):
        raise ConfigError(
            f"{type(game).__name__} has neither the discriminator of an AdversarialGame nor a density",
            "give a run of another recipe",
        )

    def log_prob(points: Tensor) -> Tensor:
        values = sampler.log_prob(Batch(points, condition(len(points))))
        if values is None:
            raise ConfigError(f"{type(game).__name__} gives no density", "give a run of another recipe")
        return values

    return "log p and the score", log_prob


def save_density_plot(source: str, settings: Sequence[str], out: Path, n: int) -> Path:
    """Plot points of a source over its density."""
    config = resolve_config(
        "synthetic",
        data=source,
        overrides=["data.train_examples=1", *settings, f"data.validation_examples={n}"],
    )
    data = SyntheticDomain().open(Source(source, None, SOURCES.get(source)), config.data)
    batch = data.view("valid").get_batch(torch.arange(n), Key.of("show"))
    return _saved(preview(Samples(batch.data, data.spec, batch.condition)), out)


def _saved(image: Image, out: Path) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    image.save(out)
    return out
