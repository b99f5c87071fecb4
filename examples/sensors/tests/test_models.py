"""The metric and the likelihood are what they say."""

from types import SimpleNamespace

import pytest
import torch
from gancore_sensors.domain import power_difference
from gancore_sensors.recipes import Autoregression


def test_the_metric_is_the_relative_change_of_power():
    windows = torch.randn(20, 3, 32)
    sets = {"real": SimpleNamespace(samples=windows), "fake": SimpleNamespace(samples=2 * windows)}
    assert power_difference(SimpleNamespace(**sets)) == pytest.approx(3, rel=1e-5)  # 2 ** 2 - 1
    sets["fake"] = SimpleNamespace(samples=windows.flip(0))
    assert power_difference(SimpleNamespace(**sets)) == pytest.approx(0, abs=1e-5)


def test_the_likelihood_is_the_product_of_its_steps():
    model = Autoregression({"channels": ["a", "b"], "length": 7}).double()
    data = torch.randn(4, 2, 7, dtype=torch.float64)
    step, past, total = model.trunk.stepper(4), torch.zeros(4, 2, dtype=torch.float64), torch.zeros(4)
    for value in data.unbind(2):
        mean, log_scale = model.head(step(past)).chunk(2, 1)
        z = (value - mean) / log_scale.exp()
        total = total - (z.square() / 2 + log_scale + 0.5 * torch.log(torch.tensor(2 * torch.pi))).sum(1)
        past = value
    torch.testing.assert_close(model.log_prob(data), total, rtol=1e-5, atol=1e-5)
