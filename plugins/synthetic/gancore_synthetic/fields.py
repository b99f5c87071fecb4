"""What the commands draw: the field of a run's newest checkpoint, and the points of a source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gancore import Batch, CheckpointError, ConfigError, Samples, Spec
from gancore.configure import read_config, resolve_config
from gancore.domain import Source
from gancore.games import AdversarialGame, Game
from gancore.models.model import build_game
from gancore.plugins import plugins
from gancore.runtime.randomness import Key
from gancore.training.checkpoint import newest_checkpoint
from gancore.training.run import RunFolder
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
    game, spec, step = trained_game(RunFolder(folder))
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


def trained_game(run: RunFolder) -> tuple[Game, Spec, int]:
    """The game as the run's newest checkpoint left it, the spec of its data, and the step.

    Raises:
        CheckpointError: no usable checkpoint.
        ConfigError: a run of another domain.
    """
    if not run.config_file.exists():
        raise CheckpointError(f"{run.path} is no run folder", "`gancore runs` lists what was trained here")
    config = read_config(run.config_file)
    if config.domain != Synthetic.name:
        raise ConfigError(f"{run.path} is a run of {config.domain}", "give one of the synthetic domain")
    checkpoint, refused = newest_checkpoint(run.checkpoints)
    if checkpoint is None:
        raise CheckpointError(
            f"{run.path} has no usable checkpoint", refused[0] if refused else "train it longer"
        )
    spec = _spec(config.data)
    _, recipe = plugins().recipe(Synthetic(), config.recipe)
    game = build_game(recipe, config.model, spec, config.train.seed)
    game.load_state_dict(dict(checkpoint.tensors["game"]))
    return game.eval(), spec, checkpoint.step


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
    return "log p and the score", lambda points: sampler.log_prob(Batch(points, condition(len(points))))


def save_truth(source: str, settings: Sequence[str], out: Path, n: int) -> Path:
    """Points of a source over its density, as a picture."""
    config = resolve_config(
        "synthetic", data=source, overrides=["data.points=1", *settings, f"data.held_out={n}"]
    )
    data = Synthetic().open(Source(source, None, SOURCES.get(source)), config.data)
    batch = data.valid.take(torch.arange(n), Key.of("show"))
    return _saved(picture(Samples(batch.data, data.spec, batch.condition)), out)


def _spec(data_config: object) -> Spec:
    name = data_config.source or next(iter(SOURCES))
    small = data_config.model_copy(update={"held_out": 1})
    return Synthetic().open(Source(name, None, SOURCES[name]), small).spec


def _saved(image: Image, out: Path) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    image.save(out)
    return out
