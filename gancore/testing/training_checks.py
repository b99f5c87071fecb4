"""Checks of a recipe in training: it trains, resumes byte for byte, and its model folder holds all of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gancore.config import RunConfig
from gancore.domain import Data
from gancore.errors import ConfigError
from gancore.models.model import open_model
from gancore.models.sampling import condition_for, draw_samples, generates
from gancore.plugins import plugins
from gancore.runtime.processes import Processes
from gancore.runtime.randomness import Key
from gancore.testing.bench import ROUNDS, RecipeBench
from gancore.testing.check import Breach, NotApplicable
from gancore.testing.compare import differing, equal, finite, global_generators
from gancore.training.checkpoint import newest_checkpoint
from gancore.training.launch import Order, heed, play
from gancore.training.loop import train
from gancore.training.run import RunFolder
from gancore.training.session import Session, open_session
from gancore.training.state import State
from gancore.training.table import rule_tensors, set_game
from gancore.training.workers import spawn
from gancore.trees import Tree

SAMPLES = 5
APART = 5e-3
"""How far two processes may end from one, as a share of the way from the initial parameters. Rounding alone
makes a millionth of it; under Adam a unit whose gradient is next to nothing goes where rounding points: a
classifier with one such unit ended a thousandth of its way off."""
STATE = "keep state in parameters and buffers (register_buffer), which state_dict holds"


@dataclass
class Training:
    """A run of the bench's recipe, played in this process without upkeep."""

    session: Session
    state: State

    @classmethod
    def begin(cls, bench: RecipeBench, name: str) -> Training:
        session = _session(bench, name)
        session.begin()
        return cls(session, session.start(None))

    def play(self, rounds: int = ROUNDS) -> Training:
        """On to this round, or to the end of the budget."""

        def watch(state: State) -> None:
            state.stopping = "kit" if state.step >= rounds < state.total else ""

        train(self.session.table, self.state, watch)
        self.state.stopping = ""
        return self

    def resumed(self, bench: RecipeBench, name: str) -> Training:
        """Saved, thrown away, and read back as a new process would."""
        self.session.save(self.state, {})
        checkpoint, refused = newest_checkpoint(self.session.run.checkpoints)
        if checkpoint is None:
            raise Breach(f"the checkpoint cannot be read back: {'; '.join(refused)}", STATE)
        session = _session(bench, name)
        return Training(session, session.load(checkpoint, force=False))

    def tensors(self) -> Mapping[str, Tensor]:
        """All that a checkpoint holds."""
        return {**self.session.table.game.state_dict(), **rule_tensors(self.session.table)}

    def outputs(self) -> Tree:
        """What the model is for: samples; of a judge, what it says of rows of train."""
        table, home = self.session.table, self.session
        sampler = table.game.sampler().eval()
        if not generates(sampler):
            said = posteriors(sampler, home.data)
            table.game.train()
            return said
        condition = condition_for(sampler, home.domain, home.data.spec, None)
        made = draw_samples(sampler, SAMPLES, Key.of("samples", 0), condition)
        table.game.train()
        return made[0]


@torch.no_grad()
def posteriors(judge: nn.Module, data: Data) -> Tensor:
    """log p(class | row) of the first rows of train, (rows, classes)."""
    train = next(iter(data.train.values())) if isinstance(data.train, Mapping) else data.train
    rows = torch.arange(SAMPLES) % len(train)
    said: Tensor = judge.log_posteriors(train.take(rows, Key.of("rows")).data)  # type: ignore[operator]
    return said


def _session(bench: RecipeBench, name: str) -> Session:
    run = RunFolder(bench.folder / name)
    run.path.mkdir(exist_ok=True)
    return open_session(run, bench.config, None, lambda line: None, given=bench.home.given)


def undisturbed(bench: RecipeBench) -> Training:
    """The training that others are compared with; made once for each bench."""
    if "undisturbed" not in bench.made:
        training = Training.begin(bench, "undisturbed")
        bench.made["before"] = {name: tensor.clone() for name, tensor in training.tensors().items()}
        bench.made["undisturbed"] = training.play()
    trained: Training = bench.made["undisturbed"]
    return trained


def trains(bench: RecipeBench) -> None:
    """Twelve rounds leave every number finite, mask no step, and change what is trained."""
    training = undisturbed(bench)
    before, after = bench.made["before"], training.tensors()
    broken = [name for name, tensor in after.items() if not finite(tensor)]
    if broken:
        raise Breach(
            f"after {training.state.step} rounds {broken[0]} is not finite", "lower the learning rates"
        )
    scalars = training.session.table.statistics.read()
    for name, value in scalars.items():
        if name.endswith("/masked") and value > 0:
            move = name.removesuffix("/masked")
            raise Breach(
                f"{value:.0%} of the steps of the {move} had a gradient that is not finite",
                "lower the learning rates, or clip gradients",
            )
        if not math.isfinite(value):
            raise Breach(f"{name} is {value} in {training.state.step} rounds", "lower the learning rates")
    if after and not differing(before, after):
        raise Breach("training changes nothing", "name the networks in the players' parts")


def trains_as_a_run(bench: RecipeBench) -> None:
    """gancore.train ends where the loop alone does: looking at samples and measuring disturb nothing."""
    lost = differing(undisturbed(bench).tensors(), _of_run(bench, "run"))
    if lost:
        raise Breach(
            f"a run with previews and measures ends with another {lost[0]} than one without",
            "let sample and measures change nothing, and draw from keys alone",
        )


