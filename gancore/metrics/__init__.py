"""The core's metrics: numbers about samples or features, each with an interval that is valid for it.

One file per family; the contract of a metric is in ``metric.py``, intervals and caveats in ``intervals.py``.
The public names, those of the evaluation included, are imported at first use: importing this package imports
no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gancore.lazy import attach

if TYPE_CHECKING:
    from gancore.evaluation.cache import DiskCache
    from gancore.evaluation.catalogue import (
        ALL_FAILURES,
        CORE_METRICS,
        DEPENDS,
        FAILURES_FILE,
        FALSE_ALARM,
        MISSED,
        PRINCIPAL_COMPONENTS,
        outcomes_for,
    )
    from gancore.evaluation.controls import Controls
    from gancore.evaluation.evaluator import Evaluator
    from gancore.evaluation.features import Coordinates, FeaturePipeline
    from gancore.evaluation.result import Difference, MetricResult
    from gancore.evaluation.tables import Table, TableRow
    from gancore.metrics.bins import kmeans_centres
    from gancore.metrics.distances import distance_chunks, nearest
    from gancore.metrics.frechet import frechet_metric
    from gancore.metrics.intervals import (
        TAIL,
        block_jackknife,
        clopper_pearson,
        drop_blocks,
        mean_interval,
        subsampling_interval,
        t_interval,
    )
    from gancore.metrics.metric import Control, once
    from gancore.metrics.scores import class_counts, posteriors
    from gancore.models.pretrained_weights import PretrainedWeights, weights_path

__all__ = [
    "ALL_FAILURES",
    "CORE_METRICS",
    "DEPENDS",
    "FAILURES_FILE",
    "FALSE_ALARM",
    "MISSED",
    "PRINCIPAL_COMPONENTS",
    "TAIL",
    "Control",
    "Controls",
    "Coordinates",
    "Difference",
    "DiskCache",
    "Evaluator",
    "FeaturePipeline",
    "MetricResult",
    "PretrainedWeights",
    "Table",
    "TableRow",
    "block_jackknife",
    "class_counts",
    "clopper_pearson",
    "distance_chunks",
    "drop_blocks",
    "frechet_metric",
    "kmeans_centres",
    "mean_interval",
    "nearest",
    "once",
    "outcomes_for",
    "posteriors",
    "subsampling_interval",
    "t_interval",
    "weights_path",
]

__getattr__, __dir__ = attach(__name__, __file__)
