"""One training put together: data, game and state on their device, saved and published as a run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

import gancore
from gancore.config import RunConfig, what_trains
from gancore.data.sources import cache_folder, resolve
from gancore.domain import Data, Domain, Source
from gancore.errors import CheckpointError, DataError
from gancore.files import Json, aside_name, atomic_write, discard, encode_json
from gancore.games.field import Table
from gancore.models.card import MeasuredFact, ModelFacts, model_card
from gancore.models.folder import save_model
from gancore.models.needs import needed_to_sample, used_in_training
from gancore.models.sampling import generates
from gancore.plugins import plugins
from gancore.records import RecipeEntry
from gancore.runtime.device import fast_in_bf16, make_deterministic, resolve_device
from gancore.runtime.environment import environment
from gancore.runtime.kernels import KnownKernels
from gancore.runtime.processes import ALONE, Processes
from gancore.runtime.randomness import Key
from gancore.training.budget import plan_rounds, plan_seconds
from gancore.training.checkpoint import Checkpoint, save_checkpoint
from gancore.training.evaluation import FEWEST_ROWS, Evaluator
from gancore.training.looks import LookCosts, measure_looks, timed
from gancore.training.loop import prepare
from gancore.training.memory import check_memory
from gancore.training.opening import check_costs
from gancore.training.precision import check_precision, compute_in_fp32
from gancore.training.run import RunFolder
from gancore.training.state import State
from gancore.training.table import (
    all_tensors,
    check_capabilities,
    lay_table,
    rule_tensors,
    take_networks,
    take_rules,
)
from gancore.training.upkeep import parameter_count
from gancore.training.watching import Cadence, Watch


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
    source_named: bool
    """Whether it is a data set that others know by this name, rather than somebody's folder."""
    announce: Callable[[str], None]
    began: float = field(default_factory=time.perf_counter)
    """When its opening began: a budget in seconds counts from there."""
    fp32_modules: list[str] = field(default_factory=list)
    """Modules that a machine of this run computed wrongly in bf16, and now in fp32; "" is the whole game."""

    def load(self, checkpoint: Checkpoint, force: bool) -> State:
        """Take in a checkpoint. Raises CheckpointError where it belongs to other data or networks."""
        state = State.from_json(checkpoint.state.get("state"), len(self.table.game.phases))
        written = checkpoint.state.get("fingerprint", "")
        if written != self.data.fingerprint and not force:
            known = f"{str(written)[:12]} then, {self.data.fingerprint[:12]} now"
            raise CheckpointError(
                f"the data are not those that this run began with (fingerprint {known})",
                "restore them, name their place by --data, or --force",
            )
        fix = "start a new run; --init-from takes over what fits"
        take_networks(self.table.game, checkpoint, fix)
        take_rules(self.table, checkpoint, fix)
        names = {name for name, _ in self.table.game.named_modules()}
        kept = checkpoint.state.get("fp32_modules")
        told = kept if isinstance(kept, list) else []
        self.fp32_modules = [name for name in told if isinstance(name, str) and name in names]
        return state

    def start(self, state: State | None, replan: bool = False) -> State:
        """All processes begin alike: from the first one's tensors, and where it stands (None: a new run)."""
        processes = self.table.dealer.processes
        processes.copy(all_tensors(self.table))
        check_memory(self.table)
        self._check_precision()
        told, replan = processes.tell((state and state.to_json(), replan))
        if told is None:
            check_costs(self.table)
            return self._plan()
        state = state or State.from_json(told, len(self.table.game.phases))
        if replan:
            planned = self._plan()
            state.replan(planned.plan)
            state.cadence = planned.cadence
        return state

    def _check_precision(self) -> None:
        """Compute in fp32 what this machine gets wrong in bf16; the first process decides for all."""
        if not self.table.bf16:
            return
        self._leave_bf16(self.fp32_modules)
        check = check_precision(self.table, KnownKernels(cache_folder() / "kernels", self.device))
        modules = self.table.dealer.processes.tell(sorted({*self.fp32_modules, *check.modules}))
        if check.wrong:
            self.announce(str(check))
        self._leave_bf16(modules)

    def _leave_bf16(self, modules: list[str]) -> None:
        self.fp32_modules = modules
        compute_in_fp32(self.table.game, {*modules} - {""})
        if "" in modules:
            self.table, self.precision = replace(self.table, bf16=False), "fp32"

    def begin(self) -> None:
        """Before round 0: note the splits, fit, draw what a game draws for itself."""
        splits = {split: list(names) for split, names in self.data.splits.items()}
        facts = {"fingerprint": self.data.fingerprint, "contract": list(self.data.contract), "splits": splits}
        atomic_write(self.run.data_file, encode_json(facts))
        prepare(self.table)

    @cached_property
    def evaluator(self) -> Evaluator:
        """Raises ConfigError where ``upkeep.select`` names no measure of this run."""
        held_out, settings = self.data.valid, self.config.upkeep
        valid = next(iter(held_out.values())) if isinstance(held_out, Mapping) else held_out
        key = Key.of("valid", self.config.train.seed, device=self.device)
        evaluator = Evaluator(self.domain, self.data.spec, valid, settings.evaluate_samples, key)
        evaluator.check(settings.select, self.table.game.sampler())
        if len(valid) < FEWEST_ROWS:
            self.announce(f"valid has {len(valid)} row: samples are not measured in training")
        return evaluator

    def _plan(self) -> State:
        train = self.config.train
        if train.seconds is None:
            return State(plan_rounds(self.table, train, self.config.model.steps))
        return plan_seconds(self.table, train.seconds, self.config.upkeep, self._look_costs, self.began)

    def _look_costs(self) -> LookCosts:
        settings, train = self.config.upkeep, self.config.train
        cadence = Cadence.of(settings, self.config.model.steps)
        watch = Watch(
            self.table,
            self.domain,
            self.data.spec,
            self.evaluator,
            cadence,
            settings.previews,
            train.seed,
        )
        costs = measure_looks(watch, train.seconds or math.inf)
        return costs if settings.checkpoint_every is None else replace(costs, saving=self._saving_seconds())

    def _saving_seconds(self) -> float:
        """Of one checkpoint and its model, written into a folder of their own in the run."""
        aside = RunFolder(aside_name(self.run.path / "saving"))

        def write(step: int) -> None:
            self.save(State([1], step), {}, aside)
            self.publish(State([1], step), aside)

        try:
            timed(lambda: write(0))  # the first time it is also found out what stands in them
            return timed(lambda: write(1))
        finally:
            discard(aside.path)

    def save(self, state: State, log: Mapping[str, Json], run: RunFolder | None = None) -> None:
        """Write a checkpoint, into ``run`` if one is given; ``log`` is what the next line of it will need."""
        about = {
            "config": what_trains(self.config),
            "seed": self.config.train.seed,
            "environment": self.environment,
        }
        save_checkpoint(
            (run or self.run).checkpoints,
            state.step,
            {"game": self.table.game.state_dict(), "rules": rule_tensors(self.table)},
            {
                "state": state.to_json(),
                "fingerprint": self.data.fingerprint,
                "log": dict(log),
                "fp32_modules": self.fp32_modules,
            },
            about,
            keep=self.config.upkeep.keep,
            protect=self._lasting,
        )

    @property
    def _lasting(self) -> range:
        """The steps whose checkpoints stay."""
        every = self.config.upkeep.checkpoint_every
        return range(0, 2**53, every) if every else range(0)

    @cached_property
    def environment(self) -> dict[str, str]:
        """What this training is computed on, and the versions of what computes."""
        facts = environment(self.device, self.precision, self.table.dealer.processes)
        return {**facts, **self._needed, **self._only_trained_with}

    def publish(self, state: State, run: RunFolder | None = None) -> None:
        """Write the model folder as it stands now, into another ``run`` if one is given."""
        sampler = self.table.game.sampler()
        facts = {
            "domain": self.config.domain,
            "recipe": self.config.recipe,
            "model": self.config.model.model_dump(mode="json"),
            "data": self._data_settings(),
            "plugins": self._needed,
            "gancore": gancore.__version__,
            "training": {
                "plugins": self._only_trained_with,
                "source": self.source_name,
                "fingerprint": self.data.fingerprint,
                "step": state.step,
                "samples": state.step * self.table.samples_a_round,
                "seed": self.config.train.seed,
                "precision": self.precision,
                "torch": torch.__version__,
            },
        }
        card = self._card(state, sampler)
        save_model((run or self.run).model, sampler.state_dict(), facts, self.data.spec, card)

    def _data_settings(self) -> dict[str, Any]:
        """How the data were read. A path of this machine does not travel: then there is no ``source``."""
        values: dict[str, Any] = self.config.data.model_dump(mode="json")
        del values["source"]
        return {**values, "source": self.source_name} if self.source_named else values

    def _card(self, state: State, sampler: torch.nn.Module) -> str:
        name, n = self.config.upkeep.select, self.config.upkeep.evaluate_samples
        measures = (
            [MeasuredFact(name, state.best["value"], n=n, split="valid")] if name and state.best else []
        )
        return model_card(
            ModelFacts(
                domain=self.config.domain,
                recipe=self.config.recipe,
                source=self.source_name if self.source_named else f"data '{self.source_name}'",
                data=self.data.contract,
                data_licence=self.source_licence,
                steps=state.step,
                samples=state.step * self.table.samples_a_round,
                seconds=state.seconds,
                device=self.device.type,
                precision=self.precision,
                seed=self.config.train.seed,
                parameters=parameter_count(sampler),
                plugins=self._needed,
                only_trained_with=self._only_trained_with,
                measures=measures,
                conditional=bool(getattr(sampler, "conditional", False)),
                judges=not generates(sampler),
                limits=[f"At its last evaluation the model was {state.verdict}."] if state.verdict else [],
            )
        )

    @cached_property
    def _needed(self) -> dict[str, str]:
        return needed_to_sample(self.domain, self.entry, self.table.game.sampler())

    @cached_property
    def _only_trained_with(self) -> dict[str, str]:
        used = used_in_training(self.table.game)
        return {name: version for name, version in used.items() if name not in self._needed}


