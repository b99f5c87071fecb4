"""The oracle and the Markov chain: exact log-probabilities, by enumeration and by independent code."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from gancore_text.config import TextConfig
from gancore_text.dataset import open_text
from gancore_text.markov import WORDS, MarkovChain
from gancore_text.oracle import LENGTH, SHAPES, Oracle
from gancore_text.representation import texts_of
from gancore_text.sources import SOURCES
from needs import data_root
from refusals import refused

from gancore.data.sources import resolve_source
from gancore.data.splits import SPLITS
from gancore.errors import DataError
from gancore.random import Key


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "cache"))


def texts(data, split):
    view = data.view(split)
    return texts_of(view.get_batch(torch.arange(len(view)), Key.of(0)).data)


@pytest.fixture(scope="module")
def oracle():
    return Oracle.load(data_root("seqgan_oracle") / "seqgan_oracle" / "target_params.npz")


def log_prob_in_numpy(sequence, path):
    """The recurrence as SeqGAN states it, one word at a time, in float64."""
    p = {name: values.astype(np.float64) for name, values in np.load(path).items()}
    h, c, word, total = np.zeros(32), np.zeros(32), 0, 0.0

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    for following in sequence:
        x = p["embedding"][word]
        i, f, og = (sigmoid(x @ p[f"W{g}"] + h @ p[f"U{g}"] + p[f"b{g}"]) for g in ("i", "f", "og"))
        c = f * c + i * np.tanh(x @ p["Wc"] + h @ p["Uc"] + p["bc"])
        h = og * np.tanh(c)
        logits = h @ p["Wo"] + p["bo"]
        total += logits[following] - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
        word = following
    return total


def test_the_oracle_agrees_with_its_definition(oracle):
    path = data_root("seqgan_oracle") / "seqgan_oracle" / "target_params.npz"
    sequences = oracle.sample(3, seed=1)
    expected = [log_prob_in_numpy(row, path) for row in sequences.tolist()]
    assert oracle.log_prob(sequences).tolist() == pytest.approx(expected, abs=1e-3)


def test_samples_of_the_oracle_have_its_entropy_and_depend_on_the_seed(oracle):
    sequences = oracle.sample(128, seed=0)
    per_word = -oracle.log_prob(sequences) / LENGTH
    assert float(per_word.mean()) == pytest.approx(5.73, abs=4 * float(per_word.std()) / 128**0.5 + 0.02)
    assert torch.equal(sequences, oracle.sample(128, seed=0))
    assert not torch.equal(sequences, oracle.sample(128, seed=1))


def test_texts_and_sequences_of_the_oracle_have_one_probability(oracle):
    sequences = oracle.sample(4, seed=2)
    written = [oracle.text_of(row) for row in sequences.tolist()]
    assert oracle.log_prob_of_texts(written).tolist() == pytest.approx(oracle.log_prob(sequences).tolist())
    odd = ["", "w1 w2", written[0] + " w1", written[0].replace("w", "v"), written[0].replace(" ", "  ", 1)]
    assert oracle.log_prob_of_texts(odd).tolist() == [-math.inf] * len(odd)


def test_a_file_that_is_not_the_oracle_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", **{name: np.zeros(3) for name in SHAPES})
    (tmp_path / "text.npz").write_text("no arrays")
    np.savez(tmp_path / "few.npz", embedding=np.zeros(3))
    for name in ("other.npz", "text.npz", "few.npz", "none.npz"):
        with refused(DataError, tmp_path / name, fix="target_params.npz"):
            Oracle.load(tmp_path / name)


@pytest.mark.slow
def test_the_oracle_is_drawn_once_with_all_of_its_words(monkeypatch):
    source = resolve_source("oracle", SOURCES, data_root("seqgan_oracle"), print)
    data = open_text(source, TextConfig())
    assert [len(data.view(split)) for split in SPLITS] == [10_000, 1_000, 1_000]
    assert len(data.spec["words"]) == 5_000 and data.spec["token_lengths"]["word"] == LENGTH
    again = Oracle(data.spec["oracle"])
    assert torch.isfinite(again.log_prob_of_texts(texts(data, "valid")[:50])).all()
    monkeypatch.setattr(Oracle, "sample", lambda *given: pytest.fail("drawn a second time"))
    assert open_text(source, TextConfig()).fingerprint == data.fingerprint


def small_chain():
    """Three states in place of all words: others have no probability."""
    rows = torch.full((len(WORDS) + 1, len(WORDS)), 0.0, dtype=torch.float64)
    rows[:, :3] = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    rows[1, :3] = torch.tensor([0.9, 0.1, 0.0], dtype=torch.float64)
    rows[3, :3] = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    return rows


def test_entropy_and_divergence_of_the_chain_are_those_of_its_enumeration(monkeypatch):
    rows = small_chain()
    one, other = MarkovChain(rows), MarkovChain(torch.where(rows > 0, rows.sqrt(), 0.0))
    other = MarkovChain(other.parameters / other.parameters.sum(1, keepdim=True))
    every = torch.tensor(list(itertools.product(range(3), repeat=12)))
    p, q = (chain.log_prob(every) for chain in (one, other))
    possible = p > -math.inf
    assert float(p.exp().sum()) == pytest.approx(1)
    assert one.entropy() == pytest.approx(-float((p.exp() * p)[possible].sum()))
    assert one.kl_divergence(other) == pytest.approx(float((p.exp() * (p - q))[possible].sum()))
    assert one.kl_divergence(one) == 0


def test_texts_of_the_chain_have_its_entropy_and_spec_makes_it_again():
    data = open_text(resolve_source("markov", SOURCES, None, print), TextConfig())
    chain = MarkovChain(data.spec["markov"])
    log_probs = chain.log_prob_of_texts(texts(data, "train"))
    assert len(log_probs) == 8_000
    assert -float(log_probs.mean()) == pytest.approx(
        chain.entropy(), abs=4 * float(log_probs.std()) / 8_000**0.5
    )
    other = open_text(resolve_source("markov", SOURCES, None, print), TextConfig(seed=1))
    assert other.fingerprint != data.fingerprint
    assert not torch.equal(other.spec["markov"], data.spec["markov"])


def test_texts_of_the_chain_that_repeat_are_kept_and_counted():
    data = open_text(
        resolve_source("markov", SOURCES, None, print), TextConfig(max_characters=3, min_count=99)
    )
    assert sum(len(data.view(split)) for split in SPLITS) == 10_000 and len(data.spec["words"]) == 30
    train = set(texts(data, "train"))
    shared = sum(text in train for text in texts(data, "test"))
    assert any(f"{shared} of test are also in train" in line for line in data.summary)
