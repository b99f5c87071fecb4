"""A convolutional GAN, and an autoregressive model with exact likelihoods."""

import torch
from torch import nn

from gancore import Recipe, games
from gancore.nn import Recurrent


@games.with_defaults(ema_halflife=5_000)
class ConvGANConfig(games.AdversarialConfig):
    """The keys that all GANs share."""


class ConvGAN(Recipe):
    Config = ConvGANConfig

    def build(self, config, spec):
        channels, coarse, w = len(spec["channels"]), spec["length"] // 8, 24
        up, down = [nn.Linear(32, 4 * w * coarse), nn.Unflatten(1, (4 * w, coarse)), nn.LeakyReLU(0.2)], []
        for a, b in ((4 * w, 4 * w), (4 * w, 2 * w), (2 * w, w)):
            up += [nn.Upsample(scale_factor=2), nn.Conv1d(a, b, 9, padding=4), nn.LeakyReLU(0.2)]
        for a, b in ((channels, w), (w, 2 * w), (2 * w, 4 * w)):
            down += [nn.Conv1d(a, b, 9, stride=2, padding=4), nn.LeakyReLU(0.2)]
        generator = nn.Sequential(*up, nn.Conv1d(w, channels, 9, padding=4))
        critic = nn.Sequential(*down, nn.Flatten(), nn.Linear(4 * w * coarse, 1), nn.Flatten(0))
        networks = {"generator": lambda: generator, "discriminator": lambda: games.Discriminator(critic)}
        return games.adversarial_game(**networks, prior=games.normal(32), **config.game_options())


class Autoregression(nn.Module):
    """p(x_t | x_<t) is normal; a recurrent network gives its mean and scale (Salinas et al. 2020)."""

    def __init__(self, channels, length):
        super().__init__()
        self.channels, self.length = channels, length
        self.trunk, self.head = Recurrent(channels, 64), nn.Linear(64, 2 * channels)

    def normal(self, features):
        mean, log_scale = self.head(features).chunk(2, -1)
        return torch.distributions.Normal(mean, log_scale.exp())

    def log_prob(self, data):
        values = data.transpose(1, 2)
        past = nn.functional.pad(values, (0, 0, 1, -1))
        return self.normal(self.trunk(past)).log_prob(values).sum((1, 2))

    def sample(self, n, key):
        step, values = self.trunk.stepper(n), [torch.zeros(n, self.channels, device=key.device)]
        for at in range(self.length):
            following = self.normal(step(values[-1]))
            values.append(following.mean + following.stddev * (key / at).normal(n, self.channels))
        return torch.stack(values[1:], dim=2)


class DeepAR(Recipe):
    Config = games.LikelihoodConfig

    def build(self, config, spec):
        shape = len(spec["channels"]), spec["length"]
        return games.likelihood_game(lambda: Autoregression(*shape), **config.game_options())
