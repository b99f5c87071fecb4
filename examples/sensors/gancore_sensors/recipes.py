"""A convolutional GAN, and a normal distribution with exact likelihoods."""

import torch
from torch import nn

from gancore import Recipe, games


@games.with_defaults(lr=5e-4, penalty_weight=0.1, penalty_every=4, ema_halflife=5_000)
class ConvGANConfig(games.AdversarialConfig):
    """The keys that all GANs share."""


class ConvGAN(Recipe):
    Config = ConvGANConfig

    def build(self, config, spec):
        channels, coarse, w = len(spec["channels"]), spec["length"] // 16, 16
        same = {"kernel_size": 9, "padding": 4, "padding_mode": "replicate"}
        up, down = [nn.Linear(32, 4 * w * coarse), nn.Unflatten(1, (4 * w, coarse))], []
        for k, a, b in ((2, 4 * w, 4 * w), (2, 4 * w, 2 * w), (4, 2 * w, w)):
            up += [nn.LeakyReLU(0.2), nn.Upsample(None, k, "linear"), nn.Conv1d(a, b, **same)]
        for k, a, b in ((4, channels, w), (2, w, 2 * w), (2, 2 * w, 4 * w)):
            down += [nn.Conv1d(a, b, 9, stride=k, padding=4), nn.LeakyReLU(0.2)]
        generator = nn.Sequential(*up, nn.LeakyReLU(0.2), nn.Conv1d(w, channels, **same))
        judge = nn.Sequential(*down, nn.Flatten(), nn.Linear(4 * w * coarse, 1), nn.Flatten(0))
        networks = {"generator": lambda: generator, "discriminator": lambda: games.Discriminator(judge)}
        return games.adversarial_game(**networks, prior=games.normal(32), **config.game_options())


class GaussianWindows(nn.Module):
    """A normal distribution of whole windows, by maximum likelihood; values have noise of deviation 0.01."""

    parallel = True

    def __init__(self, spec):
        super().__init__()
        self.shape, size = (len(spec["channels"]), spec["length"]), len(spec["channels"]) * spec["length"]
        self.mean, self.factor = nn.Buffer(torch.zeros(size)), nn.Buffer(torch.eye(size))

    def fit(self, views, key):
        rows = next(iter(views.values()))
        values = rows.get_batch(torch.arange(len(rows)), key).data.flatten(1).double()
        # the factor is still the identity: the covariance of the noise
        self.factor.copy_(torch.linalg.cholesky(values.T.cov(correction=0) + 1e-4 * self.factor))
        self.mean.copy_(values.mean(0))
        return True

    def log_prob(self, data):
        law = torch.distributions.MultivariateNormal(self.mean.double(), scale_tril=self.factor.double())
        return law.log_prob(data.flatten(1).double()).float()

    def sample(self, n, key):
        return (self.mean + key.normal(n, len(self.mean)) @ self.factor.T).unflatten(1, self.shape)


class Gaussian(Recipe):
    def build(self, config, spec):
        return games.fitted_game(GaussianWindows(spec))
