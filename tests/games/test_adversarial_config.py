"""The keys that recipes with a discriminator share: what each does, defaults of recipes."""

import pytest
from pydantic import Field
from refusals import refused

from gancore import ConfigError
from gancore.config import DataConfig, RecipeConfig
from gancore.config_layers import (
    build_config,
    load_config_file,
    parse_override,
    resolve_config,
)
from gancore.diagnostics import applicable_fixes
from gancore.games import SGD, Adam, AdamW, AdversarialConfig, RMSprop, with_defaults
from gancore.games.schedules import schedule_value
from gancore.plugins import plugins
from gancore.training.diagnosis.checks import FINDINGS

ADVERSARIAL = {
    "audio": ["wavegan", "wavegan-lite", "specgan", "ifgan", "audioflowgan"],
    "image": ["dcgan", "dcgan-lite", "r3", "sngan", "imageflowgan"],
    "synthetic": ["mlpgan", "pacgan", "flowgan"],
}
EVERY = [(domain, name) for domain, names in ADVERSARIAL.items() for name in names]
SHARED = sorted(AdversarialConfig.model_fields.keys() - RecipeConfig.model_fields.keys())


@with_defaults(loss="hinge", lr=1e-3, beta1=0.0)
class Mine(AdversarialConfig):
    width: int = Field(4, description="units")


@with_defaults(lr=5e-3)
class Yours(Mine):
    pass


def config(section, *words):
    """The section that these settings give, or the error that a user sees."""
    return build_config(DataConfig, section, [[parse_override(word) for word in words]]).model


def test_defaults_are_those_of_one_section_alone():
    assert (Mine().loss, Mine().lr, Mine().width) == ("hinge", 1e-3, 4)
    assert (Yours().loss, Yours().lr) == ("hinge", 5e-3)
    assert (AdversarialConfig().loss, AdversarialConfig().lr) == ("nonsaturating", 2e-4)
    with refused(ConfigError, "model.lr", -1):
        config(Mine, "model.lr=-1")


def test_a_default_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="loss"):
        with_defaults(loss=3)(type("Bad", (AdversarialConfig,), {"__module__": __name__}))


@pytest.mark.parametrize(
    ("words", "kind", "expected"),
    [
        ((), Adam, {"betas": (0.5, 0.99)}),
        (("model.optimizer=adamw", "model.beta2=0.9"), AdamW, {"betas": (0.5, 0.9)}),
        (("model.optimizer=rmsprop", "model.beta2=0.8"), RMSprop, {"alpha": 0.8}),
        (("model.optimizer=sgd", "model.beta1=0.3"), SGD, {"momentum": 0.3}),
    ],
)
def test_the_optimizer_has_its_memory(words, kind, expected):
    optimizer = config(AdversarialConfig, *words).game_options()["generator_optimizer"]
    assert type(optimizer) is kind
    assert {name: getattr(optimizer, name) for name in expected} == expected


def test_rates_and_penalties_follow_their_schedules():
    words = ["lr=0.1", "lr_end=0.5", "lr_schedule=linear", "discriminator_lr=0.4", "discriminator_beta1=0.9"]
    words += [
        "penalty=r1+r2",
        "penalty_weight=2",
        "penalty_weight_end=0.5",
        "penalty_every=4",
        "clip_grad_norm=3",
    ]
    result = config(AdversarialConfig, *(f"model.{word}" for word in words)).game_options(lr_scale=0.5)
    own, judging = result["generator_optimizer"], result["discriminator_optimizer"]
    assert [schedule_value(own.lr, t) for t in (0, 0.5, 1)] == pytest.approx([0.05, 0.0375, 0.025])
    assert (
        schedule_value(judging.lr, 0) == pytest.approx(0.2)
        and judging.betas[0] == 0.9
        and own.betas[0] == 0.5
    )
    assert [(p.name, p.every, schedule_value(p.weight, 1)) for p in result["penalties"]] == [
        ("r1", 4, 1.0),
        ("r2", 4, 1.0),
    ]
    assert result["clip_grad_norm"] == 3 and result["ema_halflife"] is None
    assert config(AdversarialConfig, "model.penalty_weight=0").game_options()["penalties"] == []


@pytest.mark.parametrize(("domain", "recipe"), EVERY)
def test_every_gan_has_the_shared_keys(domain, recipe):
    _, found = plugins().load_recipe(plugins().load_domain(domain), recipe)
    lacking = [key for key in SHARED if key not in found.Config.model_fields]
    assert not lacking
    for key in SHARED:
        field, shared = found.Config.model_fields[key], AdversarialConfig.model_fields[key]
        assert field.description == shared.description, key


def test_no_gan_is_forgotten():
    for domain in ADVERSARIAL:
        kind = plugins().load_domain(domain)
        for name, entry in kind.recipes.items():
            _, recipe = plugins().load_recipe(kind, name)
            assert issubclass(recipe.Config, AdversarialConfig) == (name in ADVERSARIAL[domain]), entry


def test_the_weight_of_no_penalty_is_refused_where_it_is_given_and_read_where_it_was_kept(tmp_path):
    given = ["model.penalty=none", "model.penalty_weight=5"]
    with refused(ConfigError, "model.penalty_weight", fix="model.penalty=r1"):
        resolve_config("synthetic", overrides=given)
    with refused(ConfigError, "model.penalty_every", fix="model.penalty=r1"):
        resolve_config("image", recipe="dcgan", overrides=["model.penalty_every=16"])
    for fine in (["model.penalty_weight=0"], ["model.penalty_weight=1"], ["model.penalty=r1", given[1]]):
        resolve_config("image", recipe="dcgan", overrides=fine)
    (tmp_path / "config.yaml").write_text(
        "domain: image\nrecipe: dcgan\nmodel:\n  penalty: none\n  penalty_weight: 5\n"
    )
    assert load_config_file(tmp_path / "config.yaml").model.penalty_weight == 5
    assert resolve_config(base=tmp_path / "config.yaml", steps=3).model.penalty == "none"


def test_remedies_are_told_what_would_have_an_effect():
    advice = FINDINGS["discriminator wins"][1]
    for words, result in (
        (["penalty=none"], "model.penalty=r1"),
        (["penalty=r1"], "model.penalty_weight"),
        (["discriminator_steps=3"], "model.discriminator_steps=1"),
    ):
        keys = config(AdversarialConfig, *(f"model.{word}" for word in words)).effective_keys()
        shown = applicable_fixes(advice, keys)
        assert f"({result})" in shown
        assert ("penalty_weight" in shown) == (words != ["penalty=none"])
        assert ("moves" in shown) == (words == ["discriminator_steps=3"])


@pytest.mark.parametrize("old", ["gamma", "gamma_end", "judge_lr"])
def test_a_key_of_version_1_is_an_unknown_key_in_settings_and_in_files(old, tmp_path):
    with refused(ConfigError, f"model.{old}"):
        resolve_config("synthetic", overrides=[f"model.{old}=0.5"])
    (tmp_path / "config.yaml").write_text(f"domain: synthetic\nrecipe: mlpgan\nmodel:\n  {old}: 0.5\n")
    with refused(ConfigError, f"model.{old}"):
        load_config_file(tmp_path / "config.yaml")
