"""Checks of a recipe in training: it trains, resumes byte for byte, and its model folder holds all of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from gancore.models.model import open_model
from gancore.models.sampling import condition_for, draw_samples
from gancore.runtime.randomness import Key
from gancore.testing.bench import ROUNDS, RecipeBench
from gancore.testing.check import Breach, NotApplicable
from gancore.testing.compare import differing, equal, finite, global_generators
from gancore.training.checkpoint import newest_checkpoint
from gancore.training.loop import train
from gancore.training.run import RunFolder
from gancore.training.session import Session, open_session
from gancore.training.state import State
from gancore.training.table import rule_tensors
from gancore.trees import Tree

SAMPLES = 5
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
        self.session.save(self.state)
        checkpoint, refused = newest_checkpoint(self.session.run.checkpoints)
        if checkpoint is None:
            raise Breach(f"the checkpoint cannot be read back: {'; '.join(refused)}", STATE)
        session = _session(bench, name)
        return Training(session, session.load(checkpoint, force=False))

    def tensors(self) -> Mapping[str, Tensor]:
        """All that a checkpoint holds."""
        return {**self.session.table.game.state_dict(), **rule_tensors(self.session.table)}

    def samples(self) -> Tree:
        table, home = self.session.table, self.session
        sampler = table.game.sampler().eval()
        condition = condition_for(sampler, home.domain, home.data.spec, None)
        made = draw_samples(sampler, SAMPLES, Key.of("samples", 0), condition)
        table.game.train()
        return made[0]


def _session(bench: RecipeBench, name: str) -> Session:
    run = RunFolder(bench.folder / name)
    run.path.mkdir(exist_ok=True)
    return open_session(run, bench.config, None, lambda line: None)


def undisturbed(bench: RecipeBench) -> Training:
    """The training that others are compared with; made once for each bench."""
    if "undisturbed" not in bench.made:
        bench.made["undisturbed"] = Training.begin(bench, "undisturbed").play()
    trained: Training = bench.made["undisturbed"]
    return trained


def trains(bench: RecipeBench) -> None:
    """Twelve rounds leave every number finite, mask no step, and change what is trained."""
    training = Training.begin(bench, "trains")
    before = {name: tensor.clone() for name, tensor in training.tensors().items()}
    training.play()
    after = training.tensors()
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
    from gancore.training.lifetime import Lifetime
    from gancore.training.progress import open_progress

    run = RunFolder(bench.folder / "run")
    run.path.mkdir()
    import sys

    Lifetime(run, bench.config, open_progress("none", sys.stderr), None, None, False).play()
    checkpoint, _ = newest_checkpoint(run.checkpoints)
    if checkpoint is None:
        raise Breach("the run left no checkpoint", STATE)
    own = undisturbed(bench).tensors()
    lost = differing(own, {**checkpoint.tensors["game"], **checkpoint.tensors["rules"]})
    if lost:
        raise Breach(
            f"a run with previews and measures ends with another {lost[0]} than one without",
            "let sample and measures change nothing, and draw from keys alone",
        )


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
    if not equal(whole.samples(), training.samples()):
        raise Breach(f"saved at round {half} and resumed, its samples differ, and no tensor does", STATE)


def keeps_its_model(bench: RecipeBench) -> None:
    """The model folder, read back, gives the samples of the trained model bit by bit."""
    training = undisturbed(bench)
    training.session.publish(training.state)
    with global_generators(1):
        model = open_model(training.session.run.model, "cpu")
    own = training.samples()
    if not equal(own, model.sample(SAMPLES, seed=0).data):
        raise Breach("read back from its model folder, the model gives other samples", STATE)
    if not finite(own):
        raise Breach("the trained model's samples are not finite", "lower the learning rates")


def trains_on_labels(bench: RecipeBench) -> None:
    """With model.conditional it trains on the labels, and samples of a label come out."""
    classes = bench.home.data.spec.get("classes") or []
    if "conditional" not in bench.recipe.Config.model_fields:
        raise NotApplicable("it has no key model.conditional")
    if not classes:
        raise NotApplicable("the tiny data have no classes")
    labelled = bench.changed(conditional=True)
    training = Training.begin(labelled, "labelled").play(3)
    sampler = training.session.table.game.sampler().eval()
    if not getattr(sampler, "conditional", False):
        raise Breach("model.conditional is true, and the sampler is not", "hand conditional on to the game")
    condition = condition_for(sampler, bench.home.domain, bench.home.data.spec, str(classes[0]))
    made, wanted = draw_samples(sampler, 2, Key.of("samples", 0), condition)
    if not finite(made) or wanted is None:
        raise Breach("samples of a label are not finite, or have no condition", "look at the label's way")
    reals = bench.home.samples(2)
    paths = bench.home.domain.write(type(reals)(made, reals.spec, wanted), bench.folder / "labelled-samples")
    if not paths:
        raise Breach("write gives no file for samples of a label", "write them")


def plays_in_bf16(bench: RecipeBench) -> None:
    """Under --precision auto some machines train in bf16: one round of it is finite too."""
    from gancore.games.field import Field

    table = bench.table()
    if not any(phase.moves for phase in table.game.phases) or table.game.full_precision:
        raise NotApplicable("it has no moves, or asks for full precision")
    for phase in table.game.phases:
        field = Field(table, phase, 0, 0, 0.0)
        for index, move in field.moves():
            with torch.autocast("cpu", torch.bfloat16), field.draw(index).noise():
                total = table.game.cost(move, field.draw(index)).total()
            if not finite(total):
                raise Breach(
                    f"the {move.cost} of the {move.player} is not finite in bf16",
                    "set full_precision = True on the game, or compute that part in fp32",
                )
