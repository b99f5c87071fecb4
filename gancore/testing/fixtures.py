"""Fixtures of checks, made once and shared: a plugin, its opened data, the games of its recipes."""

from __future__ import annotations

import shutil
import tempfile
import types
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from gancore.config import DataConfig, RecipeConfig, RunConfig, TrainConfig
from gancore.config_layers import build_config, flatten_settings
from gancore.data.dataset import Batch, Data, View
from gancore.data.sources import resolve_source
from gancore.domain import Domain
from gancore.entries import Entry, RecipeEntry
from gancore.games.discriminator import Discriminator
from gancore.games.draw import Draw
from gancore.games.game import Game
from gancore.games.sampler import Sampler
from gancore.games.training_setup import TrainingSetup
from gancore.models.model import build_game
from gancore.models.sampling import to_cpu
from gancore.plugins import PluginInfo, plugins
from gancore.plugins.plugin import ENTRY_HOOKS
from gancore.random import Key, RowRange
from gancore.recipe import Recipe
from gancore.samples import Samples
from gancore.testing.check import SkipCheck
from gancore.training.loop import play, prepare_game
from gancore.training.setup import set_up

STEPS = 12
"""The number of steps of each training of the kit."""
INTERVALS: Mapping[str, Mapping[str, int]] = {
    "logging": {"every": 4, "preview_samples": 2, "preview_every": 6},
    "validation": {"every": 6, "samples": 32},
    "checkpoint": {},
}


@dataclass
class RegisteredPlugin:
    """A plugin of the registry."""

    info: PluginInfo

    @property
    def subject(self) -> str:
        return self.info.name

    @cached_property
    def entries(self) -> list[tuple[str, Entry]]:
        """Every entry of the plugin, as (hook, entry)."""
        every = [(hook, entry) for hook in ENTRY_HOOKS for entry in plugins().entries(hook)]
        return [(hook, entry) for hook, entry in every if self.owns(entry)]

    def owns(self, entry: Entry) -> bool:
        owner = plugins().plugin_of(entry)
        return owner is not None and owner.name == self.info.name


@dataclass
class DomainFixture:
    """A domain with its tiny data, or with ``data_override`` if that is given."""

    domain: Domain
    data_override: Data | None = None
    shared: dict[str, Any] = field(default_factory=dict)
    """Results that checks share."""

    @property
    def subject(self) -> str:
        return self.domain.name

    @cached_property
    def tiny_config(self) -> Mapping[str, Any]:
        return dict(self.domain.tiny_config())

    @cached_property
    def data(self) -> Data:
        return self.data_override or self.open()

    @cached_property
    def folder(self) -> Path:
        return _folder_of(self)

    def section(self, changes: Mapping[str, Any] = types.MappingProxyType({})) -> DataConfig:
        """Section ``data`` of ``tiny_config()`` with these changes.

        Raises ConfigError if a value is refused.
        """
        values = {**self.tiny_config.get("data", {}), **changes}
        section: DataConfig = self.resolve(RecipeConfig, {"data": values}).data
        return section

    def open(self, changes: Mapping[str, Any] = types.MappingProxyType({})) -> Data:
        """Open the tiny source again."""
        section = self.section(changes)
        source = resolve_source(
            section.source,
            self.domain.sources,
            None,
            lambda line: None,
            reads_shards=self.domain.reads_shards,
        )
        return self.domain.open(source, section)

    def resolve(self, model: type[RecipeConfig], values: Mapping[str, Any]) -> RunConfig:
        names = {"domain": self.domain.name, "recipe": "checked"}
        return build_config(
            self.domain.Config, model, [flatten_settings({**names, **values}, "tiny_config()")]
        )

    def views(self, split: str) -> Mapping[str, View]:
        return self.data.views(split)

    def view(self, split: str) -> View:
        return self.data.view(split)

    def samples(self, n: int, split: str = "valid") -> Samples:
        """The first ``n`` real canonical samples of the split, or all if there are fewer."""
        view = self.view(split)
        rows = Key.of("kit", split).permutation(len(view))[:n]
        batch = view.get_batch(rows, Key.of("kit", "samples").with_rows(RowRange.all(len(rows))))
        return Samples(to_cpu(batch.data), self.data.spec, to_cpu(batch.condition))


