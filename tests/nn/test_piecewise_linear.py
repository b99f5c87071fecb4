"""Maps without a second derivative: torch's gradients of every order, and no zeros sent back for them."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from gancore.games import Discriminator
from gancore.games.penalties import gradient_squared_norm
from gancore.nn import piecewise_linear

MAPS = {"leaky_relu": 0.2, "avg_pool2d": 2}


class Net(Discriminator):
    """Convolutions between maps of ``kind``: this house's or torch's."""

    def __init__(self, house, kind):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList([nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 4, 3, padding=1)])
        self.dense = nn.Linear(16 if kind == "avg_pool2d" else 256, 1)
        self.map = lambda x: getattr(house, kind)(x, MAPS[kind])

    def logits(self, embedded, condition=None):
        x = embedded
        for layer in self.layers:
            x = self.map(layer(x))
        return self.dense(x.flatten(1)).squeeze(1)


class Convolutions(TorchDispatchMode):
    """Counts backward passes through convolutions."""

    def __init__(self):
        super().__init__()
        self.backward = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.backward += func is torch.ops.aten.convolution_backward.default
        return func(*args, **(kwargs or {}))


def pictures():
    return torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def penalty_gradients(net):
    penalty = gradient_squared_norm(net, pictures().to(net.dense.weight.dtype), None).mean()
    return torch.autograd.grad(penalty, list(net.parameters()), allow_unused=True)


@pytest.mark.parametrize("kind", MAPS)
def test_values_and_gradients_are_torchs_bit_by_bit(kind):
    results = []
    for house in (piecewise_linear, functional):
        net, x = Net(house, kind), pictures().requires_grad_()
        logits = net(x)
        results.append([logits, *torch.autograd.grad(logits.square().sum(), [x, *net.parameters()])])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("kind", MAPS)
def test_a_penaltys_gradients_are_torchs_where_there_are_any_and_else_torchs_are_zero(kind):
    own, torchs = (penalty_gradients(Net(house, kind)) for house in (piecewise_linear, functional))
    assert any(g is not None and g.abs().max() > 0 for g in own)
    for mine, theirs in zip(own, torchs, strict=True):
        theirs = torch.zeros(()) if theirs is None else theirs
        assert torch.equal(torch.zeros_like(theirs) if mine is None else mine, theirs)


@pytest.mark.parametrize("kind", MAPS)
def test_gradients_of_both_orders_are_those_of_differences(kind, float64):
    """Away from the edges of its pieces, which random numbers do not meet."""

    def function(x):
        return getattr(piecewise_linear, kind)(x, MAPS[kind])

    x = pictures()[:1].double().requires_grad_()
    assert torch.autograd.gradcheck(function, x)
    assert torch.autograd.gradgradcheck(function, x)


@pytest.mark.parametrize("kind", MAPS)
def test_a_penalty_costs_fewer_passes_through_the_convolutions(kind):
    counts = []
    for house in (piecewise_linear, functional):
        with Convolutions() as counter:
            penalty_gradients(Net(house, kind))
        counts.append(counter.backward)
    assert counts[0] < counts[1]
    assert counts[1] - counts[0] == 2  # one for each convolution


def test_precision_is_that_of_what_comes_in():
    x = pictures().bfloat16()
    assert (
        piecewise_linear.leaky_relu(x, 0.2).dtype is piecewise_linear.avg_pool2d(x, 2).dtype is torch.bfloat16
    )
