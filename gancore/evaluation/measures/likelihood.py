"""Negative log-likelihood of reference rows under the model, where it gives one."""

from __future__ import annotations

from torch import Tensor

from gancore.errors import ConfigError
from gancore.evaluation.evidence import Evidence
from gancore.evaluation.intervals import of_mean
from gancore.evaluation.measure import Measure


def _log_prob(evidence: Evidence) -> Tensor:
    if evidence.log_prob is None:
        raise ConfigError("a likelihood of a model that gives none", "leave out nll")
    return evidence.log_prob.double()


nll = Measure(
    compute=lambda evidence: -float(_log_prob(evidence).mean()),
    interval=lambda evidence: of_mean(-_log_prob(evidence)),
    unit="nats a sample",
    details=lambda evidence: {"likelihood": "at most this: a bound" if evidence.bound else "exact"},
    needs=frozenset({"log_prob"}),
    blind=frozenset({"collapse"}),
)
"""-E log p(x) over the reference rows; of a lower bound on log p it is an upper bound on this."""
