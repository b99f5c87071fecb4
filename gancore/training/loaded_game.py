"""A run's game at one of its checkpoints: networks, training setup, Jacobian."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from gancore.config import RunConfig
from gancore.config_layers import load_config_file
from gancore.data.dataset import Data, Spec
from gancore.data.sources import resolve_source
from gancore.domain import Domain
from gancore.errors import CheckpointError, ConfigError
from gancore.games.game import Game
from gancore.games.jacobian import compute_jacobian
from gancore.games.training_setup import TrainingSetup
from gancore.models.folder import read_model_folder
from gancore.models.model import build_game
from gancore.nn.ema import EMA
from gancore.plugins import plugins
from gancore.progress import Announce, silent
from gancore.run_folder import RunFolder
from gancore.runtime.device import resolve_device
from gancore.runtime.distributed import SINGLE_PROCESS
from gancore.runtime.torch_settings import pinned_settings
from gancore.text import suggestion
from gancore.training.checkpoint import (
    Checkpoint,
    latest_checkpoint,
    load_checkpoint,
    load_networks,
    load_optimizers,
    saved_steps,
    step_name,
)
from gancore.training.setup import setup_from_game
from gancore.training.state import TrainState


@dataclass(frozen=True)
class LoadedGame:
    """A game at ``step`` of its run. ``spec`` describes the data; only ``setup`` opens them."""

    game: Game
    step: int
    config: RunConfig
    spec: Spec
    domain: Domain
    run: RunFolder
    checkpoint: Checkpoint
    device: torch.device
    data_root: Path | None = None
    announce: Announce = silent

    def network(self, name: str) -> nn.Module:
        """A part of the game by its name, as ``model.encoder``, or by the end of it, as ``encoder``.

        Raises:
            ConfigError: the game has no such part, or several.
        """
        modules: dict[str, nn.Module] = {path: module for path, module in self.game.named_modules() if path}
        if name in modules:
            return modules[name]
        found = [path for path in modules if path.endswith(f".{name}")]
        if len(found) != 1:
            known = found or [path for path, _ in self.game.named_children()]
            which = "several parts" if found else "no part"
            raise ConfigError(f"the game of {self.run.path} has {which} {name!r}", suggestion(name, known))
        return modules[found[0]]

    @property
    def generator(self) -> nn.Module:
        """The generator that trains; :attr:`ema` is what the model folder holds if the recipe averages."""
        return self.network("generator")

    @property
    def ema(self) -> nn.Module:
        """The average of the generator, or of the model. Raises ConfigError if the recipe has none."""
        ema: object = getattr(self.game, "ema", None)
        if not isinstance(ema, EMA):
            raise ConfigError(f"{self.run.path} was trained without an average", "set model.ema_halflife")
        return ema.module

    @property
    def discriminator(self) -> nn.Module:
        return self.network("discriminator")

    @property
    def encoder(self) -> nn.Module:
        return self.network("encoder")

    @cached_property
    def data(self) -> Data:
        """Raises DataError if the data are not on this machine."""
        return _data(self.run, self.config, self.domain, self.data_root, self.announce)

    @cached_property
    def setup(self) -> TrainingSetup:
        """The game, its data and its optimizers, as the run would continue with them, in fp32.

        :func:`gancore.training.loop.play` trains it further; ``gancore.games.TrainingStep`` gives its
        gradients.

        Raises:
            CheckpointError: the data differ from those the run was trained on, or the optimizers do.
        """
        written = self.checkpoint.state.get("fingerprint", "")
        if written != self.data.fingerprint:
            raise CheckpointError(
                f"the data differ from those {self.run.path} was trained on",
                "restore them, or give the data_root that has them",
            )
        setup = setup_from_game(self.game, self.config, self.data, self.device, SINGLE_PROCESS, bf16=False)
        load_optimizers(setup, self.checkpoint, _FIX_PLUGIN)
        setup.resume_state.append(
            TrainState.from_json(self.checkpoint.state.get("state"), len(self.game.phases))
        )
        return setup

    @pinned_settings()
    def jacobian(self, rows: int | None = None) -> Tensor:
        """Jacobian of the game's vector field here, by :func:`gancore.games.compute_jacobian`.

        These are the checkpoint's; after ``play(loaded.setup, 5)`` those five steps later.
        """
        setup = self.setup
        state = cast(TrainState, setup.resume_state[-1])
        return compute_jacobian(setup, rows, state.step, min(state.progress, 1.0), state.phase_index)


_FIX_PLUGIN = "use the version of the plugin that trained it"


@pinned_settings()
def open_game(
    folder: Path,
    step: int | None,
    device: str,
    data_root: Path | None = None,
    announce: Announce = silent,
) -> LoadedGame:
    """The game of a run at one of its checkpoints, by default the latest.

    Raises:
        CheckpointError: no run, a run of another contract version, no such checkpoint, or its networks differ
            from those that the recipe builds.
        DataError: the run has no model yet, and its data are not on this machine.
    """
    run = RunFolder(folder)
    if not run.config_file.is_file():
        raise CheckpointError(f"{folder} is not a run folder", "`gancore runs` lists what was trained here")
    run.check_version()
    config, checkpoint = load_config_file(run.config_file), _checkpoint(run, step)
    domain = plugins().load_domain(config.domain)
    _, recipe = plugins().load_recipe(domain, config.recipe)
    if run.model.is_dir():
        spec = read_model_folder(run.model).spec
    else:
        spec = _data(run, config, domain, data_root, announce).spec
    game, where = build_game(recipe, config.model, spec, config.train.seed), resolve_device(device)
    load_networks(game, checkpoint, _FIX_PLUGIN)
    game = game.to(where).eval()
    return LoadedGame(
        game, checkpoint.step, config, spec, domain, run, checkpoint, where, data_root, announce
    )


def _checkpoint(run: RunFolder, step: int | None) -> Checkpoint:
    if step is not None:
        known = saved_steps(run.checkpoints)
        if step not in known:
            held = ", ".join(map(str, known)) or "none"
            raise CheckpointError(
                f"{run.path} has no checkpoint of step {step}; it holds {held}",
                "give one of these; --set checkpoint.every=N keeps one every N steps",
            )
        return load_checkpoint(run.checkpoints / step_name(step))
    checkpoint, refused = latest_checkpoint(run.checkpoints)
    if checkpoint is None:
        fix = refused[0] if refused else "train it longer"
        raise CheckpointError(f"{run.path} has no usable checkpoint", fix)
    return checkpoint


def _data(
    run: RunFolder,
    config: RunConfig,
    domain: Domain,
    data_root: Path | None,
    announce: Announce,
) -> Data:
    source = resolve_source(
        config.data.source,
        domain.sources,
        data_root,
        announce,
        run.rows_folder,
        reads_shards=domain.reads_shards,
    )
    return domain.open(source, config.data)
