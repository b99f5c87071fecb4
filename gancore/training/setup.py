"""Sets up a training: a game and its data on their device, for a run or in memory; initial weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from gancore.config import RunConfig
from gancore.data.dataset import Data, Spec, TensorView, View, to_if_small
from gancore.entries import RecipeEntry
from gancore.errors import CheckpointError, ConfigError, DataError
from gancore.files import encode_json
from gancore.games.draw import BatchSource
from gancore.games.dynamics import find_dynamics
from gancore.games.game import Game, Phase, check_game
from gancore.games.sampler import CAPABILITIES, Sampler, undefined_members
from gancore.games.training_setup import ScalarMeans, TrainingSetup
from gancore.models.folder import read_model_folder
from gancore.models.model import build_game
from gancore.nn.buffers import resize_buffers
from gancore.recipe import Recipe
from gancore.runtime.device import resolve_precision
from gancore.runtime.distributed import SINGLE_PROCESS, ProcessGroup
from gancore.text import count_noun, escape_control, suggestion
from gancore.training.checkpoint import latest_checkpoint, optimizer_tensors
from gancore.trees import Tree


def set_up(
    game: Game,
    data: Tree | View | Mapping[str, View],
    *,
    batch_size: int,
    micro_batches: int = 1,
    seed: int = 0,
    bf16: bool = False,
    device: str | torch.device = "cpu",
    processes: ProcessGroup = SINGLE_PROCESS,
) -> TrainingSetup:
    """Set up a game in memory, on a tensor of rows, a view, or several views by name.

    :func:`gancore.training.loop.play` then trains it without a run folder.
    """
    views = _named_views(data)
    device = torch.device(device)
    batches = BatchSource(views, game.to(device).representation, seed, device, processes)
    return TrainingSetup(
        game, batches, game.optimizer_states(), ScalarMeans(), batch_size, micro_batches, bf16
    )


def _named_views(data: Tree | View | Mapping[str, View]) -> Mapping[str, View]:
    if isinstance(data, Mapping) and all(isinstance(view, View) for view in data.values()):
        return data
    return {"train": data if isinstance(data, View) else TensorView(data)}


def setup_from_config(
    config: RunConfig, recipe: Recipe, data: Data, device: torch.device, processes: ProcessGroup
) -> TrainingSetup:
    """Build the game that the configuration describes, and set it up with its data.

    Raises:
        ConfigError: the game does not allow this dynamics, accumulation or number of processes.
        DataError: a view of train is empty.
    """
    game = build_game(recipe, config.model, data.spec, config.train.seed)
    precision = processes.broadcast_object(choose_precision(config, game, device))
    return setup_from_game(game, config, data, device, processes, precision == "bf16")


def setup_from_game(
    game: Game, config: RunConfig, data: Data, device: torch.device, processes: ProcessGroup, bf16: bool
) -> TrainingSetup:
    """Set up a game with its data; its phases get the dynamics that the configuration names."""
    game = game.to(device)
    check_game(game)
    game.phases = _with_dynamics(game, config)
    _check_batch_division(game, config, processes)
    views = _views(data, device, config)
    return TrainingSetup(
        game=game,
        batches=BatchSource(views, game.representation, config.train.seed, device, processes),
        optimizers=game.optimizer_states(),
        scalars=ScalarMeans(),
        batch_size=config.model.batch_size,
        micro_batches=config.model.micro_batches,
        bf16=bf16,
    )


def choose_precision(config: RunConfig, game: Game, device: torch.device) -> str:
    """fp32 or bf16: the configured precision; ``auto`` depends on the game as well. Fits are in fp32."""
    wanted = config.train.precision
    if not game.players:
        return "fp32"
    return "fp32" if wanted == "auto" and game.fp32_by_default else resolve_precision(wanted, device)


def _with_dynamics(game: Game, config: RunConfig) -> Sequence[Phase]:
    """The game's phases; those with moves get the dynamics that the configuration names."""
    wanted = config.train.dynamics
    if wanted.name is None:
        if wanted.settings:
            raise ConfigError(
                "train.dynamics.settings are given, but no train.dynamics.name", "name the dynamics too"
            )
        return game.phases
    dynamics = find_dynamics(wanted.name, wanted.settings)
    return [replace(phase, dynamics=dynamics) if phase.moves else phase for phase in game.phases]