def trains_on_two_processes(bench: RecipeBench) -> None:
    """Two processes train what one does, but for the rounding of sums; or the recipe refuses them."""
    one = undisturbed(bench)
    if not one.session.table.game.players:
        raise NotApplicable("the game has no players: each process fits it alike")
    if not plugins_are_installed(bench):
        raise NotApplicable("the running program registered the plugin: other processes do not know it")
    try:  # the other process is not there: nothing may ask it
        set_game(
            bench.build(), bench.config, bench.home.data, one.session.device, Processes(0, 2), bf16=False
        )
    except ConfigError as error:
        raise NotApplicable(f"it refuses two processes: {error.message}") from error
    parameters, begin = one.session.table.game.named_parameters(), dict(bench.game.named_parameters())
    two = _of_run(bench, "two", processes=2)
    ways = [(p.detach() - begin[name].detach(), p.detach() - two[name]) for name, p in parameters]
    way, away = (float(torch.cat([t.flatten() for t in each]).norm()) for each in zip(*ways, strict=True))
    if away > APART * way:
        raise Breach(
            f"on two processes it ends {away / way:.1%} of its way from where one process ends",
            "add up costs by rows or masks, and let batch_coupled costs look at draw.joined(...)",
        )


def plugins_are_installed(bench: RecipeBench) -> bool:
    owner = plugins().origin(bench.entry)
    return owner is not None and bool(owner.distribution)


def _of_run(bench: RecipeBench, name: str, processes: int = 1) -> Mapping[str, Tensor]:
    """The tensors of the last checkpoint of a run as `gancore train` makes it."""
    run = RunFolder(bench.folder / name)
    run.path.mkdir()
    config = bench.config if processes == 1 else _looked_at_once(bench.config)
    order = Order(run, config, progress="none")
    heed(play(order) if processes == 1 else spawn(order, processes))
    checkpoint, refused = newest_checkpoint(run.checkpoints)
    if checkpoint is None:
        raise Breach(f"the run left no checkpoint that can be read ({'; '.join(refused) or 'none'})", STATE)
    return {**checkpoint.tensors["game"], **checkpoint.tensors["rules"]}


def _looked_at_once(config: RunConfig) -> RunConfig:
    """At the end alone: that looks disturb nothing is seen on one process."""
    rare = {"log_every": ROUNDS, "preview_every": ROUNDS, "evaluate_every": ROUNDS}
    return config.model_copy(update={"upkeep": config.upkeep.model_copy(update=rare)})


def resumes(bench: RecipeBench) -> None:
    """Saved at half, thrown away and resumed, it equals an undisturbed training byte for byte."""
    training = Training.begin(bench, "resumed").play(ROUNDS // 2)
    if training.state.step >= training.state.total:
        training = Training.begin(bench, "resumed-early").play(1)
    if training.state.step >= training.state.total:
        raise NotApplicable(f"it is done in {training.state.step} round: there is nothing to resume")
    half = training.state.step
    with global_generators(1):
        training = training.resumed(bench, training.session.run.path.name).play()
    whole = undisturbed(bench)
    lost = differing(whole.tensors(), training.tensors())
    if lost:
        raise Breach(f"saved at round {half} and resumed, {lost[0]} differs ({len(lost)} tensors do)", STATE)
    if not equal(whole.outputs(), training.outputs()):
        raise Breach(f"saved at round {half} and resumed, its samples differ, and no tensor does", STATE)


def keeps_its_model(bench: RecipeBench) -> None:
    """The model folder, read back, gives the trained model's samples, a judge's posteriors, bit by bit."""
    training = undisturbed(bench)
    training.session.publish(training.state)
    with global_generators(1):
        model = open_model(training.session.run.model, "cpu")
    own, judges = training.outputs(), not generates(model.sampler)
    back = posteriors(model.sampler, bench.home.data) if judges else model.sample(SAMPLES, seed=0).data
    kind = "posteriors" if judges else "samples"
    if not equal(own, back):
        raise Breach(f"read back from its model folder, the model gives other {kind}", STATE)
    if not finite(own):
        raise Breach(f"the trained model's {kind} are not finite", "lower the learning rates")


def on_labels(bench: RecipeBench) -> Training:
    """A training on labels, 3 rounds long; made once for each bench. Raises NotApplicable: it takes none."""
    classes = bench.home.data.spec.get("classes") or []
    has_key = "conditional" in bench.recipe.Config.model_fields
    if not has_key and not getattr(bench.sampler(), "conditional", False):
        raise NotApplicable("it has no key model.conditional")
    if not classes:
        raise NotApplicable("the tiny data have no classes")
    if "on_labels" not in bench.made:
        labelled = bench.changed(conditional=True) if has_key else bench
        bench.made["on_labels"] = Training.begin(labelled, "labelled").play(3)
    trained: Training = bench.made["on_labels"]
    return trained


def trains_on_labels(bench: RecipeBench) -> None:
    """With model.conditional it trains on the labels, and samples of a label come out."""
    sampler = on_labels(bench).session.table.game.sampler().eval()
    if not getattr(sampler, "conditional", False):
        raise Breach("model.conditional is true, and the sampler is not", "hand conditional on to the game")
    label = str(bench.home.data.spec["classes"][0])
    condition = condition_for(sampler, bench.home.domain, bench.home.data.spec, label)
    made, wanted = draw_samples(sampler, 2, Key.of("samples", 0), condition)
    if not finite(made) or wanted is None:
        raise Breach("samples of a label are not finite, or have no condition", "look at the label's way")
    reals = bench.home.samples(2)
    paths = bench.home.domain.write(type(reals)(made, reals.spec, wanted), bench.folder / "labelled-samples")
    if not paths:
        raise Breach("write gives no file for samples of a label", "write them")
