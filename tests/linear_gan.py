"""A GAN of two linear maps on points, at constant rates: a recipe that no plugin brings."""

from __future__ import annotations

from torch import nn

from gancore import Recipe
from gancore.games import R1, SGD, Discriminator, adversarial_game, normal


class LinearDiscriminator(Discriminator):
    def __init__(self, size):
        super().__init__()
        self.net = nn.Linear(size, 1)

    def logits(self, embedded, condition=None):
        return self.net(embedded).squeeze(-1)


class LinearGAN(Recipe):
    def build(self, config, spec):
        (size,) = spec["shape"]
        return adversarial_game(
            generator=lambda: nn.Linear(2, size),
            discriminator=lambda: LinearDiscriminator(size),
            prior=normal(2),
            penalties=[R1(0.1)],
            generator_optimizer=SGD(0.1, momentum=0.5),
            discriminator_optimizer=SGD(0.1),
            ema_halflife=100.0,
        )
