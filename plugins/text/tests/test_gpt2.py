"""GPT-2: a distribution over texts, sampled with a cache, equal to that of transformers."""

from __future__ import annotations

import itertools
import json
import shutil
import sys

import pytest
import torch
import transformers
from gancore_text.config import TextConfig
from gancore_text.dataset import open_text
from gancore_text.gpt2 import GPT2, GPT2Config, GPT2LanguageModel, GPT2Trunk
from gancore_text.local_tokenizer import read_tokenizer
from gancore_text.representation import texts_of
from gancore_text.sources import SOURCES
from gancore_text.tokenizer import END, RESERVED, BPETokenizer
from refusals import refused
from tokenizers import Tokenizer

import gancore
from gancore.config_layers import build_config, flatten_settings
from gancore.data.sources import resolve_source
from gancore.errors import ConfigError
from gancore.nn import sample_categorical
from gancore.random import Key

LENGTH = 4
TEXTS = [f"{who} {does} {what}" for who in "ab" for does in ("sees", "hears") for what in range(10)]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = GPT2LanguageModel(GPT2Trunk(8, LENGTH, layers=2, heads=2), 4, LENGTH).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def test_probabilities_of_all_texts_add_up_to_one(model):
    rows = torch.tensor(list(itertools.product(range(4), repeat=LENGTH)))
    with torch.no_grad():
        total = model.log_prob(rows).double().exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-5)


def test_a_step_with_the_cache_gives_the_logits_of_the_whole_pass(model):
    rows = torch.tensor(list(itertools.product(range(1, 4), repeat=LENGTH)))
    whole = model.logits(rows)
    state, before, first = model.initial(len(rows)), None, None
    for t in range(LENGTH):
        logits, after = model.step(state, before)
        torch.testing.assert_close(logits, whole[:, t], rtol=1e-4, atol=1e-5)
        first = state if first is None else first
        state, before = after, rows[:, t]
    torch.testing.assert_close(model.step(first, None)[0], whole[:, 0], rtol=1e-4, atol=1e-5)


def test_samples_are_those_of_the_whole_pass(model):
    key, before = Key.of("samples"), torch.empty(50, 0, dtype=torch.int64)
    uniform = (key / "x").uniform(50, LENGTH)
    for t in range(LENGTH):
        padded = torch.cat([before, torch.zeros(50, LENGTH - t, dtype=torch.int64)], 1)
        logits = model.logits(padded)[:, t].detach() / 0.7
        drawn = sample_categorical(logits, uniform[:, t])
        ended = (before == END).any(1)
        before = torch.cat([before, torch.where(ended, END, drawn)[:, None]], 1)
    assert torch.equal(model.sample(50, key, temperature=0.7), before)


def test_dropout_is_keyed_and_that_of_attention_is_off():
    trunk = GPT2Trunk(8, LENGTH, layers=1, heads=2, dropout=0.5).train()
    kinds = {name: type(layer) for name, layer in trunk.named_modules() if "drop" in name}
    assert set(kinds.values()) == {gancore.nn.Dropout} and len(kinds) == 4
    assert {layer.p for name, layer in trunk.named_modules() if name.endswith("attn_dropout")} == {0.0}


def test_heads_must_divide_the_width():
    with refused(ConfigError, "model.width=8", "model.heads=3"):
        GPT2Trunk(8, LENGTH, layers=1, heads=3)


def test_without_transformers_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with refused(ConfigError, "gpt2", "transformers", fix="gancore-text[gpt2]"):
        GPT2Trunk(8, LENGTH, layers=1, heads=2)


# Pretrained folders


