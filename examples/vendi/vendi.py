"""A measure as a plugin: after ``pip install ./examples/vendi`` every evaluation has it.

gancore evaluate RUN --metrics vendi_ratio
"""

from gancore import MetricEntry, hookimpl


@hookimpl
def gancore_metrics():
    return [MetricEntry("vendi_ratio", "vendi_score:vendi_ratio", "effective number of samples, over real's")]
