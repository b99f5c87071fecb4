"""Colour, translation, cutout: the published formulas, by independent sums; exact derivatives; one law."""

import numpy as np
import pytest
import torch
from gancore_image.augmentation import (
    CHANGES,
    AugmentedConfig,
    brightness,
    build_augmentation,
    contrast,
    cutout,
    flip,
    saturation,
    translation,
)
from scipy.stats import chisquare, ks_2samp

from gancore.games import Augmentation, AugmentedDiscriminator, Discriminator
from gancore.random import Key, RowRange, noise, noise_scope

ALL = [change for kind in CHANGES.values() for change in kind]
KEY = Key.of("augmentation")


class Sees(Discriminator):
    def logits(self, embedded, condition=None):
        return embedded.flatten(1).sum(1)


def apply(change, x, key=KEY):
    with noise_scope(key, RowRange.all(len(x))):
        return change(x, noise(len(x), x.device))


def drawn(rows, key=KEY):
    """The draws that :func:`apply` lets a change of colour make."""
    with noise_scope(key, RowRange.all(rows)):
        return noise(rows, torch.device("cpu")).uniform(rows, 1, 1, 1).numpy()


def images(rows=5, channels=3, side=16):
    return Key.of("images").uniform(rows, channels, side, side, low=-1.0, high=1.0)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_colours_are_changed_by_the_formulas_and_alpha_never(channels):
    x = images(channels=channels)
    u, given = drawn(5), x.numpy().astype(np.float64)
    c = given[:, : {1: 1, 2: 1, 3: 3, 4: 3}[channels]]
    grey = c.mean(1, keepdims=True)
    level = c.mean((1, 2, 3), keepdims=True)
    for change, wanted in (
        (brightness, c + u - 0.5),
        (saturation, (c - grey) * 2 * u + grey),
        (contrast, (c - level) * (u + 0.5) + level),
    ):
        made = apply(change, x).numpy()
        np.testing.assert_allclose(made[:, : c.shape[1]], wanted, atol=1e-6)
        np.testing.assert_array_equal(made[:, c.shape[1] :], given[:, c.shape[1] :].astype(np.float32))


def test_a_flip_mirrors_about_half_of_the_images_left_and_right():
    x = images(rows=400)
    made = apply(flip, x)
    mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(made, x, strict=True)]
    same = [torch.equal(a, b) for a, b in zip(made, x, strict=True)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True)) and 150 < sum(mirrored) < 250


def test_flips_are_made_only_where_they_are_asked_for():
    assert build_augmentation(AugmentedConfig(augmentation="fixed")).transforms.count(flip) == 0
    requested = AugmentedConfig(augmentation="fixed", augmentation_transforms=["flip"])
    assert list(build_augmentation(requested).transforms) == [flip]


def test_a_grey_image_has_no_saturation():
    x = images(channels=1)
    torch.testing.assert_close(apply(saturation, x), x)


@pytest.mark.parametrize("side", [8, 16, 28, 32])
def test_a_translation_moves_whole_pixels_and_zeros_come_in(side):
    most, middle = int(side / 8 + 0.5), side // 2
    places = torch.arange(1.0, side * side + 1).view(1, 1, side, side)
    found = set()
    for image in apply(translation, places.expand(200, 2, -1, -1)):
        row, column = divmod(int(image[0, middle, middle]) - 1, side)  # what is in the middle now
        down, right = middle - row, middle - column
        assert max(abs(down), abs(right)) <= most
        assert torch.equal(image, shifted(places[0].expand(2, -1, -1), down, right))
        found.add((down, right))
    assert len(found) > 0.85 * min(80, (2 * most + 1) ** 2)


def shifted(image, down, right):
    rolled = image.roll((down, right), (1, 2))
    rolled[:, : max(0, down)] = 0
    rolled[:, :, : max(0, right)] = 0
    rolled[:, rolled.shape[1] + min(0, down) :] = 0
    rolled[:, :, rolled.shape[2] + min(0, right) :] = 0
    return rolled


def test_every_shift_is_as_likely():
    x = torch.zeros(5000, 1, 8, 8)
    x[:, :, 4, 4] = 1.0
    places = apply(translation, x).flatten(1).argmax(1)
    counts = torch.bincount(places, minlength=64).view(8, 8)[3:6, 3:6]
    assert int(counts.sum()) == 5000
    assert chisquare(counts.flatten().numpy()).pvalue > 1e-4


@pytest.mark.parametrize("side", [8, 16, 28, 32])
def test_a_cutout_is_a_square_of_half_the_side_cut_off_at_the_edges(side):
    cut = (apply(cutout, torch.ones(300, 3, side, side)) == 0).numpy()
    assert (cut == cut[:, :1]).all()  # through all channels
    sizes = set()
    for mask in cut[:, 0]:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert mask.sum() == len(rows) * len(columns)  # a rectangle
        for hit in (rows, columns):
            assert (np.diff(hit) == 1).all()
            whole = side // 2
            assert len(hit) == whole or (
                side // 4 <= len(hit) < whole and (hit[0] == 0 or hit[-1] == side - 1)
            )
            sizes.add(len(hit))
    assert max(sizes) == side // 2 and len(sizes) > 2


@pytest.mark.parametrize("change", ALL)
def test_first_and_second_derivatives_are_exact(change):
    x = images(2, 3, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: apply(change, x), x)
    assert torch.autograd.gradgradcheck(lambda x: apply(change, x).square(), x)


@pytest.mark.parametrize("change", ALL)
def test_rows_are_changed_apart(change):
    x = images(6)
    made, other = apply(change, x), apply(change, torch.cat([x[:3], -x[3:]]))
    assert torch.equal(made[:3], other[:3])
    alike = apply(change, x[:1].expand(6, -1, -1, -1))
    assert len(torch.unique(alike.flatten(1), dim=0)) > (1 if change is flip else 2)


def test_reals_and_fakes_are_changed_by_draws_of_their_own_and_by_one_law():
    net = AugmentedDiscriminator(Sees(), Augmentation(ALL, 0.7))
    x = images(1).expand(600, -1, -1, -1)
    with noise_scope(KEY, RowRange.all(600)):
        real, fake = net(x), net(x)
    assert not torch.equal(real, fake)
    assert ks_2samp(real.numpy(), fake.numpy()).pvalue > 1e-4


def test_at_strength_0_nothing_is_changed_and_at_1_everything():
    x = images(50)
    for strength, same in ((0.0, 50), (1.0, 0)):
        net = AugmentedDiscriminator(Sees(), Augmentation([brightness, contrast], strength))
        with noise_scope(KEY, RowRange.all(50)):
            made = net.augment(x)
        assert int((made == x).flatten(1).all(1).sum()) == same
