"""Tokenizers give texts back, and what a text costs is a probability."""

from __future__ import annotations

import itertools
import json
import math

import pytest
import torch
from gancore_text.config import TextConfig
from gancore_text.dataset import open_text
from gancore_text.local_tokenizer import read_tokenizer
from gancore_text.representation import TokenIds, canonical, texts_of
from gancore_text.spelling import EDGE, spelling_log_prob, spelling_log_probs
from gancore_text.tokenizer import (
    END,
    RESERVED,
    UNKNOWN,
    UNKNOWN_TEXT,
    BPETokenizer,
    CharacterTokenizer,
    LocalTokenizer,
    Vocabularies,
    WordTokenizer,
    make_tokenizer,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from gancore.data.dataset import Batch, Spec
from gancore.data.sources import Source
from gancore.errors import ConfigError, DataError
from gancore.random import Key

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
SENTENCES = [
    "a man rides a horse .",
    "a horse !",
    "use <|endoftext|> here",
    "<unk> is a word",
    "\u0149ot \ufb01ne e\u0301 👩‍👩‍👧",
]
VOCABULARIES = Vocabularies(SENTENCES, min_count=1, max_words=100, bpe_size=300)
ALL = {
    "word": WordTokenizer(VOCABULARIES.words),
    "character": CharacterTokenizer(VOCABULARIES.characters),
    "bpe": BPETokenizer(VOCABULARIES.bpe),
    "local": LocalTokenizer(VOCABULARIES.bpe),
}


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=300, deadline=None)
@given(text=TEXTS)
def test_decoding_undoes_encoding_but_for_what_is_unknown(name, text):
    tokenizer = ALL[name]
    ids, unknown = tokenizer.encode(text), tokenizer.unknown(text)
    assert ids.count(UNKNOWN) == len(unknown) and END not in ids and max(ids, default=0) < tokenizer.size
    if not unknown:
        assert tokenizer.decode(ids) == text


@settings(max_examples=300, deadline=None)
@given(text=TEXTS)
def test_tokens_joined_again_are_the_text(text):
    assert "".join(ALL["character"].split(text)) == text
    assert "".join(ALL["word"].split(text)) == " " + text


@settings(max_examples=200, deadline=None)
@given(text=TEXTS)
def test_bytes_have_every_text(text):
    assert ALL["bpe"].decode(ALL["bpe"].encode(text)) == text


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=5))
def test_canonical_samples_hold_every_text(texts):
    assert texts_of(canonical(texts, 200)) == texts


@settings(max_examples=200, deadline=None)
@given(text=TEXTS, most=st.integers(1, 20))
def test_what_does_not_fit_is_cut_between_characters(text, most):
    (kept,) = texts_of(canonical([text], most))
    assert text.startswith(kept) and len(kept.encode()) <= most
    assert kept == text or len((kept + text[len(kept)]).encode()) > most


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("text", SENTENCES)
def test_text_that_spells_control_tokens_is_text_and_letters_and_spaces_stay(name, text):
    """End markers, U+0149, ligatures, joiners, and the space before punctuation."""
    ids = ALL[name].encode(text)
    assert END not in ids and UNKNOWN not in ids and ALL[name].decode(ids) == text


def test_vocabularies_are_ordered_by_count():
    found = Vocabularies(["b b b", "a a", "c"], min_count=2, max_words=10, bpe_size=300)
    assert found.words == [" b", " a"] and found.rare_words == {" c": 1}
    assert found.characters == [" ", "b", "a", "c"]
    assert Vocabularies(["b b b", "a a"], 1, 1, 300).words == [" b"]


# Local tokenizers


def gpt2_like():
    """Byte-level, with an end marker among its tokens, as GPT-2's file has it."""
    definition = Tokenizer.from_str(VOCABULARIES.bpe)
    definition.add_special_tokens(["<|endoftext|>"])
    return definition


def wordpiece():
    vocabulary = {token: n for n, token in enumerate(["[UNK]", "hello", "world", "!", "##s"])}
    definition = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    definition.pre_tokenizer = pre_tokenizers.Whitespace()
    definition.decoder = decoders.WordPiece(cleanup=True)
    return definition


def written(tmp_path, definition):
    definition.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def test_an_end_marker_in_a_text_is_text_for_a_local_tokenizer(tmp_path):
    folder = written(tmp_path, gpt2_like())
    tokenizer = LocalTokenizer(read_tokenizer(str(folder)))
    marker = RESERVED + gpt2_like().token_to_id("<|endoftext|>")
    text = "use <|endoftext|> here"
    assert marker not in tokenizer.encode(text) and tokenizer.decode(tokenizer.encode(text)) == text
    assert gpt2_like().token_to_id("<|endoftext|>") in gpt2_like().encode(text).ids  # what others do


def test_a_local_tokenizer_neither_cuts_nor_pads(tmp_path):
    definition = gpt2_like()
    definition.enable_truncation(3)
    definition.enable_padding(length=50)
    tokenizer = LocalTokenizer(read_tokenizer(str(written(tmp_path, definition))))
    assert tokenizer.decode(tokenizer.encode("a man rides a horse .")) == "a man rides a horse ."


def test_clean_up_is_off_so_that_the_space_before_punctuation_stays(tmp_path):
    folder = written(tmp_path, wordpiece())
    assert wordpiece().decode(wordpiece().encode("hello !").ids) == "hello!"
    tokenizer = LocalTokenizer(read_tokenizer(str(folder)))
    assert tokenizer.decode(tokenizer.encode("hello worlds !")) == "hello worlds !"


