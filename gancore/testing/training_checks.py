"""Checks of a recipe in training: it trains, resumes byte for byte, and its model folder is complete."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from gancore.config import RunConfig
from gancore.data.dataset import Data
from gancore.errors import ConfigError
from gancore.games.sampler import Sampler
from gancore.models.model import load_model
from gancore.models.sampling import condition_sampler, draw_samples
from gancore.plugins import plugins
from gancore.random import Key, sample_key
from gancore.run_folder import RunFolder
from gancore.runtime.distributed import ProcessGroup
from gancore.testing.check import (
    CheckFailure,
    SkipCheck,
    differing_names,
    global_seed,
    tree_all_finite,
    trees_equal,
)
from gancore.testing.fixtures import STEPS, RecipeFixture
from gancore.training.checkpoint import latest_checkpoint, optimizer_tensors
from gancore.training.launch import TrainJob, deliver_signal, run_job, spawn_workers
from gancore.training.loop import train
from gancore.training.run_context import RunContext, open_run
from gancore.training.setup import setup_from_game
from gancore.training.state import TrainState
from gancore.trees import Tree

SAMPLES = 5
APART = 5e-3
"""The largest difference of parameters after training on two processes and on one, relative to their distance
from the initial parameters. Rounding alone gives about 1e-6. With Adam, rounding determines the direction of
a
unit whose gradient is almost 0: a classifier with one such unit had a difference of 1e-3."""
STATE = "keep state in parameters and buffers (register_buffer), which are in state_dict"


@dataclass
class TrainingRun:
    """A training of the fixture's recipe in this process without callbacks."""

    session: RunContext
    state: TrainState

    @classmethod
    def begin(cls, fixture: RecipeFixture, name: str) -> TrainingRun:
        session = _session(fixture, name)
        session.prepare()
        return cls(session, session.synchronize(None))

    def play(self, steps: int = STEPS) -> TrainingRun:
        """Train up to this step, or to the end of the budget."""

        def watch(state: TrainState) -> None:
            state.stop_signal = "kit" if state.step >= steps < state.total_steps else ""

        train(self.session.setup, self.state, watch)
        self.state.stop_signal = ""
        return self

    def resumed(self, fixture: RecipeFixture, name: str) -> TrainingRun:
        """Save the training, and read it back as a new process does."""
        self.session.save_checkpoint(self.state, {})
        checkpoint, refused = latest_checkpoint(self.session.run.checkpoints)
        if checkpoint is None:
            raise CheckFailure(f"the checkpoint cannot be read back: {'; '.join(refused)}", STATE)
        session = _session(fixture, name)
        return TrainingRun(session, session.load_checkpoint(checkpoint, force=False))

    def tensors(self) -> Mapping[str, Tensor]:
        """All tensors of a checkpoint."""
        return {**self.session.setup.game.state_dict(), **optimizer_tensors(self.session.setup)}

    def outputs(self) -> Tree:
        """The output of the model: samples; for a classifier, the posteriors of rows of train."""
        table, home = self.session.setup, self.session
        sampler = table.game.sampler().eval()
        if not sampler.can("sample"):
            said = classifier_log_probs(sampler, home.data)
            table.game.train()
            return said
        condition = condition_sampler(sampler, home.domain, home.data.spec, None)
        made = draw_samples(sampler, SAMPLES, sample_key(0), condition)
        table.game.train()
        return made[0]


@torch.no_grad()
def classifier_log_probs(judge: Sampler, data: Data) -> Tensor:
    """log p(class | row) of the first rows of train, (rows, classes)."""
    train = data.view("train")
    rows = torch.arange(SAMPLES) % len(train)
    return judge.log_posteriors(train.get_batch(rows, Key.of("rows")).data)


def _session(fixture: RecipeFixture, name: str) -> RunContext:
    run = RunFolder(fixture.folder / name)
    run.path.mkdir(exist_ok=True)
    return open_run(run, fixture.config, None, lambda line: None, data=fixture.domain_fixture.data_override)


