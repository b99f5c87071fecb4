"""Flow-GAN: one generator, two costs; its likelihood is exact however it is trained."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import one_hot
from toy_games import DenseDiscriminator, Rows, differing, play, points, set_up, training_step, whole

from gancore.data.dataset import Batch, Spec
from gancore.domain import Domain
from gancore.games import SGD, Adam, FlowGame, adversarial_game, flow_gan, likelihood_game, linear, normal
from gancore.nn.flows import ActNorm, AffineCoupling, Flow, InvertibleConv1x1
from gancore.random import Key
from gancore.training.validation import NLL, Validator


def rows_of_two():
    """Data of the test's own precision."""
    return points(64, centre=2.0)


class Network(nn.Module):
    def __init__(self, classes=0):
        super().__init__()
        self.classes = classes
        self.layers = nn.Sequential(nn.Linear(1 + classes, 8), nn.Tanh(), nn.Linear(8, 2))

    def forward(self, x, condition=None):
        if self.classes:
            x = torch.cat([x, one_hot(condition, self.classes).to(x.dtype)], dim=1)
        return self.layers(x)


def flow(classes=0):
    chain = [
        ActNorm(2),
        InvertibleConv1x1(2),
        AffineCoupling(Network(classes), 1),
        InvertibleConv1x1(2),
        AffineCoupling(Network(classes), 1),
    ]
    return Flow([2], chain).to(torch.get_default_dtype())


def gan(weight=1.0, optimizer=None, **options):
    optimizer = optimizer or Adam(5e-3, (0.5, 0.99))
    return lambda: flow_gan(
        flow=flow,
        discriminator=DenseDiscriminator,
        likelihood_weight=weight,
        generator_optimizer=optimizer,
        discriminator_optimizer=optimizer,
        **options,
    )


def generator_gradient(build):
    table = set_up(build, rows_of_two())
    moves = training_step(table)
    (index, move) = next((i, m) for i, m in moves.due_moves() if m.player == "generator")
    names = table.optimizers["generator"].names
    return dict(zip(names, moves.gradient(move, moves.draw(index)).tensors, strict=True)), table


def test_the_gradient_of_the_sum_is_the_sum_of_the_gradients(float64):
    """Eq. 7, on the draws of the generator's move."""
    both, table = generator_gradient(gan(0.3))
    alone, _ = generator_gradient(gan(0.0))
    moves, game = training_step(table), table.game
    real = moves.draw(1).real().data
    names, parameters = zip(*game.generator.named_parameters(prefix="generator"), strict=True)
    nll = torch.autograd.grad(-game.generator.log_prob(real).mean(), parameters)
    for name, gradient in zip(names, nll, strict=True):
        torch.testing.assert_close(both[name], alone[name] + 0.3 * gradient)
        assert gradient.any() and alone[name].any()


def test_without_a_weight_it_is_any_gan_whose_generator_is_a_flow():
    def plain():
        return adversarial_game(
            generator=flow,
            discriminator=DenseDiscriminator,
            prior=normal(2),
            generator_optimizer=Adam(5e-3, (0.5, 0.99)),
            discriminator_optimizer=Adam(5e-3, (0.5, 0.99)),
        )

    class Unprepared(Flow):
        def initialize(self, data, condition=None):
            pass

    def unprepared():
        game = gan(0.0)()
        game.generator.__class__ = Unprepared
        return game

    assert differing(whole(play(plain, rows_of_two(), 5)), whole(play(unprepared, rows_of_two(), 5))) == []


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_the_likelihood_is_exact_throughout(weight, float64):
    """The density of the trained generator, integrated over the plane, is one; and valid sees it as nll."""
    sampler = play(gan(weight), rows_of_two(), 30, batch_size=16).game.sampler().eval()
    reach = 2 * sampler.sample(4000, Key.of(0)).abs().max().item()
    line = torch.linspace(-reach, reach, 1001)
    density = sampler.log_prob(Batch(torch.cartesian_prod(line, line))).exp()
    assert density.sum().item() * (line[1] - line[0]).item() ** 2 == pytest.approx(1, abs=1e-3)
    assert sampler.lower_bound is False
    seen = Validator(Domain(), Spec({}), Rows(rows_of_two()), 64, Key.of("valid")).validate(sampler)
    assert seen[NLL] == pytest.approx(-sampler.log_prob(Batch(rows_of_two())).mean().item())


