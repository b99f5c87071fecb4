"""Features of texts: hashed n-grams, sentence embeddings, and the divergence curve on them."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import pytest
import torch
from gancore_text.divergence_curve import area, divergence_curve
from gancore_text.features import HashedNgrams, hash_ngrams, hash_token
from gancore_text.representation import canonical
from gancore_text.sentences import VARIABLE, SentenceEmbeddings, SentenceEncoder, encoder_folder
from gancore_text.tokenizer import split_words

from gancore import MetricInputs
from gancore.data.dataset import Spec
from gancore.errors import ConfigError
from gancore.metrics.metric import SampleSet

SPEC = Spec({})


def embed(*texts):
    return HashedNgrams().embed(canonical(list(texts), 80), SPEC)


def test_features_do_not_depend_on_the_process():
    code = "from gancore_text.features import hash_token; print(hash_token('cat'))"
    made = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": seed, **paths()},
        ).stdout
        for seed in ("1", "2")
    ]
    assert made[0] == made[1] == f"{hash_token('cat')}\n"


def paths():
    return {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}


def test_features_are_sums_over_ngrams():
    words = embed("a", "b", "a b")
    (pair,) = hash_ngrams(["a", "b"], (2,))
    assert len(hash_ngrams(["a", "b"], (1, 2))) == 3 and pair not in hash_ngrams(["b", "a"], (1, 2))
    difference = words[2] - words[0] - words[1]
    assert difference.abs().sum() == 1 and int(difference.abs().argmax()) < words.shape[1]
    assert not embed("").any() and embed("").isfinite().all()


def test_order_is_seen_and_spaces_before_punctuation_are_not():
    rows = embed("the cat sat.", "the cat sat .", "sat the cat .")
    assert torch.equal(rows[0], rows[1]) and not torch.equal(rows[1], rows[2])


def test_products_of_rows_are_common_ngrams_on_average():
    generator = torch.Generator().manual_seed(1)
    texts = [" ".join(f"w{n}" for n in torch.randint(0, 60, (8,), generator=generator)) for _ in range(300)]
    x = HashedNgrams().embed(canonical(texts, 60), SPEC)
    counts = [Counter(hash_ngrams(split_words(text), (1, 2)).tolist()) for text in texts]
    common = [sum(a[gram] * b[gram] for gram in a) for a, b in pairwise(counts)]
    errors = [float(x[i] @ x[i + 1]) - common[i] for i in range(299)]
    mean = sum(errors) / len(errors)
    spread = math.sqrt(sum((e - mean) ** 2 for e in errors) / len(errors))
    assert abs(mean) < 4 * spread / 299**0.5 and spread < 2.5


def test_the_area_of_equal_distributions_is_1_and_of_disjoint_ones_known():
    p, q = torch.tensor([0.5, 0.3, 0.2, 0.0]).double(), torch.tensor([0.0, 0.0, 0.0, 1.0]).double()
    assert area(p, p) == pytest.approx(1, abs=1e-9)
    for c in (1, 2, 5):
        exact = math.factorial(c) ** 2 / math.factorial(2 * c)
        assert area(p, q, c) == pytest.approx(exact, rel=0.02)
    assert area(p, q) < area(p, (p + q) / 2) < 1


def test_the_area_is_symmetric():
    p, q = (torch.tensor(x).double() for x in ([0.6, 0.3, 0.1], [0.2, 0.2, 0.6]))
    assert area(p, q) == pytest.approx(area(q, p), abs=1e-4)


def test_the_curve_orders_real_shifted_and_disjoint_samples():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(900, 6, generator=generator) + torch.tensor([3.0, 0, 0, 0, 0, 0])

    def value(fake):
        sets = [SampleSet(rows, features=rows) for rows in (fake, x[:300], x[:300])]
        inputs = MetricInputs(*sets, SPEC)
        low, high, _ = divergence_curve.interval(inputs)
        found = divergence_curve.compute(inputs)
        assert low <= found <= high
        return found

    shifted = x[600:] + torch.tensor([0.0, 1.0, 0, 0, 0, 0])
    assert value(x[300:600]) > value(shifted) > value(-x[300:600])


@pytest.fixture
def bert(tmp_path):
    """A tiny random BERT, with its tokenizer."""
    import transformers

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh", *(f"##{c}" for c in "abcdefgh")]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    tokenizer = transformers.BertTokenizerFast(vocab=str(tmp_path / "vocab.txt"))
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.BertConfig(vocab_size=len(words), max_position_embeddings=32, **sizes)
    torch.manual_seed(1)
    transformers.BertModel(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def test_a_sentence_encoder_is_read_from_a_folder(bert, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(bert))
    lines = []

    class Context:
        announce = lines.append

    features = SentenceEmbeddings()
    features.prepare(Context)
    rows = features.embed(canonical(["ab c", "ab c d e f g h", "ab c"], 40), SPEC)
    alone = features.embed(canonical(["ab c"], 40), SPEC)
    assert rows.shape == (3, 16) and torch.allclose(rows.norm(dim=1), torch.ones(3))
    assert torch.allclose(rows[0], alone[0], atol=1e-6) and torch.equal(rows[0], rows[2])
    assert not torch.allclose(rows[0], rows[1], atol=1e-3) and "sha256" in lines[0]
    assert features.digest == SentenceEmbeddings.digest.fget(features)


def test_pooling_is_what_the_folder_says(bert):
    mean = SentenceEncoder(bert)
    (bert / "modules.json").write_text(json.dumps([{"type": "sentence_transformers.models.Transformer"}]))
    (bert / "1_Pooling").mkdir()
    (bert / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    first = SentenceEncoder(bert)
    assert (mean.uses_first, mean.normalized) == (False, True)
    assert (first.uses_first, first.normalized) == (True, False)
    assert mean.digest != first.digest


def test_a_missing_or_broken_encoder_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(ConfigError) as error:
        SentenceEncoder(encoder_folder())
    assert "\n" not in str(error.value) and VARIABLE in str(error.value)
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="sentences"):
        encoder_folder()