def _folder_of(fixture: object) -> Path:
    """A temporary folder that is deleted with the fixture."""
    folder = Path(tempfile.mkdtemp(prefix="gancore-check-"))
    weakref.finalize(fixture, shutil.rmtree, folder, ignore_errors=True)
    return folder


@dataclass
class RecipeFixture:
    """A recipe and its game for the domain's tiny data, on the CPU in fp32."""

    domain_fixture: DomainFixture
    entry: RecipeEntry
    recipe: Recipe
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Values of the section ``model`` that replace those of ``tiny_config()``."""
    shared: dict[str, Any] = field(default_factory=dict)
    """Results that checks share."""

    @property
    def subject(self) -> str:
        return f"{self.domain_fixture.domain.name}/{self.entry.name}"

    def changed(self, **changes: Any) -> RecipeFixture:
        return replace(self, changes=changes, shared={})

    @cached_property
    def config(self) -> RunConfig:
        """``tiny_config()``; its section ``model`` is reduced to the keys of this recipe."""
        fields = self.recipe.Config.model_fields
        model = {
            name: value
            for name, value in self.domain_fixture.tiny_config.get("model", {}).items()
            if name in fields
        }
        values = {
            "recipe": self.entry.name,
            "data": self.domain_fixture.tiny_config.get("data", {}),
            "model": {**model, **self.changes},
            **{
                name: {**values, **self.domain_fixture.tiny_config.get(name, {})}
                for name, values in INTERVALS.items()
            },
        }
        config = self.domain_fixture.resolve(self.recipe.Config, values)
        return config.model_copy(
            update={"train": TrainConfig(steps=STEPS, device="cpu", precision="fp32", seed=5)}
        )

    @property
    def batch_size(self) -> int:
        return int(self.config.model.batch_size)

    def build(self) -> Game:
        """Build the game. Its parameters depend on the seed alone; nothing is fitted yet."""
        return build_game(
            self.recipe, self.config.model, self.domain_fixture.data.spec, self.config.train.seed
        )

    def setup(self, micro_batches: int = 1) -> TrainingSetup:
        """The setup of a game that is prepared for its first step: ``prepare`` has fitted its parts."""
        table = self.unprepared_setup(micro_batches)
        prepare_game(table)
        table.game.train()
        return table

    def unprepared_setup(self, micro_batches: int = 1) -> TrainingSetup:
        """The setup of a game and its data before ``prepare``: nothing is fitted."""
        return set_up(
            self.build(),
            self.domain_fixture.views("train"),
            batch_size=self.batch_size,
            micro_batches=micro_batches,
            seed=self.config.train.seed,
        )

    @cached_property
    def prepared_setup(self) -> TrainingSetup:
        """A prepared setup that checks share and do not change.

        A game without moves has played its steps, which fit it: before, it may be unable to sample.
        """
        table = self.unprepared_setup()
        if any(phase.moves for phase in table.game.phases):
            prepare_game(table)
            table.game.train()
        else:
            play(table, STEPS)  # play prepares the game
        return table

    @property
    def game(self) -> Game:
        return self.prepared_setup.game

    def draw(self, rows: int | None = None) -> Draw:
        """The draw of a move of step 0, of ``rows`` rows or of a whole batch."""
        return self.prepared_setup.batches.draw(0, 0, RowRange.all(rows or self.batch_size), 0, 0.0)

    def real_batch(self, draw: Draw) -> Batch:
        """Encoded rows of train; with their conditions if the game is conditional."""
        batch = draw.real()
        return Batch(batch.data, batch.condition if self.game.conditional else None)

    @cached_property
    def discriminators(self) -> dict[str, Discriminator]:
        """The discriminators of the game that are not inside another one, by name."""
        found: dict[str, Discriminator] = {}
        for name, module in self.game.named_modules():
            if isinstance(module, Discriminator) and not any(name.startswith(f"{o}.") for o in found):
                found[name] = module
        return found

    @cached_property
    def folder(self) -> Path:
        return _folder_of(self)

    def sampler(self) -> Sampler:
        """The sampler of the shared game, in evaluation mode."""
        return self.game.sampler().eval()

    def generating_sampler(self) -> Sampler:
        """The sampler. Raises SkipCheck for a classifier, which generates no samples."""
        sampler = self.sampler()
        if not sampler.can("sample"):
            raise SkipCheck("the recipe is a classifier, which generates no samples")
        return sampler
