"""Preparation of a comparison before its first training: open the data, record the data and the machine."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from gancore import __version__
from gancore.comparison.config import LAST, ComparisonConfig, Trial, selection_metric
from gancore.comparison.folder import ComparisonFolder, read_json, write_json
from gancore.comparison.gallery import write_gallery
from gancore.comparison.tradeoffs import LoadedTrial
from gancore.config import RunConfig
from gancore.console import progress_printer
from gancore.data.dataset import Data, Spec, View
from gancore.data.sources import resolve_source
from gancore.domain import Domain
from gancore.errors import ConfigError, DataError
from gancore.evaluation.catalogue import available_extractors, available_metrics, load_metrics
from gancore.models.model import build_game, load_model
from gancore.models.sampling import to_cpu
from gancore.plugins import plugins
from gancore.random import RowRange, evaluation_key
from gancore.runtime.device import resolve_device
from gancore.samples import Samples
from gancore.text import suggestion
from gancore.training.validation import NLL, Validator
from gancore.trainings import REAL

ANNOUNCE = progress_printer(quiet=False)
LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn")


def prepare_comparison(
    folder: ComparisonFolder, config: ComparisonConfig, trials: Sequence[Trial], root: Path | None
) -> None:
    """Open the data, record them, and write some test rows for the gallery.

    Raises:
        DataError: the data cannot be read, or changed since the comparison was started.
        ConfigError: ``--select`` is not a metric that can select models on these data.
    """
    domain = plugins().load_domain(config.domain)
    source, licence, data = open_data(domain, trials[0].config, root)
    if before := read_json(folder.environment_file):
        if before["data"]["fingerprint"] != data.fingerprint:
            raise DataError(
                "the data have changed since this comparison was started",
                "restore them, or start a new comparison",
            )
        return
    _check_metrics(config, domain, data.spec)
    _check_temperatures(config, domain, data.spec)
    shown = min(domain.report_sample_count(data.spec), len(data.view("test")))
    environment = {
        "data": _data_facts(data, source, licence),
        "headline": domain.primary_metric,
        **selection(config.select, domain, data.spec, data.view("valid"), trials),
        "shown": shown,
        "machine": machine_name(config.device),
        "versions": library_versions(),
    }
    _write_real_samples(folder, domain, data, shown, config.evaluation_seed)
    write_json(folder.environment_file, environment)


def open_data(domain: Domain, config: RunConfig, root: Path | None) -> tuple[str, str, Data]:
    """Name and licence of the source, and the data. Raises DataError if a split is empty."""
    source = resolve_source(
        config.data.source, domain.sources, root, ANNOUNCE, reads_shards=domain.reads_shards
    )
    data = domain.open(source, config.data)
    for name in ("train", "valid", "test"):
        if not len(data.view(name)):
            raise DataError(f"{name} has no rows", "add data, or exclude less with data.*")
    return source.name, source.entry.licence if source.entry else "", data


def _data_facts(data: Data, source: str, licence: str) -> dict[str, Any]:
    named = {split: list(names) for split, names in data.splits.items()}
    return {
        "source": source,
        "licence": licence,
        "fingerprint": data.fingerprint,
        "contract": list(data.summary),
        "rows": {name: len(data.view(name)) for name in ("train", "valid", "test")},
        "splits_sha256": hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest(),
        "classes": list(data.spec.get("classes") or []),
    }


def _check_metrics(config: ComparisonConfig, domain: Domain, spec: Spec) -> None:
    """Raise ConfigError if a metric or the feature extractor does not exist for these data."""
    load_metrics(available_metrics(domain, spec, ANNOUNCE), config.metrics, ANNOUNCE)
    known = available_extractors(domain, spec, ANNOUNCE)
    if config.feature_extractor is not None and config.feature_extractor not in known:
        message = f"no feature extractor {config.feature_extractor!r} for these data"
        raise ConfigError(message, suggestion(config.feature_extractor, known))


def _check_temperatures(config: ComparisonConfig, domain: Domain, spec: Spec) -> None:
    """Raises ConfigError if there are temperatures, and no metrics of quality and diversity for a curve."""
    known = available_metrics(domain, spec, ANNOUNCE)
    missing = [name for name in domain.quality_diversity_metrics if name not in known]
    if config.temperatures and missing:
        raise ConfigError(
            f"--temperatures: these data have no measure {missing[0]!r}, which the curve needs",
            "leave --temperatures out",
        )


def _write_real_samples(folder: ComparisonFolder, domain: Domain, data: Data, shown: int, seed: int) -> None:
    """Write a random subset of the test rows as the gallery of real rows."""
    view, key = data.view("test"), evaluation_key("shown", seed)
    rows = (key / "rows").permutation(len(view))[:shown]
    batch = view.get_batch(rows, (key / "take").with_rows(RowRange.all(shown)))
    samples = Samples(to_cpu(batch.data), data.spec, to_cpu(batch.condition))
    write_gallery(folder.samples(REAL), domain, samples, seed, data.fingerprint)


def load_trained_trial(folder: ComparisonFolder, device: str, trial: Trial, root: Path | None) -> LoadedTrial:
    """Load the model of a trial, build a new game of its recipe, and open its data."""
    model = load_model(folder.run_folder(trial).model, device)
    _, recipe = plugins().load_recipe(model.domain, trial.recipe)
    game = build_game(recipe, trial.config.model, model.spec, trial.seed)
    _, _, data = open_data(model.domain, trial.config, root)
    return LoadedTrial(model, game, recipe, trial.config.model, data)


def machine_name(device: str) -> str:
    """The processor and number of threads, as ``CPU, 2 threads``, or the name of the accelerator."""
    resolved, threads = resolve_device(device), torch.get_num_threads()
    if resolved.type == "cuda":
        return f"{torch.cuda.get_device_name(resolved)}, {threads} CPU threads"
    name = "CPU" if resolved.type == "cpu" else resolved.type.upper()
    return f"{name}, {threads} thread{'s' * (threads > 1)} of {os.cpu_count()} cores"


def library_versions() -> dict[str, str]:
    """Versions of gancore, its plugins and the numerical libraries."""
    versions = {"gancore": __version__, "python": platform.python_version()}
    versions |= {name: metadata.version(name) for name in LIBRARIES}
    installed = (plugin for plugin in plugins().list_plugins() if plugin.distribution)
    return versions | {plugin.distribution: plugin.version for plugin in installed}


def selection(
    select: str | None,
    domain: Domain,
    spec: Spec,
    valid: View,
    trials: Iterable[Trial],
    flag: str = "--select",
) -> dict[str, Any]:
    """Choose the metric that selects models; by default the domain's, if it applies to these data.

    Returns:
        ``select``, its name, and ``on_valid``, the direction and unit of every metric that can select.

    Raises:
        ConfigError: ``select`` is none of them, or is the likelihood and a recipe has none.
    """
    validator = Validator(domain, spec, valid, 1, evaluation_key("select"), select)
    able = {name: metric for name, metric in validator.metrics.items() if metric.higher_is_better is not None}
    if select not in (None, LAST, NLL, *able):
        message = f"{flag} {select}: there is no such metric that can select models"
        raise ConfigError(message, suggestion(str(select), [*able, NLL, *validator.on_demand]))
    on_valid = {
        name: {"higher_is_better": metric.higher_is_better, "unit": metric.unit}
        for name, metric in able.items()
    }
    needs = validator.metrics[select].requires if select in validator.metrics else ()
    if select == NLL or "likelihood" in needs:
        _require_likelihood(str(select), validator, trials, flag)
    if select == NLL:
        on_valid[NLL] = {"higher_is_better": False, "unit": "nats a sample"}
    default = domain.selection_metric if domain.selection_metric in able else ""
    return {"select": selection_metric(select, default), "on_valid": on_valid}


def _require_likelihood(select: str, validator: Validator, trials: Iterable[Trial], flag: str) -> None:
    """Raise ConfigError if ``select`` needs a likelihood that a recipe's models have not on these data."""
    for trial in trials:
        _, recipe = plugins().load_recipe(validator.domain, trial.recipe)
        sampler = build_game(recipe, trial.config.model, validator.spec, trial.seed).sampler()
        try:
            validator.require_metric(select, sampler)
        except ConfigError as error:
            message = f"{flag} {select}: {trial.name} gives no likelihood on these data"
            raise ConfigError(message, f"leave out {trial.name}, or select by another metric") from error
