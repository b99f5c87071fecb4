"""The image GANs: any side and number of channels, every parameter trained, labels that are really used."""

import pytest
import torch
from gancore_image.blocks import ConditionalBatchNorm2d, n_doublings
from gancore_image.dcgan import DCGAN, DCGANConfig
from gancore_image.dcgan_lite import DCGANLite, DCGANLiteConfig
from gancore_image.r3 import R3, R3Config
from gancore_image.sngan import SNGAN, SNGANConfig
from refusals import refused
from torch import nn

from gancore import Batch, ConfigError, Spec
from gancore.data.dataset import TensorView
from gancore.games import AugmentedDiscriminator, TrainingStep
from gancore.random import Key
from gancore.training.loop import play
from gancore.training.setup import set_up

SMALL = {
    "dcgan-lite": (DCGANLite(), DCGANLiteConfig(width=2, latent_dim=5, batch_size=4, penalty_every=2)),
    "dcgan": (DCGAN(), DCGANConfig(width=2, latent_dim=5, batch_size=4)),
    "sngan": (SNGAN(), SNGANConfig(generator_width=2, discriminator_width=2, latent_dim=5, batch_size=4)),
    "r3": (R3(), R3Config(width=2, latent_dim=5, batch_size=4, penalty_every=2)),
}
AUGMENTED = {"augmentation": "fixed"}


def build(recipe, side=16, channels=3, classes=0, seed=0, **changes):
    made, config = SMALL[recipe]
    names = [str(label) for label in range(classes)]
    spec = Spec({"image_size": side, "channels": channels} | ({"classes": names} if classes else {}))
    torch.manual_seed(seed)
    return made.build(config.model_copy(update={"conditional": bool(classes), **changes}), spec)


def images(side=16, channels=3, classes=0, rows=12):
    key = Key.of("images")
    labels = torch.arange(rows) % classes if classes else None
    return TensorView(key.uniform(rows, channels, side, side, low=-1.0, high=1.0), labels)


def trained(recipe, steps, **settings):
    classes = settings.get("classes", 0)
    table = set_up(build(recipe, **settings), images(classes=classes), batch_size=4)
    play(table, steps)
    return table.game


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("side", [8, 16, 32, 64, 128])
@pytest.mark.parametrize("recipe", SMALL)
def test_samples_are_images_of_exactly_the_size_and_each_has_a_logit(recipe, side, channels):
    game = build(recipe, side, channels).eval()
    samples = game.sampler().sample(2, Key.of(1))
    assert samples.shape == (2, channels, side, side)
    assert samples.abs().max() <= 1
    assert game.discriminator(samples).shape == (2,)


@pytest.mark.parametrize("recipe", SMALL)
@pytest.mark.parametrize("side", [4, 12, 28, 48, 100])
def test_other_sides_are_refused_in_one_line(recipe, side):
    with refused(ConfigError, "data.image_size", side, fix="data.image_size"):
        build(recipe, side)


