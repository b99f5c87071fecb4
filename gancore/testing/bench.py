"""Workbenches: what checks look at, made once and shared: a plugin, its opened data, its recipes' games."""

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

import torch

from gancore.config import DataSection, RecipeSection, RunConfig, TrainSection
from gancore.configure import load_config, settings
from gancore.data.sources import resolve
from gancore.domain import Batch, Data, Domain, Samples, View
from gancore.games.discriminator import Discriminator
from gancore.games.draw import Draw
from gancore.games.field import Table
from gancore.games.game import Game
from gancore.models.model import build_game
from gancore.models.sampling import generates, to_cpu
from gancore.plugins import PluginInfo, plugins
from gancore.plugins.checks import REGISTRATIONS
from gancore.recipe import Recipe
from gancore.records import Entry, RecipeEntry
from gancore.runtime.randomness import Key, Rows
from gancore.testing.check import NotApplicable
from gancore.training.loop import prepare
from gancore.training.playing import play, set_table

ROUNDS = 12
"""Rounds of the trainings that the kit makes."""
UPKEEP = {"log_every": 4, "previews": 2, "preview_every": 6, "evaluate_every": 6, "evaluate_samples": 32}
SPLITS = ("train", "valid", "test")


@dataclass
class PluginBench:
    """A plugin as the registry has it."""

    info: PluginInfo

    @property
    def subject(self) -> str:
        return self.info.name

    @cached_property
    def records(self) -> list[tuple[str, Entry]]:
        """(hook, record) of all that it registers."""
        every = [(hook, entry) for hook in REGISTRATIONS for entry in plugins().records(hook)]
        return [(hook, entry) for hook, entry in every if self.owns(entry)]

    def owns(self, entry: Entry) -> bool:
        owner = plugins().origin(entry)
        return owner is not None and owner.name == self.info.name


@dataclass
class DomainBench:
    """A domain with its tiny data, opened; or with these."""

    domain: Domain
    given: Data | None = None
    made: dict[str, Any] = field(default_factory=dict)
    """What checks have made and share."""

    @property
    def subject(self) -> str:
        return self.domain.name

    @cached_property
    def tiny(self) -> Mapping[str, Any]:
        return dict(self.domain.tiny())

    @cached_property
    def data(self) -> Data:
        return self.given or self.open()

    @cached_property
    def folder(self) -> Path:
        return _folder_of(self)

    def section(self, changes: Mapping[str, Any] = types.MappingProxyType({})) -> DataSection:
        """``data`` as ``tiny`` has it, these keys changed. Raises ConfigError on a value that is refused."""
        values = {**self.tiny.get("data", {}), **changes}
        section: DataSection = self.resolve(RecipeSection, {"data": values}).data
        return section

    def open(self, changes: Mapping[str, Any] = types.MappingProxyType({})) -> Data:
        """The tiny source, anew."""
        section = self.section(changes)
        source = resolve(section.source, self.domain.sources, None, lambda line: None)
        return self.domain.open(source, section)

    def resolve(self, model: type[RecipeSection], values: Mapping[str, Any]) -> RunConfig:
        names = {"domain": self.domain.name, "recipe": "checked"}
        return load_config(self.domain.Config, model, [settings({**names, **values}, "tiny()")])

    def views(self, split: str) -> Mapping[str, View]:
        view = getattr(self.data, split)
        return view if isinstance(view, Mapping) else {split: view}

    def view(self, split: str) -> View:
        return next(iter(self.views(split).values()))

    def samples(self, n: int, split: str = "valid") -> Samples:
        """Real canonical samples, as many as ``n`` where there are so many."""
        view = self.view(split)
        rows = Key.of("kit", split).permutation(len(view))[:n]
        batch = view.take(rows, Key.of("kit", "samples").cut(Rows.all(len(rows))))
        return Samples(to_cpu(batch.data), self.data.spec, to_cpu(batch.condition))


