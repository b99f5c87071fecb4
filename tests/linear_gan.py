"""A GAN of two linear maps on points, at constant rates: a recipe that no plugin brings."""

from __future__ import annotations

from torch import nn

from gancore import Recipe
from gancore.games import R1, SGD, Discriminator, adversarial, normal


class Judge(Discriminator):
    def __init__(self, size):
        super().__init__()
        self.net = nn.Linear(size, 1)

    def judge(self, embedded, condition=None):
        return self.net(embedded).squeeze(-1)


class LinearGAN(Recipe):
    def build(self, config, spec):
        (size,) = spec["shape"]
        return adversarial(
            generator=lambda: nn.Linear(2, size),
            discriminator=lambda: Judge(size),
            prior=normal(2),
            penalties=[R1(0.1)],
            generator_rule=SGD(0.1, momentum=0.5),
            discriminator_rule=SGD(0.1),
            average=100.0,
        )
