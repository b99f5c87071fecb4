"""What a recipe declares is checked against its sampler before anything is trained."""

import pytest
from refusals import refused
from torch import nn

from gancore.entries import RecipeEntry
from gancore.errors import ConfigError
from gancore.games.likelihood import LikelihoodSampler, ModelSampler
from gancore.games.representation import Identity
from gancore.training.setup import check_capabilities


def entry(*capabilities: str) -> RecipeEntry:
    return RecipeEntry("toy", "toys:Toy", "a toy", capabilities=frozenset(capabilities))


def test_what_a_sampler_has_may_be_declared():
    sampler = LikelihoodSampler(nn.Linear(1, 1), Identity(), conditional=False)
    check_capabilities(entry("parallel", "conditional", "likelihood", "bound"), sampler)


@pytest.mark.parametrize(("capability", "lack"), [("likelihood", "log_prob"), ("inversion", "invert")])
def test_what_it_has_not_is_refused(capability, lack):
    sampler = ModelSampler(nn.Linear(1, 1), Identity(), conditional=False)
    with refused(ConfigError, "toy", capability, lack):
        check_capabilities(entry(capability), sampler)


def test_a_misspelt_capability_is_named_with_the_nearest():
    sampler = ModelSampler(nn.Linear(1, 1), Identity(), conditional=False)
    with refused(ConfigError, "likelyhood", "likelihood"):
        check_capabilities(entry("likelyhood"), sampler)
