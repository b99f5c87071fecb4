"""A categorical model of sequences: its probabilities sum to one, and it samples by them."""

import itertools
import math

import pytest
import scipy.stats
import torch
from torch import nn

from gancore.nn.autoregressive import Autoregressive, init_ordered_, sample_categorical
from gancore.nn.causal import CausalStack
from gancore.nn.recurrent import Recurrent
from gancore.random import Key, RowRange

ALPHABET, LENGTH = 3, 5
EVERY = torch.tensor(list(itertools.product(range(ALPHABET), repeat=LENGTH)))  # (243, 5)
TRUNKS = {
    "causal": lambda c: CausalStack(4, 6, [1, 2, 1], c),
    "recurrent": lambda c: Recurrent(4, 6, 2, "lstm", c),
}


def model(trunk="causal", classes=0, spread=1.5):
    """With logits far apart, so that sequences differ in probability."""
    torch.manual_seed(3)
    condition = nn.Embedding(classes, 2) if classes else None
    head = nn.Sequential(nn.ReLU(), nn.Linear(6, ALPHABET))
    made = Autoregressive(TRUNKS[trunk](2 if classes else 0), head, ALPHABET, LENGTH, condition)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=spread / parameter.shape[-1] ** 0.5)
    return made


@pytest.mark.parametrize("trunk", TRUNKS)
@pytest.mark.parametrize("classes", [0, 2])
def test_probabilities_of_all_sequences_sum_to_one(trunk, classes, float64):
    made = model(trunk, classes)
    for label in range(classes or 1):
        condition = torch.full((len(EVERY),), label) if classes else None
        log_prob = made.log_prob(EVERY, condition)
        assert log_prob.exp().sum().item() == pytest.approx(1, abs=1e-12)
        assert log_prob.std() > 1


@pytest.mark.parametrize("trunk", TRUNKS)
def test_a_sequence_has_the_product_of_its_conditionals(trunk, float64):
    """Each by summing over all continuations: p(x_1 ... x_t) / p(x_1 ... x_(t-1))."""
    made = model(trunk)
    each, whole = made.log_probs(EVERY), made.log_prob(EVERY)
    torch.testing.assert_close(each.sum(1), whole)
    p = whole.exp().view([ALPHABET] * LENGTH)
    for t in range(LENGTH):
        upto = p.flatten(t + 1).sum(-1) if t + 1 < LENGTH else p
        conditional = upto / upto.sum(-1, keepdim=True)
        wanted = conditional[tuple(EVERY[:, : t + 1].T)].log()
        torch.testing.assert_close(each[:, t], wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("trunk", TRUNKS)
@pytest.mark.parametrize("classes", [0, 2])
def test_samples_come_as_often_as_their_probability_says(trunk, classes):
    made, n = model(trunk, classes, spread=1.0), 20_000
    condition = torch.ones(n, dtype=torch.int64) if classes else None
    samples = made.sample(n, Key.of("chi-square"), condition)
    assert samples.shape == (n, LENGTH) and samples.dtype == torch.int64
    number = (samples * ALPHABET ** torch.arange(LENGTH - 1, -1, -1)).sum(1)
    counts = number.bincount(minlength=len(EVERY)).double()
    result = torch.ones(len(EVERY), dtype=torch.int64) if classes else None
    with torch.no_grad():
        wanted = n * made.double().log_prob(EVERY, result).exp()
    often = wanted >= 5
    pooled = [torch.cat([x[often], x[~often].sum()[None] + 1e-9]) for x in (counts, wanted)]
    assert len(pooled[0]) > 50 and scipy.stats.chisquare(*pooled).pvalue > 1e-3


def test_a_row_hangs_on_its_own_row_of_the_key(float64):
    made, key = model(), Key.of("rows")
    joined = made.sample(12, key.with_rows(RowRange.all(12)))
    assert torch.equal(made.sample(3, key.with_rows(RowRange(4, 7, 12))), joined[4:7])
    assert len(joined.unique(dim=0)) > 1


def test_it_is_the_same_with_and_without_gradient_whatever_the_rows_at_once(float64, monkeypatch):
    made, tokens, labels = model(classes=2), EVERY[:100], torch.arange(100) % 2
    whole = made.log_prob(tokens, labels)
    monkeypatch.setattr("gancore.nn.autoregressive.MAX_LOGITS", 7 * LENGTH * ALPHABET)
    with torch.no_grad():
        torch.testing.assert_close(made.log_prob(tokens, labels), whole.detach())
        torch.testing.assert_close(made.log_prob(tokens[:1], labels[:1]), whole[:1].detach())


def test_a_class_is_drawn_by_inverting_the_cumulative_distribution():
    """p = 1/4, 0, 3/4: below a quarter the first, from there on the last, the second never."""
    logits = torch.tensor([0.25, 0.0, 0.75]).log().expand(6, 3)
    uniform = torch.tensor([0.0, 0.1, 0.2499999, 0.2500001, 0.5, 1 - 2**-24])
    assert sample_categorical(logits, uniform).tolist() == [0, 0, 0, 2, 2, 2]
    last_impossible = torch.tensor([[0.0, -torch.inf]])
    assert sample_categorical(last_impossible, torch.tensor([1 - 2**-24])).tolist() == [0]


def test_every_uniform_number_gives_a_class():
    logits = 30 * torch.randn(4000, 50, generator=torch.Generator().manual_seed(0))
    for number in (0.0, 0.5, 1 - 2**-24):
        classes = sample_categorical(logits, torch.full((4000,), number))
        assert classes.min() >= 0 and classes.max() < 50
        assert (logits.log_softmax(1).gather(1, classes[:, None]) > -40 * math.log(2) - math.log(50)).all()


def test_tokens_in_order_begin_alike_where_they_are_near(float64):
    torch.manual_seed(0)
    weight = nn.Embedding(257, 64).weight
    size = weight.std().item()
    init_ordered_(weight)
    alike = torch.cosine_similarity(weight[:1], weight)
    assert alike[1] > 0.99 and 0.1 < alike[16] < alike[4] < alike[1] and alike[128:].abs().max() < 0.5
    assert weight.std().item() == pytest.approx(size, rel=0.2)