def _check_batch_division(game: Game, config: RunConfig, processes: ProcessGroup) -> None:
    """Check that micro-batches and processes do not change what is computed on a batch."""
    size, micro = config.model.batch_size, config.model.micro_batches
    if size % (micro * processes.world_size):
        parts = f"{processes.world_size} processes" + (f" of {micro} micro-batches" if micro > 1 else "")
        raise ConfigError(
            f"model.batch_size {size} cannot be cut for {parts}", "give a multiple of that number"
        )
    if micro > 1 and game.batch_coupled:
        raise ConfigError("a cost of this recipe couples the rows of a batch", "set model.micro_batches=1")
    if micro * processes.world_size == 1:
        return
    fix = "use one process and model.micro_batches=1"
    needing = [phase.dynamics for phase in game.phases if phase.dynamics.differentiates_updates]
    if needing:
        kind = type(needing[0]).__name__
        raise ConfigError(f"the dynamics {kind} differentiates through updates on one whole batch", fix)
    normalized = _find_batch_norm(game)
    if normalized and not game.local_batch_norm:
        raise ConfigError(
            f"{normalized} normalizes over the batch, and each part of it would do so separately",
            f"{fix}, or a recipe without batch normalization",
        )


def _find_batch_norm(game: Game) -> str:
    """The name of a trained network with batch normalization; empty: there is none."""
    for player in game.players.values():
        for part in player.lr_factors():
            if any(isinstance(module, _BatchNorm) for module in game.get_submodule(part).modules()):
                return f"the {part}"
    return ""


def _views(data: Data, device: torch.device, config: RunConfig) -> dict[str, View]:
    views = data.train
    empty = [name for name, view in views.items() if len(view) == 0]
    if empty:
        raise DataError(
            f"no sample is left for {empty[0]}", "add data, or relax the settings data.* that exclude samples"
        )
    return {name: to_if_small(view, device, config.train.device_cache_mb) for name, view in views.items()}


BY_SETTINGS = frozenset({"conditional", "bound"})
"""Capabilities that a recipe may declare although its sampler has them under some settings only."""


def check_capabilities(entry: RecipeEntry, sampler: object) -> None:
    """Raises ConfigError if a sampler lacks what its entry or itself declares, or can do nothing."""
    fix = "report it to the plugin's authors"
    if not isinstance(sampler, Sampler):
        raise ConfigError(
            f"recipe {entry.name!r}: sampler() of its game returns {type(sampler).__name__}, which is not a "
            "gancore.Sampler",
            "subclass gancore.Sampler and set its capabilities",
        )
    kind, where = type(sampler).__name__, f"recipe {entry.name!r}"
    for capability in sorted({*sampler.capabilities, *entry.capabilities} - set(CAPABILITIES)):
        known = suggestion(capability, CAPABILITIES)
        raise ConfigError(f"{where} declares the unknown capability {capability!r}, {known}", fix)
    for capability, method in undefined_members(sampler).items():
        raise ConfigError(f"{where}: {kind} declares {capability!r}, but does not define {method}", fix)
    for lacking in sorted(entry.capabilities - sampler.capabilities - BY_SETTINGS):
        raise ConfigError(f"{where} declares {lacking!r}, but its sampler {kind} does not", fix)
    needed = "classification" if "classification" in entry.capabilities else "sample"
    if needed not in sampler.capabilities:
        raise ConfigError(
            f"{where} does not declare 'classification', but its sampler {kind} does not declare 'sample'",
            fix,
        )


def state_tensors(setup: TrainingSetup) -> list[torch.Tensor]:
    """All tensors that training changes."""
    return [*setup.game.state_dict().values(), *optimizer_tensors(setup).values()]


@contextmanager
def restored(setup: TrainingSetup) -> Iterator[None]:
    """On leaving, all tensors that training changes have their former values."""
    shapes = {name: torch.empty_like(t, device="meta") for name, t in setup.game.state_dict().items()}
    previous = [tensor.detach().clone() for tensor in state_tensors(setup)]
    try:
        yield
    finally:
        resize_buffers(setup.game, shapes)
        with torch.no_grad():
            for tensor, value in zip(state_tensors(setup), previous, strict=True):
                tensor.copy_(value)


