"""Flows against brute force, in float64: determinants, inverses, integrals, and what is sampled."""

import math

import pytest
import scipy.stats
import torch
from refusals import refused
from torch import nn

from gancore.nn.bijections import (
    STEEPEST,
    ActivationNorm,
    Bijection,
    Coupling,
    Logit,
    MaskedCoupling,
    Mixing,
    Squeeze,
    zeroed,
)
from gancore.nn.flows import Flow
from gancore.nn.scales import Split
from gancore.runtime.randomness import Key


class Network(nn.Module):
    """Any smooth network of a row's flattened values and of a label, not small at first."""

    def __init__(self, inputs, outputs, classes=0):
        super().__init__()
        self.inside, self.outside = nn.Linear(math.prod(inputs), 12), nn.Linear(12, math.prod(outputs))
        self.label = nn.Embedding(classes, 12) if classes else None
        self.outputs = outputs

    def forward(self, x, condition=None):
        hidden = self.inside(x.flatten(1)) + (0 if self.label is None else self.label(condition))
        return self.outside(torch.tanh(hidden)).view(-1, *self.outputs)


def coupling(kept, shape, classes=0):
    changed = shape[0] - kept
    return Coupling(Network((kept, *shape[1:]), (2 * changed, *shape[1:]), classes), kept)


def masked(shape, classes=0):
    mask = (torch.arange(math.prod(shape)) % 2 == 0).view(shape).to(torch.get_default_dtype())
    return MaskedCoupling(mask, Network(shape, (2 * shape[0], *shape[1:]), classes))


def norm(channels):
    made = ActivationNorm(channels)
    for tensor in (made.mean, made.log_deviation, made.log_scale.data, made.shift.data):
        nn.init.normal_(tensor, std=0.5)
    return made


def mixing(channels):
    made = Mixing(channels).to(torch.get_default_dtype())
    nn.init.normal_(made.triangles, std=0.5)
    return made


FLOWS = {
    "points": ((3,), lambda s, c: [norm(3), mixing(3), coupling(1, (3,), c), masked((3,), c), mixing(3)]),
    "sequences": (
        (1, 12),
        lambda s, c: [Squeeze(4), mixing(4), coupling(2, (4, 3), c), norm(4), mixing(4), masked((4, 3), c)],
    ),
    "planes": (
        (2, 4, 4),
        lambda s, c: [
            masked((2, 4, 4), c),
            Squeeze(2),
            mixing(8),
            coupling(3, (8, 2, 2), c),
            Squeeze(2),
            norm(32),
        ],
    ),
    "scales": (
        (2, 4, 4),
        lambda s, c: [
            Logit(-1.0, 0.5, 0.02),
            Squeeze(2),
            coupling(5, (8, 2, 2), c),
            Split((8, 2, 2), 5, [mixing(5), coupling(2, (5, 2, 2), c), Split((5, 2, 2), 1, [norm(1)])]),
            mixing(32),
        ],
    ),
}


@pytest.fixture(params=FLOWS)
def flow(request, float64):
    torch.manual_seed(2)
    shape, chain = FLOWS[request.param]
    return Flow(shape, chain(shape, 3)), torch.randn(5, *shape), torch.tensor([0, 1, 2, 1, 0])


def jacobians(function, rows, labels):
    """d function / d row, flat, for each row."""
    made = [
        torch.autograd.functional.jacobian(lambda x, i=i: function(x[None], labels[i : i + 1])[0], rows[i])
        for i in range(len(rows))
    ]
    size = rows[0].numel()
    return torch.stack([each.reshape(size, size) for each in made])


def test_the_log_determinant_is_that_of_the_jacobian(flow):
    flow, rows, labels = flow
    z, log_det = flow.encode(rows, labels)
    assert z.shape == (5, flow.size) and log_det.std() > 0.01
    each = jacobians(lambda x, label: flow.encode(x, label)[0], rows, labels)
    torch.testing.assert_close(log_det, torch.linalg.slogdet(each).logabsdet, rtol=1e-10, atol=1e-10)