def test_the_sampler_has_samples_densities_and_latents(float64):
    sampler = play(gan(), rows_of_two(), 5).game.sampler().eval()
    latents = sampler.latents(50, Key.of(1)).double()
    samples = sampler.sample(50, Key.of(1)).double()
    torch.testing.assert_close(sampler.render(latents), samples, rtol=0, atol=0)
    torch.testing.assert_close(sampler.invert(Batch(samples)), latents)
    torch.testing.assert_close(sampler.render(sampler.invert(Batch(rows_of_two()))), rows_of_two())


def test_both_costs_pull_towards_the_data():
    """Near to the best Gaussian's nll, which a flow of a Gaussian can have."""
    best = (
        torch.distributions.Normal(rows_of_two().mean(0), rows_of_two().std(0, correction=0))
        .log_prob(rows_of_two())
        .sum(1)
        .mean()
    )
    nll = [
        -play(gan(), rows_of_two(), steps, batch_size=16).game.generator.log_prob(rows_of_two()).mean().item()
        for steps in (1, 200)
    ]
    assert nll[1] < nll[0] and nll[1] < -best.item() + 0.2


@pytest.mark.parametrize("weight", [0.0, linear(1.0, 0.1)])
@pytest.mark.parametrize("average", [None, 50.0])
def test_a_run_that_is_killed_and_resumed_equals_an_undisturbed_one(weight, average, tmp_path):
    build = gan(weight, ema_halflife=average)
    undisturbed = play(build, rows_of_two(), 12)
    killed = play(build, rows_of_two(), 12, kills=(1, 7), folder=tmp_path)
    assert differing(whole(undisturbed), whole(killed)) == []


def test_the_weight_may_follow_a_schedule(float64):
    costs = []
    for progress in (0.0, 1.0):
        table = set_up(gan(linear(2.0, 0.5), optimizer=SGD(0.1)), rows_of_two())
        moves = training_step(table, progress=progress)
        cost = table.game.cost(table.game.phases[0].moves[1], moves.draw(1))
        costs.append(
            (cost.total() - cost.terms["loss"].numerator).item() / cost.terms["nll"].numerator.item()
        )
    assert costs == pytest.approx([2.0, 0.5])


@pytest.mark.parametrize("kind", ["likelihood", "adversarial"])
def test_a_flow_is_prepared_by_the_first_batch_once(kind, tmp_path):
    def build():
        if kind == "likelihood":
            return likelihood_game(flow, game=FlowGame, ema_halflife=50.0)
        return gan(ema_halflife=50.0)()

    table = play(build, rows_of_two(), 4, kills=(2,), folder=tmp_path, batch_size=64)
    model = table.game.model if kind == "likelihood" else table.game.generator
    first = model.bijections[0]
    torch.testing.assert_close(first.mean, rows_of_two().mean(0))
    torch.testing.assert_close(first.log_deviation, rows_of_two().std(0).log())
    torch.testing.assert_close(table.game.ema.module.bijections[0].mean, first.mean, rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["likelihood", "adversarial"])
def test_labels_reach_both_costs_and_the_sampler(kind):
    """Two Gaussians, one to a label: knowing it is worth log 2 nats, and samples lie where it says."""
    labels = torch.arange(64) % 2
    rows = rows_of_two() + 8 * labels[:, None]

    class Told(DenseDiscriminator):
        def logits(self, embedded, condition=None):
            return super().logits(embedded - 8 * condition[:, None])

    def build():
        optimizer = Adam(2e-2, (0.5, 0.99))
        if kind == "likelihood":
            return likelihood_game(lambda: flow(2), game=FlowGame, conditional=True, optimizer=optimizer)
        return flow_gan(
            flow=lambda: flow(2),
            discriminator=Told,
            conditional=True,
            generator_optimizer=optimizer,
            clip_grad_norm=10.0,
        )

    sampler = play(build, Rows(rows, labels), 300, batch_size=32).game.sampler().eval()
    own, other = (sampler.log_prob(Batch(rows, result)).mean().item() for result in (labels, 1 - labels))
    best = (
        torch.distributions.Normal(rows_of_two().mean(0), rows_of_two().std(0))
        .log_prob(rows_of_two())
        .sum(1)
        .mean()
        .item()
    )
    assert own > other + 5 and own > best - math.log(2)
    for label in (0, 1):
        samples = sampler.sample(200, Key.of(0), torch.full((200,), label))
        assert (samples.mean(0) - (2 + 8 * label)).abs().max() < 1