def initialize_from(setup: TrainingSetup, path: Path, spec: Spec, advice: str) -> str:
    """Load every tensor of a run or model whose name and shape fit; returns a line that says what was loaded,
    what is new because its shape differs or nothing has it, and how the data differ (``spec`` is theirs).

    The tensors of a model (of the EMA, if its recipe has one) are loaded into the network and into its EMA:
    a new EMA converges to its network within a few steps. Of a run, the tensors that its model does not
    contain (the other players) are loaded from its latest checkpoint.

    Raises:
        CheckpointError: there is no model and no usable checkpoint.
        ConfigError: nothing fits; ``advice`` is the fix.
    """
    is_run = (path / "checkpoints").is_dir()
    rest, name = _checkpoint_of(path) if is_run else ({}, "")
    folder = path / "model" if is_run else path
    model = read_model_folder(folder) if folder.is_dir() or not is_run else None
    of_model = {} if model is None else _with_names_of_game(model.tensors, setup.game)
    weights = {**rest, **of_model}
    fitting = _load_fitting(setup, weights, path, advice)
    where = str(path) if is_run else f"the model {path}"
    parts = [f"loaded {len(fitting)} of the {len(weights)} tensors of {where}"]
    if is_run and model is None:
        parts[0] += f", from its {name}: it has no model, so none of them is an average"
    elif is_run:
        count = len(fitting.keys() & of_model.keys())
        parts[0] += f": {count} from its model, {len(fitting) - count} from its {name}"
    parts += _what_is_new(setup.game.state_dict(), weights, fitting)
    if model is not None and (changed := _changed_facts(model.spec, spec)):
        parts.append(
            f"other data: {_shortened(changed)} differ, and weights for them are kept by their place"
        )
    return "; ".join(parts)


def _with_names_of_game(of_model: Mapping[str, torch.Tensor], game: Game) -> dict[str, torch.Tensor]:
    """The tensors of a model by the names that the game has for them: a network of both, such as the decoder
    of a representation, may have another name in the sampler.
    """
    names = {tensor.data_ptr(): name for name, tensor in game.state_dict().items() if tensor.numel()}
    same = {name: names.get(tensor.data_ptr(), name) for name, tensor in game.sampler().state_dict().items()}
    own = set(names.values())
    return {name if name in own else same.get(name, name): tensor for name, tensor in of_model.items()}


def _what_is_new(
    own: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor], fitting: Mapping[str, Any]
) -> list[str]:
    """What was not loaded: tensors of another shape, tensors of no use here, and new networks."""
    resized = [n for n in given if n in own and n not in fitting]
    unused = [n for n in given if n not in own]
    absent = Counter(n.partition(".")[0] for n in own if n not in given and not n.startswith("ema."))
    shapes = [f"{n} {tuple(own[n].shape)}, there {tuple(given[n].shape)}" for n in resized]
    lines = [f"new, as their shapes differ: {_shortened(shapes)}"] if resized else []
    lines += [f"not used: {_shortened(unused)}"] if unused else []
    new = [f"{name} ({count_noun(count, 'tensor')})" for name, count in absent.items()]
    return lines + ([f"new: {_shortened(new)}"] if new else [])


def _changed_facts(there: Spec, here: Spec) -> list[str]:
    """The names of the facts of the data, such as classes or a vocabulary, that both have and that differ."""
    one, other = ({name: encode_json({"": value}) for name, value in s.fields.items()} for s in (there, here))
    return sorted(name for name in one.keys() & other.keys() if one[name] != other[name])


def _shortened(names: Sequence[str], shown: int = 3) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return escape_control(", ".join(names[:shown]) + more)


def _checkpoint_of(path: Path) -> tuple[Mapping[str, torch.Tensor], str]:
    checkpoint, refused = latest_checkpoint(path / "checkpoints")
    if checkpoint is None:
        raise CheckpointError(
            f"{path} has no usable checkpoint ({'; '.join(refused) or 'none is there'})",
            "give another run, or a model folder",
        )
    return checkpoint.tensors.get("game", {}), checkpoint.path.name


def _load_fitting(
    setup: TrainingSetup, tensors: Mapping[str, torch.Tensor], where: Path, advice: str
) -> Mapping[str, Any]:
    """Load every tensor whose name and shape fit; returns those. Raises ConfigError if none does."""
    resize_buffers(setup.game, tensors)
    own = setup.game.state_dict()
    fitting: dict[str, Any] = {n: t for n, t in tensors.items() if n in own and own[n].shape == t.shape}
    if not fitting:
        raise ConfigError(f"--init-from {where}: none of its weights fits this configuration", advice)
    setup.game.load_state_dict(fitting, strict=False)
    sampler = setup.game.sampler()
    sampler.load_state_dict({n: t for n, t in fitting.items() if n in sampler.state_dict()}, strict=False)
    return fitting
