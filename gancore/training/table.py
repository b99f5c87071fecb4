"""The table of a run: its game and its data on their device, and what they must allow its processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from gancore.config import RunConfig
from gancore.domain import Data, View, on_device
from gancore.errors import CheckpointError, ConfigError, DataError, nearest
from gancore.games.draw import Dealer
from gancore.games.dynamics import find_dynamics
from gancore.games.field import Table
from gancore.games.game import Game, Phase
from gancore.games.statistics import Statistics
from gancore.models.model import build_game
from gancore.recipe import Recipe
from gancore.records import RecipeEntry
from gancore.runtime.device import resolve_precision
from gancore.runtime.processes import Processes
from gancore.training.checkpoint import Checkpoint


def lay_table(
    config: RunConfig, recipe: Recipe, data: Data, device: torch.device, processes: Processes
) -> Table:
    """Build the game that the configuration describes and put it beside its data.

    Raises:
        ConfigError: the game does not allow this dynamics, accumulation or number of processes.
        DataError: a view of train is empty.
    """
    game = build_game(recipe, config.model, data.spec, config.train.seed)
    precision = processes.tell(run_precision(config, game, device))
    return set_game(game, config, data, device, processes, precision == "bf16")


def set_game(
    game: Game, config: RunConfig, data: Data, device: torch.device, processes: Processes, bf16: bool
) -> Table:
    """Put a game beside its data; its phases get the dynamics that the configuration names."""
    game = game.to(device)
    game.phases = _phases(game, config)
    _check_parts(game, config, processes)
    views = _views(data, device, config)
    return Table(
        game=game,
        dealer=Dealer(views, game.representation, config.train.seed, device, processes),
        updaters=game.updaters(),
        statistics=Statistics(),
        batch_size=config.model.batch_size,
        accumulate=config.model.accumulate,
        bf16=bf16,
    )


def run_precision(config: RunConfig, game: Game, device: torch.device) -> str:
    """fp32 or bf16: what the user asks for; ``auto`` heeds the game too."""
    asked = config.train.precision
    return "fp32" if asked == "auto" and game.full_precision else resolve_precision(asked, device)


def _phases(game: Game, config: RunConfig) -> Sequence[Phase]:
    """The game's phases; those in which players move, by the dynamics that the configuration names."""
    asked = config.train.dynamics
    if asked.name is None:
        if asked.settings:
            raise ConfigError(
                "train.dynamics.settings are given, but no train.dynamics.name", "name the dynamics too"
            )
        return game.phases
    dynamics = find_dynamics(asked.name, asked.settings)
    return [replace(phase, dynamics=dynamics) if phase.moves else phase for phase in game.phases]


def _check_parts(game: Game, config: RunConfig, processes: Processes) -> None:
    """What micro-batches and processes must not break: a batch cut in parts is the same batch."""
    size, micro = config.model.batch_size, config.model.accumulate
    if size % (micro * processes.world):
        parts = f"{processes.world} processes" + (f" of {micro} micro-batches" if micro > 1 else "")
        raise ConfigError(f"model.batch_size {size} cannot be cut for {parts}", "give a multiple")
    if micro > 1 and game.batch_coupled:
        raise ConfigError("a cost of this recipe couples the rows of a batch", "set model.accumulate=1")
    if micro * processes.world == 1:
        return
    remedy = "use one process and model.accumulate=1"
    needing = [phase.dynamics for phase in game.phases if phase.dynamics.needs_graph]
    if needing:
        kind = type(needing[0]).__name__
        raise ConfigError(f"the dynamics {kind} differentiates through steps on one batch alone", remedy)
    normalised = _batch_normalised(game)
    if normalised and not game.statistics_per_process:
        raise ConfigError(
            f"{normalised} normalises over the batch, and each part would do so apart",
            f"{remedy}, or a recipe without batch normalisation",
        )


def _batch_normalised(game: Game) -> str:
    """The name of a trained network with batch statistics; empty: there is none."""
    for player in game.players.values():
        for part in player.factors():
            if any(isinstance(module, _BatchNorm) for module in game.get_submodule(part).modules()):
                return f"the {part}"
    return ""


def _views(data: Data, device: torch.device, config: RunConfig) -> dict[str, View]:
    views = data.train if isinstance(data.train, Mapping) else {"train": data.train}
    empty = [name for name, view in views.items() if len(view) == 0]
    if empty:
        raise DataError(f"no sample is left for {empty[0]}", "add data, or loosen what data.* leaves out")
    return {name: on_device(view, device, config.upkeep.resident_megabytes) for name, view in views.items()}


CAPABILITY_NEEDS = {
    "parallel": "sample",
    "conditional": "conditional",
    "likelihood": "log_prob",
    "bound": "bound",
    "inversion": "invert",
    "judge": "log_posteriors",
}
"""For each capability that a recipe may declare, what its sampler must have."""


def check_capabilities(entry: RecipeEntry, sampler: torch.nn.Module) -> None:
    """Raises ConfigError where a sampler lacks what its entry declares, or cannot sample and is no judge."""
    for capability in sorted(entry.provides):
        need = CAPABILITY_NEEDS.get(capability, "")
        if not need or not hasattr(sampler, need):
            known = nearest(capability, CAPABILITY_NEEDS)
            lack = f"but its sampler has no {need}" if need else f"which is not known ({known})"
            raise ConfigError(
                f"recipe {entry.name!r} declares {capability!r}, {lack}", "tell the plugin's authors"
            )
    if "judge" not in entry.provides and not hasattr(sampler, "sample"):
        raise ConfigError(
            f"recipe {entry.name!r} does not declare 'judge', but its sampler has no sample",
            "tell the plugin's authors",
        )


def rule_tensors(table: Table) -> dict[str, torch.Tensor]:
    """The state of every player's rule, by name."""
    return {
        f"{player}/{n}": t for player, updater in table.updaters.items() for n, t in updater.tensors().items()
    }


def take_networks(game: Game, checkpoint: Checkpoint, fix: str) -> None:
    """Every tensor of a game as a checkpoint holds it; see :func:`_stored` for the error."""
    game.load_state_dict(dict(_stored(checkpoint, "game", game.state_dict(), fix)))


def take_rules(table: Table, checkpoint: Checkpoint, fix: str) -> None:
    """The state of every player's rule as a checkpoint holds it; see :func:`_stored` for the error."""
    stored = _stored(checkpoint, "rules", rule_tensors(table), fix)
    for player, updater in table.updaters.items():
        updater.load({name: stored[f"{player}/{name}"] for name in updater.tensors()})


def _stored(
    checkpoint: Checkpoint, group: str, own: Mapping[str, torch.Tensor], fix: str
) -> Mapping[str, torch.Tensor]:
    """Raises CheckpointError where names, shapes or types are other than ``own``."""
    stored = checkpoint.tensors.get(group, {})
    kinds = [{name: (t.shape, t.dtype) for name, t in tensors.items()} for tensors in (own, stored)]
    if kinds[0] != kinds[1]:
        message = f"{checkpoint.path}: its {group} tensors are not those of this configuration"
        raise CheckpointError(message, fix)
    return stored


def all_tensors(table: Table) -> list[torch.Tensor]:
    """Everything on the table that training changes."""
    return [*table.game.state_dict().values(), *rule_tensors(table).values()]
