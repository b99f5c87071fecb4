"""A judge is a model like any other: trained by the ordinary loop, once, and kept for the same data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import gancore
from gancore.config import RecipeSection, RunConfig
from gancore.configure import load_config, settings
from gancore.data.lock import exclusive
from gancore.domain import Data, Domain
from gancore.errors import CheckpointError, ConfigError
from gancore.evaluation.reference import Reference
from gancore.evaluation.rows import identity_of, view_of
from gancore.evaluation.store import digest_of
from gancore.files import discard, used
from gancore.models.model import Model, open_model
from gancore.plugins import plugins
from gancore.records import RecipeEntry
from gancore.training.launch import Order, heed, play
from gancore.training.progress import Mode
from gancore.training.run import RunFolder

PATIENCE = 3
"""Evaluations without a better likelihood on valid, of ten planned, after which a judge is done."""
PASSES, FEWEST_ROUNDS = 40, 100
"""A judge gets as many passes over train at most, as it soon knows few rows by heart, and as many rounds at
least.
"""


@dataclass(frozen=True)
class Judging:
    """``Workbench.judge``: a recipe of the domain, trained on the reference's source and settings, or on rows
    at hand.
    """

    domain: Domain
    reference: Reference
    cache: Path
    device: torch.device
    data_root: Path | None = None
    progress: Mode = "none"
    announce: Callable[[str], None] = field(default=lambda line: None)

    def __call__(self, recipe: str, changes: Mapping[str, Any], data: Data | None = None) -> Model:
        """The trained model; ``changes`` are keys of the recipe's section. Goes on where it was killed.

        ``data``: rows at hand, known by their fingerprint; None: the reference's.

        Raises:
            ConfigError: no such key; or the folder cannot be written.
            PluginError: no such recipe.
        """
        entry, found = plugins().recipe(self.domain, recipe)
        config = self._config(entry, found.Config, changes, data)
        digest = self._digest(entry, config, data or self.reference.data)
        folder = self.cache / f"{self.domain.name}-{entry.name}-{digest[:24]}"
        try:
            with exclusive(folder.with_name(f"{folder.name}.lock"), self.announce):
                return self._kept(folder) or self._trained(folder, config, data)
        except OSError as error:
            raise ConfigError(
                f"no judge can be kept in {folder}: {error.strerror}", "set GANCORE_CACHE"
            ) from error

    def _config(
        self, entry: RecipeEntry, section: Any, changes: Mapping[str, Any], data: Data | None
    ) -> RunConfig:
        source = self.reference.source
        where = source.name if source.entry else str(source.path and source.path.resolve())
        where = where if data is None else f"{len(view_of(data, 'train')):,} rows at hand"
        told = {
            "domain": self.domain.name,
            "recipe": entry.name,
            "data": {**self.reference.section.model_dump(mode="json"), "source": where},
            "model": changes,
            "train": {"device": str(self.device)},
            "upkeep": {"select": "nll", "patience": PATIENCE},
        }
        config = load_config(
            self.domain.Config, section, [settings(told, f"a judge's settings, {entry.name}")]
        )
        if "steps" in changes:
            return config
        rows = len(view_of(data or self.reference.data, "train"))
        model = config.model.model_copy(update={"steps": rounds_for(rows, config.model)})
        return config.model_copy(update={"model": model})

    def _digest(self, entry: RecipeEntry, config: RunConfig, rows: Data) -> str:
        """Of all that decides what is trained; not of where the data lie, nor of the machine."""
        data, train = (part.model_dump(mode="json") for part in (config.data, config.train))
        plugin = plugins().origin(entry)
        versions = [gancore.__version__, *((plugin.distribution, plugin.version) if plugin else ())]
        del data["source"], train["device"]
        model = config.model.model_dump(mode="json")
        return digest_of(versions, entry.name, model, data, train, identity_of(rows))

    def _kept(self, folder: Path) -> Model | None:
        status = RunFolder(folder).read_status()
        if status is None or status.status != "done":
            return None
        try:
            used(folder)
            return open_model(folder / "model", str(self.device))
        except CheckpointError as error:
            self.announce(f"a judge is trained again: {error}")
            discard(folder)
            return None

    def _trained(self, folder: Path, config: RunConfig, data: Data | None) -> Model:
        name = f"{config.domain} {config.recipe}"
        rows = self.reference.source.name if data is None else config.data.source
        self.announce(
            f"training {name} on {rows}, at most {config.model.steps:,} rounds, once; it is kept in {folder}"
        )
        folder.mkdir(parents=True, exist_ok=True)
        run = RunFolder(folder)
        order = Order(run, config, self.data_root, force=True, progress=self.progress, data=data)
        result = heed(play(order))
        if result.status != "done":  # what was trained is saved; its handler let the program go on
            raise KeyboardInterrupt
        return open_model(result.model, str(self.device))


def rounds_for(rows: int, model: RecipeSection) -> int:
    """The recipe's own number, or that of 40 passes over so few rows."""
    return min(model.steps, max(FEWEST_ROUNDS, -(-PASSES * rows // model.batch_size)))
