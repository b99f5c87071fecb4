"""Runs one evaluation: generates samples, computes features and controls, evaluates metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import gancore
from gancore.data.dataset import Batch, Data
from gancore.domain import Domain
from gancore.entries import MetricEntry
from gancore.errors import ConfigError, DataError
from gancore.evaluation.cache import DiskCache
from gancore.evaluation.catalogue import ALL, available_metrics, load_metrics
from gancore.evaluation.classifier import classifier_trainer, extractor_loader
from gancore.evaluation.controls import COLLAPSE_SHARE, Controls
from gancore.evaluation.evaluator import Evaluator
from gancore.evaluation.features import ExtractorLoader, FeatureExtractor, FeaturePipeline
from gancore.evaluation.reference import (
    RealData,
    ReferenceData,
    describe_shapes,
    open_reference,
    select_real_data,
)
from gancore.evaluation.report import format_accuracy
from gancore.evaluation.result import EvaluationResult, MetricResult
from gancore.evaluation.tables import make_tables
from gancore.evaluation.temperatures import TEMPERATURE, check_temperatures
from gancore.files import total_memory_bytes
from gancore.metrics.intervals import clopper_pearson
from gancore.metrics.metric import MODEL_REQUIREMENTS, Metric, MetricInputs, SampleSet
from gancore.models.model import Model, load_model
from gancore.plugins import plugins
from gancore.progress import Announce, ProgressMode, remind, throttle
from gancore.random import RowRange, evaluation_key, noise_scope, shuffle_coordinates
from gancore.run_folder import RunFolder
from gancore.runtime.torch_settings import pinned_settings
from gancore.text import count_noun
from gancore.trees import tree_leaves

MIN_SAMPLES = 16
DEFAULT_SAMPLES = 300, 2000
"""The smallest and the largest default number of samples."""
BATCH_SIZE = 256
"""The number of samples that the device generates at a time."""
LIKELIHOOD_BATCH = 64
NO_NOISE_CONTROL = (
    "left out: nearest neighbours do not distinguish it from real rows (are the coordinates independent?)"
)


@dataclass(frozen=True)
class EvaluationRequest:
    """The arguments of :func:`gancore.evaluate`; ``folder`` is the model folder."""

    folder: Path
    model_name: str
    against: str | None = None
    metrics: tuple[str, ...] | None = None
    features: str | None = None
    n: int | None = None
    split: str = "test"
    seed: int = 0
    temperature: float | None = None
    device: str = "auto"
    data_root: Path | None = None
    progress: ProgressMode = "none"
    announce: Callable[[str], None] = field(default=lambda line: None)

    @property
    def run(self) -> RunFolder | None:
        """The run that contains the model; None if there is none."""
        run = RunFolder(self.folder.absolute().parent)
        return run if run.read_status() is not None else None


@pinned_settings()
def run_evaluation(request: EvaluationRequest) -> EvaluationResult:
    """Evaluate a model.

    Raises:
        GancoreError: an input is wrong; the message is one line with the fix.
    """
    announce = request.announce
    if request.n is not None and request.n < MIN_SAMPLES:
        raise ConfigError(
            f"{count_noun(request.n, 'sample')} are too few to evaluate", f"give at least {MIN_SAMPLES}"
        )
    model = load_model(request.folder, request.device)
    reference = open_reference(model, request.run, request.against, request.data_root, announce)
    spec = reference.data.spec
    entries = available_metrics(model.domain, spec, announce)
    metrics = load_metrics(entries, request.metrics, announce)
    loader = extractor_loader(model, reference, request.data_root, request.progress, announce)
    features = loader.choose(request.features)
    n = request.n or default_sample_count(reference.data, request.split)
    data = select_real_data(reference.data, request.split, n, evaluation_key("evaluate", request.seed))
    pipeline = FeaturePipeline(spec, model.device, DiskCache(loader.context.cache_folder / "sets", announce))
    loader.load(pipeline, features, metrics.values())  # before sampling: weights may be missing
    fake = _draw_samples(request, n, model, data.real)
    evaluator = _build_evaluator(request, model, reference, data, fake, pipeline, metrics, loader)
    announce(f"{len(metrics)} metrics of {len(fake):,} samples")
    results = tuple(_evaluate_all(evaluator, entries, metrics, announce))
    used = [entries[name] for name in metrics]
    metadata = build_metadata(request, model, reference, data, evaluator, used)
    tables = make_tables(model.domain, evaluator.inputs, results, announce)
    return EvaluationResult(request.model_name, results, metadata, tables)


def _evaluate_all(
    evaluator: Evaluator,
    entries: Mapping[str, MetricEntry],
    metrics: Mapping[str, Metric],
    announce: Announce,
) -> Iterator[MetricResult]:
    """Evaluate all metrics; ``announce`` is called with some of them before they are computed, and again
    while one takes long.
    """
    report = throttle(announce)
    for number, (name, metric) in enumerate(metrics.items(), start=1):
        line = f"  metric {number} of {len(metrics)}: {name}"
        report(line)
        with remind(announce, line):
            result = evaluator.evaluate(entries[name], metric)
        yield result


def default_sample_count(data: Data, split: str) -> int:
    """The number of rows of the reference split, at least 300 and at most 2,000."""
    fewest, most = DEFAULT_SAMPLES
    return min(max(len(data.view(split)), fewest), most)


def _draw_samples(request: EvaluationRequest, n: int, model: Model, real: Batch) -> Batch:
    """Generate samples; a conditional model generates each class as often as it occurs in train.

    Raises:
        DataError: samples are not finite, or differ in shape from real rows.
    """
    _require_memory(n, real)
    at = "" if request.temperature is None else f" at temperature {request.temperature:g}"
    request.announce(f"generating {n:,} samples of {request.model_name}{at}")
    samples = model.sample(n, request.seed, batch_size=BATCH_SIZE, temperature=request.temperature)
    invalid = torch.zeros(n, dtype=torch.bool)
    for leaf in tree_leaves(samples.data):
        invalid |= ~leaf.reshape(n, -1).isfinite().all(1)
    if invalid.any():
        raise DataError(
            f"{int(invalid.sum()):,} of {n:,} samples of {request.model_name} are not finite",
            "train it again with lower learning rates",
        )
    shapes, real_shapes = describe_shapes(samples.data), describe_shapes(real.data)
    if shapes != real_shapes:
        raise DataError(
            f"a sample of {request.model_name} has shape and dtype {shapes}, a real row {real_shapes}",
            "give data of the same kind as the model's with --data",
        )
    return Batch(samples.data, samples.condition)


def _require_memory(n: int, real: Batch) -> None:
    """Raise ConfigError if ``n`` samples do not fit twice in memory, which their concatenation needs."""
    row = sum(leaf[0].numel() * leaf.element_size() for leaf in tree_leaves(real.data))
    needed, available = 2 * n * row, total_memory_bytes()
    if needed > available:
        raise ConfigError(
            f"{n:,} samples of {row:,} bytes take {needed / 1e9:,.1f} GB of memory, and this machine has"
            f" {available / 1e9:,.1f} GB",
            f"give -n {available // (4 * row)} or fewer",
        )


def _build_evaluator(
    request: EvaluationRequest,
    model: Model,
    reference: ReferenceData,
    data: RealData,
    fake: Batch,
    pipeline: FeaturePipeline,
    metrics: Mapping[str, Metric],
    loader: ExtractorLoader,
) -> Evaluator:
    requirements = frozenset[str]().union(*(metric.all_requirements for metric in metrics.values()))
    able = model.sampler.can("likelihood") and request.temperature in (None, 1.0)
    likelihood = partial(model_log_prob, model) if able else None
    log_prob = likelihood(data.real) if likelihood and requirements & MODEL_REQUIREMENTS else None
    inputs = MetricInputs(
        pipeline.extract(fake, cache=False),
        pipeline.extract(data.real, cache=True),
        pipeline.extract(data.train, cache=True)
        if "train" in requirements
        else SampleSet(data.train.data, data.train.condition),
        reference.data.spec,
        evaluation_key("evaluate", request.seed),
        log_prob,
        model.sampler.lower_bound,
        pipeline.classifier.classes if pipeline.classifier else (),
        model.device,
        classifier_trainer(model.domain, loader.context.train_recipe),
        len(reference.data.view("train")),
        likelihood,
    )
    no_recipe = f"{model.domain.name} has no recipe that classifies"
    no_likelihood = "" if log_prob is not None else _no_likelihood_reason(model, request.temperature)
    reasons = {
        "log_posteriors": "" if pipeline.classifier else loader.no_classifier_reason,
        "condition": "" if fake.condition is not None else "the model is not conditional",
        "classifier": "" if inputs.train_classifier else no_recipe,
        **dict.fromkeys(MODEL_REQUIREMENTS, no_likelihood),
    }
    unavailable = {requirement: reason for requirement, reason in reasons.items() if reason}
    template = MetricResult("", None, source=reference.source.name, split=request.split, seed=request.seed)
    controls = _make_controls(model, data, inputs, pipeline, likelihood)
    notes = _classifier_note(pipeline, inputs, request.split)
    return Evaluator(inputs, pipeline, controls, unavailable, template, notes)


def _make_controls(
    model: Model,
    data: RealData,
    inputs: MetricInputs,
    pipeline: FeaturePipeline,
    likelihood: Callable[[Batch], Tensor | None] | None,
) -> Controls | None:
    """The control sets; None without held-out data."""
    if data.held_out is None:
        return None
    disjoint = replace(inputs, train=inputs.train.select(torch.arange(data.n_train_disjoint)))
    own_noise = type(model.domain).noise is not Domain.noise
    noise = model.domain.noise if own_noise else shuffle_coordinates
    return Controls(data.held_out, disjoint, pipeline, likelihood, data.n_not_trained_on, noise)


def _classifier_note(pipeline: FeaturePipeline, inputs: MetricInputs, split: str) -> dict[str, str]:
    """A note with the accuracy of the classifier on which scores depend."""
    accuracy = classifier_accuracy(pipeline.classifier, inputs) if pipeline.classifier else None
    if not accuracy:
        return {}
    return {"log_posteriors": f"the classifier of the scores is {format_accuracy(accuracy, split)}"}


def _no_likelihood_reason(model: Model, temperature: float | None) -> str:
    if not model.sampler.can("likelihood"):
        return "the model has no likelihood"
    if temperature not in (None, 1.0):
        return "the likelihood is that of temperature 1"
    return "its likelihood is not that of canonical samples"


def run_temperatures(request: EvaluationRequest, temperatures: Sequence[float]) -> list[EvaluationResult]:
    """Evaluate a model at each temperature, in ascending order, by the domain's metrics of quality and of
    diversity, and by those of the request.

    Raises:
        ConfigError: a temperature is not above 0, or the model's samples have none.
    """
    values = check_temperatures(temperatures)
    if not values:
        raise ConfigError("no temperature is given", "give numbers above 0; 1 is the model's own")
    model = load_model(request.folder, request.device)
    if not model.sampler.can("temperature"):
        raise ConfigError(
            f"the samples of {request.model_name} have no temperature", "leave temperatures out"
        )
    metrics = request.metrics or ()
    if metrics != (ALL,):
        metrics = tuple(dict.fromkeys([*model.domain.quality_diversity_metrics, *metrics]))
    return [run_evaluation(replace(request, metrics=metrics, temperature=value)) for value in values]


@torch.no_grad()
def model_log_prob(model: Model, rows: Batch) -> Tensor | None:
    """log p of each row in nats, (n,) on the CPU; None if it is not that of canonical samples."""
    parts = []
    for start in range(0, len(rows), LIKELIHOOD_BATCH):
        batch = rows.slice(start, start + LIKELIHOOD_BATCH).to(model.device)
        with noise_scope(
            evaluation_key("evaluate", "log_prob", start, device=model.device), RowRange.all(len(batch))
        ):
            part = model.sampler.log_prob(batch)
        if part is None:
            return None
        parts.append(part.float().cpu())
    return torch.cat(parts)


def build_metadata(
    request: EvaluationRequest,
    model: Model,
    reference: ReferenceData,
    data: RealData,
    evaluator: Evaluator,
    entries: Sequence[MetricEntry],
) -> dict[str, Any]:
    """The metadata that are needed to interpret and repeat the evaluation, as JSON values.

    They contain no times and no paths, so that equal evaluations have equal metadata.
    """
    return {
        "domain": model.domain.name,
        "recipe": model.config["recipe"],
        "model_hash": model.weights_sha256,
        "source": reference.source.name,
        "fingerprint": reference.data.fingerprint,
        "split": request.split,
        "seed": request.seed,
        **({} if request.temperature is None else {TEMPERATURE: float(request.temperature)}),
        "n": len(evaluator.inputs.fake),
        "n_real": len(data.real),
        "n_train": len(data.train),
        "train_size": evaluator.inputs.train_size,
        "device": model.device.type,
        "features": _features_metadata(evaluator.pipeline.features),
        "classifier": _classifier_metadata(evaluator),
        "anchors": _controls_metadata(data, evaluator),
        "note": reference.note,
        "versions": _versions(model, entries),
    }


def _features_metadata(features: FeatureExtractor | None) -> dict[str, str] | None:
    """Name and hash of the extractor, and the name of the Frechet distance of its features."""
    if features is None:
        return None
    values = {"name": features.name, "hash": features.digest}
    return {**values, "frechet": features.frechet_name} if features.frechet_name else values


def _classifier_metadata(evaluator: Evaluator) -> dict[str, Any] | None:
    """Name, hash, classes, and accuracy on the reference rows."""
    classifier = evaluator.pipeline.classifier
    if classifier is None:
        return None
    values: dict[str, Any] = {"name": classifier.name, "hash": classifier.digest}
    accuracy = classifier_accuracy(classifier, evaluator.inputs)
    return {**values, "classes": list(classifier.classes), "accuracy": accuracy} if accuracy else values


def classifier_accuracy(classifier: FeatureExtractor, inputs: MetricInputs) -> dict[str, Any] | None:
    """The accuracy on the reference rows with its interval; None if they have no labels of its classes."""
    real, names = inputs.real, list(inputs.spec.get("classes") or [])
    labels = real.condition
    if not names or real.log_posteriors is None or not isinstance(labels, torch.Tensor) or labels.dim() != 1:
        return None
    predicted = [classifier.classes[column] for column in real.log_posteriors.argmax(1).tolist()]
    n_correct = sum(name == names[label] for name, label in zip(predicted, labels.tolist(), strict=True))
    low, high, method = clopper_pearson(n_correct, len(predicted))
    return {
        "value": n_correct / len(predicted),
        "low": low,
        "high": high,
        "method": method,
        "n": len(predicted),
    }


def _controls_metadata(data: RealData, evaluator: Evaluator) -> dict[str, Any]:
    n = len(data.held_out) if data.held_out else 0
    controls = evaluator.controls
    origins = ", ".join(f"{count:,} of {split}" for split, count in data.held_out_counts.items())
    return {
        "n": n,
        "real": f"held-out real rows: {origins or 'none'}",
        "noise": NO_NOISE_CONTROL if controls and not controls.has_noise else _noise_text(controls),
        "collapse": f"{COLLAPSE_SHARE:.0%} of the same rows, repeated" if n > 1 else "left out: one row",
    }


def _noise_text(controls: Controls | None) -> str:
    if controls is not None and controls.has_own_noise:
        return "the same rows, as the domain turns them into noise"
    return "the same rows with each coordinate permuted over the rows"


def _versions(model: Model, entries: Sequence[MetricEntry]) -> dict[str, str]:
    """Versions of gancore, torch, and the plugins of the data, the recipe and the metrics."""
    versions = {"gancore": gancore.__version__, "torch": torch.__version__}
    for entry in entries:
        plugin = plugins().plugin_of(entry)
        if plugin is not None and plugin.distribution:
            versions[plugin.distribution] = plugin.version
    return {**versions, **model.config["plugins"]}
