"""LM score and reverse LM score: samples under a language model of train, unseen texts under one of samples.

The language model is the n-gram model (:mod:`gancore_text.kneser_ney`): it is fitted in a second, without a
random number. Tokens are the words of the data; an unknown one pays for its spelling.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gancore import ConfigError, Interval, Metric, MetricInputs
from gancore.metrics import block_jackknife, drop_blocks
from gancore_text.intervals import BLOCKS, MIN_ROWS, ratio_interval
from gancore_text.kneser_ney import KneserNey
from gancore_text.ngram_metrics import SHARED_ORDER, text_entropy, word_entropy
from gancore_text.ngrams import number_ngrams
from gancore_text.representation import texts_of
from gancore_text.spelling import spelling_log_prob, spelling_log_probs
from gancore_text.tokenizer import END, RESERVED, WordTokenizer

ORDER = 3
"""Of the language model."""


class EncodedTexts(NamedTuple):
    """``tokens`` (n, length), END after the end; ``spelling`` (n): nats that unknown words cost; ``counts``
    (n): tokens of each text with its end.
    """

    tokens: Tensor
    spelling: Tensor
    counts: Tensor

    def select(self, rows: Tensor) -> EncodedTexts:
        return EncodedTexts(*(part[rows] for part in self))


@lru_cache(maxsize=8)
def encode_words(samples: Tensor, words: tuple[str, ...], spelling: Tensor) -> EncodedTexts:
    """The words of canonical samples, however long they are. Tensors are compared by identity."""
    tokenizer = WordTokenizer(words)
    texts = texts_of(samples)
    rows = [tokenizer.encode(text) for text in texts]
    tokens = torch.full((len(rows), 1 + max(map(len, rows))), END)
    for row, ids in zip(tokens, rows, strict=True):
        row[: len(ids)] = torch.tensor(ids)
    unknown = [tokenizer.unknown(text) for text in texts]
    costs = {token: -spelling_log_prob(token, spelling) for row in unknown for token in row}
    totals = torch.tensor([math.fsum(costs[token] for token in row) for row in unknown], dtype=torch.float64)
    return EncodedTexts(tokens, totals, torch.tensor([len(ids) + 1.0 for ids in rows], dtype=torch.float64))


def encoded(inputs: MetricInputs, samples: Tensor) -> EncodedTexts:
    """With the vocabulary and the spellings of the spec."""
    spelling = inputs.spec.tensors.get("spelling")
    words = tuple(inputs.spec["words"])
    return encode_words(samples, words, _no_spelling() if spelling is None else spelling)


@lru_cache(maxsize=1)
def _no_spelling() -> Tensor:
    return spelling_log_probs({})


def fit_words(texts: EncodedTexts, vocab_size: int) -> KneserNey:
    """The language model of these texts."""
    model = KneserNey(ORDER, vocab_size, texts.tokens.shape[1])
    model.fit_tokens(texts.tokens)
    return model


@lru_cache(maxsize=2)
def _fit_train(samples: Tensor, words: tuple[str, ...], spelling: Tensor) -> KneserNey:
    return fit_words(encode_words(samples, words, spelling), RESERVED + len(words))


def nats(model: KneserNey, texts: EncodedTexts) -> Tensor:
    """-log p of each text with its spellings, (n)."""
    return texts.spelling - model.log_probs(texts.tokens).sum(1)


def _vocab_size(inputs: MetricInputs) -> int:
    return RESERVED + len(inputs.spec["words"])


def _lm_nats(inputs: MetricInputs, samples: Tensor) -> tuple[Tensor, Tensor]:
    """Nats and tokens of each text under the model of train, (n) each."""
    spelling = inputs.spec.tensors.get("spelling")
    table = _no_spelling() if spelling is None else spelling
    model = _fit_train(inputs.train.samples, tuple(inputs.spec["words"]), table)
    texts = encoded(inputs, samples)
    return nats(model, texts), texts.counts


def _lm_score(inputs: MetricInputs) -> float:
    costs, counts = _lm_nats(inputs, inputs.fake.samples)
    return float(costs.sum() / counts.sum())


def _lm_details(inputs: MetricInputs) -> Mapping[str, Any]:
    costs, counts = _lm_nats(inputs, inputs.fake.samples)
    real_costs, real_counts = _lm_nats(inputs, inputs.real.samples)
    return {
        "nats a text": float(costs.mean()),
        "of the reference, nats a text": float(real_costs.mean()),
        "of the reference, nats a token": float(real_costs.sum() / real_counts.sum()),
        "perplexity": math.exp(min(700.0, float(costs.sum() / counts.sum()))),
        **_entropies(inputs),
        "fitted to": f"{len(inputs.train)} texts of train, n-grams of {ORDER} words",
    }


def _entropies(inputs: MetricInputs) -> dict[str, Any]:
    """Without them a low perplexity says nothing: a repeated text has one."""
    sets = number_ngrams((inputs.fake.samples, inputs.real.samples), "word", SHARED_ORDER)
    fake, real = (ngrams.numpy() for ngrams in sets)
    return {
        "entropy of words, samples and reference": [word_entropy(fake), word_entropy(real)],
        "entropy of texts, samples and reference": [text_entropy(fake), text_entropy(real)],
    }


def reverse_nats(fitted: EncodedTexts, texts: EncodedTexts, vocab_size: int) -> tuple[Tensor, Tensor]:
    """Nats and tokens of ``texts`` under the model of ``fitted``, (n) each."""
    return nats(fit_words(fitted, vocab_size), texts), texts.counts


def _reverse(inputs: MetricInputs) -> tuple[Tensor, Tensor]:
    fake, real = (encoded(inputs, rows.samples) for rows in (inputs.fake, inputs.real))
    return reverse_nats(fake, real, _vocab_size(inputs))


def _reverse_score(inputs: MetricInputs) -> float:
    costs, counts = _reverse(inputs)
    return float(costs.sum() / counts.sum())


def _reverse_interval(inputs: MetricInputs) -> Interval:
    """By leaving out blocks of samples and of reference rows. Raises ConfigError: there are too few."""
    if min(len(inputs.fake), len(inputs.real)) < MIN_ROWS:
        raise ConfigError("an interval over blocks of few texts", f"give at least {MIN_ROWS} of each set")
    shuffled = [
        encoded(inputs, rows.samples).select((inputs.key / name).permutation(len(rows)))
        for name, rows in (("fake", inputs.fake), ("real", inputs.real))
    ]

    def value(left_out: tuple[int, ...]) -> float:
        fake, real = (_without(texts, left_out) for texts in shuffled)
        costs, counts = reverse_nats(fake, real, _vocab_size(inputs))
        return float(costs.sum() / counts.sum())

    low, high, method = block_jackknife(value, BLOCKS, "of the expectation at this n")
    center = _reverse_score(inputs)
    return Interval(min(low, center), max(high, center), method)


def _without(texts: EncodedTexts, left_out: Sequence[int]) -> EncodedTexts:
    if not left_out:
        return texts
    return texts.select(drop_blocks(torch.arange(len(texts.counts)), tuple(left_out), BLOCKS))


def _reverse_details(inputs: MetricInputs) -> Mapping[str, Any]:
    costs, counts = _reverse(inputs)
    return {
        "nats a text": float(costs.mean()),
        "perplexity": math.exp(min(700.0, float(costs.sum() / counts.sum()))),
        **_entropies(inputs),
        "fitted to": f"{len(inputs.fake)} samples, n-grams of {ORDER} words",
    }


lm_score = Metric(
    _lm_score,
    unit="nats a token",
    interval=lambda inputs: ratio_interval(*_lm_nats(inputs, inputs.fake.samples)),
    details=_lm_details,
    requires=frozenset({"train"}),
    insensitive_to=frozenset({"collapse"}),
    kind="fidelity",
)
"""Samples under the language model of train: lower than that of real texts is too typical a text."""
reverse_lm_score = Metric(
    _reverse_score, unit="nats a token", interval=_reverse_interval, details=_reverse_details
)
"""Unseen texts under the language model of the samples (Zhao et al. 2018)."""
