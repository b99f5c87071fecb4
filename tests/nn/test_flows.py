"""Flows against brute force, in float64: determinants, inverses, integrals, and what is sampled."""

import math

import pytest
import scipy.special
import scipy.stats
import torch
from refusals import refused
from torch import nn

from gancore.nn.flows import (
    MAX_LOG_SCALE,
    ActNorm,
    AffineCoupling,
    Bijection,
    Flow,
    InvertibleConv1x1,
    Logit,
    MaskedAffineCoupling,
    Split,
    Squeeze,
    chain_output_shape,
    initialize_chain,
    zero_init,
)
from gancore.random import Key


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
    return AffineCoupling(Network((kept, *shape[1:]), (2 * changed, *shape[1:]), classes), kept)


def masked(shape, classes=0):
    mask = (torch.arange(math.prod(shape)) % 2 == 0).view(shape).to(torch.get_default_dtype())
    return MaskedAffineCoupling(mask, Network(shape, (2 * shape[0], *shape[1:]), classes))


def norm(channels):
    made = ActNorm(channels)
    for tensor in (made.mean, made.log_deviation, made.log_scale.data, made.shift.data):
        nn.init.normal_(tensor, std=0.5)
    return made


def mixing(channels):
    made = InvertibleConv1x1(channels).to(torch.get_default_dtype())
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
        assert y.shape[1:] == bijection.output_shape(tuple(x.shape[1:]))
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
    return Flow(
        [2], [norm(2), masked((2,), classes), InvertibleConv1x1(2).double(), coupling(1, (2,), classes)]
    )


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
            self.layer = zero_init(nn.Conv1d(2, 4, 1))

        def forward(self, x, condition=None):
            return self.layer(x)

    flow = Flow([4, 5], [ActNorm(4), InvertibleConv1x1(4).double(), AffineCoupling(Zero(), 2)])
    x = torch.randn(6, 4, 5)
    exact = torch.distributions.Normal(0.0, 1.0).log_prob(x).sum((1, 2))
    torch.testing.assert_close(
        flow.log_prob(x), exact, rtol=1e-5, atol=1e-5
    )  # the rotation is kept in 32 bits


def test_mixing_begins_as_a_rotation_and_may_become_any_matrix_of_its_signs(float64):
    for channels in (1, 2, 7):
        mix = InvertibleConv1x1(channels).double()
        matrix = mix(torch.eye(channels))[0].T
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(channels), rtol=0, atol=1e-5)
        nn.init.normal_(mix.triangles)
        other = mix(torch.eye(channels))[0].T
        assert torch.linalg.slogdet(other).sign == torch.linalg.slogdet(matrix).sign
        assert sum(p.numel() for p in mix.parameters()) == channels**2


def test_the_first_batch_leaves_a_prepared_flow_with_mean_0_and_deviation_1(float64):
    torch.manual_seed(0)
    norms = [ActNorm(4), ActNorm(4)]
    flow = Flow([1, 8], [Squeeze(4), norms[0], mixing(4), coupling(2, (4, 2)), norms[1]])
    rows = 5 + 3 * torch.randn(400, 1, 8) * torch.arange(1, 9)
    flow.initialize(rows)
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
    assert layer(x)[1].abs().max() <= MAX_LOG_SCALE
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


def test_what_is_split_off_comes_out_as_it_went_in():
    x = torch.randn(3, 4, 2, 2)
    split = Split((4, 2, 2), 1, [Squeeze(2)])
    y, log_det = split(x)
    assert y.shape == (3, 16) and torch.equal(log_det, torch.zeros(3))
    assert torch.equal(y[:, 4:], x[:, 1:].flatten(1)) and torch.equal(y[:, :4], x[:, 0].flatten(1))
    assert torch.equal(split.inverse(y), x)


def test_what_goes_on_is_prepared_by_a_first_batch():
    x = 5 + 3 * torch.randn(64, 4, 2, 2)
    inner = ActNorm(2)
    flow = Flow((4, 2, 2), [Split((4, 2, 2), 2, [inner])])
    flow.initialize(x)
    rows = inner(x[:, :2])[0].transpose(0, 1).flatten(1)
    torch.testing.assert_close(rows.mean(1), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(rows.std(1), torch.ones(2))


def test_shapes_are_followed_and_others_refused():
    chain = [Squeeze(2), Split((4, 3, 3), 2, [])]
    assert chain_output_shape(chain, (1, 6, 6)) == (36,)
    with refused(ValueError, "(4, 2, 2)"):
        chain_output_shape(chain, (1, 4, 4))


def test_a_chain_is_prepared_by_what_comes_before_and_by_the_label():
    class Lifted(ActNorm):
        def forward(self, x, condition=None):
            y, log_det = super().forward(x)
            return y + condition.view(-1, 1), log_det

    first, second = Lifted(1), ActNorm(1)
    initialize_chain([first, second], torch.randn(8, 1), torch.full((8,), 7.0))
    assert second.mean.item() == pytest.approx(7, abs=1e-5)


def test_a_logit_is_the_logit_between_its_ends():
    layer = Logit(-1.0, 1.0, 0.05)
    x = torch.linspace(-1, 1, 41, dtype=torch.float64)[:, None]
    expected = torch.from_numpy(scipy.special.logit((0.05 + 0.45 * (x + 1)).numpy()))
    torch.testing.assert_close(layer(x)[0], expected)
    torch.testing.assert_close(layer.inverse(expected), x)


@pytest.mark.parametrize("end", [-1.0, 3.0])
def test_a_logit_goes_on_straight_and_without_a_kink(end):
    layer = Logit(-1.0, 3.0, 0.01)
    step = 1e-6 if end > 0 else -1e-6
    x = torch.tensor([[end - step], [end], [end + step], [end + 1e6 * step]], dtype=torch.float64)
    y, log_det = layer(x)
    slope = (y[1:] - y[:-1]).flatten() / (x[1:] - x[:-1]).flatten()
    torch.testing.assert_close(slope, slope[2].expand(3), rtol=1e-4, atol=0)
    torch.testing.assert_close(log_det[2:].exp(), slope[1:])
    torch.testing.assert_close(layer.inverse(y), x)


def test_small_cells_near_an_end_are_drawn_wide():
    """Of 256 cells the first is 1.6 wide of 14 at a = 0.001, where in the middle one is 0.016."""
    layer = Logit(0.0, 256.0, 1e-3)
    y = layer(torch.tensor([[0.0], [1.0], [128.0], [129.0]], dtype=torch.float64))[0].flatten()
    assert (y[1] - y[0]).item() == pytest.approx(1.59, abs=0.01)
    assert (y[3] - y[2]).item() == pytest.approx(0.0156, abs=0.0001)
