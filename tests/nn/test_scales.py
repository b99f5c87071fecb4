"""Several scales in one flow, and logits: what is left out stays, and ends are drawn apart."""

import pytest
import scipy.special
import torch
from refusals import refused

from gancore.nn.bijections import ActivationNorm, Logit, Squeeze, prepare, shape_through
from gancore.nn.flows import Flow
from gancore.nn.scales import Split


def test_what_is_split_off_comes_out_as_it_went_in():
    x = torch.randn(3, 4, 2, 2)
    split = Split((4, 2, 2), 1, [Squeeze(2)])
    y, log_det = split(x)
    assert y.shape == (3, 16) and torch.equal(log_det, torch.zeros(3))
    assert torch.equal(y[:, 4:], x[:, 1:].flatten(1)) and torch.equal(y[:, :4], x[:, 0].flatten(1))
    assert torch.equal(split.inverse(y), x)


def test_what_goes_on_is_prepared_by_a_first_batch():
    x = 5 + 3 * torch.randn(64, 4, 2, 2)
    inner = ActivationNorm(2)
    flow = Flow((4, 2, 2), [Split((4, 2, 2), 2, [inner])])
    flow.prepare(x)
    rows = inner(x[:, :2])[0].transpose(0, 1).flatten(1)
    torch.testing.assert_close(rows.mean(1), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(rows.std(1), torch.ones(2))


def test_shapes_are_followed_and_others_refused():
    chain = [Squeeze(2), Split((4, 3, 3), 2, [])]
    assert shape_through(chain, (1, 6, 6)) == (36,)
    with refused(ValueError, "(4, 2, 2)"):
        shape_through(chain, (1, 4, 4))


def test_a_chain_is_prepared_by_what_comes_before_and_by_the_label():
    class Lifted(ActivationNorm):
        def forward(self, x, condition=None):
            y, log_det = super().forward(x)
            return y + condition.view(-1, 1), log_det

    first, second = Lifted(1), ActivationNorm(1)
    prepare([first, second], torch.randn(8, 1), torch.full((8,), 7.0))
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
