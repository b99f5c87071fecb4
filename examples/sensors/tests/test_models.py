"""The metric and the likelihood are what they say."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from gancore_sensors.domain import power_difference
from gancore_sensors.recipes import GaussianWindows
from scipy.stats import multivariate_normal

from gancore import TensorView
from gancore.random import Key


def test_the_metric_is_the_relative_change_of_power():
    windows = torch.randn(20, 3, 32)
    sets = {"real": SimpleNamespace(samples=windows), "fake": SimpleNamespace(samples=2 * windows)}
    assert power_difference(SimpleNamespace(**sets)) == pytest.approx(3, rel=1e-5)  # 2 ** 2 - 1
    sets["fake"] = SimpleNamespace(samples=windows.flip(0))
    assert power_difference(SimpleNamespace(**sets)) == pytest.approx(0, abs=1e-5)


def test_the_fit_is_the_maximum_of_the_likelihood():
    """The density by numpy; of one more row, mean and covariance are those of all rows."""
    torch.manual_seed(0)
    data = torch.randn(500, 2, 16) @ torch.randn(16, 16) + 3
    model = GaussianWindows({"channels": ["a", "b"], "length": 16})
    assert model.fit({"train": TensorView(data)}, Key.of(0))
    rows = data.flatten(1).double().numpy()
    mean, covariance = rows.mean(0), np.cov(rows.T, bias=True) + 1e-4 * np.eye(32)
    expected = multivariate_normal(mean, covariance).logpdf(rows[:9])
    np.testing.assert_allclose(model.log_prob(data[:9]).numpy(), expected, rtol=1e-3)
    samples = model.sample(20_000, Key.of(1)).flatten(1).double().numpy()
    np.testing.assert_allclose(np.cov(samples.T), covariance, atol=0.06 * np.diag(covariance).max())
