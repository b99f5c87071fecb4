"""PixelCNN: told by all pixels before and no other, a proper law of images, sampled as the whole net says."""

import math

import pytest
import torch
from gancore_image.levels import CELL_WIDTH, from_levels, to_levels
from gancore_image.logistic_mixture import LogisticMixture
from gancore_image.pixelcnn import GatedPixelStack, PixelCNN, PixelCNNConfig, PixelModel, build_pixelcnn
from refusals import refused

from gancore import Batch, ConfigError, Spec
from gancore.data.dataset import TensorView
from gancore.random import Key, RowRange
from gancore.training.loop import play
from gancore.training.setup import set_up

TINY = {"width": 4, "skip_channels": 8, "layers": 4, "components": 2}


def stirred(module):
    torch.manual_seed(0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return module.double().eval()


def model(side, channels=1, classes=0, **options):
    return stirred(build_pixelcnn(PixelCNNConfig(**{**TINY, **options}), side, channels, classes))


def before(i, j, side):
    """1 where a place comes before (i, j) in raster order."""
    return (torch.arange(side**2) < i * side + j).view(side, side)


@pytest.mark.parametrize("layers", [1, 6])
def test_each_place_is_told_by_places_before_it_and_by_all_of_them_within_reach(layers):
    """By the Jacobian, in float64: no blind spot (van den Oord et al. 2016, figure 1) and nothing ahead."""
    torch.manual_seed(1)
    side, dilations = 9, [2 ** (k % 3) for k in range(layers)]
    stack = stirred(GatedPixelStack(1, 6, 3, side, dilations))
    x = torch.randn(1, 1, side, side, dtype=torch.float64)
    for i, j in ((0, 0), (0, 5), (3, 0), (4, 4), (8, 8)):
        jacobian = torch.autograd.functional.jacobian(lambda x, i=i, j=j: stack(x)[0, :, i, j], x)
        seen = jacobian[:, 0, 0].abs().sum(0) > 0
        assert not (seen & ~before(i, j, side)).any()
        if layers > 1:
            assert torch.equal(seen, before(i, j, side))
        elif i:
            assert seen[i - 1].sum() == min(j + 4, side - 1) - max(j - 4, 0) + 1  # 3 and 1 to each side


@pytest.mark.parametrize(("channels", "count"), [(1, 4), (2, 2)])
def test_probabilities_of_all_images_sum_to_one(channels, count):
    """256 images of 2 x 2 pixels, in float64."""
    mixture = LogisticMixture(channels, 2, count)
    images = torch.cartesian_prod(*[torch.arange(count)] * (4 * channels)).view(-1, channels, 2, 2)
    law = stirred(PixelModel(GatedPixelStack(channels, 4, 8, 2, [1, 2]), 8, mixture, classes=0))
    with torch.no_grad():
        log_prob = law.log_prob(images)
    assert len(images) == 256 and log_prob.std() > 0.5
    assert log_prob.exp().sum().item() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(("channels", "classes"), [(1, 0), (3, 4)])
def test_samples_from_caches_are_those_of_the_whole_net_at_every_pixel(channels, classes):
    side, n, key = 10, 3, Key.of("s")
    law = model(side, channels, classes, layers=7)
    condition = torch.tensor([0, 3, 1]) if classes else None
    uniform = (key / "x").uniform(n, 1 + channels, side, side)
    slow = torch.zeros(n, channels, side, side, dtype=torch.int64)
    with torch.no_grad():
        for i in range(side):
            for j in range(side):
                result = law.mixture_params(slow, condition)[:, :, i, j]
                slow[:, :, i, j] = law.mixture.sample(result, uniform[:, :, i, j])
    assert torch.equal(law.sample(n, key, condition), slow) and slow.unique().numel() > 50


@pytest.mark.parametrize("classes", [0, 3])
def test_walking_gives_what_the_whole_plane_does(classes):
    stack = stirred(GatedPixelStack(2, 5, 7, 8, [1, 2, 4, 1], condition=classes))
    x = torch.randn(4, 2, 8, 8, dtype=torch.float64)
    result = torch.eye(4, classes, dtype=torch.float64) if classes else None
    with torch.no_grad():
        whole, steps = stack(x, result), stack.sampler(4, result)
        for i in range(8):
            steps.start_row(x[:, :, i - 1] if i else None)
            for j in range(8):
                here = steps.next_pixel(x[:, :, i, j - 1] if j else None)
                torch.testing.assert_close(here, whole[:, :, i, j], rtol=1e-10, atol=1e-10)


def test_samples_come_as_often_as_the_model_says():
    """20,000 images of 1 x 2 x 2 and 3 levels: 81 kinds, each within five deviations."""
    mixture = LogisticMixture(1, 2, count=3)
    law = stirred(PixelModel(GatedPixelStack(1, 4, 8, 2, [1]), 8, mixture, classes=0))
    law.last.bias.data[2:4] = torch.tensor([-1.0, CELL_WIDTH - 1])
    law.last.bias.data[4:] -= 4
    images = torch.cartesian_prod(*[torch.arange(3)] * 4).view(-1, 1, 2, 2)
    n = 20_000
    with torch.no_grad():
        expected = n * law.log_prob(images).exp()
    drawn = law.sample(n, Key.of("many")).flatten(1) @ torch.tensor([27, 9, 3, 1])
    counts = torch.bincount(drawn, minlength=81)
    assert (expected > 20).sum() > 10
    assert ((counts - expected).abs() < 5 * expected.clamp_min(4).sqrt()).all()


def test_a_row_is_a_function_of_its_own_key():
    law = model(6)
    joined = law.sample(8, Key.of("s").with_rows(RowRange.all(8)))
    assert torch.equal(law.sample(2, Key.of("s").with_rows(RowRange(3, 5, 8))), joined[3:5])


def test_without_gradient_rows_are_told_some_at_a_time(monkeypatch):
    law = model(6, classes=2)
    level, labels = torch.randint(0, 256, (7, 1, 6, 6)), torch.arange(7) % 2
    whole = law.log_prob(level, labels)
    monkeypatch.setattr("gancore_image.pixelcnn.MAX_ACTIVATIONS", 2 * 16 * 36)
    with torch.no_grad():
        torch.testing.assert_close(law.log_prob(level, labels), whole)


def spec(side=8, channels=1, classes=0):
    facts = {"image_size": side, "channels": channels}
    if classes:
        facts |= {"classes": [str(c) for c in range(classes)], "class_shares": [1 / classes] * classes}
    return Spec(facts)


def test_the_likelihood_of_pixels_is_that_of_their_levels_over_cells():
    sampler = PixelCNN().build(PixelCNNConfig(**TINY), spec()).sampler().eval()
    level = torch.randint(0, 256, (5, 1, 8, 8))
    with torch.no_grad():
        found = sampler.log_prob(Batch(from_levels(level)))
        torch.testing.assert_close(found, sampler.model.log_prob(level) - 64 * math.log(CELL_WIDTH))
    assert not sampler.lower_bound


def test_samples_are_pixels_of_levels_and_follow_their_label():
    torch.manual_seed(0)
    sampler = PixelCNN().build(PixelCNNConfig(**TINY, conditional=True), spec(classes=3)).sampler().eval()
    for parameter in sampler.model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    rows = [sampler.sample(4, Key.of("s"), torch.full((4,), label)) for label in (0, 2)]
    assert rows[0].shape == (4, 1, 8, 8) and not torch.equal(*rows)
    assert torch.equal(from_levels(to_levels(rows[0])), rows[0])


def test_labels_that_the_data_do_not_have_are_refused():
    with refused(ConfigError, "model.conditional", fix="data.labels"):
        PixelCNN().build(PixelCNNConfig(conditional=True), spec())


def test_the_default_is_as_large_as_the_document_says():
    game = PixelCNN().build(PixelCNNConfig(), spec(28))
    assert game.model.stack.dilations == (1, 2, 4, 1, 2, 4)
    assert sum(parameter.numel() for parameter in game.model.parameters()) == 137_359


@pytest.mark.slow
def test_it_learns_the_entropy_of_images_that_are_known():
    """Rows are black or white as a coin says, and turn from one to the next with probability 0.1: log 2 +
    5 h(0.1) = 2.3 nats an image of 6 x 6, where pixels alone would have 25.
    """
    key, flip, side, count = Key.of("rows"), 0.1, 6, 2000
    first, turns = (key / "first").uniform(count, 1) < 0.5, (key / "turns").uniform(count, side - 1) < flip
    white = torch.cat([first, turns], 1).cumsum(1) % 2
    images = from_levels(255 * white)[:, None, :, None].expand(-1, 1, side, side).contiguous()
    torch.manual_seed(0)
    config = PixelCNNConfig(width=8, skip_channels=16, layers=2, components=2, lr=1e-2, ema_halflife=0.0)
    game = PixelCNN().build(config, spec(side))
    play(set_up(game, TensorView(images), batch_size=32), 150)
    entropy = math.log(2) + (side - 1) * -(flip * math.log(flip) + (1 - flip) * math.log(1 - flip))
    sampler = game.sampler().eval()
    with torch.no_grad():
        found = -sampler.log_prob(Batch(images[:500])).mean().item() - side**2 * math.log(CELL_WIDTH)
    assert -0.3 < found - entropy < 0.5
    drawn = sampler.sample(64, Key.of("more"))
    even = (drawn == drawn[..., :1]).all(3).float().mean().item()
    assert even > 0.95 and torch.isin(drawn, torch.tensor([-1.0, 1.0])).float().mean() > 0.95
