"""A judge is a model of labels given data: its posteriors are those of Bayes, and it samples nothing."""

import pytest
import torch
from refusals import refused
from sklearn.linear_model import LogisticRegression
from torch import nn
from toy_games import Rows, differing, play, run_config, whole

from gancore.data.dataset import Batch, Spec
from gancore.domain import Domain
from gancore.entries import RecipeEntry
from gancore.errors import ConfigError
from gancore.games import Adam, Classifier, Identity, ModelSampler, Representation, classifier_game
from gancore.metrics.metric import Metric
from gancore.models.model import Model
from gancore.random import Key
from gancore.training.monitor import Intervals, Monitor
from gancore.training.setup import check_capabilities
from gancore.training.state import TrainState
from gancore.training.validation import NLL, Validator

CENTRES = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])


class Linear(Classifier):
    def __init__(self, classes=3):
        super().__init__()
        self.layer = nn.Linear(2, classes)

    def embed(self, data):
        return data

    def classify(self, embedded):
        return self.layer(embedded)


def gaussians(rows, classes=3, seed=0):
    """Unit Gaussians about CENTRES, with the number of the centre as label."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(rows) % classes
    return Rows(CENTRES[labels] + torch.randn(rows, 2, generator=generator), labels)


def trained(data, steps=400, **settings):
    return play(
        lambda: classifier_game(Linear, optimizer=Adam(0.05)), data, steps, batch_size=len(data), **settings
    )


def test_it_finds_the_maximum_likelihood_that_another_library_finds():
    data = gaussians(300)
    judge = trained(data).game.sampler()
    theirs = LogisticRegression(C=1e9, max_iter=1000).fit(data.data.numpy(), data.condition.numpy())
    grid = torch.cartesian_prod(torch.linspace(-3, 4, 8), torch.linspace(-3, 4, 8))
    own = judge.log_posteriors(grid).exp().detach()
    assert torch.allclose(own, torch.tensor(theirs.predict_proba(grid.numpy())).float(), atol=2e-3)


def test_its_posteriors_are_those_of_bayes():
    judge = trained(gaussians(20_000), steps=300).game.sampler()
    points = gaussians(50, seed=1).data
    # equal spread and equal shares: p(k | x) is a softmax of -|x - centre_k|^2 / 2
    truth = (-0.5 * torch.cdist(points, CENTRES).square()).softmax(1)
    assert torch.allclose(judge.log_posteriors(points).exp(), truth, atol=0.03)


def test_log_prob_is_that_of_the_own_label_and_the_cost_its_mean():
    data = gaussians(60)
    table = trained(data, steps=20)
    batch = Batch(data.data, data.condition)
    judge = table.game.sampler()
    posteriors = judge.log_posteriors(data.data)
    assert torch.allclose(posteriors.exp().sum(1), torch.ones(60))
    by_hand = torch.stack([row[label] for row, label in zip(posteriors, data.condition, strict=True)])
    assert torch.equal(judge.log_prob(batch), by_hand)
    table.scalars.read()
    after = play(lambda: classifier_game(Linear, optimizer=Adam(0.05)), data, 1, batch_size=60)
    untrained = play(
        lambda: classifier_game(Linear, optimizer=Adam(0.0)), data, 1, batch_size=60
    ).game.sampler()
    scalars = after.scalars.read()
    assert scalars["classifier/cross_entropy"] == pytest.approx(-untrained.log_prob(batch).mean().item())
    right = (untrained.log_posteriors(data.data).argmax(1) == data.condition).float().mean()
    assert scalars["accuracy"] == pytest.approx(right.item())


def test_killed_and_resumed_it_is_the_same(tmp_path):
    def build():
        return classifier_game(Linear, ema_halflife=50.0)

    undisturbed = play(build, gaussians(40), 30)
    killed = play(build, gaussians(40), 30, kills=(7, 20), folder=tmp_path)
    assert differing(whole(undisturbed), whole(killed)) == []
    assert killed.game.sampler().model is killed.game.ema.module


def test_it_judges_canonical_samples_through_its_representation():
    class Halved(Representation):
        def encode(self, batch):
            return Batch(batch.data / 2, batch.condition)

    judge = classifier_game(Linear, representation=Halved()).sampler()
    points = gaussians(6).data
    assert torch.equal(judge.embed(points), points / 2)
    assert torch.equal(judge.log_posteriors(points), judge.model(points / 2).log_softmax(1))


def test_a_run_measures_its_likelihood_and_shows_no_samples():
    data = gaussians(40)
    table = trained(data, steps=1)
    validator = Validator(Domain(), Spec({}), data, 40, Key.of("valid", 0))
    validator.metrics = {
        "never": Metric("never", lambda inputs: 0.0)
    }  # a measure of samples, which there are none to show
    validator.require_metric(NLL, table.game.sampler())
    with refused(ConfigError, "validation.select", "never", fix="nll"):
        validator.require_metric("never", table.game.sampler())
    expected = -table.game.sampler().log_prob(Batch(data.data, data.condition)).mean().item()
    assert validator.validate(table.game.sampler()) == {NLL: pytest.approx(expected)}
    watch = Monitor(table, Domain(), Spec({}), validator, Intervals.of(run_config(), 10), 16, 0)
    assert not watch.can_sample
    assert watch.draw_samples(TrainState([10])) == (None, [])


def test_a_model_that_judges_refuses_to_generate():
    judge = classifier_game(Linear).sampler()
    model = Model(judge, Spec({}), Domain(), {"recipe": "digits"}, torch.device("cpu"))
    for make in (model.sample, model.interpolate):
        with refused(ConfigError, "digits", fix="generates"):
            make(4)


def test_a_recipe_says_that_it_judges():
    judge = classifier_game(Linear).sampler()
    check_capabilities(RecipeEntry("digits", "a:B", "", capabilities=frozenset({"classification"})), judge)
    with refused(ConfigError, "digits", "classification", "sample"):
        check_capabilities(RecipeEntry("digits", "a:B", ""), judge)
    generator = ModelSampler(nn.Linear(1, 1), Identity(), conditional=False)
    with refused(ConfigError, "digits", "classification", "ModelSampler"):
        check_capabilities(
            RecipeEntry("digits", "a:B", "", capabilities=frozenset({"classification"})), generator
        )