def written(folder, **settings):
    """A tiny GPT-2 and its tokenizer, as save_pretrained writes them."""
    definition = Tokenizer.from_str(BPETokenizer.train(TEXTS, 270))
    definition.add_special_tokens(["<|endoftext|>"])
    end = definition.token_to_id("<|endoftext|>")
    sizes = {"n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 40, **settings}
    config = transformers.GPT2Config(
        vocab_size=definition.get_vocab_size(), bos_token_id=end, eos_token_id=end, **sizes
    )
    torch.manual_seed(1)
    network = transformers.GPT2LMHeadModel(config).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    network.save_pretrained(folder)
    definition.save(str(folder / "tokenizer.json"))
    return network, end


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "pretrained"
    folder.mkdir()
    written(folder)
    return folder


def lines(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(TEXTS))
    return path


def built(tmp_path, folder, tokenizer=None, model_tokenizer="local", **model):
    """The game, with what it loads at first."""
    data = TextConfig(tokenizer=str(tokenizer or folder))
    spec = open_text(resolve_source(str(lines(tmp_path)), SOURCES, None, print), data).spec
    config = GPT2Config(pretrained=str(folder), tokenizer=model_tokenizer, **model)
    game = GPT2().build(config, spec)
    game.initialize(None)
    return game, spec


def test_likelihoods_are_those_of_transformers(tmp_path):
    folder = tmp_path / "pretrained"
    folder.mkdir()
    network, end = written(folder)
    game, _ = built(tmp_path, folder)
    tokens = game.representation.tokenizer
    ids = [tokens.encode(text) for text in TEXTS[:5]]
    rows = torch.tensor([[*row, *[END] * (game.representation.length - len(row))] for row in ids])
    with torch.no_grad():
        own = game.model.eval().log_prob(rows)
        for row, log_prob in zip(ids, own, strict=True):
            theirs = torch.tensor([[end, *[number - RESERVED for number in row], end]])
            given = network(theirs[:, :-1]).logits.log_softmax(-1)[0]
            wanted = given.gather(1, theirs[0, 1:, None]).sum()
            assert log_prob.item() == pytest.approx(wanted.item(), abs=1e-2)


def resolved(**model):
    return build_config(TextConfig, GPT2Config, [flatten_settings({"model": model}, "here")]).model


def test_sizes_and_tokenizer_come_from_the_folder_and_are_stored(folder):
    config = resolved(pretrained=str(folder))
    assert (config.width, config.layers, config.heads, config.tokenizer) == (8, 2, 2, "local")
    assert config.lr == 1e-4 and resolved(pretrained=str(folder), lr=0.5).lr == 0.5
    stored = config.model_dump()
    shutil.rmtree(folder)
    assert resolved(**stored) == config
    with refused(ConfigError, "model.pretrained", folder / "config.json"):
        resolved(pretrained=str(folder))


def test_a_pickle_is_refused(tmp_path, folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with refused(ConfigError, "model.pretrained", "model.safetensors", "pytorch_model.bin", "pickle"):
        built(tmp_path, folder)
    torch.save({"wte.weight": torch.zeros(2, 2)}, folder / "model.safetensors")
    with refused(ConfigError, "model.pretrained"):
        built(tmp_path, folder)


def test_a_tokenizer_that_is_not_the_folders_is_refused(tmp_path, folder):
    other = tmp_path / "other"
    other.mkdir()
    Tokenizer.from_str(BPETokenizer.train(TEXTS, 300)).save(str(other / "tokenizer.json"))
    with refused(ConfigError, "data.tokenizer", folder / "tokenizer.json", fix="data.tokenizer"):
        built(tmp_path, folder, tokenizer=other)
    with refused(ConfigError, "model.pretrained", fix="model.tokenizer"):
        built(tmp_path, folder, model_tokenizer="bpe")


@pytest.mark.parametrize(
    ("name", "value"), [("activation_function", "relu"), ("model_type", "gpt_neo"), ("n_embd", None)]
)
def test_another_architecture_is_refused(folder, name, value):
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, name: value}))
    with refused(ConfigError, "model.pretrained", name):
        resolved(pretrained=str(folder))


def test_other_sizes_than_the_folders_are_refused(tmp_path, folder):
    with refused(ConfigError, "model.pretrained", 16, fix="model.width"):
        built(tmp_path, folder, width=16, layers=2, heads=2)


def test_too_few_positions_are_refused(tmp_path):
    folder = tmp_path / "pretrained"
    folder.mkdir()
    written(folder, n_positions=2)
    with refused(ConfigError, "model.pretrained", 2, fix="data.max_characters"):
        built(tmp_path, folder)


def test_embeddings_of_fewer_tokens_than_the_tokenizer_has_are_refused(tmp_path, folder):
    definition = Tokenizer.from_str(read_tokenizer(str(folder)))
    definition.add_tokens(["zzz"])
    definition.save(str(folder / "tokenizer.json"))
    with refused(ConfigError, "model.pretrained", 271):
        built(tmp_path, folder)


@pytest.mark.slow
def test_a_fine_tuned_run_resumes_and_samples_without_the_weights_it_started_from(tmp_path, folder):
    """With constant rates, so that 2 + 2 steps are 4."""
    overrides = [f"data.tokenizer={folder}", f"model.pretrained={folder}", "model.lr_end=1"]
    overrides += ["model.lr_warmup=0", "model.batch_size=4", "train.precision=fp32"]
    options = {"recipe": "gpt2", "data": lines(tmp_path), "overrides": overrides, "progress": "none"}
    whole = gancore.train("text", out=tmp_path / "whole", steps=4, **options)
    part = gancore.train("text", out=tmp_path / "part", steps=2, **options)
    (folder / "model.safetensors").unlink()
    (folder / "config.json").unlink()
    resumed = gancore.train(resume=part.folder, steps=4, progress="none")
    first, second = ((run.model / "model.safetensors").read_bytes() for run in (whole, resumed))
    assert first == second
    shutil.rmtree(folder)
    assert len(texts_of(gancore.load(resumed.model).sample(2, seed=0).data)) == 2
