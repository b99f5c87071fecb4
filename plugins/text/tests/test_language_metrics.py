"""LM scores, novelty and metrics of known distributions against values that are known."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from gancore_text import novelty_metrics, source_metrics
from gancore_text.kneser_ney import KneserNey
from gancore_text.language_metrics import encode_words, lm_score, reverse_lm_score
from gancore_text.markov import MarkovChain
from gancore_text.noise import shuffle_words
from gancore_text.novelty import COPY, LONG, NEW, compare_with_train
from gancore_text.oracle import SHAPES, Oracle
from gancore_text.registry import METRICS, metrics_for
from gancore_text.representation import canonical, texts_of
from gancore_text.spelling import spelling_log_prob, spelling_log_probs
from gancore_text.tokenizer import END

from gancore import MetricInputs
from gancore.data.dataset import Spec
from gancore.metrics.metric import SampleSet
from gancore.plugins import plugins
from gancore.random import Key

WORDS = [" the", " cat", " sat", " dog", "."]
SPELLING = spelling_log_probs({" fox": 2, " hen": 1})
SPEC = Spec({"words": WORDS}, {"spelling": SPELLING})
TRAIN = ["the cat sat.", "the dog sat.", "the cat.", "the dog sat. the cat."]


def inputs(fake, real=TRAIN, train=TRAIN, spec=SPEC):
    return MetricInputs(*(SampleSet(canonical(list(rows), 120)) for rows in (fake, real, train)), spec)


def test_an_lm_score_is_the_likelihood_of_the_model_with_spellings():
    shown = inputs(["the fox sat.", "dog"])
    tokens = {word: 2 + at for at, word in enumerate(WORDS)}
    model = KneserNey(3, 7, 9)
    model.fit_tokens(encode_words(shown.train.samples, tuple(WORDS), SPELLING).tokens)
    rows = torch.tensor(
        [[tokens[" the"], 1, tokens[" sat"], tokens["."], END], [tokens[" dog"], END, END, END, END]]
    )
    expected = -model.log_prob(rows).double().sum() - spelling_log_prob(" fox", SPELLING)
    assert lm_score.compute(shown) == pytest.approx(float(expected) / 7, rel=1e-6)
    details = lm_score.details(shown)
    assert details["nats a text"] == pytest.approx(float(expected) / 2, rel=1e-6)
    assert details["entropy of texts, samples and reference"][0] == pytest.approx(math.log(2))


def test_one_repeated_text_has_a_good_lm_score_and_a_bad_reverse_one():
    varied, repeated = inputs(TRAIN * 15), inputs(["the cat."] * 60)
    assert lm_score.compute(repeated) < lm_score.compute(varied)
    assert reverse_lm_score.compute(repeated) > reverse_lm_score.compute(varied) + 0.5
    low, high, _ = reverse_lm_score.interval(replace(varied, real=varied.fake))
    assert low <= reverse_lm_score.compute(replace(varied, real=varied.fake)) <= high


def test_samples_longer_than_all_data_are_scored_whole():
    assert lm_score.compute(inputs(["the cat sat. " * 8])) < 10
    empty = encode_words(canonical([""], 5), tuple(WORDS), SPELLING)
    assert empty.tokens.tolist() == [[1, END]]


def test_spans_are_those_of_a_search_by_strings():
    train = ["a b c d e f", "x y z", "c d e x y"]
    texts = ["b c d e x y", "x y z", "q", "", "z z a b", "e x", "a b c d e f g"]
    found = compare_with_train([t.split() for t in texts], [t.split() for t in train])

    def longest(text):
        words = text.split()
        spans = [words[i:j] for i in range(len(words)) for j in range(i + 1, len(words) + 1)]
        return max((len(s) for s in spans if any(f" {' '.join(s)} " in f" {t} " for t in train)), default=0)

    assert found.spans.tolist() == [longest(text) for text in texts] == [5, 3, 0, 0, 2, 2, 6]
    assert found.copied.tolist() == [False, True, False, False, False, False, False]
    assert found.ngrams.tolist() == [3, 0, 0, 0, 1, 0, 4]
    assert found.known_ngrams.tolist() == [3, 0, 0, 0, 0, 0, 3]


def test_marks_say_what_is_a_copy_and_what_holds_a_long_span():
    train = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    texts = [train, [*train[:8], "ten"], [*train[:8], *"abcdefgh"], train[:4], ["new"]]
    marks = compare_with_train(texts, [train]).marks()
    assert marks == [COPY, f"{LONG}, 8 of 9 words", NEW, NEW, NEW]


def test_novelty_by_hand():
    shown = inputs(["the cat sat.", "the dog sat. the dog."])
    assert novelty_metrics.novel_texts.compute(shown) == 0.5
    assert novelty_metrics.novel_ngrams.compute(shown) == pytest.approx(2 / 5)
    assert novelty_metrics.longest_span.compute(shown) == pytest.approx((4 + 5) / 2)
    details = novelty_metrics.novel_texts.details(shown)
    assert details["of the reference"] == 0 and details["texts of train"] == 4


def chain_inputs(texts, chain, log_prob=None):
    spec = Spec({"words": []}, {"markov": chain.parameters})
    return replace(inputs(texts, texts, texts, spec), log_prob=log_prob)


def test_the_nll_of_a_chain_is_its_entropy_and_never_infinite():
    chain = MarkovChain.draw(3)
    texts = [chain.text_of(row) for row in chain.sample(2000, 1).tolist()]
    shown = chain_inputs(texts, chain, -torch.ones(2000))
    low, high, _ = source_metrics.nll_source.interval(shown)
    assert low < chain.entropy() / 12 < high
    details = source_metrics.nll_source.details(shown)
    assert details["the reference under the model"] == pytest.approx(1 / 12)
    assert details["entropy"] == pytest.approx(chain.entropy() / 12)
    wrong = chain_inputs([*texts[:9], "no text of it"], chain)
    assert math.isfinite(source_metrics.nll_source.compute(wrong))
    assert "1 of 10" in source_metrics.nll_source.caveat(wrong)
    assert source_metrics.nll_source.details(wrong)["samples that the distribution cannot give"] == 1


def test_kl_of_the_data_from_a_chain_is_exact_on_average():
    chain, other = MarkovChain.draw(3), MarkovChain.draw(4)
    mixed = MarkovChain((chain.parameters + other.parameters) / 2)
    rows = chain.sample(4000, 2)
    texts = [chain.text_of(row) for row in rows.tolist()]
    shown = chain_inputs(texts, chain, mixed.log_prob(rows))
    low, high, _ = source_metrics.kl_source_model.interval(shown)
    assert low < chain.kl_divergence(mixed) < high


def test_kl_of_the_chain_of_samples_falls_to_that_of_their_chain():
    chain, other = MarkovChain.draw(3), MarkovChain.draw(4)
    mixed = MarkovChain((chain.parameters + other.parameters) / 2)
    own, others = (
        source_metrics.kl_chain_source.compute(
            chain_inputs([c.text_of(r) for r in c.sample(4000, 5).tolist()], chain)
        )
        for c in (chain, mixed)
    )
    assert own < 0.1 and others == pytest.approx(mixed.kl_divergence(chain), rel=0.03)


def test_the_oracle_is_made_from_the_spec():
    generator = torch.Generator().manual_seed(1)
    parameters = torch.randn(sum(math.prod(shape) for shape in SHAPES.values()), generator=generator)
    oracle = Oracle(parameters)
    rows = oracle.sample(40, 1)
    texts = [oracle.text_of(row) for row in rows.tolist()]
    shown = inputs(texts, texts, texts, Spec({"words": []}, {"oracle": parameters}))
    shown = replace(shown, fake=SampleSet(canonical(texts, 200)), real=SampleSet(canonical(texts, 200)))
    expected = -float(oracle.log_prob(rows).mean()) / 20
    assert source_metrics.nll_source.compute(shown) == pytest.approx(expected, rel=1e-5)


def test_noise_keeps_the_words_and_the_lengths():
    texts = ["the cat sat .", "a dog ran away fast .", "no"]
    rows = canonical(texts * 20, 60)
    noise = texts_of(shuffle_words(rows, Key.of(1)))
    assert sorted(" ".join(noise).split()) == sorted(" ".join(texts * 20).split())
    assert [len(text.split()) for text in noise] == [len(text.split()) for text in texts * 20]
    assert noise != texts * 20
    assert texts_of(shuffle_words(canonical(["abc", "def"], 9), Key.of(1))) != ["abc", "def"]


def test_every_metric_can_be_loaded_and_known_sources_alone_have_their_metrics():
    for entry in METRICS.values():
        assert plugins().load_metric(entry)
    assert "nll_source" not in metrics_for(Spec({}))
    assert "kl_chain_source" in metrics_for(Spec({}, {"markov": torch.zeros(1)}))
    assert "kl_chain_source" not in metrics_for(Spec({}, {"oracle": torch.zeros(1)}))
