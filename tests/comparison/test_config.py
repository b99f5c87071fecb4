"""What a comparison is asked: names, settings for all and for one, and that nothing is lost on the disk."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused

import gancore
from gancore.comparison.config import (
    MAX_SEEDS,
    ComparisonConfig,
    expand_grid,
    read_comparison_config,
    read_seeds,
)
from gancore.config_yaml import to_yaml
from gancore.errors import ConfigError
from gancore.trainings import first_difference, read_recipes

make_config = ComparisonConfig.make

BASE = {
    "domain": "synthetic",
    "data": "ring",
    "recipes": {"small": "mlpgan", "large": "mlpgan"},
    "time": "10m",
    "seeds": 2,
    "overrides": [],
    "select": None,
    "n": 2000,
    "metrics": None,
    "feature_extractor": None,
    "evaluation_seed": 0,
    "device": "auto",
}
WORDS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)


def test_a_recipe_is_its_own_name_and_one_with_two_settings_has_two():
    assert read_recipes(["mlpgan", "wide=mlpgan"]) == {"mlpgan": "mlpgan", "wide": "mlpgan"}
    assert read_recipes(["a/b"]) == {"a-b": "a/b"}  # names are names of folders


@pytest.mark.parametrize(
    ("texts", "expected", "fix"),
    [
        (["=mlpgan"], "=mlpgan", "small=a,large=a"),
        (["wide="], "wide=", "small=a,large=a"),
        (["../up=mlpgan"], "../up=mlpgan", "small=a,large=a"),
        ([""], "", "small=a,large=a"),
        (["a", "a"], "a", "a2=a"),
        (["real=mlpgan"], "real", "name"),
    ],
)
def test_names_that_cannot_be(texts, expected, fix):
    with refused(ConfigError, "--recipes", expected, fix=fix):
        read_recipes(texts)


def test_settings_for_all_come_first_then_those_of_one():
    config = make_config(
        **(BASE | {"overrides": ["large:model.width=64", "model.lr=0.1", "small:model.loss=a:b=c"]})
    )
    assert config.overrides_of("large") == ["model.lr=0.1", "model.width=64"]
    assert config.overrides_of("small") == ["model.lr=0.1", "model.loss=a:b=c"]


def test_a_colon_in_a_value_names_nobody():
    assert make_config(**(BASE | {"overrides": ["data.source_note=a:b"]})).overrides_of("small") == [
        "data.source_note=a:b"
    ]


@given(
    data=st.none() | WORDS,
    settings=st.lists(WORDS.map(lambda text: f"model.note={text}"), max_size=3),
    features=st.none() | WORDS,
    measures=st.none() | st.lists(WORDS, max_size=3),
    names=st.dictionaries(st.from_regex(r"[A-Za-z0-9_][\w.-]{0,8}", fullmatch=True), WORDS, min_size=1),
)
def test_as_it_is_kept_it_is_read_again(tmp_path_factory, data, settings, features, measures, names):
    config = make_config(
        **(
            BASE
            | {
                "data": data,
                "overrides": settings,
                "feature_extractor": features,
                "metrics": measures,
                "recipes": names,
            }
        )
    )
    path = tmp_path_factory.mktemp("asked") / "comparison.yaml"
    path.write_text(to_yaml(config))
    assert read_comparison_config(path) == config


def test_every_key_says_what_it_means():
    assert all(field.description for field in ComparisonConfig.model_fields.values())


def test_the_first_difference_is_named():
    one = make_config(**BASE)
    assert first_difference(one, one) == ""
    assert first_difference(one, make_config(**(BASE | {"seeds": 3, "n": 5}))) == "seeds: 0 1 -> 0 1 2"
    other = make_config(**(BASE | {"recipes": {"small": "mlpgan"}}))
    assert first_difference(one, other) == "recipes: small=mlpgan,large=mlpgan -> small=mlpgan"


def test_the_same_budget_written_otherwise_is_the_same():
    assert make_config(**(BASE | {"time": "600 s"})) == make_config(**BASE)


def test_the_command_asks_for_the_same():
    config = make_config(**(BASE | {"overrides": ["small:model.note=two words"], "metrics": ["a", "b"]}))
    words = shlex.split(config.command)
    assert words[:2] == ["gancore", "compare"]
    assert words[words.index("--recipes") + 1] == "small=mlpgan,large=mlpgan"
    assert words[words.index("--set") + 1] == "small:model.note=two words"
    assert words[words.index("--metrics") + 1] == "a,b"
    assert "--select" not in words


@pytest.mark.parametrize("text", ["", "domain: synthetic\n", "- a\n", "recipes: 3\n", "\0"])
def test_a_damaged_file_is_told_in_one_line(tmp_path, text):
    (tmp_path / "comparison.yaml").write_text(text)
    with pytest.raises(ConfigError) as refusal:
        read_comparison_config(tmp_path / "comparison.yaml")
    assert "\n" not in str(refusal.value)


def test_a_folder_without_a_comparison_is_told(tmp_path):
    with refused(ConfigError, tmp_path, fix="gancore"):
        read_comparison_config(tmp_path / "comparison.yaml")


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", [0, 1, 2]), ("0,7,9", [0, 7, 9]), ("7,", [7]), ("1", [0]), ("0,", [0])]
)
def test_seeds_are_counted_or_named(text, seeds):
    config = make_config(**(BASE | {"seeds": read_seeds(text)}))
    assert config.seeds == seeds
    words = shlex.split(config.command)
    assert make_config(**(BASE | {"seeds": read_seeds(words[words.index("--seeds") + 1])})) == config


@pytest.mark.parametrize("text", ["", "0", "-1", "a", "1,-2", ",", "1.5"])
def test_seeds_that_cannot_be(text):
    with refused(ConfigError, "--seeds", fix="0,7,9"):
        read_seeds(text)
    with refused(ConfigError, "seeds"):
        make_config(**(BASE | {"seeds": [1, 1]}))


def test_no_more_seeds_are_counted_than_can_be_trained():
    with refused(ConfigError, "seeds", fix=MAX_SEEDS):
        make_config(**(BASE | {"seeds": read_seeds("2000000000")}))


@pytest.mark.parametrize("seeds", [np.int64(3), [np.int64(0), np.int32(1), 2]])
def test_seeds_of_numpy_are_seeds(seeds, monkeypatch):
    messages = {}
    monkeypatch.setattr(
        "gancore.comparison.runner.start_comparison", lambda config, *rest: messages.update(config)
    )
    gancore.compare("synthetic", time="10m", seeds=seeds)
    assert make_config(**(BASE | {"seeds": messages["seeds"]})).seeds == [0, 1, 2]


def test_combinations_of_a_grid_have_names_of_their_own_and_values_are_given_once():
    recipes, overrides = expand_grid({"gan": "gan"}, [], ["model.note=a+b,a-b,a_b"])
    assert list(recipes) == ["gan-note-a-b", "gan-note-a-b-2", "gan-note-a_b"]
    assert overrides == [
        f"{name}:model.note={note}" for name, note in zip(recipes, ["a+b", "a-b", "a_b"], strict=True)
    ]
    for values in ("16,32,16", "1e-4,0.0001"):
        with refused(ConfigError, "--grid", fix="once"):
            expand_grid({"gan": "gan"}, [], [f"model.width={values}"])


def test_a_grid_beyond_all_bounds_is_refused_before_it_is_written_out():
    axes = [f"model.k{i}=" + ",".join(map(str, range(100))) for i in range(12)]
    with refused(ConfigError, "--grid", fix=100):
        expand_grid({"gan": "gan"}, [], axes)


def test_a_grid_names_every_combination_and_keeps_the_settings_of_each():
    settings = ["model.batch_size=8", "small:model.loss=hinge"]
    recipes, overrides = expand_grid(
        BASE["recipes"], settings, ["model.width=16,32", "model.penalty=r1,wgan-gp"]
    )
    assert list(recipes)[:2] == ["small-width-16-penalty-r1", "small-width-16-penalty-wgan-gp"]
    assert len(recipes) == 8 and set(recipes.values()) == {"mlpgan"}
    config = make_config(**(BASE | {"recipes": recipes, "overrides": overrides}))
    assert config.overrides_of("small-width-32-penalty-r1") == [
        "model.batch_size=8",
        "model.loss=hinge",
        "model.width=32",
        "model.penalty=r1",
    ]
    assert "model.loss=hinge" not in config.overrides_of("large-width-32-penalty-r1")
    assert expand_grid(BASE["recipes"], settings, []) == (BASE["recipes"], settings)


@pytest.mark.parametrize(
    "grid", [["model.width=16"], ["model.width"], ["=1,2"], ["width=1,2"], ["model.a=1,2", "model.a=3,4"]]
)
def test_a_grid_that_cannot_be(grid):
    with refused(ConfigError, "--grid"):
        expand_grid(BASE["recipes"], [], grid)


def test_a_grid_over_the_data_is_refused():
    recipes, overrides = expand_grid(BASE["recipes"], [], ["data.std=0.1,0.2"])
    with refused(ConfigError, "--set"):
        make_config(**(BASE | {"recipes": recipes, "overrides": overrides}))
