"""The measures and feature extractors of text, by name; imports none of them."""

from __future__ import annotations

from collections.abc import Mapping

from gancore import FeatureExtractorEntry, MetricEntry, Spec

ORDERS = (1, 2, 3, 4)
FEATURE_EXTRACTORS: Mapping[str, FeatureExtractorEntry] = {
    entry.name: entry
    for entry in (
        FeatureExtractorEntry(
            "ngrams", "gancore_text.features:HashedNgrams", "hashed n-grams of words, weighted by rarity"
        ),
        FeatureExtractorEntry(
            "sentences",
            "gancore_text.sentences:SentenceEmbeddings",
            "a sentence encoder of yours, which GANCORE_SENTENCES names, or MiniLM",
        ),
    )
}


def _ngram(name: str, summary: str) -> MetricEntry:
    return MetricEntry(name, f"gancore_text.ngram_metrics:{name}", summary)


METRICS: Mapping[str, MetricEntry] = {
    entry.name: entry
    for entry in (
        *(_ngram(f"bleu_{k}", f"BLEU-{k} of samples against the reference") for k in (2, 3, 4, 5)),
        *(_ngram(f"self_bleu_{k}", f"BLEU-{k} of each sample against all others") for k in (2, 3, 4, 5)),
        *(_ngram(f"distinct_{k}", f"share of different n-grams of {k} words") for k in ORDERS),
        *(_ngram(f"word_js_{k}", f"JS divergence of n-grams of {k} words, bits") for k in ORDERS),
        *(_ngram(f"character_js_{k}", f"JS divergence of n-grams of {k} characters, bits") for k in ORDERS),
        _ngram("entropy_of_words", "entropy of the frequencies of words, nats"),
        _ngram("entropy_of_texts", "entropy of the frequencies of texts, nats"),
        _ngram("repetition", "share of the pairs of words of a text that it had before"),
        _ngram("word_count_distance", "distance of the numbers of words"),
        MetricEntry("lm_score", "gancore_text.language_metrics:lm_score", "samples under n-grams of train"),
        MetricEntry(
            "reverse_lm_score",
            "gancore_text.language_metrics:reverse_lm_score",
            "reference under n-grams of the samples",
        ),
        MetricEntry(
            "novel_texts", "gancore_text.novelty_metrics:novel_texts", "share of samples not in train"
        ),
        MetricEntry(
            "novel_ngrams", "gancore_text.novelty_metrics:novel_ngrams", "share of 4-grams not in train"
        ),
        MetricEntry(
            "longest_span", "gancore_text.novelty_metrics:longest_span", "words in a row as in train"
        ),
        MetricEntry(
            "divergence_curve",
            "gancore_text.divergence_curve:divergence_curve",
            "area under a curve of divergences over clusters of the features",
        ),
        MetricEntry(
            "nll_source", "gancore_text.source_metrics:nll_source", "samples under the known distribution"
        ),
        MetricEntry(
            "kl_source_model", "gancore_text.source_metrics:kl_source_model", "KL(distribution || model)"
        ),
        MetricEntry(
            "kl_chain_source",
            "gancore_text.source_metrics:kl_chain_source",
            "KL(chain of the samples || chain of the data)",
        ),
    )
}
KNOWN_SOURCE = {
    "nll_source": ("markov", "oracle"),
    "kl_source_model": ("markov", "oracle"),
    "kl_chain_source": ("markov",),
}
"""Metrics that need one of these tensors in the spec."""


def metrics_for(spec: Spec) -> Mapping[str, MetricEntry]:
    """Those that such data allow."""
    return {
        name: entry
        for name, entry in METRICS.items()
        if name not in KNOWN_SOURCE or any(tensor in spec.tensors for tensor in KNOWN_SOURCE[name])
    }