@pytest.mark.parametrize("text", ["goodbye world", "hello  world", "hello!"])
def test_a_text_that_a_local_tokenizer_changes_is_unknown_as_a_whole(tmp_path, text):
    tokenizer = LocalTokenizer(read_tokenizer(str(written(tmp_path, wordpiece()))))
    assert tokenizer.encode(text) == [UNKNOWN] and tokenizer.unknown(text) == [text]
    assert tokenizer.decode([UNKNOWN]) == UNKNOWN_TEXT


@pytest.fixture
def sentences(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "a.txt"
    path.write_text("".join(f"Hello world{'s' * n} !\n" for n in range(40)))
    return path


def test_a_tokenizer_that_changes_the_texts_is_refused_with_an_example(sentences, tmp_path):
    definition = gpt2_like()
    definition.normalizer = normalizers.Lowercase()
    folder = str(written(tmp_path, definition))
    source = Source("a", sentences)
    with refused(DataError, "data.tokenizer", 40, "Hello", "hello", fix="data.lowercase"):
        open_text(source, TextConfig(tokenizer=folder))
    data = open_text(source, TextConfig(tokenizer=folder, lowercase=True))
    tokens = TokenIds("local", data.spec)
    batch = data.view("train").get_batch(torch.arange(5), Key.of(0))
    assert texts_of(tokens.decode(tokens.encode(batch).data)) == texts_of(batch.data)
    assert any("data.tokenizer" in line for line in data.summary)


def test_the_path_of_a_tokenizer_is_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert TextConfig(tokenizer="mine").tokenizer == str(tmp_path / "mine")


@pytest.mark.parametrize("content", [None, "", "[1]", "{}", '{"model": 3}', "[" * 100_000])
def test_what_is_no_tokenizer_is_refused_in_one_line(tmp_path, content):
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with refused(DataError, "data.tokenizer", tmp_path / "tokenizer.json", fix="tokenizer.json") as error:
        read_tokenizer(str(tmp_path))
    assert "\n" not in str(error.value)


def test_a_model_of_a_local_tokenizer_needs_one():
    with refused(ConfigError, "model.tokenizer", fix="data.tokenizer"):
        make_tokenizer("local", Spec({"tokenizer": ""}))


# Probability


def test_the_probabilities_of_spellings_sum_to_at_most_one_and_nearly_to_it():
    table = spelling_log_probs({"ab": 3, "b": 2, "aab": 1})
    total, alphabet = 0.0, [97, 98]
    weight = torch.zeros(257, dtype=torch.float64)
    weight[EDGE] = 1
    for _ in range(200):  # the mass of all spellings of each length, over all bytes
        weight = weight @ table.double().exp()
        total += float(weight[EDGE])
        weight[EDGE] = 0
    assert total == pytest.approx(1, abs=1e-3) and total <= 1 + 1e-5
    short = ["".join(map(chr, t)) for n in range(1, 4) for t in itertools.product(alphabet, repeat=n)]
    assert sum(math.exp(spelling_log_prob(text, table)) for text in short) < total


def tiny_spec(texts, tokenizer=""):
    found = Vocabularies(texts, min_count=2, max_words=2, bpe_size=258)
    fields = {"words": found.words, "characters": ["a"], "bpe": found.bpe, "tokenizer": tokenizer}
    lengths = dict.fromkeys(("word", "character", "bpe", "local"), 12)
    rare = found.rare_words or {"b": 1}
    return Spec({**fields, "token_lengths": lengths, "max_bytes": 12}, {"spelling": spelling_log_probs(rare)})


@pytest.mark.parametrize("name", ["word", "character", "bpe", "local"])
def test_tokens_and_spellings_together_are_a_probability_of_texts(name):
    """Over all texts of a, b and space up to 7 characters, for tokens drawn independently until END."""
    spec = tiny_spec(["a b", "a", "ab a", "b"], VOCABULARIES.bpe)
    tokens = TokenIds(name, spec)
    texts = ["".join(t) for n in range(8) for t in itertools.product("ab ", repeat=n)]
    batch = Batch(canonical(texts, 12))
    ids = tokens.encode(batch).data
    used = sorted({int(number) for number in ids.unique()})
    probability = torch.zeros(tokens.vocab_size, dtype=torch.float64)
    probability[used] = 0.4 / max(1, len(used) - 1)
    probability[END] = 0.6
    before = (ids != END).cumsum(1) == torch.arange(1, ids.shape[1] + 1)
    log_probs = torch.where(before, probability[ids].log(), 0.0).sum(1) + math.log(0.6)
    total = float((log_probs + tokens.log_det(batch)).exp().sum())
    assert total <= 1 + 1e-9
    assert total > {"word": 0.2, "character": 0.6, "bpe": 0.7, "local": 0.7}[name]


def test_an_unknown_word_costs_its_spelling():
    spec = tiny_spec(["a a", "a a", "zz"])
    tokens = TokenIds("word", spec)
    batch = Batch(canonical(["a a", "a zz", "qq zz"], 12))
    known, one, two = tokens.log_det(batch).tolist()
    assert known == 0 and one == pytest.approx(spelling_log_prob(" zz", spec["spelling"]))
    assert two == pytest.approx(one + spelling_log_prob(" qq", spec["spelling"])) and two < 2 * one


def test_a_vocabulary_file_keeps_its_ids(tmp_path):
    """The ids of a pretrained model's embedding rows follow those reserved."""
    definition = wordpiece()
    tokenizer = LocalTokenizer(read_tokenizer(str(written(tmp_path, definition))))
    assert tokenizer.encode("hello world") == [RESERVED + n for n in definition.encode("hello world").ids]
    assert json.loads((tmp_path / "tokenizer.json").read_text())["decoder"]["cleanup"] is True
