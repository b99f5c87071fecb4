"""Whatever is typed, it becomes a configuration or one line of error."""

import os
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from toy_plugin import Penalty, ToyData, ToyModel

from gancore.config import RunConfig, TrainConfig
from gancore.config_layers import CORE_SECTIONS, build_config, resolve_config
from gancore.config_yaml import read_settings, to_yaml
from gancore.errors import ConfigError, PluginError

EXAMPLES = int(os.environ.get("EXAMPLES", "60"))
quick = settings(
    deadline=None, max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
text = st.text(max_size=20)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | text
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
sections = {"data": ToyData, "model": ToyModel, **CORE_SECTIONS}
known_keys = [f"{name}.{key}" for name, section in sections.items() for key in section.model_fields]
keys = st.sampled_from([*known_keys, "model.penalty.gamma", "model.extra.every", "domain", "recipe"]) | text


def one_line_or_config(**arguments) -> None:
    try:
        config = resolve_config("toy", **arguments)
    except (ConfigError, PluginError) as error:
        assert len(str(error).splitlines()) == 1
        assert str(error).isprintable()
    else:
        assert isinstance(config, RunConfig)


@quick
@given(keys, text | values.map(lambda value: yaml.safe_dump(value, default_flow_style=True)))
@example("model.note", '"\\ud800"')
@example("train.steps", "1e300")
@example("train.steps", "9" * 400)
@example("model.width", "!!float 3")
@example("a\n.b", "")
def test_any_override(key, value):
    one_line_or_config(overrides=[f"{key}={value}"])


@quick
@given(st.text(max_size=60))
def test_any_word_as_override(word):
    one_line_or_config(overrides=[word])


@quick
@given(st.binary(max_size=80))
@example(b"\xef\xbb\xbf")
@example(b"? ")
@example(b"%YAML 9.9\n---\na: 1")
def test_any_bytes_as_file(tmp_path, content):
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    one_line_or_config(config=path)


@quick
@given(
    st.dictionaries(
        st.sampled_from(["data", "model", "train", "logging", "validation", "checkpoint", "domain"]) | text,
        values
        | st.dictionaries(st.sampled_from([key.partition(".")[2] for key in known_keys]) | text, values),
        max_size=4,
    )
)
def test_any_document_as_file(tmp_path, document):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8", errors="backslashreplace")
    one_line_or_config(config=path)


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
reals = st.floats(min_value=1e-300, max_value=1e300)
penalties = st.builds(Penalty, gamma=reals, every=st.integers(1, 10**20))
models = st.builds(
    ToyModel,
    batch_size=st.integers(1, 10**6),
    micro_batches=st.just(1),
    width=st.integers(1, 4096),
    rate=reals,
    loss=st.sampled_from(["nonsaturating", "hinge"]),
    sizes=st.lists(st.integers(), max_size=4),
    weights=st.dictionaries(words.filter(bool), reals, max_size=3),
    folder=st.none() | words.filter(lambda word: "\0" not in word).map(Path),
    note=words,
    penalty=penalties,
    extra=st.none() | penalties,
)
trainings = st.builds(
    TrainConfig,
    steps=st.none(),
    samples=st.none(),
    time=st.none() | reals,
    seed=st.integers(0, 2**31 - 1),
    device=words,
)
data = st.builds(
    ToyData,
    source=st.none() | words,
    sample_rate_hz=st.none() | st.integers(1, 192_000),
    labels=st.booleans(),
)
names = st.from_regex(r"[a-z][a-z0-9-]*", fullmatch=True)
configs = st.builds(RunConfig, domain=names, recipe=names, data=data, model=models, train=trainings)


@quick
@given(configs)
def test_what_is_dumped_reads_back_the_same(tmp_path, config):
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(config), encoding="utf-8")
    assert build_config(ToyData, ToyModel, [read_settings(path)]) == config


@pytest.mark.parametrize(
    "word", ["no", "1e-4", "null", "~", "0x1", "12:30", "- a", "a: b", "#", "'", "\x85", "\ufeff"]
)
def test_words_that_look_like_something_else_stay_words(tmp_path, word):
    config = RunConfig(domain="toy", recipe="lite", data=None, model=ToyModel()).model_copy(
        update={"data": ToyData(source=word)}
    )
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(config), encoding="utf-8")
    assert build_config(ToyData, ToyModel, [read_settings(path)]).data.source == word