def test_each_bijection_of_a_chain_tells_its_own_determinant(flow):
    flow, x, labels = flow
    for bijection in flow.bijections:
        each = jacobians(lambda x, label, f=bijection: f(x, label)[0].flatten(1), x, labels)
        y, log_det = bijection(x, labels)
        torch.testing.assert_close(log_det, torch.linalg.slogdet(each).logabsdet, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(bijection.inverse(y, labels), x, rtol=1e-10, atol=1e-10)
        assert y.shape[1:] == bijection.shape_after(tuple(x.shape[1:]))
        x = y.detach()


def test_there_and_back_is_where_one_was(flow):
    flow, rows, labels = flow
    z, _ = flow.encode(rows, labels)
    # below 1e-10 on an AMD EPYC, 1.3e-10 on an Intel Xeon: sums in another order, which inverting enlarges
    torch.testing.assert_close(flow.decode(z, labels), rows, rtol=1e-9, atol=1e-9)
    latents = torch.randn(5, flow.size)
    there = flow.decode(latents, labels)
    torch.testing.assert_close(flow.encode(there, labels)[0], latents, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(flow(latents, labels), there, rtol=0, atol=0)


def test_a_row_is_its_own_whatever_the_others_are(flow):
    flow, rows, labels = flow
    torch.testing.assert_close(flow.log_prob(rows, labels)[2:4], flow.log_prob(rows[2:4], labels[2:4]))


def test_a_label_moves_the_density(flow):
    flow, rows, labels = flow
    assert ((flow.log_prob(rows, labels) - flow.log_prob(rows, (labels + 1) % 3)).abs() > 1e-3).all()


def plane(seed, classes=0):
    """A flow of the plane, far from a Gaussian."""
    torch.manual_seed(seed)
    return Flow([2], [norm(2), masked((2,), classes), Mixing(2).double(), coupling(1, (2,), classes)])


def grid(flow, labels=None, steps=700):
    """Points all over where the flow has its mass, and the area of each."""
    key = Key.of("reach")
    reach = 1.5 * flow.decode(key.normal(4000, 2).double(), labels).abs().amax(0).detach()
    lines = [torch.linspace(-float(most), float(most), steps) for most in reach]
    return torch.cartesian_prod(*lines), float(4 * reach.prod() / (steps - 1) ** 2)


@pytest.mark.slow
def test_a_density_integrates_to_one(float64):
    for seed in range(3):
        flow = plane(seed, classes=2)
        for label in (0, 1):
            points, area = grid(flow, torch.full((4000,), label))
            log_prob = flow.log_prob(points, torch.full((len(points),), label)).detach()
            assert (log_prob.exp().sum() * area).item() == pytest.approx(1, abs=1e-3)


def test_the_density_is_that_of_the_samples(float64):
    """Shares of samples in cells of the plane, beside the density's integral over them."""
    flow = plane(0)
    points, area = grid(flow)
    samples = flow.sample(20_000, Key.of("samples")).double().detach()
    centre, width = samples.median(0).values, samples.std(0)

    def cell(x):
        return (((x - centre) / width).clamp(-1.999, 1.999) + 2).floor() @ torch.tensor([4.0, 1.0])

    masses = torch.zeros(16).index_add(0, cell(points).long(), flow.log_prob(points).detach().exp() * area)
    counts = torch.bincount(cell(samples).long(), minlength=16)
    expected = (masses / masses.sum() * 20_000).numpy()
    assert (expected > 20).sum() > 8
    assert ((counts.numpy() - expected) ** 2 / (expected + 1)).sum() < scipy.stats.chi2(15).ppf(0.999)


def test_a_flow_of_identities_is_the_gaussian(float64):
    class Zero(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = zeroed(nn.Conv1d(2, 4, 1))

        def forward(self, x, condition=None):
            return self.layer(x)

    flow = Flow([4, 5], [ActivationNorm(4), Mixing(4).double(), Coupling(Zero(), 2)])
    x = torch.randn(6, 4, 5)
    exact = torch.distributions.Normal(0.0, 1.0).log_prob(x).sum((1, 2))
    torch.testing.assert_close(
        flow.log_prob(x), exact, rtol=1e-5, atol=1e-5
    )  # the rotation is kept in 32 bits


def test_mixing_begins_as_a_rotation_and_may_become_any_matrix_of_its_signs(float64):
    for channels in (1, 2, 7):
        mix = Mixing(channels).double()
        matrix = mix(torch.eye(channels))[0].T
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(channels), rtol=0, atol=1e-5)
        nn.init.normal_(mix.triangles)
        other = mix(torch.eye(channels))[0].T
        assert torch.linalg.slogdet(other).sign == torch.linalg.slogdet(matrix).sign
        assert sum(p.numel() for p in mix.parameters()) == channels**2


def test_the_first_batch_leaves_a_prepared_flow_with_mean_0_and_deviation_1(float64):
    torch.manual_seed(0)
    norms = [ActivationNorm(4), ActivationNorm(4)]
    flow = Flow([1, 8], [Squeeze(4), norms[0], mixing(4), coupling(2, (4, 2)), norms[1]])
    rows = 5 + 3 * torch.randn(400, 1, 8) * torch.arange(1, 9)
    flow.prepare(rows)
    z = flow.encode(rows)[0].view(400, 4, 2).transpose(0, 1).flatten(1)
    torch.testing.assert_close(z.mean(1), torch.zeros(4), rtol=0, atol=1e-10)
    torch.testing.assert_close(z.std(1), torch.ones(4), rtol=1e-10, atol=0)
    assert (norms[0].log_deviation > 1).all() and (norms[0].log_scale == 0).all()


def test_squeezing_moves_numbers_and_loses_none():
    x = torch.arange(2.0 * 8).view(1, 2, 8)
    y, log_det = Squeeze(4)(x)
    assert y.shape == (1, 8, 2) and log_det.tolist() == [0]
    assert y[0, :4, 0].tolist() == [0, 1, 2, 3] and y[0, 4:, 1].tolist() == [12, 13, 14, 15]
    square = torch.arange(16.0).view(1, 1, 4, 4)
    assert Squeeze(2)(square)[0][0, :, 0, 0].tolist() == [0, 1, 4, 5]
    with refused(ValueError, 6, 4):
        Flow([1, 6], [Squeeze(4)])


def test_no_coupling_stretches_more_than_it_may(float64):
    layer = coupling(1, (2,))
    nn.init.normal_(layer.network.outside.weight, std=1e4)
    x = torch.randn(100, 2)
    assert layer(x)[1].abs().max() <= STEEPEST
    torch.testing.assert_close(layer.inverse(layer(x)[0]), x, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_network_in_low_precision_leaves_the_data_in_theirs(precision):
    torch.manual_seed(0)
    flow = Flow([4, 3], [mixing(4), coupling(2, (4, 3)), norm(4)])
    with torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16):
        z, log_det = flow.encode(torch.randn(2, 4, 3))
    assert z.dtype is log_det.dtype is torch.float32


def test_a_bijection_must_say_what_it_does():
    for call in (Bijection().forward, Bijection().inverse):
        with refused(TypeError, "Bijection"):
            call(torch.zeros(1))
