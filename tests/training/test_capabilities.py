"""What a recipe declares is checked against its sampler before anything is trained."""

import pytest
from refusals import refused
from torch import nn

from gancore.entries import RecipeEntry
from gancore.errors import ConfigError
from gancore.games.classifier import Classifier, TrainedClassifier
from gancore.games.likelihood import ModelSampler
from gancore.games.representation import Identity
from gancore.games.sampler import CAPABILITIES, CAPABILITY_MEMBERS, Sampler
from gancore.nn.flows import Flow
from gancore.training.setup import check_capabilities


def entry(*capabilities: str) -> RecipeEntry:
    return RecipeEntry("toy", "toys:Toy", "a toy", capabilities=frozenset(capabilities))


def test_what_a_sampler_has_may_be_declared():
    sampler = ModelSampler(Flow([1], []), Identity(), conditional=False)
    declared = ("sample", "parallel", "conditional", "latents", "likelihood", "bound", "inversion")
    check_capabilities(entry(*declared), sampler)


def test_a_model_sampler_states_what_its_model_has():
    assert ModelSampler(nn.Linear(1, 1), Identity(), conditional=True).capabilities == {
        "sample",
        "conditional",
    }
    flow = ModelSampler(Flow([1], []), Identity(), conditional=False)
    assert flow.capabilities == {"sample", "parallel", "latents", "likelihood", "inversion"}
    assert flow.prior.size == 1 and not flow.conditional and not flow.lower_bound
    bound = ModelSampler(LowerBound(), Identity(), conditional=False)
    assert bound.capabilities == {"sample", "likelihood", "bound"} and bound.lower_bound
    judge = TrainedClassifier(Classifier(), Identity())
    assert judge.capabilities == {"classification", "likelihood"} and not judge.can("sample")


class LowerBound(nn.Module):
    lower_bound = True

    def log_prob(self, data):
        return data.sum(1)


@pytest.mark.parametrize(
    "capability", ["parallel", "latents", "likelihood", "inversion", "classification", "infill"]
)
def test_what_it_has_not_is_refused(capability):
    sampler = ModelSampler(nn.Linear(1, 1), Identity(), conditional=False)
    with refused(ConfigError, "toy", capability, "ModelSampler"):
        check_capabilities(entry(capability), sampler)


@pytest.mark.parametrize(
    ("capability", "method"),
    [(capability, members[0]) for capability, members in CAPABILITY_MEMBERS.items()],
)
def test_what_a_sampler_states_without_a_method_is_refused(capability, method):
    sampler = Sampler()
    sampler.capabilities = frozenset({capability})
    with refused(ConfigError, "toy", "Sampler", capability, method):
        check_capabilities(entry(), sampler)
    with pytest.raises(TypeError, match=f"Sampler does not define {method}; its capabilities: {capability}"):
        getattr(sampler, method)(*(None,) * len(CALLS[method]))


CALLS = {"sample": "nk", "latents": "nk", "log_prob": "b", "invert": "b", "embed": "d", "infill": "pnk"}


def test_a_plain_module_is_no_sampler():
    with refused(ConfigError, "toy", "Linear", "gancore.Sampler", fix="capabilities"):
        check_capabilities(entry(), nn.Linear(1, 1))


def test_a_model_that_neither_samples_nor_classifies_is_refused():
    sampler = Sampler()
    sampler.capabilities = frozenset()
    with refused(ConfigError, "toy", "sample", "classification"):
        check_capabilities(entry(), sampler)


def test_every_capability_is_described():
    assert all(f"``{capability}``" in Sampler.__doc__ for capability in CAPABILITIES)


def test_a_misspelt_capability_is_named_with_the_nearest():
    sampler = ModelSampler(nn.Linear(1, 1), Identity(), conditional=False)
    with refused(ConfigError, "likelyhood", "likelihood"):
        check_capabilities(entry("likelyhood"), sampler)
