"""The Vendi score (Friedman and Dieng 2023): how many different samples there are, in effect."""

import torch

from gancore import Metric
from gancore.metrics import subsampling_interval


def vendi_score(features, scale):
    """exp of the entropy of the eigenvalues of exp(-|x - y|^2 / (2 scale^2)) / n; features (n, d), 1 to n."""
    kernel = torch.cdist(features.double(), features.double()).div(scale).square().div(-2).exp()
    shares = torch.linalg.eigvalsh(kernel / len(kernel)).clamp_min(1e-300)
    return float((-shares * shares.log()).sum().exp())


def ratio(inputs):
    real, fake = inputs.shuffled_features()
    n = min(len(real), len(fake), 500)  # the score grows with n
    scale = torch.pdist(real[:n]).median().clamp_min(1e-12)
    return vendi_score(fake[:n], scale) / vendi_score(real[:n], scale)


vendi_ratio = Metric(
    ratio,
    unit="of real",
    ideal=1.0,
    higher_is_better=None,
    kind="diversity",
    requires=frozenset({"features"}),
    interval=subsampling_interval(ratio),
    equal_sizes=True,
    max_rows=500,
)
