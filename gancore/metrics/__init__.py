"""The core's metrics: numbers about samples or features, each with an interval that is valid for it.

One file per family; the contract of a metric is in ``metric.py``, intervals and caveats in ``intervals.py``.
"""
