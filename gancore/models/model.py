"""A trained model, loaded: five lines of Python from a folder to samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from gancore.arguments import checked
from gancore.config import RecipeSection
from gancore.domain import Domain, Samples, Spec
from gancore.errors import CheckpointError, ConfigError, GancoreError, in_words, out_of_memory
from gancore.facts import check_facts
from gancore.games.game import Game
from gancore.models.folder import CONFIG, LoadedModel, load_model
from gancore.models.needs import with_needs
from gancore.models.sampling import as_samples, condition_for, draw_samples, generates, interpolate
from gancore.plugins import plugins
from gancore.recipe import Recipe
from gancore.runtime.ambient import pinned, seeded
from gancore.runtime.device import resolve_device
from gancore.runtime.randomness import Key
from gancore.trees import Tree, join_rows


@dataclass(frozen=True)
class Model:
    """A sampler with what is needed to use it.

    ``config`` is the model folder's config.json. ``model.sample(4).data`` are four canonical samples.
    ``digest``: sha256 of the file that its weights were read from, hexadecimal; empty: of none.
    """

    sampler: nn.Module
    spec: Spec
    domain: Domain
    config: dict[str, Any]
    device: torch.device
    digest: str = ""

    @checked
    @pinned()
    def sample(
        self,
        n: int = 16,
        seed: int = 0,
        label: str | None = None,
        batch_size: int = 64,
        truncation: float | None = None,
    ) -> Samples:
        """``n`` samples; number i depends on ``seed`` and i alone.

        ``truncation``: latents no farther from 0, number by number (Brock et al. 2019): less variety,
        samples nearer to the middle of what was learned.
        """
        condition = self._condition(label)
        made = draw_samples(self.sampler, n, self._key(seed), condition, batch_size, truncation)
        return as_samples(made, self.spec)

    def each_label(
        self, n: int = 8, seed: int = 0, batch_size: int = 64, truncation: float | None = None
    ) -> Samples:
        """``n`` samples of every label, one label after the other, each from the same latents."""
        return self._side_by_side(n, lambda label: self.sample(n, seed, label, batch_size, truncation))

    @checked
    @pinned()
    def interpolation(
        self,
        n: int = 1,
        steps: int = 8,
        seed: int = 0,
        label: str | None = None,
        truncation: float | None = None,
    ) -> Samples:
        """``n`` ways of ``steps`` samples each: from sample 0 of this seed to sample 1, from 2 to 3, ..."""
        condition = self._condition(label)
        made = interpolate(self.sampler, n, steps, self._key(seed), condition, truncation)
        return as_samples(made, self.spec, columns=steps)

    def interpolation_of_each_label(
        self, n: int = 1, steps: int = 8, seed: int = 0, truncation: float | None = None
    ) -> Samples:
        """``n`` ways of every label, from the same latents to the same."""
        return self._side_by_side(steps, lambda label: self.interpolation(n, steps, seed, label, truncation))

    def _side_by_side(self, columns: int, make: Callable[[str], Samples]) -> Samples:
        """Raises ConfigError where the model knows no labels."""
        classes = list(self.spec.get("classes") or [])
        if not getattr(self.sampler, "conditional", False) or not classes:
            fix = "leave out --each-label, or train with --set model.conditional=true"
            raise ConfigError("samples of each label: this model was trained without labels", fix)
        made = [make(label) for label in classes]
        data, condition = (
            join_rows([getattr(part, name) for part in made]) for name in ("data", "condition")
        )
        return Samples(data, self.spec, condition, columns)

    def _condition(self, label: str | None) -> Callable[[int, Key], Tree]:
        if not generates(self.sampler):
            raise ConfigError(
                f"a model of recipe {self.config['recipe']!r} judges samples, it makes none",
                "give a model that generates",
            )
        return condition_for(self.sampler, self.domain, self.spec, label)

    def _key(self, seed: int) -> Key:
        return Key.of("samples", seed, device=self.device)


def build_game(recipe: Recipe, section: RecipeSection, spec: Spec, seed: int) -> Game:
    """The game with its initial parameters a function of the seed."""
    with pinned(), seeded(Key.of(seed, "build").seed):
        return recipe.build(section, spec)


@pinned()
def open_model(folder: Path, device: str = "auto") -> Model:
    """Read a model folder and build its sampler by an installed recipe.

    Raises:
        CheckpointError: damaged, or its weights are not those of the recipe it names.
        PluginError: a plugin that it needs is not installed: with its name and version.
    """
    loaded = load_model(folder)
    try:
        domain, sampler = _built(loaded, folder)
    except GancoreError as error:
        told = with_needs(error, loaded.config, f"model folder {folder}")
        raise told from (None if told is error else error)
    where = resolve_device(device)
    return Model(sampler.to(where).eval(), loaded.spec, domain, dict(loaded.config), where, loaded.digest)


def _built(loaded: LoadedModel, folder: Path) -> tuple[Domain, nn.Module]:
    domain = plugins().domain(str(loaded.config["domain"]))
    _, recipe = plugins().recipe(domain, str(loaded.config["recipe"]))
    check_facts(domain.Facts, loaded.spec.facts, f"{folder}/{CONFIG}")
    section = _section(recipe, loaded.config.get("model"), folder)
    sampler = _sampler(recipe, section, loaded.spec, folder)
    load_weights(sampler, loaded.tensors, str(folder))
    return domain, sampler


def _section(recipe: Recipe, values: Any, folder: Path) -> RecipeSection:
    try:
        if isinstance(values, dict):
            values = {recipe.Config.key_now(key, value): value for key, value in values.items()}
        return recipe.Config.model_validate(values)
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise CheckpointError(
            f"{folder}/config.json: model.{place} does not suit the installed recipe",
            "use the version of the plugin that trained it",
        ) from error


def _sampler(recipe: Recipe, section: RecipeSection, spec: Spec, folder: Path) -> nn.Module:
    """Raises CheckpointError where the recipe makes nothing of what config.json says."""
    try:
        return build_game(recipe, section, spec, seed=0).sampler()
    except Exception as error:  # whatever a recipe raises of values that it did not write
        if lacking := out_of_memory(error):
            raise CheckpointError(f"{folder}: building its model: {lacking.message}", _RESTORE) from error
        message = (
            f"{folder}/{CONFIG}: the recipe cannot build a model from these settings ({in_words(error)})"
        )
        raise CheckpointError(message, _RESTORE) from error


def load_weights(module: nn.Module, tensors: dict[str, torch.Tensor], where: str) -> None:
    """Raises CheckpointError where names, shapes or types are not the module's, or a number is none.

    Buffers may hold infinity: log probabilities of what cannot be.
    """
    own = module.state_dict()
    wrong = sorted(own.keys() ^ tensors.keys()) or [n for n, t in own.items() if not _fits(t, tensors[n])]
    if wrong:
        raise CheckpointError(
            f"{where}: the weights are not those of its recipe (first difference: {wrong[0]})",
            "use the version of the plugin that trained it (see its config.json)",
        )
    parameters = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    broken = [n for n, t in own.items() if _is_broken(t, tensors[n].to(t), n in parameters)]
    if broken:
        raise CheckpointError(
            f"{where}: its weights hold NaN or infinity (first: {broken[0]})",
            "fetch the model again, or train it anew at lower rates",
        )
    module.load_state_dict(tensors)


_FLOATS = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})
_RESTORE = "restore config.json as it was written, or fetch the model again"


def _is_broken(own: torch.Tensor, given: torch.Tensor, trained: bool) -> bool:
    """Whether a number is NaN, or in a parameter infinite, that is not so in the module as it is built."""
    wrong = own.isfinite() & ~given.isfinite() if trained else given.isnan() & ~own.isnan()
    return bool(wrong.any())


def _fits(own: torch.Tensor, given: torch.Tensor) -> bool:
    """Whether a tensor can stand for another: of its shape and type; any width of floats is as good."""
    alike = own.dtype == given.dtype or {own.dtype, given.dtype} <= _FLOATS
    return alike and own.shape == given.shape
