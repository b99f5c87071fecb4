"""The loss keeps gancore's contract, and is the hinge loss with half its margin."""

import torch
from margin_loss import margin

from gancore.games import find_loss
from gancore.testing import PluginConformance


class TestContract(PluginConformance):
    plugin = "margin"


def test_it_is_half_the_hinge_loss_of_twice_the_logits():
    real, fake = torch.linspace(-3, 3, 25), torch.linspace(2, -4, 25)
    hinge, halved = find_loss("hinge"), margin()
    torch.testing.assert_close(2 * halved.discriminator(real, fake), hinge.discriminator(2 * real, 2 * fake))
    torch.testing.assert_close(2 * halved.generator(real, fake), hinge.generator(2 * real, 2 * fake))
