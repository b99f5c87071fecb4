"""The data, game and state of a run while it trains, saved as checkpoints and exported as a model folder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

import gancore
from gancore.config import RunConfig, training_settings
from gancore.data.cache import cache_folder
from gancore.data.dataset import Data
from gancore.data.sources import Source, resolve_source
from gancore.domain import Domain
from gancore.entries import RecipeEntry
from gancore.errors import CheckpointError, DataError, describe_error
from gancore.files import Json, atomic_write, encode_json, remove, temporary_path
from gancore.games.sampler import Sampler
from gancore.games.training_setup import TrainingSetup
from gancore.models.card import CardData, CardMetric, model_card
from gancore.models.folder import write_model_folder
from gancore.models.kind import model_kind
from gancore.models.model import Model
from gancore.models.requirements import sampling_requirements, training_requirements
from gancore.nn.buffers import data_shapes, resize_buffers
from gancore.plugins import plugins
from gancore.progress import Announce
from gancore.random import evaluation_key
from gancore.run_folder import RunFolder
from gancore.runtime.clock import active_time
from gancore.runtime.device import describe_environment, is_bf16_fast, make_deterministic, resolve_device
from gancore.runtime.distributed import SINGLE_PROCESS, ProcessGroup
from gancore.runtime.kernel_cache import KernelCache
from gancore.text import count_noun
from gancore.training.checkpoint import Checkpoint, load_networks, load_optimizers, optimizer_tensors
from gancore.training.checkpoint import save_checkpoint as write_checkpoint
from gancore.training.checks import check_costs, check_memory
from gancore.training.loop import prepare_game
from gancore.training.monitor import Intervals, Monitor
from gancore.training.plan import plan_steps, plan_time
from gancore.training.precision import check_precision, compute_in_fp32
from gancore.training.setup import check_capabilities, setup_from_config, state_tensors
from gancore.training.state import TrainState
from gancore.training.timing import EvaluationCosts, measure_evaluation_costs, time_call
from gancore.training.validation import MIN_ROWS, Validator

CARD_TEXTS = 8
"""Samples on the model card of a domain of texts."""


@dataclass
class RunContext:
    """The data, game, device and settings of a run while it trains."""

    run: RunFolder
    config: RunConfig
    domain: Domain
    entry: RecipeEntry
    data: Data
    setup: TrainingSetup
    device: torch.device
    precision: str
    source_name: str
    source_licence: str
    is_named_source: bool
    """Whether others know the data set by this name; False: it is a folder of this machine."""
    announce: Announce
    started: float = field(default_factory=active_time)
    """When the run was opened: a budget in seconds counts from there."""
    fp32_modules: list[str] = field(default_factory=list)
    """Modules that a machine of this run computed wrongly in bf16, now in fp32; "" is the whole game."""

    def load_checkpoint(self, checkpoint: Checkpoint, force: bool) -> TrainState:
        """Load a checkpoint. Raises CheckpointError if it belongs to other data or networks."""
        state = TrainState.from_json(checkpoint.state.get("state"), len(self.setup.game.phases))
        written = checkpoint.state.get("fingerprint", "")
        if written != self.data.fingerprint and not force:
            known = f"{str(written)[:12]} then, {self.data.fingerprint[:12]} now"
            raise CheckpointError(
                f"the data differ from those this run started with (fingerprint {known})",
                "restore them, give their path with --data, or use --force",
            )
        fix = "start a new run; --init-from loads what fits"
        load_networks(self.setup.game, checkpoint, fix)
        load_optimizers(self.setup, checkpoint, fix)
        names = {name for name, _ in self.setup.game.named_modules()}
        saved = checkpoint.state.get("fp32_modules")
        listed = saved if isinstance(saved, list) else []
        self.fp32_modules = [name for name in listed if isinstance(name, str) and name in names]
        return state

    def synchronize(self, state: TrainState | None, replan: bool = False) -> TrainState:
        """Broadcast tensors and state from rank 0 to all processes. ``state`` is None for a new run."""
        processes = self.setup.batches.processes
        shapes = processes.broadcast_object(data_shapes(self.setup.game))  # rank 0 alone has fitted
        fitted = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
        resize_buffers(self.setup.game, fitted)
        processes.broadcast(state_tensors(self.setup))
        check_memory(self.setup)
        self._check_precision()
        first_state, replan = processes.broadcast_object((state and state.to_json(), replan))
        if first_state is None:
            check_costs(self.setup)
            return self._plan()
        state = state or TrainState.from_json(first_state, len(self.setup.game.phases))
        if replan:
            planned = self._plan()
            state.change_budget(planned.plan)
            state.cadence = planned.cadence
        return state

    def _check_precision(self) -> None:
        """Compute in fp32 what this machine computes wrongly in bf16; rank 0 decides for all processes."""
        if not self.setup.bf16:
            return
        self._use_fp32(self.fp32_modules)
        check = check_precision(self.setup, KernelCache(cache_folder() / "kernels", self.device))
        modules = self.setup.batches.processes.broadcast_object(sorted({*self.fp32_modules, *check.modules}))
        if check.wrong:
            self.announce(str(check))
        self._use_fp32(modules)

    def _use_fp32(self, modules: list[str]) -> None:
        self.fp32_modules = modules
        compute_in_fp32(self.setup.game, {*modules} - {""})
        if "" in modules:
            self.setup, self.precision = replace(self.setup, bf16=False), "fp32"

    def prepare(self) -> None:
        """Before step 0: record the splits, fit, let the game draw what it needs."""
        splits = {split: list(names) for split, names in self.data.splits.items()}
        facts = {"fingerprint": self.data.fingerprint, "contract": list(self.data.summary), "splits": splits}
        atomic_write(self.run.data_file, encode_json(facts))
        prepare_game(self.setup)

    @cached_property
    def validator(self) -> Validator:
        """Raises ConfigError if ``validation.select`` names no measure of this run."""
        valid, settings = self.data.view("valid"), self.config.validation
        key = evaluation_key("valid", self.config.train.seed, device=self.device)
        train = next(iter(self.data.views("train").values()))
        validator = Validator(
            self.domain, self.data.spec, valid, settings.samples, key, settings.select, train
        )
        validator.require_metric(settings.select, self.setup.game.sampler())
        if len(valid) < MIN_ROWS and not validator.metrics:
            said = f"valid has {count_noun(len(valid), 'row')}: samples are not evaluated in training"
            other = ", ".join(list(validator.on_demand)[:3])
            self.announce(f"{said}; validation.select may be {other}, ..." if other else said)
        return validator

    def new_monitor(self, intervals: Intervals) -> Monitor:
        """A new monitor of this run, with a new diagnosis."""
        seed = self.config.train.seed
        spec = self.data.spec
        return Monitor(
            self.setup,
            self.domain,
            spec,
            self.validator,
            intervals,
            self.config.logging.preview_samples,
            seed,
        )

    def _plan(self) -> TrainState:
        train = self.config.train
        if train.time is None:
            return TrainState(plan_steps(self.setup, train, self.config.model.steps))
        return plan_time(self.setup, train.time, self.config, self._evaluation_costs, self.started)

    def _evaluation_costs(self) -> EvaluationCosts:
        budget = self.config.train.time or math.inf
        monitor = self.new_monitor(Intervals.of(self.config, self.config.model.steps))
        costs = measure_evaluation_costs(monitor, budget)
        if self.config.checkpoint.every is None:
            return costs
        return replace(costs, checkpoint=self._checkpoint_seconds())

    def _checkpoint_seconds(self) -> float:
        """Seconds of one checkpoint and its model, written into a temporary folder of the run."""
        temporary = RunFolder(temporary_path(self.run.path / "saving"))

        def write(step: int) -> None:
            self.save_checkpoint(TrainState([1], step), {}, temporary)
            self.export_model(TrainState([1], step), temporary)

        try:
            time_call(lambda: write(0))  # the first one also looks up plugins and versions
            return time_call(lambda: write(1))
        finally:
            remove(temporary.path)

    def save_checkpoint(
        self, state: TrainState, log: Mapping[str, Json], run: RunFolder | None = None
    ) -> None:
        """Write a checkpoint, into ``run`` if given; ``log``: the running sums of the log."""
        metadata = {
            "config": training_settings(self.config),
            "seed": self.config.train.seed,
            "environment": self.environment,
        }
        write_checkpoint(
            (run or self.run).checkpoints,
            state.step,
            {"game": self.setup.game.state_dict(), "optimizers": optimizer_tensors(self.setup)},
            {
                "state": state.to_json(),
                "fingerprint": self.data.fingerprint,
                "log": dict(log),
                "fp32_modules": self.fp32_modules,
            },
            metadata,
            keep=self.config.checkpoint.keep,
            permanent=self._permanent_steps,
        )

    @property
    def _permanent_steps(self) -> range:
        """The steps whose checkpoints are not removed."""
        every = self.config.checkpoint.every
        return range(0, 2**53, every) if every else range(0)

    @cached_property
    def environment(self) -> dict[str, str]:
        """Device, precision, libraries and plugins of this training, with their versions."""
        facts = describe_environment(self.device, self.precision, self.setup.batches.processes)
        return {**facts, **self._sampling_plugins, **self._training_plugins}

    def export_model(self, state: TrainState, run: RunFolder | None = None) -> None:
        """Write the model folder, into ``run`` if given."""
        sampler = self.setup.game.sampler()
        facts = {
            "domain": self.config.domain,
            "recipe": self.config.recipe,
            "model": self.config.model.model_dump(mode="json"),
            "data": self._data_settings(),
            "plugins": self._sampling_plugins,
            "gancore": gancore.__version__,
            "training": {
                "plugins": self._training_plugins,
                "source": self.source_name,
                "fingerprint": self.data.fingerprint,
                "step": state.step,
                "samples": state.step * self.setup.samples_per_step,
                "seed": self.config.train.seed,
                "precision": self.precision,
                "torch": torch.__version__,
            },
        }
        card = self._card(state, sampler)
        write_model_folder((run or self.run).model, sampler.state_dict(), facts, self.data.spec, card)

    def _data_settings(self) -> dict[str, Any]:
        """How the data were read, without ``source`` if it is a path of this machine."""
        values: dict[str, Any] = self.config.data.model_dump(mode="json")
        del values["source"]
        return {**values, "source": self.source_name} if self.is_named_source else values

    def _card(self, state: TrainState, sampler: Sampler) -> str:
        name, n = self.config.validation.select, self.config.validation.samples
        measures = [CardMetric(name, state.best["value"], n=n, split="valid")] if name and state.best else []
        return model_card(
            CardData(
                domain=self.config.domain,
                recipe=self.config.recipe,
                source=self.source_name if self.is_named_source else f"data '{self.source_name}'",
                data=self.data.summary,
                data_licence=self.source_licence,
                steps=state.step,
                samples=state.step * self.setup.samples_per_step,
                seconds=state.seconds,
                device=self.device.type,
                precision=self.precision,
                seed=self.config.train.seed,
                parameters=sampler.num_parameters,
                plugins=self._sampling_plugins,
                training_plugins=self._training_plugins,
                metrics=measures,
                conditional=sampler.conditional,
                is_classifier=not sampler.can("sample"),
                kind=model_kind(len(self.setup.game.players), sampler.can("likelihood")),
                samples_as_text=self._sample_texts(sampler),
                limits=[f"At its last evaluation the model was {state.verdict}."] if state.verdict else [],
            )
        )

    def _sample_texts(self, sampler: Sampler) -> list[str]:
        """The first samples of seed 0, of a domain of texts; [] also if the model makes none."""
        if type(self.domain).texts is Domain.texts or not sampler.can("sample"):
            return []
        model = Model(sampler.eval(), self.data.spec, self.domain, {}, self.device)
        try:
            return self.domain.text_lines(model.sample(CARD_TEXTS))
        except Exception as error:
            self.announce(f"the model card has no samples: {describe_error(error)}")
            return []
        finally:
            self.setup.game.train()

    @cached_property
    def _sampling_plugins(self) -> dict[str, str]:
        return sampling_requirements(self.domain, self.entry, self.setup.game)

    @cached_property
    def _training_plugins(self) -> dict[str, str]:
        used = training_requirements(self.setup.game)
        return {name: version for name, version in used.items() if name not in self._sampling_plugins}


def open_run(
    run: RunFolder,
    config: RunConfig,
    data_root: Path | None,
    announce: Announce,
    processes: ProcessGroup = SINGLE_PROCESS,
    data: Data | None = None,
    precision: str | None = None,
    started: float | None = None,
) -> RunContext:
    """Open the data, unless ``data`` are given, and build the game that ``config`` describes.

    ``precision``: that of the resumed run, known to rank 0; ``auto`` keeps it, even if this device is
    faster in another one. ``started``: the ``active_time`` from which a time budget counts; None: now.
    """
    started = active_time() if started is None else started
    domain = plugins().load_domain(config.domain)
    entry, recipe = plugins().load_recipe(domain, config.recipe)
    device = resolve_device(config.train.device, processes)
    if config.train.deterministic:
        make_deterministic()
    if data is None:
        source = _source(domain, config, run, data_root, announce)
        data = _open(domain, source, config, processes)
    else:
        source = Source(config.data.source or "")
    wanted = _with_precision(config, processes.broadcast_object(precision))
    setup = setup_from_config(wanted, recipe, data, device, processes)
    check_capabilities(entry, setup.game.sampler())
    if setup.bf16 and precision == "bf16" and not is_bf16_fast(device):
        announce(f"this run continues in bf16, in which it was trained; {device.type} is slow in bf16 here")
    return RunContext(
        run=run,
        config=config,
        domain=domain,
        entry=entry,
        data=data,
        setup=setup,
        device=device,
        precision="bf16" if setup.bf16 else "fp32",
        source_name=source.name,
        source_licence=source.entry.licence if source.entry else "",
        is_named_source=source.entry is not None,
        announce=announce,
        started=started,
    )


def _with_precision(config: RunConfig, precision: str | None) -> RunConfig:
    """Replace the precision ``auto`` by that of the run so far."""
    if precision not in ("fp32", "bf16") or config.train.precision != "auto":
        return config
    return config.model_copy(update={"train": config.train.model_copy(update={"precision": precision})})


def _source(
    domain: Domain, config: RunConfig, run: RunFolder, data_root: Path | None, announce: Announce
) -> Source:
    given, rows = config.data.source, run.rows_folder
    return resolve_source(given, domain.sources, data_root, announce, rows, reads_shards=domain.reads_shards)


def _open(domain: Domain, source: Source, config: RunConfig, processes: ProcessGroup) -> Data:
    """Rank 0 opens the data before the other processes, which then use its cache.

    Raises:
        DataError: this process reads different data than rank 0.
    """
    data = domain.open(source, config.data) if processes.is_main else None
    fingerprint = processes.broadcast_object(data.fingerprint if data else "")
    data = data or domain.open(source, config.data)
    if data.fingerprint != fingerprint:
        raise DataError(
            f"process {processes.rank} reads different data than process 0",
            "give all processes the same files",
        )
    for line in data.summary:
        source.announce(line)
    return data
