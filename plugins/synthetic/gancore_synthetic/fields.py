"""What the commands draw: the field of a run's newest checkpoint, and the points of a source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gancore import Batch, ConfigError, Samples, load_game
from gancore.configure import resolve_config
from gancore.domain import Source
from gancore.games import AdversarialGame, Game
from gancore.runtime.randomness import Key
from gancore_synthetic.config import SOURCES
from gancore_synthetic.domain import Synthetic
from gancore_synthetic.pictures import field_picture, picture
from gancore_synthetic.truth import truth_of

if TYPE_CHECKING:
    from PIL.Image import Image

Values = Callable[[Tensor], Tensor]
"""A function on the plane: canonical points (n, 2) to (n)."""


def save_field(folder: Path, out: Path, n: int, label: str | None) -> Path:
    """The field of a run, as a picture."""
    loaded = load_game(folder)
    game, spec, step = loaded.game, loaded.spec, loaded.step
    if loaded.domain.name != Synthetic.name:
        raise ConfigError(f"{folder} is a run of {loaded.domain.name}", "give one of the synthetic domain")
    if list(spec["shape"]) != [2]:
        raise ConfigError(
            f"{folder} is not of points in the plane", "a field is drawn in two dimensions alone"
        )
    sampler = game.sampler().eval()
    conditional = bool(getattr(sampler, "conditional", False))
    if conditional and label is None:
        raise ConfigError(
            "this run was trained on labels", f"give --label, one of {', '.join(spec['classes'])}"
        )
    if label is not None and not conditional:
        raise ConfigError(f"label {label!r}: this run was trained without labels", "leave out --label")

    def condition(rows: int) -> Tensor | None:
        return Synthetic().condition(label, rows, spec, Key.of("field")) if conditional else None

    with torch.no_grad():
        samples = sampler.sample(n, Key.of("field"), condition(n))
    title, value = field_of(game, condition)
    logarithm = not isinstance(game, AdversarialGame)
    image = field_picture(value, samples, truth_of(spec), f"{title}, step {step:,}", logarithm)
    return _saved(image, out)


def field_of(game: Game, condition: Callable[[int], Tensor | None]) -> tuple[str, Values]:
    """The discriminator's logit; of a likelihood model log p. A pack is the same point several times."""
    representation = game.representation
    if isinstance(game, AdversarialGame):
        pack = getattr(game.discriminator, "pack", 1)

        def logit(points: Tensor) -> Tensor:
            encoded = representation.encode(Batch(points.repeat_interleave(pack, 0), condition(len(points))))
            return game.discriminator(encoded.data, encoded.condition)

        return "discriminator's logit and its gradient", logit
    sampler = game.sampler().eval()
    if not hasattr(sampler, "log_prob"):
        raise ConfigError(
            f"{type(game).__name__} has neither the discriminator of an AdversarialGame nor a density",
            "give a run of another recipe",
        )
    return "log p and the score", lambda points: sampler.log_prob(Batch(points, condition(len(points))))


def save_truth(source: str, settings: Sequence[str], out: Path, n: int) -> Path:
    """Points of a source over its density, as a picture."""
    config = resolve_config(
        "synthetic", data=source, overrides=["data.points=1", *settings, f"data.held_out={n}"]
    )
    data = Synthetic().open(Source(source, None, SOURCES.get(source)), config.data)
    batch = data.valid.take(torch.arange(n), Key.of("show"))
    return _saved(picture(Samples(batch.data, data.spec, batch.condition)), out)


def _saved(image: Image, out: Path) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    image.save(out)
    return out
