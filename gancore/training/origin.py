"""Weights that a training starts from: those of a run, or of a model folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from gancore.errors import CheckpointError, ConfigError
from gancore.games.field import Table
from gancore.models.folder import load_model
from gancore.training.checkpoint import newest_checkpoint


def take_over(table: Table, path: Path) -> str:
    """Begin with every tensor of a run or model whose name and shape fit; returns a line that says what.

    A model's tensors (the average, where its recipe averages) become both the network that trains and its
    average: an average that begins follows its network within a few rounds. A run gives the same, and what
    its model does not hold (the other players) from its newest checkpoint.

    Raises:
        CheckpointError: there is no model and no usable checkpoint.
        ConfigError: nothing fits.
    """
    if not (path / "checkpoints").is_dir():
        model = load_model(path).tensors
        return _told(initialise(table, model, path), model, f"the model {path}")
    rest, name = _checkpoint_of(path)
    model = load_model(path / "model").tensors if (path / "model").is_dir() else {}
    weights = {**rest, **model}
    fitting = initialise(table, weights, path)
    of_model = [n for n in fitting if n in model]
    told = _told(fitting, weights, str(path))
    if not model:
        return f"{told}, of its {name}: it has no model, so none of them is an average"
    return f"{told}: {len(of_model)} of its model, {len(fitting) - len(of_model)} of its {name}"


def _told(fitting: Mapping[str, Any], weights: Mapping[str, Any], where: str) -> str:
    return f"{len(fitting)} of the {len(weights)} tensors of {where} are taken over"


def _checkpoint_of(path: Path) -> tuple[Mapping[str, torch.Tensor], str]:
    checkpoint, refused = newest_checkpoint(path / "checkpoints")
    if checkpoint is None:
        raise CheckpointError(
            f"{path} has no usable checkpoint ({'; '.join(refused) or 'none is there'})",
            "give another run, or a model folder",
        )
    return checkpoint.tensors.get("game", {}), checkpoint.path.name


def initialise(table: Table, tensors: Mapping[str, torch.Tensor], where: Path) -> Mapping[str, Any]:
    """Take over every tensor whose name and shape fit; returns those. Raises ConfigError on none."""
    own = table.game.state_dict()
    fitting: dict[str, Any] = {n: t for n, t in tensors.items() if n in own and own[n].shape == t.shape}
    if not fitting:
        raise ConfigError(
            f"--init-from {where}: none of its weights fits this configuration", "use its recipe"
        )
    table.game.load_state_dict(fitting, strict=False)
    sampler = table.game.sampler()
    sampler.load_state_dict({n: t for n, t in fitting.items() if n in sampler.state_dict()}, strict=False)
    return fitting
