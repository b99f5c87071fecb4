"""Gradient penalties against closed forms and finite differences."""

import pytest
import torch
from torch import nn
from toy_games import DenseDiscriminator, points, set_up, training_step

from gancore.games import R1, R2, SGD, WGANGP, Discriminator, TokenDiscriminator, adversarial_game, normal
from gancore.games.penalties import interpolate, r1, r2, wgan_gp

SHAPES = [(6, 5), (6, 3, 5), (6, 2, 3, 4)]


class Linear(Discriminator):
    """w . x over all axes."""

    def __init__(self, *shape):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(0)))

    def logits(self, embedded, condition=None):
        return (embedded * self.weight).flatten(1).sum(1)


class Quadratic(Discriminator):
    """x A x / 2 with A symmetric: its gradient is A x."""

    def __init__(self, size):
        super().__init__()
        a = torch.randn(size, size, generator=torch.Generator().manual_seed(0))
        self.a = nn.Parameter(a + a.T)

    def logits(self, embedded, condition=None):
        return 0.5 * torch.einsum("bi,ij,bj->b", embedded, self.a, embedded)


def pair(shape):
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(shape, generator=generator),
        torch.randn(shape, generator=generator),
        torch.rand(6, generator=generator),
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_r1_of_a_linear_discriminator_is_half_its_squared_norm(shape, float64):
    judge, (x, y, alpha) = Linear(*shape[1:]), pair(shape)
    half = 0.5 * judge.weight.square().sum()
    for values in (r1(judge, x, None, None, alpha), r2(judge, None, y, None, alpha)):
        assert values.shape == (6,) and torch.allclose(values, half)


@pytest.mark.parametrize("shape", SHAPES)
def test_wgan_gp_of_a_linear_critic_is_one_number_whatever_the_axes(shape, float64):
    """The norm is over all axes of an example: taken over one of them, these would be other numbers."""
    judge, (x, y, alpha) = Linear(*shape[1:]), pair(shape)
    norm = judge.weight.norm()
    assert torch.allclose(wgan_gp(judge, x, y, None, alpha), (norm - 1) ** 2)
    judge.weight.data /= norm
    assert wgan_gp(judge, x, y, None, alpha).max() < 1e-20


def test_penalties_of_a_quadratic_discriminator_are_the_norms_of_a_x(float64):
    judge, (x, y, alpha) = Quadratic(5), pair((6, 5))
    slope = lambda points: (points @ judge.a).norm(dim=1)  # noqa: E731
    assert torch.allclose(r1(judge, x, y, None, alpha), 0.5 * slope(x) ** 2)
    assert torch.allclose(r2(judge, x, y, None, alpha), 0.5 * slope(y) ** 2)
    between = alpha[:, None] * x + (1 - alpha[:, None]) * y
    assert torch.allclose(wgan_gp(judge, x, y, None, alpha), (slope(between) - 1) ** 2)


def test_alpha_is_one_number_an_example_for_every_leaf():
    real = {"a": torch.ones(4, 3), "b": [torch.ones(4, 2, 5)]}
    fake = {"a": torch.zeros(4, 3), "b": [torch.zeros(4, 2, 5)]}
    alpha = torch.tensor([0.0, 0.25, 0.5, 1.0])
    mixed = interpolate(real, fake, alpha)
    assert torch.equal(mixed["a"], alpha[:, None].expand(4, 3))
    assert torch.equal(mixed["b"][0], alpha[:, None, None].expand(4, 2, 5))


def test_a_leaf_that_the_discriminator_ignores_has_no_slope(float64):
    class First(DenseDiscriminator):
        def logits(self, embedded, condition=None):
            return super().logits(embedded["seen"])

    judge, x = First(5), pair((6, 5))[0]
    assert torch.equal(
        r1(judge, {"seen": x, "ignored": x}, None, None, None), r1(judge, {"seen": x}, None, None, None)
    )


