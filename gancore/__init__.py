"""gancore: adversarial generative models in any domain, beside likelihood models, in one loop.

The public names are imported at first use (PEP 562), so that ``import gancore`` imports no torch.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gancore.api import generate, load, models, train
    from gancore.config import DataSection, RecipeSection
    from gancore.domain import Batch, Data, Domain, Finding, Measure, Samples, Source, Spec, View
    from gancore.errors import (
        CheckpointError,
        ConfigError,
        DataError,
        GancoreError,
        PluginError,
        TrainingError,
    )
    from gancore.hookspecs import hookimpl
    from gancore.recipe import Recipe
    from gancore.records import (
        API,
        CommandEntry,
        DomainEntry,
        DynamicsEntry,
        ExperimentEntry,
        FeaturesEntry,
        LoggerEntry,
        LossEntry,
        MeasureEntry,
        ModelEntry,
        RecipeEntry,
        RemedyEntry,
        SourceEntry,
    )

__version__ = "0.1.0"

__all__ = [
    "API",
    "Batch",
    "CheckpointError",
    "CommandEntry",
    "ConfigError",
    "Data",
    "DataError",
    "DataSection",
    "Domain",
    "DomainEntry",
    "DynamicsEntry",
    "ExperimentEntry",
    "FeaturesEntry",
    "Finding",
    "GancoreError",
    "LoggerEntry",
    "LossEntry",
    "Measure",
    "MeasureEntry",
    "ModelEntry",
    "PluginError",
    "Recipe",
    "RecipeEntry",
    "RecipeSection",
    "RemedyEntry",
    "Samples",
    "Source",
    "SourceEntry",
    "Spec",
    "TrainingError",
    "View",
    "generate",
    "hookimpl",
    "load",
    "models",
    "train",
]

_HOMES = {
    "api": ("generate", "load"),
    "config": ("DataSection", "RecipeSection"),
    "domain": ("Batch", "Data", "Domain", "Finding", "Measure", "Samples", "Source", "Spec", "View"),
    "hookspecs": ("hookimpl",),
    "recipe": ("Recipe",),
    "records": tuple(name for name in __all__ if name == "API" or name.endswith("Entry")),
    "errors": tuple(name for name in __all__ if name.endswith("Error")),
}
_HOME = {name: f"gancore.{module}" for module, names in _HOMES.items() for name in names}
_VERBS = ("models", "train")
"""Sub-packages that share their name with a verb of :mod:`gancore.api`."""


class _Verb(ModuleType):
    """A sub-package that may be called: ``gancore.train(...)`` beside ``gancore.train.loop``."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        verb = self.__name__.rpartition(".")[2]
        return getattr(import_module("gancore.api"), verb)(*args, **kwargs)


class _Package(ModuleType):
    def __setattr__(self, name: str, value: object) -> None:
        # The import system binds a sub-package here, over a function of the same name: make it both.
        if name in _VERBS and isinstance(value, ModuleType):
            value.__class__ = _Verb
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name in _VERBS:
        return import_module(f"gancore.{name}")
    if name in _HOME:
        value = globals()[name] = getattr(import_module(_HOME[name]), name)
        return value
    raise AttributeError(f"module 'gancore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
