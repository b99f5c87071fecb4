"""A convolutional GAN, and an autoregressive model with exact likelihoods."""

import torch
from torch import nn

from gancore import Recipe, games
from gancore.nn import Recurrent


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


class Autoregression(nn.Module):
    """p(x_t | x_<t) is normal; a recurrent network gives its mean and scale (Salinas et al. 2020)."""

    def __init__(self, spec):
        super().__init__()
        channels, self.length = len(spec["channels"]), spec["length"]
        self.trunk, self.head = Recurrent(channels, 64), nn.Linear(64, 2 * channels)

    def log_prob(self, data):
        values = data.transpose(1, 2)
        mean, log_scale = self.head(self.trunk(nn.functional.pad(values, (0, 0, 1, -1)))).chunk(2, -1)
        return torch.distributions.Normal(mean, log_scale.exp()).log_prob(values).sum((1, 2))

    def sample(self, n, key):
        step, values = self.trunk.stepper(n), [torch.zeros(n, self.trunk.in_features, device=key.device)]
        for at in range(self.length):
            mean, log_scale = self.head(step(values[-1])).chunk(2, -1)
            values.append(mean + log_scale.exp() * (key / at).normal(*mean.shape))
        return torch.stack(values[1:], dim=2)


class DeepAR(Recipe):
    Config = games.LikelihoodConfig

    def build(self, config, spec):
        return games.likelihood_game(lambda: Autoregression(spec), **config.game_options())
