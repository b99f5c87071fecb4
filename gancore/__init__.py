"""gancore: adversarial generative models in any domain, beside likelihood models, in one loop.

The public names are imported at first use (PEP 562), so that ``import gancore`` imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gancore.api import compare, evaluate, film, generate, load, load_game, neighbours, train
    from gancore.config import DataSection, RecipeSection
    from gancore.domain import Batch, Data, Domain, Finding, Samples, Source, Spec, View
    from gancore.errors import (
        CheckpointError,
        ConfigError,
        DataError,
        GancoreError,
        PluginError,
        TrainingError,
    )
    from gancore.evaluation.evidence import Evidence, Sampled
    from gancore.evaluation.features import Features, Workbench
    from gancore.evaluation.judged import JudgeFeatures
    from gancore.evaluation.measure import Interval, Measure
    from gancore.evaluation.reading import Evaluation, Reading
    from gancore.facts import SpecFacts
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
    "Evaluation",
    "Evidence",
    "ExperimentEntry",
    "Features",
    "FeaturesEntry",
    "Finding",
    "GancoreError",
    "Interval",
    "JudgeFeatures",
    "LoggerEntry",
    "LossEntry",
    "Measure",
    "MeasureEntry",
    "ModelEntry",
    "PluginError",
    "Reading",
    "Recipe",
    "RecipeEntry",
    "RecipeSection",
    "RemedyEntry",
    "Sampled",
    "Samples",
    "Source",
    "SourceEntry",
    "Spec",
    "SpecFacts",
    "TrainingError",
    "View",
    "Workbench",
    "compare",
    "evaluate",
    "film",
    "generate",
    "hookimpl",
    "load",
    "load_game",
    "neighbours",
    "train",
]

_HOMES = {
    "api": ("compare", "evaluate", "film", "generate", "load", "load_game", "neighbours", "train"),
    "config": ("DataSection", "RecipeSection"),
    "domain": ("Batch", "Data", "Domain", "Finding", "Samples", "Source", "Spec", "View"),
    "evaluation.evidence": ("Evidence", "Sampled"),
    "evaluation.features": ("Features", "Workbench"),
    "evaluation.judged": ("JudgeFeatures",),
    "evaluation.measure": ("Interval", "Measure"),
    "evaluation.reading": ("Evaluation", "Reading"),
    "facts": ("SpecFacts",),
    "hookspecs": ("hookimpl",),
    "recipe": ("Recipe",),
    "records": tuple(name for name in __all__ if name == "API" or name.endswith("Entry")),
    "errors": tuple(name for name in __all__ if name.endswith("Error")),
}
_HOME = {name: f"gancore.{module}" for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = globals()[name] = getattr(import_module(_HOME[name]), name)
        return value
    raise AttributeError(f"module 'gancore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
