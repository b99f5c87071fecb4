"""The optimizer keys that likelihood recipes share with adversarial ones."""

import pytest
import torch
from refusals import refused

from gancore import ConfigError
from gancore.config import DataConfig
from gancore.config_layers import build_config, parse_override
from gancore.games import SGD, Adam, AdversarialConfig, LikelihoodConfig, OptimizerConfig, with_defaults
from gancore.games.schedules import schedule_value
from gancore.plugins import plugins

LIKELIHOOD = {
    "synthetic": ("realnvp", "vae"),
    "audio": ("wavenet", "audiovae", "audioflow"),
    "image": ("pixelcnn", "glow", "imagevae"),
}
EVERY = [(domain, name) for domain, names in LIKELIHOOD.items() for name in names]


def recipe_config(domain, recipe):
    return plugins().load_recipe(plugins().load_domain(domain), recipe)[1].Config


def options(*words, section=LikelihoodConfig):
    return build_config(DataConfig, section, [[parse_override(word) for word in words]]).model.game_options()


@pytest.mark.parametrize(("domain", "recipe"), EVERY)
def test_every_likelihood_recipe_trained_by_gradients_has_the_keys(domain, recipe):
    """By the same names and with the same meaning; only the unit of the bound on the gradient differs."""
    found = recipe_config(domain, recipe)
    assert issubclass(found, LikelihoodConfig)
    for key in OptimizerConfig.model_fields.keys() - {"clip_grad_norm"}:
        if key in ("batch_size", "steps"):
            continue
        assert found.model_fields[key].description == AdversarialConfig.model_fields[key].description


@pytest.mark.parametrize(("domain", "recipe"), EVERY)
def test_a_rate_ends_at_its_share_after_the_warmup(domain, recipe):
    config = recipe_config(domain, recipe)()
    optimizer = config.game_options()["optimizer"]
    assert isinstance(optimizer, Adam) and optimizer.betas[0] == 0.9
    assert schedule_value(optimizer.lr, 1.0) == pytest.approx(config.lr * config.lr_end)
    if config.lr_warmup:
        assert schedule_value(optimizer.lr, 0.0) == 0
        half = schedule_value(optimizer.lr, config.lr_warmup / 2)
        assert half == pytest.approx(config.lr / 2, rel=0.01)


def test_the_keys_reach_the_optimizer():
    found = options("model.optimizer=sgd", "model.beta1=0.5", "model.lr=2", "model.clip_grad_norm=0")
    assert found["optimizer"] == SGD(2.0, 0.5)
    assert found["clip_grad_norm"] is None and found["ema_halflife"] is None
    found = options("model.optimizer=radam", "model.optimizer_settings={weight_decay: 0.1}")["optimizer"]
    assert (found.kind, found.settings["weight_decay"]) == (torch.optim.RAdam, 0.1)
    assert LikelihoodConfig(clip_grad_norm=2).game_options(clip_scale=100)["clip_grad_norm"] == 200


def test_a_warmup_is_available_to_adversarial_recipes():
    lr = options("model.lr=1", "model.lr_warmup=0.5", section=AdversarialConfig)["generator_optimizer"].lr
    assert [schedule_value(lr, progress) for progress in (0, 0.25, 0.5, 1)] == [0, 0.5, 1, 1]


def test_a_warmup_longer_than_training_is_refused():
    with refused(ConfigError, "model.lr_warmup"):
        options("model.lr_warmup=1.5")


def test_defaults_of_one_section_do_not_change_its_base():
    child = with_defaults(lr=0.5)(type("Child", (LikelihoodConfig,), {"__module__": __name__}))
    assert (child().lr, LikelihoodConfig().lr, OptimizerConfig().lr) == (0.5, 1e-3, 2e-4)
