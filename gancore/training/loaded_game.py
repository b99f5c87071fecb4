"""A run's game as one of its checkpoints left it: networks, the table it is played on, its Jacobian."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from gancore.config import RunConfig
from gancore.configure import read_config
from gancore.data.sources import resolve
from gancore.domain import Data, Domain, Spec
from gancore.errors import CheckpointError, ConfigError, nearest
from gancore.games.field import Table
from gancore.games.field_jacobian import jacobian
from gancore.games.game import Game
from gancore.models.folder import load_model
from gancore.models.model import build_game
from gancore.nn.average import Average
from gancore.plugins import plugins
from gancore.runtime.ambient import pinned
from gancore.runtime.device import resolve_device
from gancore.runtime.processes import ALONE
from gancore.training.checkpoint import Checkpoint, load_checkpoint, newest_checkpoint, saved_steps, step_name
from gancore.training.run import RunFolder
from gancore.training.state import State
from gancore.training.table import set_game, take_networks, take_rules


@dataclass(frozen=True)
class LoadedGame:
    """A game at ``step`` of its run. ``spec`` describes the data; they are opened for ``table`` alone."""

    game: Game
    step: int
    config: RunConfig
    spec: Spec
    domain: Domain
    run: RunFolder
    checkpoint: Checkpoint
    device: torch.device
    data_root: Path | None = None
    announce: Callable[[str], None] = field(default=lambda line: None)

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
            raise ConfigError(f"the game of {self.run.path} has {which} {name!r}", nearest(name, known))
        return modules[found[0]]

    @property
    def generator(self) -> nn.Module:
        """As it is trained; :attr:`averaged` is what the model folder holds where the recipe averages."""
        return self.network("generator")

    @property
    def averaged(self) -> nn.Module:
        """The average of the generator, or of the model. Raises ConfigError where the recipe has none."""
        average: object = getattr(self.game, "average", None)
        if not isinstance(average, Average):
            raise ConfigError(f"{self.run.path} was trained without an average", "set model.average")
        return average.module

    @property
    def discriminator(self) -> nn.Module:
        return self.network("discriminator")

    @property
    def encoder(self) -> nn.Module:
        return self.network("encoder")

    @cached_property
    def data(self) -> Data:
        """Raises DataError where they are not here."""
        return _data(self.run, self.config, self.domain, self.data_root, self.announce)

    @cached_property
    def table(self) -> Table:
        """The game, its data and its rules, as the run goes on with them, in fp32.

        :func:`gancore.training.playing.play` goes on with it, ``gancore.games.Field`` looks at it.

        Raises:
            CheckpointError: the data are not those that the run was trained on, or its rules are others now.
        """
        written = self.checkpoint.state.get("fingerprint", "")
        if written != self.data.fingerprint:
            raise CheckpointError(
                f"the data are not those that {self.run.path} was trained on",
                "restore them, or give the data_root that has them",
            )
        table = set_game(self.game, self.config, self.data, self.device, ALONE, bf16=False)
        take_rules(table, self.checkpoint, _OLD_PLUGIN)
        table.played.append(State.from_json(self.checkpoint.state.get("state"), len(self.game.phases)))
        return table

    @pinned()
    def jacobian(self, rows: int | None = None) -> Tensor:
        """Of the game's vector field where the table stands: :func:`gancore.games.jacobian`.

        That is at the checkpoint, and after ``play(loaded.table, 5)`` five rounds on.
        """
        table = self.table
        state = cast(State, table.played[-1])
        return jacobian(table, rows, state.step, min(state.progress, 1.0), state.phase_index)


_OLD_PLUGIN = "use the version of the plugin that trained it"


@pinned()
def open_game(
    folder: Path,
    step: int | None,
    device: str,
    data_root: Path | None = None,
    announce: Callable[[str], None] = lambda line: None,
) -> LoadedGame:
    """The game of a run at one of its checkpoints, by default the newest.

    Raises:
        CheckpointError: no run, no such checkpoint, or one of other networks than the recipe builds now.
        DataError: the run has no model yet, and its data are not here.
    """
    run = RunFolder(folder)
    if not run.config_file.is_file():
        raise CheckpointError(f"{folder} is no run folder", "`gancore runs` lists what was trained here")
    config, checkpoint = read_config(run.config_file), _checkpoint(run, step)
    domain = plugins().domain(config.domain)
    _, recipe = plugins().recipe(domain, config.recipe)
    if run.model.is_dir():
        spec = load_model(run.model).spec
    else:
        spec = _data(run, config, domain, data_root, announce).spec
    game, where = build_game(recipe, config.model, spec, config.train.seed), resolve_device(device)
    take_networks(game, checkpoint, _OLD_PLUGIN)
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
                "give one of these; --set upkeep.checkpoint_every=N keeps one every N rounds",
            )
        return load_checkpoint(run.checkpoints / step_name(step))
    checkpoint, refused = newest_checkpoint(run.checkpoints)
    if checkpoint is None:
        fix = refused[0] if refused else "train it longer"
        raise CheckpointError(f"{run.path} has no usable checkpoint", fix)
    return checkpoint


def _data(
    run: RunFolder,
    config: RunConfig,
    domain: Domain,
    data_root: Path | None,
    announce: Callable[[str], None],
) -> Data:
    source = resolve(config.data.source, domain.sources, data_root, announce, run.rows)
    return domain.open(replace(source, announce=announce), config.data)