def test_sides_are_4_times_a_power_of_two():
    assert [n_doublings(side) for side in (8, 16, 32, 64, 128, 256)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("recipe", SMALL)
def test_training_moves_every_parameter(recipe, classes):
    before = dict(build(recipe, classes=classes).named_parameters())
    after = dict(trained(recipe, 6, classes=classes).named_parameters())
    trained_ones = [name for name in before if not name.startswith("ema")]
    assert [name for name in trained_ones if torch.equal(before[name], after[name])] == []


@pytest.mark.parametrize("recipe", SMALL)
def test_gradients_reach_every_parameter_and_are_finite(recipe):
    table = set_up(build(recipe, classes=3), images(classes=3), batch_size=4)
    (phase,) = table.game.phases
    play(table, 2)  # residual branches and label vectors begin at zero, and let nothing through at first
    for player in ("discriminator", "generator"):
        index = next(i for i, move in enumerate(phase.moves) if move.player == player)
        training_step = TrainingStep(table, phase, 2, 2, 0.0)
        gradient = training_step.gradient(phase.moves[index], training_step.draw(index))
        for name, tensor in zip(table.optimizers[player].names, gradient.tensors, strict=True):
            assert tensor is not None and tensor.isfinite().all(), name
            assert tensor.any(), name


@pytest.mark.parametrize("recipe", SMALL)
def test_no_bias_stands_before_a_normalisation_that_takes_it_away(recipe):
    generator = build(recipe).generator
    last_norm = any(isinstance(part, nn.BatchNorm2d) for part in generator.modules())
    inner = [part for part in generator.modules() if isinstance(part, nn.Conv2d | nn.ConvTranspose2d)][:-1]
    assert not last_norm or all(layer.bias is None for layer in inner)


@pytest.mark.parametrize("recipe", SMALL)
def test_the_generator_makes_different_images_of_different_labels(recipe):
    game = trained(recipe, 6, classes=3, lr=0.01).eval()
    latents, labels = torch.randn(1, 5).expand(3, 5), torch.arange(3)
    made = game.generator(latents, labels)
    assert len(torch.unique(made.detach().flatten(1), dim=0)) == 3
    assert torch.equal(made[:1], game.generator(latents[:1], labels[:1])) or torch.allclose(
        made[:1], game.generator(latents[:1], labels[:1]), atol=1e-6
    )


@pytest.mark.parametrize("recipe", ["dcgan", "sngan", "r3"])
def test_the_discriminator_judges_an_image_by_its_label_through_projection(recipe):
    # Miyato & Koyama 2018, eq. 3: f(x, y) - f(x, y') = (v_y - v_y') . h(x)
    net = build(recipe, classes=3).discriminator.eval()
    nn.init.normal_(
        net.logit.label.parametrizations.weight.original
    ) if recipe == "sngan" else nn.init.normal_(net.logit.label.weight)
    seen = []
    net.logit.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    image = images(rows=1).data.expand(3, -1, -1, -1)
    logits, vectors = net(image, torch.arange(3)), net.logit.label.weight
    torch.testing.assert_close(logits[0] - logits[2], (vectors[0] - vectors[2]) @ seen[0][0])
    assert len(torch.unique(logits.detach())) == 3


@pytest.mark.parametrize("recipe", ["dcgan-lite", "dcgan", "r3"])
def test_a_label_changes_no_judgement_at_first(recipe):
    net, x = build(recipe, classes=3).discriminator.eval(), images(rows=2).data
    assert torch.equal(net(x, torch.zeros(2).long()), net(x, torch.ones(2).long()))


@pytest.mark.parametrize("recipe", SMALL)
def test_labels_that_the_data_do_not_have_are_refused(recipe):
    made, config = SMALL[recipe]
    with refused(ConfigError, "model.conditional", fix="data.labels"):
        made.build(config.model_copy(update={"conditional": True}), Spec({"image_size": 16, "channels": 1}))


@pytest.mark.parametrize(
    ("recipe", "coupled"), [("dcgan-lite", False), ("dcgan", True), ("sngan", True), ("r3", False)]
)
def test_a_game_says_that_its_rows_are_coupled_where_batches_are_normalised(recipe, coupled):
    game = build(recipe)
    assert game.batch_coupled is coupled
    assert any(isinstance(part, nn.BatchNorm2d) for part in game.modules()) is coupled


@pytest.mark.parametrize("recipe", SMALL)
def test_an_augmented_discriminator_trains_and_the_others_are_plain(recipe):
    assert not isinstance(build(recipe).discriminator, AugmentedDiscriminator)
    game = trained(recipe, 3, augmentation="adaptive")
    assert (
        isinstance(game.discriminator, AugmentedDiscriminator)
        and len(game.discriminator.augmentation.transforms) == 5
    )
    assert all(p.isfinite().all() for p in game.parameters())
    assert build(recipe, augmentation="fixed", augmentation_probability=0.25).discriminator.strength == 0.25
    rising = build(recipe, augmentation="rising", augmentation_probability=0.5).discriminator.augmentation
    assert [rising.probability(t) for t in (0.0, 1.0)] == [0.0, 0.5]


def test_a_label_has_a_gain_and_a_bias_of_its_own_in_each_normalisation():
    norm, x, label = (
        ConditionalBatchNorm2d(2, classes=3),
        torch.randn(6, 2, 4, 4),
        torch.tensor([0, 1, 2, 0, 1, 2]),
    )
    plain = nn.functional.batch_norm(x, None, None, training=True)
    assert torch.equal(norm(x, label), plain)
    nn.init.normal_(norm.gain.weight)
    nn.init.normal_(norm.bias.weight)
    for row, y in enumerate(label):
        wanted = norm.gain.weight[y, :, None, None] * plain[row] + norm.bias.weight[y, :, None, None]
        torch.testing.assert_close(norm(x, label)[row], wanted)


@pytest.mark.parametrize("recipe", SMALL)
def test_bf16_trains_too(recipe):
    table = set_up(build(recipe, **AUGMENTED), images(), batch_size=4, bf16=True)
    play(table, 3)
    assert all(p.isfinite().all() for p in table.game.parameters())
    real = Batch(images().data[:4])
    assert table.game.eval().discriminator_logits(real, Key.of(1))[0].dtype is torch.float32
