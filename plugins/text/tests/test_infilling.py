"""Gaps: prompts, masks, likelihoods given a context, and given words that are kept."""

from __future__ import annotations

import pytest
import torch
from gancore_text.infilling import GAP_BYTE, draw_gaps, parse_prompt
from gancore_text.maskgan import MaskGAN
from gancore_text.representation import texts_of
from gancore_text.tokenizer import END, UNKNOWN
from refusals import refused
from tiny_text_gans import all_sequences, context_of, tiny_game, tiny_spec

import gancore
from gancore.errors import ConfigError
from gancore.models.sampling import draw_samples
from gancore.random import Key


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def spec(tmp_path):
    return tiny_spec(tmp_path)


@pytest.fixture
def game(spec):
    return tiny_game(MaskGAN(), spec, discriminator_width=6).eval()


def infilled(game, prompt, spec, n=64, temperature=None):
    sampler = game.sampler().eval()
    partial = parse_prompt(prompt, spec)
    none = lambda n, key: None  # noqa: E731
    data, _ = draw_samples(sampler, n, Key.of("gaps"), none, temperature=temperature, partial_sample=partial)
    return texts_of(data)


def test_given_tokens_are_kept_and_gaps_are_one_token(game, spec):
    texts = infilled(game, "___ b", spec)
    words = [text.split(" ") for text in texts]
    assert {tuple(row[1:]) for row in words} == {("b",)} and len({row[0] for row in words}) == 3


def test_words_that_the_model_does_not_know_are_kept(game, spec):
    assert {text.split(" ")[0] for text in infilled(game, "Z ___", {**spec.fields, "max_bytes": 9})} == {"Z"}


def test_a_low_temperature_fills_in_the_most_probable_token(game, spec):
    assert len(set(infilled(game, "___ b", spec, temperature=1e-3))) == 1
    with refused(ConfigError, "temperature", 0):
        infilled(game, "___ b", spec, temperature=0.0)


def test_row_i_depends_on_row_i_of_the_key_alone(game, spec):
    assert infilled(game, "a ___", spec, 70)[:5] == infilled(game, "a ___", spec, 5)


@pytest.mark.parametrize("given", [[None, None, None], [None, 2, END], [2, None, END], [None, None, END]])
def test_the_likelihood_given_a_context_sums_to_one_and_is_that_of_samples(game, given):
    texts = all_sequences(game)
    context = context_of(game, given)
    fits = [
        all(at is None or at == token for at, token in zip(given, row, strict=True)) for row in texts.tolist()
    ]
    if None in given[1:2] or given[2] is not None:  # no text ends in a gap that given tokens follow
        last = max((i for i, at in enumerate(given) if at is not None), default=-1)
        fits = [
            fit and all(row[i] != END for i in range(last) if given[i] is None)
            for fit, row in zip(fits, texts.tolist(), strict=True)
        ]
    texts = texts[torch.tensor(fits)]
    p = game.generator.log_prob(texts, context.expand(len(texts), -1)).exp()
    assert float(p.sum()) == pytest.approx(1, abs=1e-5)
    drawn = game.generator.sample(4000, Key.of("many"), context.expand(4000, -1))
    shares = torch.stack([(drawn == text).all(1).float().mean() for text in texts])
    torch.testing.assert_close(shares, p, atol=4 * 0.5 / 4000**0.5, rtol=0)


def test_without_a_context_the_likelihood_is_that_of_a_language_model(game):
    texts = all_sequences(game)
    all_gap = context_of(game, [None] * 3).expand(len(texts), -1)
    torch.testing.assert_close(game.generator.log_prob(texts), game.generator.log_prob(texts, all_gap))
    assert float(game.generator.log_prob(texts).exp().sum()) == pytest.approx(1, abs=1e-5)


def test_gaps_of_training_are_inside_texts_and_every_text_has_one():
    ids = torch.tensor([[2, 3, 4, 5, 2, END, END], [2, END, END, END, END, END, END]]).repeat(2000, 1)
    gaps = draw_gaps(ids, Key.of("gaps").uniform(len(ids), 10))
    everything = gaps.all(1)
    assert bool(gaps.any(1).all()) and not bool((gaps & (ids == END))[~everything].any())
    assert float(everything.float().mean()) == pytest.approx(0.25, abs=0.03)
    partly = gaps[~everything & (ids[:, 1] != END)]
    single = ((partly[:, 1:] & ~partly[:, :-1]).sum(1) + partly[:, 0]) > 1  # more than one stretch of gaps
    assert 0.05 < float(single.float().mean()) < 0.6


def test_a_prompt_is_read(spec):
    long = {"max_bytes": 40}
    found = bytes(parse_prompt("  a  _____ b ___.", long)[0].tolist())
    assert found == b"a \xff b \xff." and GAP_BYTE == 0xFF


@pytest.mark.parametrize(
    ("prompt", "named"),
    [("a b", "gap"), ("a __ b", "gap"), ("a ___ \0", "NUL"), ("___" + "é" * 30, 61)],
)
def test_a_prompt_that_cannot_be_filled_is_refused(prompt, named):
    with refused(ConfigError, named):
        parse_prompt(prompt, {"max_bytes": 40})


def test_a_prompt_that_does_not_fit_the_tokens_is_refused(game):
    sampler = game.sampler()
    with refused(ConfigError, 3, 2):
        sampler.context(["a b ", ""])
    with refused(ConfigError, "ing", fix="spaces"):
        sampler.context(["", "ing"])
    assert sampler.context(["", "."]).tolist() == [[game.generator.gap, UNKNOWN, END]]


@pytest.mark.slow
def test_a_trained_model_fills_the_gaps_of_a_prompt(tmp_path):
    small = [f"model.{key}=8" for key in ("width", "embedding_dim", "discriminator_width", "batch_size")]
    run = tmp_path / "run"
    settings = {"steps": 4, "overrides": [*small, "data.max_characters=40"], "progress": "none"}
    gancore.train("text", recipe="maskgan", out=run, **settings)
    [file, _] = gancore.generate(run, n=5, infill="The ___  Zyx ___.", out=tmp_path / "filled", seed=3)
    lines = file.read_text().splitlines()
    assert len(lines) == 5 and all(line.startswith("The ") and line.endswith(".") for line in lines)
    assert all(" Zyx " in line for line in lines)
    [again, _] = gancore.generate(run, n=2, infill="The ___ Zyx ___.", out=tmp_path / "again", seed=3)
    assert again.read_text().splitlines() == lines[:2]
    with refused(ConfigError, "gap"):
        gancore.generate(run, infill="no", out=tmp_path / "none")
    with refused(ConfigError, "--infill", fix="--temperature"):
        gancore.generate(run, infill="a ___", truncation=0.5, out=tmp_path / "none")
