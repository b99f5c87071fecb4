"""One training put together: data, game and state on their device, saved and published as a run."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import torch

import gancore
from gancore.config import RunConfig, config_hash
from gancore.data.sources import resolve
from gancore.domain import Data, Domain, View, on_device
from gancore.errors import CheckpointError, ConfigError, DataError, nearest
from gancore.files import atomic_write, encode_json
from gancore.games.draw import Dealer
from gancore.games.field import Table
from gancore.games.statistics import Statistics
from gancore.models.card import MeasuredFact, ModelFacts, model_card
from gancore.models.folder import save_model
from gancore.models.model import build_game
from gancore.plugins import plugins
from gancore.recipe import Recipe
from gancore.records import RecipeEntry
from gancore.runtime.device import make_deterministic, resolve_device, resolve_precision
from gancore.training.budget import plan_rounds
from gancore.training.checkpoint import Checkpoint, save_checkpoint
from gancore.training.loop import prepare
from gancore.training.run import RunFolder
from gancore.training.state import State
from gancore.training.upkeep import parameter_count


@dataclass
class Session:
    """What a run has in hand while it trains."""

    run: RunFolder
    config: RunConfig
    domain: Domain
    entry: RecipeEntry
    data: Data
    table: Table
    device: torch.device
    precision: str
    source_name: str
    source_licence: str

    def load(self, checkpoint: Checkpoint, force: bool) -> State:
        """Go on from a checkpoint. Raises CheckpointError where it belongs to other data or networks."""
        written = checkpoint.state.get("fingerprint", "")
        if written != self.data.fingerprint and not force:
            raise CheckpointError(
                "the data are not those that this run began with", "restore them, or --force"
            )
        wanted = {"game": self.table.game.state_dict(), "rules": rule_tensors(self.table)}
        for name, own in wanted.items():
            stored = checkpoint.tensors.get(name, {})
            if {n: t.shape for n, t in own.items()} != {n: t.shape for n, t in stored.items()}:
                raise CheckpointError(
                    f"{checkpoint.path.name}: its {name} tensors are not those of this configuration",
                    "start a new run; --init-from takes over what fits",
                )
        self.table.game.load_state_dict(dict(checkpoint.tensors["game"]))
        stored_rules = checkpoint.tensors["rules"]
        for player, updater in self.table.updaters.items():
            updater.load({name: stored_rules[f"{player}/{name}"] for name in updater.tensors()})
        state = State.from_json(dict(checkpoint.state["state"]))
        if checkpoint.manifest["about"].get("config") != config_hash(self.config):  # only under force
            state.replan(self._plan())
        return state

    def begin(self) -> State:
        """Before round 0: note the splits, fit, draw what a game draws itself, fix the number of rounds."""
        splits = {split: list(names) for split, names in self.data.splits.items()}
        facts = {"fingerprint": self.data.fingerprint, "contract": list(self.data.contract), "splits": splits}
        atomic_write(self.run.data_file, encode_json(facts))
        prepare(self.table)
        return State(self._plan())

    def _plan(self) -> list[int]:
        return plan_rounds(self.table, self.config.train, self.config.model.steps)

    def save(self, state: State) -> None:
        save_checkpoint(
            self.run.checkpoints,
            state.step,
            {"game": self.table.game.state_dict(), "rules": rule_tensors(self.table)},
            {"state": state.to_json(), "fingerprint": self.data.fingerprint},
            {"config": config_hash(self.config), "seed": self.config.train.seed},
            keep=self.config.upkeep.keep,
        )

    def publish(self, state: State) -> None:
        """Write the model folder as it stands now."""
        sampler = self.table.game.sampler()
        facts = {
            "domain": self.config.domain,
            "recipe": self.config.recipe,
            "model": self.config.model.model_dump(mode="json"),
            "plugins": self._distributions(),
            "gancore": gancore.__version__,
            "training": {
                "source": self.source_name,
                "step": state.step,
                "samples": state.step * self.table.batch_size,
                "seed": self.config.train.seed,
                "precision": self.precision,
                "torch": torch.__version__,
            },
        }
        save_model(self.run.model, sampler.state_dict(), facts, self.data.spec, self._card(state, sampler))

    def _card(self, state: State, sampler: torch.nn.Module) -> str:
        name, n = self.config.upkeep.select, self.config.upkeep.evaluate_samples
        measures = (
            [MeasuredFact(name, state.best["value"], n=n, split="valid")] if name and state.best else []
        )
        return model_card(
            ModelFacts(
                domain=self.config.domain,
                recipe=self.config.recipe,
                source=self.source_name,
                data=self.data.contract,
                data_licence=self.source_licence,
                steps=state.step,
                samples=state.step * self.table.batch_size,
                seconds=state.seconds,
                device=self.device.type,
                precision=self.precision,
                seed=self.config.train.seed,
                parameters=parameter_count(sampler),
                plugins=self._distributions(),
                measures=measures,
                conditional=bool(getattr(sampler, "conditional", False)),
            )
        )

    def _distributions(self) -> Mapping[str, str]:
        plugin = plugins().origin(self.entry)
        return {plugin.distribution: plugin.version} if plugin and plugin.distribution else {}


def open_session(
    run: RunFolder, config: RunConfig, data_root: Path | None, announce: Callable[[str], None]
) -> Session:
    """Open the data and build the game that ``config`` describes."""
    domain = plugins().domain(config.domain)
    entry, recipe = plugins().recipe(domain, config.recipe)
    device = resolve_device(config.train.device)
    precision = resolve_precision(config.train.precision, device)
    if config.train.deterministic:
        make_deterministic()
    source = replace(resolve(config.data.source, domain.sources, data_root, announce), announce=announce)
    data = domain.open(source, config.data)
    for line in data.contract:
        announce(line)
    table = _table(config, recipe, data, device, precision)
    check_capabilities(entry, table.game.sampler())
    licence = source.entry.licence if source.entry else ""
    return Session(run, config, domain, entry, data, table, device, precision, source.name, licence)


def _table(config: RunConfig, recipe: Recipe, data: Data, device: torch.device, precision: str) -> Table:
    game = build_game(recipe, config.model, data.spec, config.train.seed).to(device)
    if game.batch_coupled and config.model.accumulate > 1:
        raise ConfigError("a cost of this recipe couples the rows of a batch", "set model.accumulate=1")
    views = data.train if isinstance(data.train, Mapping) else {"train": data.train}
    empty = [name for name, view in views.items() if len(view) == 0]
    if empty:
        raise DataError(f"no sample is left for {empty[0]}", "add data, or loosen what data.* leaves out")
    resident: dict[str, View] = {
        n: on_device(v, device, config.upkeep.resident_megabytes) for n, v in views.items()
    }
    return Table(
        game=game,
        dealer=Dealer(resident, game.representation, config.train.seed, device),
        updaters=game.updaters(),
        statistics=Statistics(),
        batch_size=config.model.batch_size,
        accumulate=config.model.accumulate,
        bf16=precision == "bf16",
    )


CAPABILITY_NEEDS = {
    "parallel": "sample",
    "conditional": "conditional",
    "likelihood": "log_prob",
    "bound": "bound",
    "inversion": "invert",
}
"""For each capability that a recipe may declare, what its sampler must have."""


def check_capabilities(entry: RecipeEntry, sampler: torch.nn.Module) -> None:
    """Raises ConfigError where a recipe's sampler lacks what its entry declares."""
    for capability in sorted(entry.provides):
        need = CAPABILITY_NEEDS.get(capability, "")
        if not need or not hasattr(sampler, need):
            known = nearest(capability, CAPABILITY_NEEDS)
            lack = f"but its sampler has no {need}" if need else f"which is not known ({known})"
            raise ConfigError(
                f"recipe {entry.name!r} declares {capability!r}, {lack}", "tell the plugin's authors"
            )


def rule_tensors(table: Table) -> dict[str, torch.Tensor]:
    return {
        f"{player}/{n}": t for player, updater in table.updaters.items() for n, t in updater.tensors().items()
    }


def initialise(table: Table, tensors: Mapping[str, torch.Tensor], where: str) -> int:
    """Take over every tensor whose name and shape fit; returns how many. Raises ConfigError on none."""
    own = table.game.state_dict()
    fitting: dict[str, Any] = {n: t for n, t in tensors.items() if n in own and own[n].shape == t.shape}
    if not fitting:
        raise ConfigError(
            f"--init-from {where}: none of its weights fits this configuration", "use its recipe"
        )
    table.game.load_state_dict(fitting, strict=False)
    sampler = table.game.sampler()
    sampler.load_state_dict({n: t for n, t in fitting.items() if n in sampler.state_dict()}, strict=False)
    return len(fitting)


@contextlib.contextmanager
def stop_signals(ask: Callable[[str], None]) -> Iterator[None]:
    """Ctrl-C and SIGTERM ask once, and the step is finished; a second Ctrl-C interrupts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        ask(signal.Signals(number).name)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
