"""Metrics of data whose distribution is known: SeqGAN's oracle, and the Markov chain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gancore import ConfigError, Interval, Metric, MetricInputs, Spec
from gancore.metrics import mean_interval
from gancore_text.distribution import TextDistribution
from gancore_text.intervals import jackknife_rows
from gancore_text.markov import SMALLEST, MarkovChain
from gancore_text.oracle import Oracle
from gancore_text.representation import texts_of

KINDS: Mapping[str, type[MarkovChain] | type[Oracle]] = {"markov": MarkovChain, "oracle": Oracle}
"""By the tensor of the spec that holds the parameters."""


def source_of(spec: Spec) -> TextDistribution:
    """The distribution that the data were drawn from. Raises ConfigError: it is not known."""
    for name, kind in KINDS.items():
        if name in spec.tensors:
            return kind(spec.tensors[name])
    raise ConfigError("the distribution of these data is not known", "give data of markov or oracle")


def _nats_a_token(inputs: MetricInputs, samples: Tensor) -> Tensor:
    """-log p of each text that the distribution can give, over its number of words."""
    source = source_of(inputs.spec)
    log_prob = source.log_prob_of_texts(texts_of(samples))
    possible = log_prob[log_prob.isfinite()]
    if not len(possible):
        raise ConfigError("no sample is a text of the distribution", "train longer")
    return -possible / source.length


def _impossible(inputs: MetricInputs, samples: Tensor) -> int:
    return len(samples) - len(_nats_a_token(inputs, samples))


def _nll_details(inputs: MetricInputs) -> Mapping[str, Any]:
    source = source_of(inputs.spec)
    details: dict[str, Any] = {
        "of the reference": float(_nats_a_token(inputs, inputs.real.samples).mean()),
        "samples that the distribution cannot give": _impossible(inputs, inputs.fake.samples),
    }
    if inputs.log_prob is not None:
        details["the reference under the model"] = float(-inputs.log_prob.mean()) / source.length
    if isinstance(source, MarkovChain):
        details["entropy"] = source.entropy() / source.length
    return details


def _nll_caveat(inputs: MetricInputs) -> str:
    count = _impossible(inputs, inputs.fake.samples)
    return f"{count:,} of {len(inputs.fake):,} samples are no texts of the distribution" if count else ""


def _log_ratios(inputs: MetricInputs) -> Tensor:
    """log p(x) - log q(x) of the reference rows, q the model, (n)."""
    if inputs.log_prob is None:
        raise ConfigError("kl_source_model needs the likelihood of the model", "leave it out")
    return source_of(inputs.spec).log_prob_of_texts(texts_of(inputs.real.samples)) - inputs.log_prob.double()


def chain_of(numbers: Tensor) -> MarkovChain:
    """The chain with the frequencies of words in texts (n, length), 0 raised to SMALLEST as in the data's."""
    size = len(MarkovChain.words)
    pairs = torch.zeros(size + 1, size, dtype=torch.float64)
    ones = torch.ones(numbers.numel(), dtype=torch.float64)
    before = torch.cat([torch.zeros_like(numbers[:, :1]), numbers[:, :-1] + 1], 1)
    pairs.index_put_((before.flatten(), numbers.flatten()), ones, accumulate=True)
    pairs = torch.where(pairs.sum(1, keepdim=True) > 0, pairs, 1.0)
    rows = (pairs / pairs.sum(1, keepdim=True)).clamp_min(SMALLEST)
    return MarkovChain(rows / rows.sum(1, keepdim=True))


def _numbers(inputs: MetricInputs) -> Tensor:
    source = source_of(inputs.spec)
    found = [source.numbers_of(text) for text in texts_of(inputs.fake.samples)]
    possible = [row for row in found if row is not None]
    if not possible:
        raise ConfigError("no sample is a text of the distribution", "train longer")
    return torch.tensor(possible)


def _chain_divergence(numbers: Tensor, spec: Spec) -> float:
    return chain_of(numbers).kl_divergence(MarkovChain(spec.tensors["markov"]))


def _chain_interval(inputs: MetricInputs) -> Interval:
    return jackknife_rows(inputs, _numbers(inputs), lambda rows: _chain_divergence(rows, inputs.spec))


nll_source = Metric(
    lambda inputs: float(_nats_a_token(inputs, inputs.fake.samples).mean()),
    unit="nats a token",
    interval=lambda inputs: mean_interval(_nats_a_token(inputs, inputs.fake.samples)),
    details=_nll_details,
    optional=frozenset({"log_prob"}),
    insensitive_to=frozenset({"collapse"}),
    kind="fidelity",
    caveat=_nll_caveat,
)
"""NLL_oracle (Yu et al. 2017): samples under the distribution of the data. Alone it rewards collapse: read it
with the likelihood of the reference under the model, `nll`, or with `reverse_lm_score`."""
kl_source_model = Metric(
    lambda inputs: float(_log_ratios(inputs).mean()),
    unit="nats a text",
    interval=lambda inputs: mean_interval(_log_ratios(inputs)),
    requires=frozenset({"log_prob"}),
    insensitive_to=frozenset({"collapse", "noise"}),
)
"""KL(data || model), the mean of log p - log q over the reference: exact but for the choice of rows."""
kl_chain_source = Metric(
    lambda inputs: _chain_divergence(_numbers(inputs), inputs.spec),
    unit="nats a text",
    interval=_chain_interval,
)
"""KL of the Markov chain of the samples' pairs of words from that of the data, exact given the counts."""
