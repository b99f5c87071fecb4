"""Where a value comes from, and what is said when it cannot be."""

from pathlib import Path

import pytest
from refusals import refused
from toy_plugin import ToyData, ToyModel

from gancore.config import RecipeConfig, config_hash, diff_configs
from gancore.config_layers import build_config, flatten_settings, load_config_file, resolve_config
from gancore.config_yaml import to_yaml
from gancore.errors import ConfigError, PluginError


def resolve(*overrides, **flags):
    return resolve_config(flags.pop("domain", "toy"), overrides=overrides, **flags)


def complaint(*overrides, **flags) -> str:
    with pytest.raises((ConfigError, PluginError)) as caught:
        resolve(*overrides, **flags)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text


@pytest.fixture
def file(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "run.yaml"
        path.write_text(text)
        return path

    return write


def test_what_nobody_says_has_its_default():
    config = resolve()
    assert (config.domain, config.recipe) == ("toy", "lite")  # the domain's first recipe
    assert config.model == ToyModel()
    assert config.train.steps is None


def test_later_layers_win(file):
    path = file("model: {width: 3, rate: 0.5}\ntrain: {seed: 3, device: cuda}\n")
    config = resolve("train.device=mps", config=path, seed=4, device="cpu")
    assert config.model.width == 3
    assert config.train.seed == 4
    assert config.train.device == "mps"


def test_the_last_override_of_a_key_wins():
    assert resolve("model.width=3", "model.width=4").model.width == 4


def test_domain_and_recipe_may_stand_in_the_file(file):
    config = resolve(domain=None, config=file("domain: toy\nrecipe: plain\n"))
    assert (config.domain, config.recipe) == ("toy", "plain")
    assert type(config.model) is RecipeConfig


def test_the_data_flag_is_text_whatever_it_looks_like():
    assert resolve(data="2024").data.source == "2024"
    assert resolve(data=Path("a/b")).data.source == "a/b"


def test_a_later_layers_budget_replaces_an_earlier_one(file):
    config = resolve(config=file("train:\n  time: 60\n"), steps=5)
    assert (config.train.steps, config.train.time) == (5, None)
    config = resolve("train.samples=9", config=file("train:\n  time: 60\n"), steps=5)
    assert (config.train.steps, config.train.samples, config.train.time) == (None, 9, None)


def test_two_budgets_in_one_layer_are_refused(file):
    assert "train.steps (--steps) and train.time (--time)" in complaint(steps=5, time=6.0)
    path = file("train:\n  steps: 5\n  samples: 6\n")
    assert f"train.steps ({path}, line 2) and train.samples ({path}, line 3)" in complaint(config=path)


def test_values_of_set_are_yaml():
    model = resolve("model.rate=1e-4", "model.sizes=[1, 2]", "model.note=no", "model.weights={a: 1}").model
    assert (model.rate, model.sizes, model.note, model.weights) == (1e-4, [1, 2], "no", {"a": 1.0})


def test_keys_within_a_section_of_a_section(file):
    config = resolve("model.penalty.gamma=2", config=file("model:\n  penalty:\n    every: 4\n"))
    assert (config.model.penalty.gamma, config.model.penalty.every) == (2.0, 4)


def test_a_mapping_given_to_set_replaces_the_whole_key(file):
    config = resolve("model.weights={b: 2}", config=file("model:\n  weights: {a: 1}\n"))
    assert config.model.weights == {"b": 2.0}


@pytest.mark.parametrize(
    ("override", "key", "hint"),
    [
        ("model.widht=3", "'model.widht'", "did you mean 'width'?"),
        ("trian.seed=3", "'trian.seed'", "did you mean 'train.seed'?"),
        ("seed=3", "'seed'", "did you mean 'train.seed'?"),
        ("modle.deep.er=3", "'modle.deep.er'", "did you mean 'model'?"),
        ("model.penalty.gama=3", "'model.penalty.gama'", "did you mean 'gamma'?"),
        ("model.extra.gama=3", "'model.extra.gama'", "did you mean 'gamma'?"),
        ("domain.name=toy", "'domain.name'", "set domain itself"),
        ("data.zzzzz=3", "'data.zzzzz'", "known: labels, sample_rate_hz, source"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest(override, key, hint):
    text = complaint(override)
    assert text.startswith(f"unknown key {key} (--set {override})")
    assert text.endswith(hint)


def test_an_unknown_key_in_a_file_is_named_with_its_line_even_if_overridden(file):
    path = file("train:\n  seed: 1\nmodel: 5\n")
    assert complaint("model.width=3", config=path).startswith(f"model ({path}, line 3) is a section")
    path = file("train:\n  sed: 1\n")
    assert complaint(config=path) == f"unknown key 'train.sed' ({path}, line 2); did you mean 'seed'?"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model.width=0", "model.width: 0"),
        ("model.width=0", "give an integer >= 1 and <= 4096 (channels of the first layer)"),
        ("model.width=1.5", "model.width: 1.5"),
        ("model.width=wide", "model.width: 'wide'"),
        ("model.width=true", "expected a number, got true or false"),
        ("model.rate=.inf", "give a number > 0 (learning rate)"),
        ("model.rate=.nan", "give a number > 0 (learning rate)"),
        ("model.loss=wasserstein", "give one of nonsaturating, hinge (the game's loss)"),
        ("model.sizes=[1, two]", "model.sizes: 'two'"),
        ("model.sizes=7", "give a list, each an integer (widths of the layers)"),
        ("model.shape=[1]", "give a list of 2, each an integer (rows and columns)"),
        ("model.penalty=3", "give a mapping with gamma, every (what steadies it)"),
        ("model.note=5", "give text (free text)"),
        ("data.labels=perhaps", "give true or false (whether to read labels)"),
        ("data.sample_rate_hz=200000", "give an integer >= 1 and <= 192000 or null (samples per second)"),
        ("train.precision=fp16", "give one of auto, fp32, bf16"),
        ("train.seed=2147483648", "give an integer >= 0 and < 2147483648"),
        ("train.steps=0", "give an integer > 0 or null (budget in training steps)"),
        ("model.micro_batches=5", "model: batch_size 32 is not a multiple of micro_batches 5"),
        ("checkpoint.keep=0", "give an integer > 0"),
        ("model.width", "not of the form section.key=value"),
        ("=3", "not of the form section.key=value"),
        ("model..width=3", "not of the form section.key=value"),
        ("model.note=[", "not YAML"),
        ("model.note=*wav", "aliases (*name) are not used"),
        ("model.note=*.wav", "quote the text"),
        ("model.note=!!python/object/apply:os.system ['true']", "the tag !!python/object/apply:os.system"),
        ("model.note=" + "9" * 5000, "cannot be read"),
        ("model.note=" + "[" * 2000, "nested too deeply"),
    ],
)
def test_a_value_that_cannot_be_is_told_with_what_can(override, said):
    text = complaint(override)
    assert said in text
    assert len(text) < 400


def test_flags_are_named_as_flags():
    assert complaint(steps=-1).startswith("train.steps: -1 (--steps): not allowed")
    assert complaint(precision="half").startswith("train.precision: 'half' (--precision)")


def test_wrong_names_get_the_nearest():
    assert "did you mean 'lite'?" in complaint(recipe="litee")
    assert "did you mean 'toy'?" in complaint(domain="toi")
    assert complaint(domain=None).startswith("no domain is given; give --domain")
    assert complaint("domain=5", domain=None).startswith("domain: 5 (--set domain=5) is not a name")


def test_a_layer_from_plain_values():
    config = build_config(
        ToyData, ToyModel, [flatten_settings({"model": {"penalty": {"every": 2}}}, "config.json")]
    )
    assert config.model.penalty.every == 2
    with refused(ConfigError, "model.wdth", "config.json", fix="width"):
        build_config(ToyData, ToyModel, [flatten_settings({"model": {"wdth": 1}}, "config.json")])


def test_a_dumped_configuration_reads_back_and_says_what_keys_mean(file):
    config = resolve("model.sizes=[1, 2]", 'model.note="a: #\\n b"', "model.folder=x/y", time=2.5, seed=3)
    text = to_yaml(config)
    assert "  # channels of the first layer\n  width: 16\n" in text
    assert load_config_file(file(text)) == config


def test_a_resumed_run_starts_from_its_own_configuration(file):
    old = resolve("model.width=32", steps=100)
    path = file(to_yaml(old))
    assert resolve_config(base=path) == old
    new = resolve_config(base=path, time=5.0, overrides=["model.width=8", "checkpoint.keep=9"])
    assert diff_configs(old, new) == [
        "model.width: 32 -> 8",
        "train.steps: 100 -> null",
        "train.time: null -> 5.0",
    ]


def test_logging_and_checkpoints_are_no_difference_and_not_in_the_hash():
    one, other = resolve(), resolve("checkpoint.keep=9", "logging.every=3")
    assert diff_configs(one, other) == []
    assert config_hash(one) == config_hash(other)
    assert config_hash(one) != config_hash(resolve(seed=1))


def test_a_key_that_only_one_side_has_is_a_difference():
    lines = diff_configs(resolve(), resolve(recipe="plain"))
    assert 'recipe: "lite" -> "plain"' in lines
    assert "model.width: 16 -> (absent)" in lines