def open_session(
    run: RunFolder,
    config: RunConfig,
    data_root: Path | None,
    announce: Callable[[str], None],
    processes: Processes = ALONE,
    given: Data | None = None,
    precision: str | None = None,
) -> Session:
    """Open the data, unless they are given, and build the game that ``config`` describes.

    ``precision``: of the run so far, which ``auto`` keeps whatever this machine is fast in; the first
    process knows it.
    """
    began, domain = time.perf_counter(), plugins().domain(config.domain)
    entry, recipe = plugins().recipe(domain, config.recipe)
    device = resolve_device(config.train.device, processes)
    if config.train.deterministic:
        make_deterministic()
    if given is None:
        source = resolve(config.data.source, domain.sources, data_root, announce, run.rows)
        source = replace(source, announce=announce)
        data = _open(domain, source, config, processes)
    else:
        source, data = Source(config.data.source or ""), given
    table = lay_table(_keeping(config, processes.tell(precision)), recipe, data, device, processes)
    check_capabilities(entry, table.game.sampler())
    if table.bf16 and precision == "bf16" and not fast_in_bf16(device):
        announce(f"this run is trained in bf16, and goes on in it; {device.type} is slow in bf16 here")
    return Session(
        run=run,
        config=config,
        domain=domain,
        entry=entry,
        data=data,
        table=table,
        device=device,
        precision="bf16" if table.bf16 else "fp32",
        source_name=source.name,
        source_licence=source.entry.licence if source.entry else "",
        source_named=source.entry is not None,
        announce=announce,
        began=began,
    )


def _keeping(config: RunConfig, precision: str | None) -> RunConfig:
    """With the precision of the run so far in the place of ``auto``."""
    if precision not in ("fp32", "bf16") or config.train.precision != "auto":
        return config
    return config.model_copy(update={"train": config.train.model_copy(update={"precision": precision})})


def _open(domain: Domain, source: Source, config: RunConfig, processes: Processes) -> Data:
    """The first process opens the data before the others, which then find what it has cached.

    Raises:
        DataError: another process sees other data.
    """
    data = domain.open(source, config.data) if processes.first else None
    fingerprint = processes.tell(data.fingerprint if data else "")
    data = data or domain.open(source, config.data)
    if data.fingerprint != fingerprint:
        raise DataError(
            f"process {processes.rank} sees other data than the first one", "give all of them the same files"
        )
    for line in data.contract:
        source.announce(line)
    return data
