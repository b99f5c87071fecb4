"""Kneser-Ney smoothing against its definition, against nltk, and by enumeration."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict

import pytest
import torch
from gancore_text.config import TextConfig
from gancore_text.dataset import open_text
from gancore_text.kneser_ney import FEW_DISCOUNTS, KneserNey, estimate_discounts
from gancore_text.ngram import NgramConfig, NgramLanguageModel
from gancore_text.representation import canonical
from gancore_text.sources import SOURCES
from gancore_text.tokenizer import END
from nltk.lm import KneserNeyInterpolated

import gancore
from gancore.data.sources import resolve_source
from gancore.random import Key, RowRange

VOCAB, LENGTH = 5, 6
TEXTS = ([2, 3, 4], [2, 3, 2, 3], [4, 4], [2, 3, 4, 3], [], [3, 1, 2], [2, 3, 4], [4, 3, 2, 4, 2])


def padded(texts, length=LENGTH):
    return torch.tensor([list(text) + [END] * (length - len(text)) for text in texts])


def fitted(order, discounts=None, texts=TEXTS):
    model = KneserNey(order, VOCAB, LENGTH)
    model.fit_tokens(padded(texts), discounts)
    return model


def probability(texts, order, discounts, history, token):
    """The formula, term by term, over n-grams as tuples."""
    grams = Counter()
    for text in texts:
        symbols = ["<s>", *text, END]
        for stop, size in itertools.product(range(2, len(symbols) + 1), range(1, order + 1)):
            if size <= stop:
                grams[tuple(symbols[stop - size : stop])] += 1
    before = defaultdict(set)
    for gram in grams:
        before[gram[1:]].add(gram[0])
    adjusted = {
        gram: count if len(gram) == order or gram[0] == "<s>" else len(before[gram])
        for gram, count in grams.items()
    }

    def p(context, word):
        values = {gram[-1]: a for gram, a in adjusted.items() if gram[:-1] == context}
        lower = p(context[1:], word) if context else 1 / VOCAB
        if not values:
            return lower
        table = (0.0, *discounts[len(context)])
        taken = {w: min(a, table[min(a, 3)]) for w, a in values.items()}
        total = sum(values.values())
        kept = values.get(word, 0) - taken.get(word, 0)
        return kept / total + sum(taken.values()) / total * lower

    return p(tuple(["<s>", *history][-(order - 1) :]) if order > 1 else (), token)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_probabilities_are_those_of_the_formula(order):
    discounts = [(0.4, 0.9, 1.3), (0.5, 1.0, 1.5), (0.7, 1.1, 1.2), (0.2, 0.3, 2.5)][:order]
    model = fitted(order, discounts)
    for text in ([2, 3, 4], [3, 3], [1, 4, 2, 3], [2, 3, 2, 4, 3]):
        log_probs = model.log_probs(padded([text]))[0]
        expected = [
            math.log(probability(TEXTS, order, discounts, text[:at], token))
            for at, token in enumerate([*text, END])
        ]
        assert torch.allclose(log_probs[: len(text) + 1], torch.tensor(expected).double(), atol=1e-12)
        assert not log_probs[len(text) + 1 :].any()


def test_a_bigram_is_that_of_nltk():
    """nltk discounts no single tokens, and knows one discount."""
    texts = [["<s>", *map(str, text), str(END)] for text in TEXTS]
    other = KneserNeyInterpolated(2, discount=0.6)
    other.fit([[(w,) for w in t] + list(itertools.pairwise(t)) for t in texts], {w for t in texts for w in t})
    model = fitted(2, [(0.0, 0.0, 0.0), (0.6, 0.6, 0.6)])
    seen = {w for t in TEXTS for w in t} | {END}
    for first, second in itertools.product([2, 3, 4, 1], [*seen]):
        log_probs = model.log_probs(padded([[first, second]]))[0]
        assert math.isclose(log_probs[0].exp(), other.score(str(first), ["<s>"]), rel_tol=1e-12)
        assert math.isclose(log_probs[1].exp(), other.score(str(second), [str(first)]), rel_tol=1e-12)


def all_sequences(length):
    """Every sequence that ends at its first END, or not within its length."""
    rows = itertools.product(range(VOCAB), repeat=length)
    return torch.tensor([row for row in rows if END not in row or not any(row[row.index(END) :])])


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_of_all_texts_sum_to_one(order):
    total = fitted(order).log_probs(all_sequences(4)).sum(1).exp().sum()
    assert math.isclose(total, 1, abs_tol=1e-12)


def test_before_the_fit_tokens_are_uniform():
    model = KneserNey(3, VOCAB, 4)
    assert torch.allclose(model.log_probs(padded([[2, 3]], 4))[0, :3].exp(), torch.tensor(1 / VOCAB).double())
    assert model.sample(3, Key.of(1)).shape == (3, 4)


def test_what_follows_the_end_has_no_probability():
    assert fitted(2).log_prob(torch.tensor([[2, END, 2, END]])) == -math.inf


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_samples_have_the_probabilities_of_the_model(temperature):
    """Of the first two tokens, by enumeration, within five standard errors."""
    model, n = fitted(3), 20_000
    counts = Counter(map(tuple, model.sample(n, Key.of("s"), temperature)[:, :2].tolist()))
    first = tempered(model, [], temperature)
    for a, b in itertools.product(range(VOCAB), repeat=2):
        second = tempered(model, [a], temperature)[b] if a != END else float(b == END)
        p = float(first[a]) * float(second)
        assert abs(counts[a, b] / n - p) < 5 * math.sqrt(p / n) + 1e-9


def tempered(model, history, temperature):
    rows = padded([[*history, token] if token != END else history for token in range(VOCAB)])
    p = model.log_probs(rows)[:, len(history)].exp() ** (1 / temperature)
    return p / p.sum()


def test_a_sample_depends_on_its_own_row_of_the_key():
    model, key = fitted(3), Key.of("rows")
    whole = model.sample(8, key.with_rows(RowRange.all(8)))
    part = model.sample(3, key.with_rows(RowRange(2, 5, 8)))
    assert torch.equal(whole[2:5], part)


def test_discounts_are_those_of_chen_and_goodman():
    counts = torch.tensor([1.0] * 10 + [2.0] * 4 + [3.0] * 2 + [4.0] + [9.0] * 3)
    y = 10 / 18
    assert estimate_discounts(counts) == pytest.approx((1 - 2 * y * 0.4, 2 - 3 * y * 0.5, 3 - 4 * y * 0.5))
    assert estimate_discounts(torch.tensor([1.0, 2.0, 2.0])) == FEW_DISCOUNTS


def opened(tmp_path):
    (tmp_path / "t.txt").write_text("\n".join(f"the {c} cat sat{' down' * (n % 3)} ." for n, c in NAMED))
    source = resolve_source(str(tmp_path / "t.txt"), SOURCES, None, lambda line: None)
    return open_text(source, TextConfig(source=str(tmp_path / "t.txt")))


COLOURS = ["red", "green", "blue", "old", "new", "big", "small", "fat", "thin", "odd", "sad", "low", "hot"]
NAMED = list(enumerate(COLOURS * 4))


def test_likelihoods_of_texts_pay_for_unknown_words(tmp_path):
    data = opened(tmp_path)
    game = NgramLanguageModel().build(NgramConfig(order=2), data.spec)
    view = data.view("train")
    encoded = game.representation.encode(view.get_batch(torch.arange(len(view)), Key.of(1)))
    game.model.fit_tokens(encoded.data)
    known, rare, rarer = canonical(
        ["the cat sat .", "the xq sat .", "the xqzxqzxqz sat ."], data.spec["max_bytes"]
    )
    values = game.sampler().log_prob(gancore.Batch(torch.stack([known, rare, rarer])))
    assert values.isfinite().all() and values[0] > values[1] > values[2]


def test_it_trains_saves_and_samples(tmp_path):
    (tmp_path / "t.txt").write_text("\n".join(f"the {c} cat sat{' down' * (n % 3)} ." for n, c in NAMED))
    run = gancore.train(
        domain="text", data=str(tmp_path / "t.txt"), recipe="ngram", out=tmp_path / "run", progress="none"
    )
    assert run.status == "done"
    gancore.generate(tmp_path / "run", n=5, temperature=0.5, out=tmp_path / "made")
    assert len((tmp_path / "made" / "samples.txt").read_text().splitlines()) == 5
