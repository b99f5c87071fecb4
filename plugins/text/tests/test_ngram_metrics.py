"""Metrics of n-grams against nltk, hand-computed values, and sets whose truth is known."""

from __future__ import annotations

import math
import random
import warnings

import numpy as np
import pytest
import torch
from gancore_text import ngram_metrics
from gancore_text.bleu import bleu_scores, self_bleu_scores
from gancore_text.ngrams import number_tokens
from gancore_text.representation import canonical
from gancore_text.tokenizer import split_words
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from gancore import MetricInputs
from gancore.data.dataset import Spec
from gancore.metrics.metric import SampleSet

METHOD = SmoothingFunction().method1
random.seed(1)
TEXTS = [[random.choice("aabbcdefg") for _ in range(random.randint(0, 9))] for _ in range(60)]
HYPOTHESES, REFERENCES = [*TEXTS[:30], TEXTS[0], TEXTS[0]], TEXTS[30:]


def nltk_bleu(references, hypothesis, order):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sentence_bleu(references, hypothesis, [1 / order] * order, METHOD)


@pytest.mark.parametrize("order", [2, 3, 4, 5])
def test_bleu_is_that_of_nltk(order):
    fake, real = number_tokens([HYPOTHESES, REFERENCES], order)
    expected = [nltk_bleu(REFERENCES, text, order) for text in HYPOTHESES]
    assert np.allclose(bleu_scores(fake, real, order), expected, rtol=0, atol=1e-12)
    assert np.std(expected) > 0.1


@pytest.mark.parametrize("order", [2, 3, 4, 5])
def test_self_bleu_leaves_a_text_out_of_its_references(order):
    (numbers,) = number_tokens([HYPOTHESES], order)
    expected = [
        nltk_bleu([*HYPOTHESES[:at], *HYPOTHESES[at + 1 :]], text, order)
        for at, text in enumerate(HYPOTHESES)
    ]
    assert np.allclose(self_bleu_scores(numbers, order), expected, rtol=0, atol=1e-12)


def test_two_texts_without_a_common_word_have_self_bleu_0():
    """The case of pclucas14/GansFallingShort#9: 1 where a text is among its own references."""
    (numbers,) = number_tokens([[list("abcd"), list("efgh")]], 4)
    assert not self_bleu_scores(numbers, 4).any()
    assert not bleu_scores(*number_tokens([[list("abcd")], [list("efgh")]], 4), 4).any()


def test_words_are_split_from_punctuation_whether_or_not_a_space_is_between():
    assert split_words("A dog's  toy, 3.5 m .") == ["A", "dog", "'", "s", "toy", ",", "3", ".", "5", "m", "."]
    assert split_words("a dog .") == split_words("a dog.") and split_words("") == []


def inputs(fake, real, train=()):
    rows = [canonical(list(texts) or [""], 200) for texts in (fake, real, train)]
    sets = [SampleSet(row) for row in rows]
    return MetricInputs(*sets, Spec({"words": []}))


def value(name, fake, real=("a b",)):
    return getattr(ngram_metrics, name).compute(inputs(fake, real))


SENTENCES = [" ".join(text) for text in TEXTS if len(text) > 4]


@pytest.mark.parametrize(
    "name", ["word_js_1", "word_js_4", "character_js_1", "character_js_4", "word_count_distance"]
)
def test_divergences_of_equal_sets_are_0_in_any_order(name):
    assert value(name, SENTENCES, SENTENCES[::-1]) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", ["word_js_1", "word_js_2", "character_js_1", "character_js_4"])
def test_divergences_of_disjoint_sets_are_1(name):
    fake, real = (["xyzxyz xy"], ["abcabcabc"]) if "character" in name else (["x y z"], ["a b c"])
    assert value(name, fake, real) == pytest.approx(1, abs=1e-12)


def test_a_divergence_by_hand():
    """p = (1/2, 1/2, 0), q = (1/4, 1/4, 1/2)."""
    assert value("word_js_1", ["a b"], ["a b c c"]) == pytest.approx(0.311278, abs=1e-6)


def test_distinct_ngrams_by_hand():
    texts = ["a b a b", "a b c"]
    assert value("distinct_1", texts) == pytest.approx(3 / 7)
    assert value("distinct_2", texts) == pytest.approx(3 / 5)
    assert value("distinct_3", texts) == pytest.approx(1) and value("distinct_4", texts) == 1
    assert value("distinct_4", ["a b"]) == 0


def test_repetition_by_hand():
    """a b a b a: the pairs ab, ba, ab, ba, of which two were there before."""
    assert value("repetition", ["a b a b a", "a b c", "a", ""]) == pytest.approx(0.5 / 4)


def test_entropies_by_hand():
    assert value("entropy_of_words", ["a b", "a c"]) == pytest.approx(1.5 * math.log(2))
    assert value("entropy_of_texts", ["a", "b", "b", "c"]) == pytest.approx(1.5 * math.log(2))
    assert value("entropy_of_words", ["", ""]) == 0 and value("entropy_of_texts", ["x", "x"]) == 0


def test_lengths_by_hand():
    assert value("word_count_distance", ["a", "a b"], ["a b c", "a b c d"]) == pytest.approx(2)


NAMES = [
    name
    for name in vars(ngram_metrics)
    if isinstance(getattr(ngram_metrics, name), type(ngram_metrics.repetition))
]


@pytest.mark.parametrize("name", NAMES)
def test_intervals_contain_the_value_and_do_not_depend_on_the_order(name):
    metric = getattr(ngram_metrics, name)
    texts = [f"{text} {n}" for n, text in enumerate(SENTENCES * 3)]
    one = inputs(texts[:50], texts[30:90])
    other = inputs(texts[:50][::-1], texts[30:90][::-1])
    low, high, method = metric.interval(one)
    assert low <= metric.compute(one) <= high and method
    assert metric.compute(other) == pytest.approx(metric.compute(one), abs=1e-12)


def test_the_floor_of_a_divergence_falls_with_the_number_of_texts():
    generator = torch.Generator().manual_seed(1)
    words = torch.randint(0, 40, (800, 8), generator=generator).tolist()
    texts = [" ".join(f"w{n}" for n in row) for row in words]
    floors = [value("word_js_2", texts[:n], texts[400 : 400 + n]) for n in (50, 400)]
    assert floors[0] - 0.2 > floors[1] > 0.1
