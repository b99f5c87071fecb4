"""One evaluation, from a model and its data to readings: samples, features, anchors, measures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from gancore.data.sources import cache_folder
from gancore.data.telling import Announce, seldom
from gancore.domain import Batch, Data
from gancore.errors import ConfigError, DataError
from gancore.evaluation.about import accuracy_of, describe
from gancore.evaluation.anchors import Anchors
from gancore.evaluation.catalogue import features_for, measures_for, resolve_measures
from gancore.evaluation.evidence import Evidence, Sampled
from gancore.evaluation.extraction import Maps
from gancore.evaluation.features import Workbench
from gancore.evaluation.judged import judge_of
from gancore.evaluation.judging import Judging
from gancore.evaluation.measure import Measure
from gancore.evaluation.preparing import Preparing
from gancore.evaluation.reading import Evaluation, Reading
from gancore.evaluation.reference import Reference, open_reference
from gancore.evaluation.rows import RealRows, outline, real_rows, view_of
from gancore.evaluation.store import Store
from gancore.evaluation.summary import accuracy
from gancore.evaluation.taking import Taker
from gancore.files import memory_bytes
from gancore.models.model import Model, open_model
from gancore.records import MeasureEntry
from gancore.runtime.ambient import pinned
from gancore.runtime.randomness import Key, Rows, noise_scope
from gancore.texts import counted
from gancore.training.progress import Mode
from gancore.training.run import RunFolder
from gancore.trees import leaves

LEAST = 16
"""Samples; fewer say nothing."""
SAMPLES = 300, 2000
"""How many are made where nobody says: at least, and at most."""
BATCH = 256
"""Samples that the device makes at once."""
LIKELIHOOD_BATCH = 64


@dataclass(frozen=True)
class Question:
    """What is asked of a model; see :func:`gancore.evaluate`. ``folder`` is the model's."""

    folder: Path
    name: str
    against: str | None = None
    measures: tuple[str, ...] | None = None
    features: str | None = None
    n: int | None = None
    split: str = "test"
    seed: int = 0
    device: str = "auto"
    data_root: Path | None = None
    progress: Mode = "none"
    announce: Callable[[str], None] = field(default=lambda line: None)

    @property
    def run(self) -> RunFolder | None:
        """The run that the model lies in."""
        run = RunFolder(self.folder.absolute().parent)
        return run if run.read_status() is not None else None


@pinned()
def answer(question: Question) -> Evaluation:
    """The readings of a model.

    Raises:
        GancoreError: a mistake that the user can mend, in one line.
    """
    if question.n is not None and question.n < LEAST:
        told = counted(question.n, "sample")
        raise ConfigError(f"{told}, too few to measure", f"give at least {LEAST}")
    model = open_model(question.folder, question.device)
    reference = open_reference(model, question.run, question.against, question.data_root, question.announce)
    spec = reference.data.spec
    entries = measures_for(model.domain, spec, question.announce)
    measures = resolve_measures(entries, question.measures, question.announce)
    preparing = _preparing(question, model, reference)
    features = preparing.choose(question.features)
    n = question.n or samples_beside(reference.data, question.split)
    rows = real_rows(reference.data, question.split, n, Key.of("evaluate", question.seed))
    maps = Maps(spec, model.device, Store(preparing.bench.cache / "sets", question.announce))
    preparing.prepare(maps, features, measures.values())  # before samples: weights may not be here
    fake = _samples(question, n, model, rows.real)
    taker = _taker(question, model, reference, rows, fake, maps, measures, preparing)
    question.announce(f"{len(measures)} measures of {len(fake):,} samples")
    readings = tuple(_readings(taker, entries, measures, seldom(question.announce)))
    about = describe(question, model, reference, rows, taker, [entries[name] for name in measures])
    return Evaluation(question.name, readings, about)


def _readings(
    taker: Taker, entries: Mapping[str, MeasureEntry], measures: Mapping[str, Measure], say: Announce
) -> Iterator[Reading]:
    """``say`` is told which measure is being taken."""
    for number, (name, measure) in enumerate(measures.items(), start=1):
        say(f"  measure {number} of {len(measures)}: {name}")
        yield taker.take(entries[name], measure)


def _preparing(question: Question, model: Model, reference: Reference) -> Preparing:
    cache = cache_folder() / "evaluation"
    judge = Judging(
        model.domain,
        reference,
        cache / "judges",
        model.device,
        question.data_root,
        question.progress,
        question.announce,
    )
    bench = Workbench(reference.data, cache, judge, question.announce)
    return Preparing(features_for(model.domain, reference.data.spec, question.announce), bench)


