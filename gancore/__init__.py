"""gancore: adversarial generative models and likelihood models in any domain, in one loop.

Public names are imported at first use (PEP 562): ``import gancore`` does not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gancore.lazy import attach

if TYPE_CHECKING:
    from gancore.api import (
        animate,
        compare,
        evaluate,
        evaluate_temperatures,
        export_model,
        generate,
        load,
        load_game,
        neighbours,
        pull_model,
        push_model,
        push_space,
        train,
    )
    from gancore.config import DataConfig, RecipeConfig
    from gancore.data.dataset import Batch, Data, Spec, SpecSchema, TensorView, View
    from gancore.data.sources import Source
    from gancore.domain import Diagnostic, Domain
    from gancore.entries import (
        CONTRACT_VERSION,
        CommandEntry,
        DomainEntry,
        DynamicsEntry,
        ExperimentEntry,
        FeatureExtractorEntry,
        GameEntry,
        LoggerEntry,
        LossEntry,
        MetricEntry,
        OptimizerEntry,
        PenaltyEntry,
        PretrainedModelEntry,
        RecipeEntry,
        SourceEntry,
    )
    from gancore.errors import (
        CheckpointError,
        ConfigError,
        DataError,
        GancoreError,
        PluginError,
        TrainingError,
    )
    from gancore.evaluation.features import ClassifierFeatureExtractor, FeatureContext, FeatureExtractor
    from gancore.evaluation.result import EvaluationResult, MetricResult
    from gancore.games.sampler import Sampler
    from gancore.hookspecs import hookimpl
    from gancore.metrics.metric import Interval, Metric, MetricInputs, SampleSet
    from gancore.models.model import Model
    from gancore.models.packaged import packaged_models
    from gancore.recipe import Recipe
    from gancore.samples import Samples
    from gancore.summaries import list_models, list_recipes, list_runs

__version__ = "0.1.0"

__all__ = [
    "CONTRACT_VERSION",
    "Batch",
    "CheckpointError",
    "ClassifierFeatureExtractor",
    "CommandEntry",
    "ConfigError",
    "Data",
    "DataConfig",
    "DataError",
    "Diagnostic",
    "Domain",
    "DomainEntry",
    "DynamicsEntry",
    "EvaluationResult",
    "ExperimentEntry",
    "FeatureContext",
    "FeatureExtractor",
    "FeatureExtractorEntry",
    "GameEntry",
    "GancoreError",
    "Interval",
    "LoggerEntry",
    "LossEntry",
    "Metric",
    "MetricEntry",
    "MetricInputs",
    "MetricResult",
    "Model",
    "OptimizerEntry",
    "PenaltyEntry",
    "PluginError",
    "PretrainedModelEntry",
    "Recipe",
    "RecipeConfig",
    "RecipeEntry",
    "SampleSet",
    "Sampler",
    "Samples",
    "Source",
    "SourceEntry",
    "Spec",
    "SpecSchema",
    "TensorView",
    "TrainingError",
    "View",
    "animate",
    "compare",
    "evaluate",
    "evaluate_temperatures",
    "export_model",
    "generate",
    "hookimpl",
    "list_models",
    "list_recipes",
    "list_runs",
    "load",
    "load_game",
    "neighbours",
    "packaged_models",
    "pull_model",
    "push_model",
    "push_space",
    "train",
]

__getattr__, __dir__ = attach(__name__, __file__)