class Tokens(TokenDiscriminator):
    def __init__(self):
        super().__init__(5, 3)
        self.layer = nn.Linear(3, 1)

    def logits(self, embedded, condition=None):
        return self.layer(torch.tanh(embedded)).mean((1, 2))


@pytest.mark.parametrize("penalty", [r1, r2, wgan_gp])
@pytest.mark.parametrize("make", [lambda: DenseDiscriminator(5), Tokens])
def test_gradient_through_a_penalty_equals_finite_differences(penalty, make, float64):
    torch.manual_seed(0)
    judge = make()
    data = [x.softmax(-1) if make is Tokens else x for x in pair((6, 4, 5) if make is Tokens else (6, 5))[:2]]
    alpha = pair((6, 5))[2]

    def value():
        return penalty(judge, *(judge.embed(x) for x in data), None, alpha).mean()

    for parameter in judge.parameters():
        gradient = torch.autograd.grad(value(), parameter, allow_unused=True)[0]
        gradient = torch.zeros_like(parameter) if gradient is None else gradient
        direction = torch.randn_like(parameter)
        steps = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter += sign * 1e-6 * direction
            steps.append(value().detach())
            with torch.no_grad():
                parameter -= sign * 1e-6 * direction
        assert torch.allclose(
            (gradient * direction).sum(), (steps[0] - steps[1]) / 2e-6, rtol=1e-6, atol=1e-9
        )


@pytest.mark.parametrize("penalty", [R1, R2, WGANGP])
@pytest.mark.parametrize("every", [1, 4])
@pytest.mark.parametrize("tokens", [False, True])
def test_a_penalty_is_taken_in_fp32_from_the_embedding_on_while_the_move_runs_in_bf16(penalty, every, tokens):
    generator = (
        (lambda: nn.Sequential(nn.Linear(3, 5), nn.Unflatten(1, (1, 5)), nn.Softmax(2)))
        if tokens
        else (lambda: nn.Linear(3, 2))
    )

    def build():
        make = Tokens if tokens else DenseDiscriminator
        return adversarial_game(
            generator=generator, discriminator=make, prior=normal(3), penalties=[penalty(1.0, every)]
        )

    data = torch.eye(5)[torch.arange(40) % 5][:, None] if tokens else points()
    values = []
    for bf16 in (False, True):
        table = set_up(build, data, bf16=bf16)
        seen = []
        judge = table.game.discriminator
        judge.register_forward_hook(lambda module, args, out, seen=seen: seen.append(out.dtype))
        moves = [(i, m) for i, m in training_step(table).due_moves() if m.player == "discriminator"]
        means = {}
        for index, move in moves:
            means |= training_step(table).gradient(move, training_step(table).draw(index)).means
        values.append(means)
        assert seen[0] is (torch.bfloat16 if bf16 else torch.float32)
    (name,) = [each.name for each in table.game.penalties]
    assert values[0]["loss"] != values[1]["loss"]
    # Fakes come from a generator in bf16 where the penalty is a term of the main move.
    tolerance = 0.0 if penalty is R1 or every > 1 else 0.05
    assert torch.allclose(values[0][name], values[1][name], rtol=tolerance, atol=0.0)


def test_a_schedule_weighs_a_penalty_by_the_progress_of_the_phase():
    def build():
        return adversarial_game(
            generator=lambda: nn.Linear(3, 2),
            discriminator=lambda: Linear(2),
            prior=normal(3),
            loss="wasserstein",
            penalties=[R1(lambda progress: 4 * progress)],
            discriminator_optimizer=SGD(1.0),
        )

    table = set_up(build, points(8))
    slopes = []
    for progress in (0.0, 0.5):
        at = training_step(table, progress=progress)
        slopes.append(at.gradient(table.game.phases[0].moves[0], at.draw(0)).tensors[0])
    assert torch.allclose(slopes[1] - slopes[0], 2.0 * table.game.discriminator.weight, rtol=1e-5)