def uninterrupted(fixture: RecipeFixture) -> TrainingRun:
    """The uninterrupted training, with which others are compared; run once for each fixture."""
    if "uninterrupted" not in fixture.shared:
        training = TrainingRun.begin(fixture, "uninterrupted")
        fixture.shared["before"] = {name: tensor.clone() for name, tensor in training.tensors().items()}
        fixture.shared["uninterrupted"] = training.play()
    trained: TrainingRun = fixture.shared["uninterrupted"]
    return trained


def trains(fixture: RecipeFixture) -> None:
    """After twelve steps every number is finite, no update was masked, and parameters have changed."""
    training = uninterrupted(fixture)
    before, after = fixture.shared["before"], training.tensors()
    broken = [name for name, tensor in after.items() if not tree_all_finite(tensor)]
    if broken:
        raise CheckFailure(
            f"{broken[0]} is not finite after {training.state.step} steps", "lower the learning rates"
        )
    scalars = training.session.setup.scalars.read()
    for name, value in scalars.items():
        if name.endswith("/masked") and value > 0:
            move = name.removesuffix("/masked")
            raise CheckFailure(
                f"{value:.0%} of the updates of the {move} had a gradient that is not finite",
                "lower the learning rates, or clip gradients",
            )
        if not math.isfinite(value):
            raise CheckFailure(
                f"{name} is {value} after {training.state.step} steps", "lower the learning rates"
            )
    if after and not differing_names(before, after):
        raise CheckFailure("training changes no parameter", "name the networks in the parts of the players")


def run_equals_loop(fixture: RecipeFixture) -> None:
    """gancore.train ends with the tensors of the bare loop: previews and validation change nothing."""
    lost = differing_names(uninterrupted(fixture).tensors(), _of_run(fixture, "run"))
    if lost:
        raise CheckFailure(
            f"{lost[0]} differs between a run with previews and metrics and a run without",
            "change no state in sample and in metrics, and draw from keys only",
        )


def trains_on_two_processes(fixture: RecipeFixture) -> None:
    """Two processes end with the parameters of one, up to rounding, or the recipe refuses them."""
    one = uninterrupted(fixture)
    if not one.session.setup.game.players:
        raise SkipCheck("the game has no players: every process fits the same model")
    if not plugins_are_installed(fixture):
        raise SkipCheck("the running program registered the plugin, which other processes cannot load")
    try:  # the other process does not exist: nothing may communicate with it
        setup_from_game(
            fixture.build(),
            fixture.config,
            fixture.domain_fixture.data,
            one.session.device,
            ProcessGroup(0, 2),
            bf16=False,
        )
    except ConfigError as error:
        raise SkipCheck(f"the recipe refuses two processes: {error.message}") from error
    parameters, begin = one.session.setup.game.named_parameters(), dict(fixture.game.named_parameters())
    two = _of_run(fixture, "two", processes=2)
    ways = [(p.detach() - begin[name].detach(), p.detach() - two[name]) for name, p in parameters]
    way, away = (float(torch.cat([t.flatten() for t in each]).norm()) for each in zip(*ways, strict=True))
    if away > APART * way:
        raise CheckFailure(
            f"two processes end {away / way:.1%} of the trained distance away from one process",
            "sum costs over rows or masks, and use draw.all_gather(...) in batch_coupled costs",
        )


def plugins_are_installed(fixture: RecipeFixture) -> bool:
    owner = plugins().plugin_of(fixture.entry)
    return owner is not None and bool(owner.distribution)


def _of_run(fixture: RecipeFixture, name: str, processes: int = 1) -> Mapping[str, Tensor]:
    """The tensors of the last checkpoint of a run of `gancore train`."""
    run = RunFolder(fixture.folder / name)
    run.path.mkdir()
    config = fixture.config if processes == 1 else _log_at_end(fixture.config)
    order = TrainJob(run, config, progress="none")
    deliver_signal(run_job(order) if processes == 1 else spawn_workers(order, processes))
    checkpoint, refused = latest_checkpoint(run.checkpoints)
    if checkpoint is None:
        raise CheckFailure(f"the run has no readable checkpoint ({'; '.join(refused) or 'none'})", STATE)
    return {**checkpoint.tensors["game"], **checkpoint.tensors["optimizers"]}