def samples_beside(data: Data, split: str) -> int:
    """As many as the reference has rows, so that neither set is known much better than the other."""
    fewest, most = SAMPLES
    return min(max(len(view_of(data, split)), fewest), most)


def _samples(question: Question, n: int, model: Model, real: Batch) -> Batch:
    """What the model makes; of classes as often as in train.

    Raises:
        DataError: it is not finite, or of another shape than the real rows.
    """
    _require_memory(n, real)
    question.announce(f"making {n:,} samples of {question.name}")
    made = model.sample(n, question.seed, batch_size=BATCH)
    broken = torch.zeros(n, dtype=torch.bool)
    for leaf in leaves(made.data):
        broken |= ~leaf.reshape(n, -1).isfinite().all(1)
    if broken.any():
        raise DataError(
            f"{int(broken.sum()):,} of {n:,} samples of {question.name} are not finite",
            "train it anew at lower rates",
        )
    if outline(made.data) != outline(real.data):
        raise DataError(
            f"a sample of {question.name} is {outline(made.data)}, and a real row {outline(real.data)}",
            "give data of the model's kind",
        )
    return Batch(made.data, made.condition)


def _require_memory(n: int, real: Batch) -> None:
    """Raises ConfigError where so many samples, and once more while they are joined, do not fit in memory."""
    row = sum(leaf[0].numel() * leaf.element_size() for leaf in leaves(real.data))
    needed, there = 2 * n * row, memory_bytes()
    if needed > there:
        raise ConfigError(
            f"{n:,} samples of {row:,} bytes take {needed / 1e9:,.1f} GB of memory, and this machine has"
            f" {there / 1e9:,.1f} GB",
            f"give -n {there // (4 * row)} or fewer",
        )


def _taker(
    question: Question,
    model: Model,
    reference: Reference,
    rows: RealRows,
    fake: Batch,
    maps: Maps,
    measures: Mapping[str, Measure],
    preparing: Preparing,
) -> Taker:
    wants = frozenset[str]().union(*(measure.wants for measure in measures.values()))
    likelihood = partial(log_prob_of, model) if hasattr(model.sampler, "log_prob") else None
    log_prob = likelihood(rows.real) if likelihood and "log_prob" in wants else None
    evidence = Evidence(
        maps.see(fake, keep=False),
        maps.see(rows.real, keep=True),
        maps.see(rows.train, keep=True)
        if "train" in wants
        else Sampled(rows.train.data, rows.train.condition),
        reference.data.spec,
        Key.of("evaluate", question.seed),
        log_prob,
        bool(getattr(model.sampler, "bound", False)),
        maps.classifier.classes if maps.classifier else (),
        model.device,
        judge_of(model.domain, preparing.bench.judge),
        len(view_of(reference.data, "train")),
    )
    lacking = {
        "log_posteriors": "" if maps.classifier else preparing.lacking,
        "condition": "" if fake.condition is not None else "the model is not conditional",
        "judge": "" if evidence.judge else f"{model.domain.name} has no recipe that judges",
        "log_prob": "" if log_prob is not None else _unlikely(likelihood is not None),
    }
    template = Reading("", None, source=reference.source.name, split=question.split, seed=question.seed)
    anchors = None
    if rows.held_out is not None:
        apart = replace(evidence, train=evidence.train.rows(torch.arange(rows.apart)))
        anchors = Anchors(rows.held_out, apart, maps, likelihood, rows.unseen)
    lacking = {need: why for need, why in lacking.items() if why}
    return Taker(evidence, maps, anchors, lacking, template, _notes(maps, evidence, question.split))


def _notes(maps: Maps, evidence: Evidence, split: str) -> dict[str, str]:
    """How good the classifier is that scores rest on."""
    told = accuracy_of(maps.classifier, evidence) if maps.classifier else None
    return {"log_posteriors": f"the classifier of the scores is {accuracy(told, split)}"} if told else {}


def _unlikely(has_one: bool) -> str:
    return (
        "its likelihood is of something else than these samples" if has_one else "the model has no likelihood"
    )


@torch.no_grad()
def log_prob_of(model: Model, rows: Batch) -> Tensor | None:
    """Nats per row under the model, (n,), on the CPU; None: they are not comparable."""
    parts = []
    for start in range(0, len(rows), LIKELIHOOD_BATCH):
        batch = rows.rows(start, start + LIKELIHOOD_BATCH).to(model.device)
        with noise_scope(Key.of("evaluate", "log_prob", start, device=model.device), Rows.all(len(batch))):
            part = model.sampler.log_prob(batch)  # type: ignore[operator]
        if part is None:
            return None
        parts.append(part.float().cpu())
    return torch.cat(parts)
