"""A loaded model: build the sampler of a model folder and generate samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from gancore.arguments import validate_arguments
from gancore.config import RecipeConfig
from gancore.data.dataset import Spec, validate_spec
from gancore.domain import Domain
from gancore.entries import REFERENCE
from gancore.errors import (
    CheckpointError,
    ConfigError,
    GancoreError,
    PluginError,
    as_out_of_memory,
    describe_error,
)
from gancore.games.game import Game
from gancore.games.sampler import Sampler
from gancore.models.folder import CONFIG, ModelFiles, read_model_folder
from gancore.models.kind import model_kind
from gancore.models.requirements import explain_missing
from gancore.models.sampling import (
    condition_sampler,
    draw_samples,
    interpolate_latents,
    require_infill,
    to_samples,
)
from gancore.nn.buffers import resize_buffers
from gancore.notebook import samples_html
from gancore.plugins import plugins
from gancore.plugins.imports import source_file
from gancore.random import Key, build_key, sample_key
from gancore.recipe import Recipe
from gancore.runtime.device import resolve_device
from gancore.runtime.torch_settings import pinned_settings, torch_seed
from gancore.samples import Samples
from gancore.trees import Tree, tree_cat


@dataclass(frozen=True)
class Model:
    """A sampler with its spec, domain and configuration. ``model.sample(4).data`` are four canonical samples.

    ``config`` is config.json of the model folder. ``weights_sha256`` is the sha256 of the file of weights, in
    hexadecimal; it is empty if there is no file. ``kind``: see :func:`gancore.models.kind.model_kind`.
    """

    sampler: Sampler
    spec: Spec
    domain: Domain
    config: dict[str, Any]
    device: torch.device
    weights_sha256: str = ""
    kind: str = ""

    @validate_arguments
    @pinned_settings()
    def sample(
        self,
        n: int = 16,
        seed: int = 0,
        label: str | None = None,
        batch_size: int = 64,
        truncation: float | None = None,
        temperature: float | None = None,
    ) -> Samples:
        """Generate ``n`` canonical samples. Sample i depends on ``seed`` and i alone.

        Args:
            n: the number of samples.
            seed: the seed of the samples.
            label: the class of all samples; None draws labels as they occur in the data.
            batch_size: the number of samples that are on the device at a time.
            truncation: bound on the absolute value of every latent (Brock et al., 2019). Truncated samples
                have less variety and are closer to the mode of the learned distribution.
            temperature: divides the logits of each token; below 1, samples have less variety.

        Raises:
            ConfigError: the model is a classifier, has no such label, or has no latents to truncate or no
                temperature.
        """
        condition = self._condition(label)
        made = draw_samples(
            self.sampler, n, self._key(seed), condition, batch_size, truncation, temperature=temperature
        )
        return self._samples(made)

    @validate_arguments
    @pinned_settings()
    def infill(
        self,
        prompt: str,
        n: int = 16,
        seed: int = 0,
        batch_size: int = 64,
        temperature: float | None = None,
    ) -> Samples:
        """``n`` samples that agree with a prompt and fill its gaps, which the domain reads. Only for models
        with the capability ``infill``.
        """
        require_infill(self.sampler)
        partial_sample = self.domain.parse_partial(prompt, self.spec)
        made = draw_samples(
            self.sampler,
            n,
            self._key(seed),
            self._condition(None),
            batch_size,
            temperature=temperature,
            partial_sample=partial_sample,
        )
        return self._samples(made)

    def sample_each_label(
        self,
        n: int = 8,
        seed: int = 0,
        batch_size: int = 64,
        truncation: float | None = None,
        temperature: float | None = None,
    ) -> Samples:
        """Generate ``n`` samples of every label, one label after the other, all from the same latents.

        Arguments and errors are those of :meth:`sample`. Raises ConfigError if the model has no labels.
        """
        return self._for_each_label(
            n, lambda label: self.sample(n, seed, label, batch_size, truncation, temperature)
        )

    @validate_arguments
    @pinned_settings()
    def interpolate(
        self,
        n: int = 1,
        points: int = 8,
        seed: int = 0,
        label: str | None = None,
        truncation: float | None = None,
    ) -> Samples:
        """Generate ``n`` paths of ``points`` samples each: from sample 0 to sample 1, from 2 to 3, ...

        Raises:
            ConfigError: the model has no latents to interpolate, or ``points`` is less than 2.
        """
        condition = self._condition(label)
        made = interpolate_latents(self.sampler, n, points, self._key(seed), condition, truncation)
        return self._samples(made, points)

    def interpolate_each_label(
        self, n: int = 1, points: int = 8, seed: int = 0, truncation: float | None = None
    ) -> Samples:
        """Generate ``n`` paths of every label, all between the same latents.

        Raises as :meth:`interpolate`.
        """
        return self._for_each_label(
            points, lambda label: self.interpolate(n, points, seed, label, truncation)
        )

    def _for_each_label(self, columns: int, make: Callable[[str], Samples]) -> Samples:
        """Make samples of every label, one after the other. Raises ConfigError if the model has no labels."""
        classes = list(self.spec.get("classes") or [])
        if not self.sampler.conditional or not classes:
            fix = "leave out --each-label, or train with --set model.conditional=true"
            raise ConfigError("samples of each label: this model was trained without labels", fix)
        made = [make(label) for label in classes]
        data, condition = (tree_cat([getattr(part, name) for part in made]) for name in ("data", "condition"))
        return self._samples((data, condition), columns)

    def _samples(self, made: tuple[Tree, Tree], columns: int = 0) -> Samples:
        """Samples and their conditions, which show themselves in a notebook."""
        samples = to_samples(made, self.spec, columns)
        return replace(samples, html=partial(samples_html, domain=self.domain))

    def require_generator(self) -> None:
        """Raises ConfigError if the model generates no samples."""
        if not self.sampler.can("sample"):
            raise ConfigError(
                f"recipe {self.config['recipe']!r} trains a classifier, which generates no samples",
                "give a model that generates",
            )

    def _condition(self, label: str | None) -> Callable[[int, Key], Tree]:
        self.require_generator()
        return condition_sampler(self.sampler, self.domain, self.spec, label)

    def _key(self, seed: int) -> Key:
        return sample_key(seed, device=self.device)


def build_game(recipe: Recipe, section: RecipeConfig, spec: Spec, seed: int) -> Game:
    """Build the game of a recipe. Its initial parameters are a function of the seed.

    Raises:
        ConfigError: the recipe does not build a Game.
    """
    with pinned_settings(), torch_seed(build_key(seed).seed):
        game: object = recipe.build(section, spec)
    if not isinstance(game, Game):
        raise ConfigError(
            f"the recipe built a {type(game).__name__}, not a gancore.games.Game",
            "return adversarial_game(...), likelihood_game(...) or a subclass of Game",
        )
    return game


@pinned_settings()
def load_model(folder: Path, device: str = "auto") -> Model:
    """Read a model folder and build its sampler with the installed recipe.

    Raises:
        CheckpointError: the folder is damaged, or its weights do not match the recipe.
        PluginError: a required plugin is not installed; the message names it and its version.
    """
    files = read_model_folder(folder)
    _refuse_own_code(files, folder)
    try:
        domain, sampler, kind = _build(files, folder)
    except GancoreError as error:
        explained = explain_missing(error, files.config, f"model folder {folder}")
        raise explained from (None if explained is error else error)
    target = resolve_device(device)
    sampler = sampler.to(target).eval()
    return Model(sampler, files.spec, domain, dict(files.config), target, files.weights_sha256, kind)


def _refuse_own_code(files: ModelFiles, folder: Path) -> None:
    """Raise CheckpointError if a ``module:name`` of the config is code in the model folder, or in its run.

    A program's own recipes and games are found on the path, which may include the folder of a stranger: the
    current one.
    """
    real = folder.resolve()
    home = real.parent if real.name == "model" and (real.parent / "run.json").exists() else real
    values = {"recipe": files.config["recipe"], "model": files.config.get("model")}
    for key, name in _texts(values):
        module = name.partition(":")[0] if REFERENCE.fullmatch(name) else ""
        try:
            file = source_file(module) if module else None
        except (ImportError, ValueError):
            continue  # reported when it is looked up
        if file is not None and file.resolve().is_relative_to(home):
            raise CheckpointError(
                f"{folder}/{CONFIG}: {key} names {name!r}, which is code inside the folder and is never run",
                "put code that you trust elsewhere, on PYTHONPATH",
            )


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a section with its key, such as ``model.game``."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner, key)


def _build(files: ModelFiles, folder: Path) -> tuple[Domain, Sampler, str]:
    domain = plugins().load_domain(str(files.config["domain"]))
    _, recipe = plugins().load_recipe(domain, str(files.config["recipe"]))
    validate_spec(domain.Schema, files.spec.fields, f"{folder}/{CONFIG}")
    section = _recipe_section(recipe, files.config.get("model"), folder)
    sampler, kind = _build_sampler(recipe, section, files.spec, folder)
    load_weights(sampler, files.tensors, str(folder))
    return domain, sampler, kind


def _recipe_section(recipe: Recipe, values: Any, folder: Path) -> RecipeConfig:
    try:
        return recipe.Config.model_validate(values)
    except ValidationError as error:
        key = ".".join(map(str, error.errors()[0]["loc"]))
        raise CheckpointError(
            f"{folder}/config.json: model.{key} does not fit the installed recipe",
            "use the version of the plugin that trained it",
        ) from error


def _build_sampler(recipe: Recipe, section: RecipeConfig, spec: Spec, folder: Path) -> tuple[Sampler, str]:
    """The sampler and the kind of the model.

    Raises:
        CheckpointError: the recipe cannot build a model.
        PluginError: its game is not found.
    """
    try:
        game = build_game(recipe, section, spec, seed=0)
        sampler = game.sampler()
        return sampler, model_kind(len(game.players), sampler.can("likelihood"))
    except PluginError:
        raise
    except Exception as error:  # a recipe may raise anything for values that it did not write
        if oom := as_out_of_memory(error):
            raise CheckpointError(f"{folder}: building its model: {oom.message}", _RESTORE_CONFIG) from error
        reason = describe_error(error)
        message = f"{folder}/{CONFIG}: the recipe cannot build a model from these settings ({reason})"
        raise CheckpointError(message, _RESTORE_CONFIG) from error


def load_weights(module: nn.Module, tensors: dict[str, torch.Tensor], where: str) -> None:
    """Load tensors into a module. Buffers may contain infinity, such as the log probability of 0.

    Raises:
        CheckpointError: a name, shape or dtype does not match, or a number is not finite.
    """
    resize_buffers(module, tensors)
    expected = module.state_dict()
    mismatched = sorted(expected.keys() ^ tensors.keys())
    mismatched = mismatched or [n for n, t in expected.items() if not _matches(t, tensors[n])]
    if mismatched:
        raise CheckpointError(
            f"{where}: the weights do not match the recipe (first difference: {mismatched[0]})",
            "use the version of the plugin that trained it (see its config.json)",
        )
    parameters = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    invalid = [n for n, t in expected.items() if _has_new_non_finite(t, tensors[n].to(t), n in parameters)]
    if invalid:
        raise CheckpointError(
            f"{where}: the weights contain NaN or infinity (first: {invalid[0]})",
            "fetch the model again, or train it again with lower learning rates",
        )
    module.load_state_dict(tensors)


_FLOATS = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})
_RESTORE_CONFIG = "restore config.json as it was written, or fetch the model again"


def _has_new_non_finite(built: torch.Tensor, loaded: torch.Tensor, trained: bool) -> bool:
    """Whether loading introduces NaN, or an infinite parameter, that the built module does not have."""
    new = built.isfinite() & ~loaded.isfinite() if trained else loaded.isnan() & ~built.isnan()
    return bool(new.any())


def _matches(expected: torch.Tensor, loaded: torch.Tensor) -> bool:
    """Whether shape and dtype are the same; all floating-point dtypes are equivalent."""
    same_kind = expected.dtype == loaded.dtype or {expected.dtype, loaded.dtype} <= _FLOATS
    return same_kind and expected.shape == loaded.shape