def _log_at_end(config: RunConfig) -> RunConfig:
    """The configuration with logging at the end only: ``run_equals_loop`` checks logging on one process."""
    logging = config.logging.model_copy(update={"every": STEPS, "preview_every": STEPS})
    validation = config.validation.model_copy(update={"every": STEPS})
    return config.model_copy(update={"logging": logging, "validation": validation})


def resumes(fixture: RecipeFixture) -> None:
    """A training that is saved half-way and resumed equals an uninterrupted one byte for byte."""
    training = TrainingRun.begin(fixture, "resumed").play(STEPS // 2)
    if training.state.step >= training.state.total_steps:
        training = TrainingRun.begin(fixture, "resumed-early").play(1)
    if training.state.step >= training.state.total_steps:
        raise SkipCheck(f"the training has {training.state.step} step: there is nothing to resume")
    half = training.state.step
    with global_seed(1):
        training = training.resumed(fixture, training.session.run.path.name).play()
    whole = uninterrupted(fixture)
    lost = differing_names(whole.tensors(), training.tensors())
    if lost:
        raise CheckFailure(
            f"saved at step {half} and resumed, {lost[0]} differs ({len(lost)} tensors do)", STATE
        )
    if not trees_equal(whole.outputs(), training.outputs()):
        raise CheckFailure(f"saved at step {half} and resumed, samples differ, and no tensor differs", STATE)


def model_folder_round_trips(fixture: RecipeFixture) -> None:
    """The model folder gives the samples, or posteriors, of the trained model bit by bit."""
    training = uninterrupted(fixture)
    training.session.export_model(training.state)
    with global_seed(1):
        model = load_model(training.session.run.model, "cpu")
    own, is_classifier = training.outputs(), not model.sampler.can("sample")
    back = (
        classifier_log_probs(model.sampler, fixture.domain_fixture.data)
        if is_classifier
        else model.sample(SAMPLES, seed=0).data
    )
    kind = "posteriors" if is_classifier else "samples"
    if not trees_equal(own, back):
        raise CheckFailure(f"the model that is read from its model folder gives other {kind}", STATE)
    if not tree_all_finite(own):
        raise CheckFailure(f"{kind} of the trained model are not finite", "lower the learning rates")


def conditional_run(fixture: RecipeFixture) -> TrainingRun:
    """A training with labels of 3 steps, made once for each fixture. Raises SkipCheck without labels."""
    classes = fixture.domain_fixture.data.spec.get("classes") or []
    has_key = "conditional" in fixture.recipe.Config.model_fields
    if not has_key and not fixture.sampler().conditional:
        raise SkipCheck("the recipe has no key model.conditional")
    if not classes:
        raise SkipCheck("the tiny data have no classes")
    if "conditional_run" not in fixture.shared:
        labelled = fixture.changed(conditional=True) if has_key else fixture
        fixture.shared["conditional_run"] = TrainingRun.begin(labelled, "labelled").play(3)
    trained: TrainingRun = fixture.shared["conditional_run"]
    return trained


def trains_on_labels(fixture: RecipeFixture) -> None:
    """With model.conditional the recipe trains on labels and generates samples of a label."""
    sampler = conditional_run(fixture).session.setup.game.sampler().eval()
    if not sampler.conditional:
        raise CheckFailure(
            "model.conditional is true, and the sampler is not conditional", "pass conditional to the game"
        )
    label = str(fixture.domain_fixture.data.spec["classes"][0])
    condition = condition_sampler(
        sampler, fixture.domain_fixture.domain, fixture.domain_fixture.data.spec, label
    )
    made, wanted = draw_samples(sampler, 2, sample_key(0), condition)
    if not tree_all_finite(made) or wanted is None:
        raise CheckFailure(
            "samples of a label are not finite or have no condition", "check how the networks use the label"
        )
    reals = fixture.domain_fixture.samples(2)
    paths = fixture.domain_fixture.domain.write(
        type(reals)(made, reals.spec, wanted), fixture.folder / "labelled-samples"
    )
    if not paths:
        raise CheckFailure("write returns no file for samples of a label", "write conditional samples")
