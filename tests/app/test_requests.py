"""What the controls of a model ask for, and that the command asks for the same."""

from __future__ import annotations

from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest

from gancore.app.controls import ANY_LABEL, EACH_LABEL, Controls, Values
from gancore.cli import main
from gancore.data.dataset import Spec
from gancore.domain import Domain
from gancore.errors import ConfigError
from gancore.games import Sampler
from gancore.games.prior import normal, uniform
from gancore.models.request import SampleRequest

WHOLE = Controls(("samples", "path", "infill"), ["cat", "dog"], 16, 64, True, True, True)
REQUESTS = [
    SampleRequest(),
    SampleRequest(n=3, seed=5, label="-a b$", truncation=0.5),
    SampleRequest(each_label=True, interpolate=4),
    SampleRequest(temperature=0.7, infill="it's ___"),
]


class Able(Sampler):
    """A sampler with the capabilities that it is given."""

    def __init__(self, *capabilities: str, prior=None) -> None:
        super().__init__()
        self.capabilities = frozenset({"sample", *capabilities})
        if prior is not None:
            self.prior = prior


class Named(Domain):
    name = "named"


def controls_of(sampler: Sampler, **fields: object) -> Controls:
    model = SimpleNamespace(
        sampler=sampler, domain=Named(), spec=Spec(fields), require_generator=lambda: None
    )
    return Controls.of(model)


def test_a_model_has_the_controls_of_its_capabilities():
    plain = controls_of(Able())
    assert (list(plain.modes), plain.classes) == (["samples"], [])
    assert not (plain.truncation or plain.temperature or plain.infill)
    bounded = controls_of(Able("latents", prior=uniform(2)))
    assert (list(bounded.modes), bounded.truncation) == (["samples", "path"], False)
    assert controls_of(Able("latents", prior=normal(2))).truncation
    assert controls_of(Able("conditional"), classes=["a", "b"]).classes == ["a", "b"]
    assert controls_of(Able(), classes=["a", "b"]).classes == []  # of the data, not of the model
    filling = controls_of(Able("infill", "temperature"))
    assert (list(filling.modes), filling.temperature) == (["samples", "infill"], True)


@pytest.mark.parametrize(
    ("values", "request_"),
    [
        (Values(), SampleRequest()),
        (Values(n=4, seed=2, label=1, truncation=0.5), SampleRequest(4, 2, "dog", truncation=0.5)),
        (Values(label=EACH_LABEL, temperature=2.0), SampleRequest(each_label=True, temperature=2.0)),
        (
            Values("path", paths=2, points=5, label=0, temperature=1.0),
            SampleRequest(2, label="cat", interpolate=5),
        ),
        (
            Values("infill", n=2, label=1, truncation=1.0, temperature=0.5, prompt="a ___"),
            SampleRequest(2, temperature=0.5, infill="a ___"),
        ),
    ],
)
def test_values_of_hidden_controls_are_ignored(values, request_):
    asked = WHOLE.request(values)
    assert asked == request_
    asked.check()


def test_more_samples_than_the_page_shows_are_refused():
    with pytest.raises(ConfigError, match="256") as raised:
        WHOLE.request(Values("path", paths=8, points=17, label=EACH_LABEL))
    assert "command" in raised.value.fix
    assert WHOLE.request(Values("path", paths=8, points=16, label=EACH_LABEL)).interpolate == 16
    assert replace(WHOLE, most=2000).request(Values(n=2000, label=ANY_LABEL)).n == 2000


@pytest.mark.parametrize("asked", REQUESTS)
def test_the_command_asks_for_the_same(asked, monkeypatch):
    from gancore import api

    given = {}
    monkeypatch.setattr(api, "generate", lambda model, **arguments: given.update(arguments) or [])
    assert main(["generate", "model", *asked.options()]) == 0
    assert {name: given[name] for name in asdict(asked)} == asdict(asked)
