"""Trains a classifier with the training loop, once for each data set, and caches it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import gancore
from gancore.config import RecipeConfig, RunConfig
from gancore.config_layers import build_config, flatten_settings
from gancore.data.cache import cache_folder
from gancore.data.dataset import Data
from gancore.digests import digest_json
from gancore.domain import Domain
from gancore.entries import RecipeEntry
from gancore.errors import CheckpointError, ConfigError
from gancore.evaluation.catalogue import available_extractors
from gancore.evaluation.features import ExtractorLoader, FeatureContext, RecipeTrainer
from gancore.evaluation.reference import ReferenceData, digest_data
from gancore.file_lock import exclusive_lock
from gancore.files import mark_used, remove
from gancore.metrics.metric import SampleClassifier
from gancore.models.model import Model, load_model
from gancore.plugins import plugins
from gancore.progress import ProgressMode
from gancore.run_folder import RunFolder
from gancore.training.launch import TrainJob, deliver_signal, run_job


def evaluation_cache() -> Path:
    """The folder of all cached results of evaluations."""
    return cache_folder() / "evaluation"


PATIENCE = 3
"""The number of validations, out of ten, without a better likelihood on valid after which training stops."""
MAX_PASSES, MIN_STEPS = 40, 100
"""A classifier is trained for at most this many epochs, because it memorises small data sets quickly, and for
at least this many steps.
"""


def classifier_trainer(
    domain: Domain, train_recipe: RecipeTrainer
) -> Callable[[Data], SampleClassifier] | None:
    """A function for ``MetricInputs.train_classifier`` that trains the domain's first classifier recipe.

    The recipe has its default settings. None if the domain has no such recipe.
    """
    recipes = [name for name, entry in domain.recipes.items() if "classification" in entry.capabilities]
    if not recipes:
        return None
    return lambda data: train_recipe(recipes[0], {}, data).sampler


@dataclass(frozen=True)
class ClassifierCache:
    """The function ``FeatureContext.train_recipe``: trains a recipe of the domain and caches the model.

    It trains on the source and settings of the reference, or on rows in memory.
    """

    domain: Domain
    reference: ReferenceData
    cache: Path
    device: torch.device
    data_root: Path | None = None
    progress: ProgressMode = "none"
    announce: Callable[[str], None] = field(default=lambda line: None)

    def __call__(self, recipe: str, changes: Mapping[str, Any], data: Data | None = None) -> Model:
        """Train the model, resume its training, or load it from the cache.

        Args:
            recipe: name of the recipe.
            changes: keys of the recipe's section that differ from the defaults.
            data: rows in memory, identified by their fingerprint; None trains on the data of the reference.

        Raises:
            ConfigError: there is no such key, or the folder cannot be written.
            PluginError: there is no such recipe.
        """
        entry, recipe_class = plugins().load_recipe(self.domain, recipe)
        config = self._config(entry, recipe_class.Config, changes, data)
        digest = self._digest(entry, config, data or self.reference.data)
        folder = self.cache / f"{self.domain.name}-{entry.name}-{digest[:24]}"
        try:
            with exclusive_lock(folder.with_name(f"{folder.name}.lock"), self.announce):
                return self._load(folder) or self._train(folder, config, data)
        except OSError as error:
            raise ConfigError(
                f"cannot write the classifier to {folder}: {error.strerror}",
                "set GANCORE_CACHE to a writable folder",
            ) from error

    def _config(
        self, entry: RecipeEntry, section: Any, changes: Mapping[str, Any], data: Data | None
    ) -> RunConfig:
        source = self.reference.source
        source_name = source.name if source.entry else str(source.path and source.path.resolve())
        if data is not None:
            source_name = f"{len(data.view('train')):,} rows in memory"
        values = {
            "domain": self.domain.name,
            "recipe": entry.name,
            "data": {**self.reference.section.model_dump(mode="json"), "source": source_name},
            "model": changes,
            "train": {"device": str(self.device)},
            "validation": {"select": "nll", "patience": PATIENCE},
        }
        layer = flatten_settings(values, f"settings of the classifier {entry.name}")
        config = build_config(self.domain.Config, section, [layer])
        if "steps" in changes:
            return config
        rows = len((data or self.reference.data).view("train"))
        model = config.model.model_copy(update={"steps": steps_for(rows, config.model)})
        return config.model_copy(update={"model": model})

    def _digest(self, entry: RecipeEntry, config: RunConfig, rows: Data) -> str:
        """A digest of all that determines the training, without the path of the data and the machine."""
        data, train = (part.model_dump(mode="json") for part in (config.data, config.train))
        plugin = plugins().plugin_of(entry)
        versions = [gancore.__version__, *((plugin.distribution, plugin.version) if plugin else ())]
        del data["source"], train["device"]
        model = config.model.model_dump(mode="json")
        return digest_json(versions, entry.name, model, data, train, digest_data(rows))

    def _load(self, folder: Path) -> Model | None:
        status = RunFolder(folder).read_status()
        if status is None or status.status != "done":
            return None
        try:
            mark_used(folder)
            return load_model(folder / "model", str(self.device))
        except CheckpointError as error:
            self.announce(f"the cached classifier is invalid and is trained again: {error}")
            remove(folder)
            return None

    def _train(self, folder: Path, config: RunConfig, data: Data | None) -> Model:
        name = f"{config.domain} {config.recipe}"
        rows = self.reference.source.name if data is None else config.data.source
        self.announce(
            f"training {name} on {rows} once, for at most {config.model.steps:,} steps; "
            f"the model is cached in {folder}"
        )
        folder.mkdir(parents=True, exist_ok=True)
        run = RunFolder(folder)
        order = TrainJob(run, config, self.data_root, force=True, progress=self.progress, data=data)
        result = deliver_signal(run_job(order))
        if (
            result.status != "done"
        ):  # interrupted: the training is saved, and the handler of the program did not raise
            raise KeyboardInterrupt
        return load_model(result.model, str(self.device))


def extractor_loader(
    model: Model,
    reference: ReferenceData,
    data_root: Path | None = None,
    progress: ProgressMode = "none",
    announce: Callable[[str], None] = lambda line: None,
) -> ExtractorLoader:
    """A loader of the feature extractors for a model's domain and the reference; it may train classifiers."""
    cache = evaluation_cache()
    classifiers = ClassifierCache(
        model.domain, reference, cache / "judges", model.device, data_root, progress, announce
    )
    entries = available_extractors(model.domain, reference.data.spec, announce)
    return ExtractorLoader(entries, FeatureContext(reference.data, cache, classifiers, announce))


def steps_for(rows: int, model: RecipeConfig) -> int:
    """The recipe's number of steps, or that of 40 epochs of this many rows if it is smaller; at least 100."""
    return min(model.steps, max(MIN_STEPS, -(-MAX_PASSES * rows // model.batch_size)))
