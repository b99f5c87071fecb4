"""The map of a judge is the judge: its layers, its digest, and no samples of a kind that it never saw."""

from __future__ import annotations

import torch
from refusals import refused
from torch import Tensor, nn

from gancore import ClassifierFeatureExtractor, ConfigError, Data, FeatureContext, Spec
from gancore.domain import Domain
from gancore.games import Classifier, Identity, TrainedClassifier
from gancore.models.model import Model
from gancore.random import Key

SPEC = Spec({"classes": ["a", "b", "c"], "size": 4})
ROWS = Key.of("rows").normal(5, 4)


class Linear(Classifier):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 2), nn.Linear(2, 3)

    def embed(self, data: Tensor) -> Tensor:
        return self.first(data)

    def classify(self, embedded: Tensor) -> Tensor:
        return self.last(embedded)


class OfOneSize(ClassifierFeatureExtractor):
    def check(self, samples: Tensor, spec: Spec) -> None:
        if spec["size"] != self.spec["size"]:
            raise ConfigError("another size", "give others")


def ready(
    features: ClassifierFeatureExtractor, model: Linear, spec: Spec = SPEC, requests=None
) -> ClassifierFeatureExtractor:
    def judge(recipe, settings) -> Model:
        if requests is not None:
            requests.append((recipe, settings))
        return Model(TrainedClassifier(model, Identity()), spec, Domain(), {}, torch.device("cpu"))

    features.prepare(FeatureContext(Data({}, {}, {}, spec), None, judge))
    return features


def test_it_gives_the_last_layer_of_the_classifier_that_the_workbench_trains():
    requests, model = [], Linear()
    features = ready(ClassifierFeatureExtractor(), model, requests=requests)
    assert requests == [("classifier", {})] and features.classes == ["a", "b", "c"]
    seen = features.embed(ROWS, SPEC)
    assert torch.equal(seen, model.first(ROWS)) and not seen.requires_grad
    said = features.log_posteriors(ROWS, SPEC)
    assert torch.equal(said, model.last(model.first(ROWS)).log_softmax(1)) and not said.requires_grad
    assert all(map(torch.equal, features.embed_and_classify(ROWS, SPEC), (seen, said)))


def test_its_digest_hangs_on_the_weights_and_on_what_the_source_is():
    model = Linear()
    before = ready(ClassifierFeatureExtractor(), model).digest
    assert ready(ClassifierFeatureExtractor(), model).digest == before and len(before) == 64
    assert ready(ClassifierFeatureExtractor(), model, Spec({**SPEC.fields, "size": 5})).digest != before
    assert (
        ready(ClassifierFeatureExtractor(), model, Spec({**SPEC.fields, "classes": ["b", "a", "c"]})).digest
        != before
    )
    with torch.no_grad():
        model.last.bias += 1
    assert ready(ClassifierFeatureExtractor(), model).digest != before


def test_what_a_check_refuses_is_never_judged():
    features = ready(OfOneSize(), Linear())
    features.embed(ROWS, SPEC)
    for ask in (features.embed, features.log_posteriors):
        with refused(ConfigError, "size"):
            ask(ROWS, Spec({**SPEC.fields, "size": 5}))
