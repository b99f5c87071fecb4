"""A causal stack looks back as far as it says and no further, and step by step it is the same function."""

import pytest
import torch
from refusals import refused
from torch.nn.functional import conv1d, pad

from gancore.errors import ConfigError
from gancore.nn.causal import CausalStack, doubling_dilations, gated_activation


def stack(condition=0, kernel=2, dilations=(1, 2, 4, 1, 2, 4)):
    torch.manual_seed(0)
    return CausalStack(3, 5, dilations, condition, kernel)


@pytest.mark.parametrize("kernel", [2, 3])
def test_an_output_hangs_on_the_inputs_within_reach_alone(kernel, float64):
    model, at = stack(kernel=kernel), 60
    assert model.receptive_field == 1 + (kernel - 1) * 14
    x = torch.randn(1, 70, 3, requires_grad=True)
    (grad,) = torch.autograd.grad(model(x)[0, at].sum(), x)
    seen = grad[0].abs().sum(1).nonzero()[:, 0]
    assert (seen.min().item(), seen.max().item()) == (at - model.receptive_field + 1, at)


def test_a_layer_is_the_papers_dilated_convolution_with_a_gate(float64):
    """z = tanh(W_f * x + V_f h) sigmoid(W_g * x + V_g h), eq. 3, by convolutions of the library."""
    model = stack(condition=4, dilations=(3,))
    x, h = torch.randn(2, 20, 3), torch.randn(2, 4)
    (layer,) = model.filters
    weight = layer.weight.view(6, 2, 3).transpose(1, 2)  # (outputs, inputs, taps)
    before = conv1d(pad(x.transpose(1, 2), (3, 0)), weight, layer.bias, dilation=3)
    f, g = (before + (h @ model.condition.weight.T)[:, :, None]).chunk(2, 1)
    wanted = model.skips(((f / 2).tanh() * g.sigmoid()).transpose(1, 2))
    torch.testing.assert_close(model(x, h), wanted, rtol=1e-12, atol=1e-12)


def test_residuals_and_skips_are_those_of_the_figure(float64):
    model = stack(dilations=(1, 2))
    x = torch.randn(2, 9, 3)
    first = gated_activation(model.filters[0](torch.cat([pad(x, (0, 0, 1, 0))[:, :-1], x], 2)))
    inner = x + first @ model.residuals[0].weight.T
    second = gated_activation(model.filters[1](torch.cat([pad(inner, (0, 0, 2, 0))[:, :-2], inner], 2)))
    one, other = model.skips.weight.chunk(2, 1)
    wanted = first @ one.T + second @ other.T + model.skips.bias
    torch.testing.assert_close(model(x), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("condition", [0, 4])
def test_step_by_step_it_is_the_same_to_rounding(condition, kernel, float64):
    model = stack(condition, kernel)
    result = torch.randn(7, condition) if condition else None
    x = torch.randn(7, 3 * model.receptive_field, 3)
    step = model.stepper(7, result)
    walked = torch.stack([step(x[:, t]) for t in range(x.shape[1])], 1)
    torch.testing.assert_close(walked, model(x, result), rtol=1e-12, atol=1e-12)
    assert not walked.requires_grad


def test_a_step_costs_as_much_late_as_early():
    """What a walk holds stays as large as the receptive_field: the rings, no list of the past."""
    model = stack()
    step = model.stepper(2)
    before = sum(layer.ring.numel() for layer in step.layers)
    for _ in range(100):
        step(torch.randn(2, 3))
    assert sum(layer.ring.numel() for layer in step.layers) == before == 2 * 3 * (model.receptive_field - 1)


def test_two_walks_do_not_meet():
    model, x = stack(), torch.randn(6, 2, 3)
    one, other = model.stepper(2), model.stepper(2)
    alone = [model.stepper(2)(x[0])]
    together = [one(x[0]), other(x[1])]
    assert torch.equal(alone[0], together[0]) and not torch.equal(*together)


def test_dilations_double_in_each_block():
    assert doubling_dilations(2, 3) == [1, 2, 4, 1, 2, 4]


def test_a_stack_that_looks_nowhere_is_refused():
    for dilations, kernel in (([], 2), ([0], 2), ([1], 1)):
        with refused(ConfigError, "kernel", "dilations"):
            CausalStack(2, 2, dilations, kernel=kernel)