def _folder_of(bench: object) -> Path:
    """A temporary one, that goes when the bench does."""
    folder = Path(tempfile.mkdtemp(prefix="gancore-check-"))
    weakref.finalize(bench, shutil.rmtree, folder, ignore_errors=True)
    return folder


@dataclass
class RecipeBench:
    """A recipe, with what it builds for the domain's tiny data. On the CPU, in fp32."""

    home: DomainBench
    entry: RecipeEntry
    recipe: Recipe
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Of the ``model`` section, over what ``tiny`` says."""
    made: dict[str, Any] = field(default_factory=dict)
    """What checks have made and share."""

    @property
    def subject(self) -> str:
        return f"{self.home.domain.name}/{self.entry.name}"

    def changed(self, **changes: Any) -> RecipeBench:
        return replace(self, changes=changes, made={})

    @cached_property
    def config(self) -> RunConfig:
        """What ``tiny`` says; of its ``model`` section the keys that this recipe has."""
        fields = self.recipe.Config.model_fields
        model = {name: value for name, value in self.home.tiny.get("model", {}).items() if name in fields}
        values = {
            "recipe": self.entry.name,
            "data": self.home.tiny.get("data", {}),
            "model": {**model, **self.changes},
            "upkeep": {**UPKEEP, **self.home.tiny.get("upkeep", {})},
        }
        config = self.home.resolve(self.recipe.Config, values)
        return config.model_copy(
            update={"train": TrainSection(steps=ROUNDS, device="cpu", precision="fp32", seed=5)}
        )

    @property
    def batch_size(self) -> int:
        return int(self.config.model.batch_size)

    def build(self) -> Game:
        """The game, its parameters a function of the seed; nothing is fitted."""
        return build_game(self.recipe, self.config.model, self.home.data.spec, self.config.train.seed)

    def table(self, accumulate: int = 1) -> Table:
        """The game, laid out before its first round; what it fits on train beforehand is fitted."""
        table = self.unprepared(accumulate)
        prepare(table)
        table.game.train()
        return table

    def unprepared(self, accumulate: int = 1) -> Table:
        """The game with its data: nothing is fitted."""
        return set_table(
            self.build(),
            self.home.views("train"),
            batch_size=self.batch_size,
            accumulate=accumulate,
            seed=self.config.train.seed,
        )

    @cached_property
    def laid(self) -> Table:
        """A table that checks share: they look at it and change nothing.

        Of a game without moves, which its rounds fit, after them: before it may have nothing to sample from.
        """
        table = self.unprepared()
        if any(phase.moves for phase in table.game.phases):
            prepare(table)
            table.game.train()
        else:
            play(table, ROUNDS)  # which prepares it
        return table

    @property
    def game(self) -> Game:
        return self.laid.game

    def draw(self, rows: int | None = None) -> Draw:
        """What a move of round 0 may look at."""
        return self.laid.dealer.deal(0, 0, Rows.all(rows or self.batch_size), 0, 0.0)

    def reals(self, draw: Draw) -> Batch:
        """Encoded rows of train, with their condition where the game is conditional."""
        batch = draw.real()
        return Batch(batch.data, batch.condition if getattr(self.game, "conditional", False) else None)

    @cached_property
    def discriminators(self) -> dict[str, Discriminator]:
        """The outermost ones of the game, by name."""
        found: dict[str, Discriminator] = {}
        for name, module in self.game.named_modules():
            if isinstance(module, Discriminator) and not any(name.startswith(f"{o}.") for o in found):
                found[name] = module
        return found

    @cached_property
    def folder(self) -> Path:
        return _folder_of(self)

    def sampler(self) -> torch.nn.Module:
        """That of the shared game, in evaluation mode."""
        return self.game.sampler().eval()

    def generating(self) -> torch.nn.Module:
        """The sampler of a recipe that makes samples. Raises NotApplicable for a judge."""
        sampler = self.sampler()
        if not generates(sampler):
            raise NotApplicable("it judges samples, and makes none")
        return sampler
