"""The recipes are what their papers say."""

import json
import math
from dataclasses import replace

import pytest
import scipy.stats
import torch
from gancore_synthetic.gans import MLPGAN, MLPGANConfig, PacGAN, PacGANConfig
from gancore_synthetic.likelihoods import (
    VAE,
    FlowGAN,
    FlowGANConfig,
    GaussianKernelDensity,
    KernelConfig,
    KernelDensity,
    RealNVP,
    RealNVPConfig,
    VAEConfig,
    build_real_nvp,
)
from gancore_synthetic.networks import Maxout, StandardisedRepresentation
from pydantic import ValidationError
from refusals import refused

import gancore
from gancore import Batch, ConfigError, Spec
from gancore.data.dataset import TensorView
from gancore.files import encode_json
from gancore.games import DYNAMICS, Adam, Move, find_dynamics
from gancore.random import Key
from gancore.training.loop import play
from gancore.training.setup import set_up

PLANE = Spec({"shape": [2], "train_examples": 1000})
PICTURE = Spec({"shape": [1, 8, 8], "train_examples": 1000})


def parameters(module):
    return [tuple(p.shape) for p in module.parameters()]


def test_pacgans_generator_is_as_published():
    """z in R^2; four times 400 without bias, batch norm with scale and shift; then linear."""
    generator = PacGAN().build(PacGANConfig(), PLANE).generator
    hidden = [(400, 2), (400,), (400,), *[(400, 400), (400,), (400,)] * 3]
    assert parameters(generator) == [*hidden, (2, 400), (2,)]
    assert sum(p.numel() for p in generator.parameters()) == 800 + 3 * 400**2 + 4 * 800 + 802


@pytest.mark.parametrize("pack", [1, 2, 4])
def test_pacgans_discriminator_is_as_published(pack):
    """Three layers of 200 units of 5 pieces, on the coordinates of a pack side by side; then linear."""
    discriminator = PacGAN().build(PacGANConfig(pack=pack), PLANE).discriminator
    shapes = [(1000, 2 * pack), (1000,), (1000, 200), (1000,), (1000, 200), (1000,), (1, 200), (1,)]
    assert parameters(discriminator) == shapes
    assert discriminator(torch.randn(8, 2)).shape == (8 // pack,)


def test_pacgan_is_played_as_published():
    config = PacGANConfig()
    game = PacGAN().build(config, PLANE)
    (phase,) = game.phases
    assert phase.moves == [Move("discriminator"), Move("generator")]
    assert (
        game.players["generator"].optimizer
        == game.players["discriminator"].optimizer
        == Adam(1e-4, (0.8, 0.999))
    )
    assert (config.batch_size, config.steps, game.prior.size, game.ema) == (100, 40_000, 2, None)
    assert not game.penalties and game.fp32_by_default and game.batch_coupled
    weights = torch.cat([p.flatten() for n, p in game.discriminator.named_parameters() if "weight" in n])
    assert weights.std().item() == pytest.approx(0.02, rel=0.01) and weights.mean().abs() < 1e-4
    assert all((p == 0).all() for n, p in game.discriminator.named_parameters() if "bias" in n)


def test_a_pack_is_rows_that_stand_together():
    discriminator = PacGAN().build(PacGANConfig(pack=2), PLANE).discriminator
    rows = torch.randn(4, 2)
    whole = discriminator(rows)
    torch.testing.assert_close(whole[1:], discriminator(rows[2:]))
    assert discriminator.embed(rows)[0].tolist() == [*rows[0].tolist(), *rows[1].tolist()]


def test_a_pack_must_divide_the_batch():
    with refused(ValidationError, "pack", 3, "batch_size", 100):
        PacGANConfig(pack=3)


def test_maxout_is_the_largest_of_its_pieces():
    layer = Maxout(3, 4, 5)
    x = torch.randn(7, 3)
    weight, bias = layer.linear.weight.view(5, 4, 3), layer.linear.bias.view(5, 4)
    each = torch.einsum("poi,bi->bpo", weight, x) + bias
    torch.testing.assert_close(layer(x), each.max(1).values)


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_pacgan_with_packs_and_r1_is_played_by_every_dynamics(dynamics):
    torch.manual_seed(0)
    game = PacGAN().build(PacGANConfig(pack=2, penalty_weight=0.1, lr=1e-3), PLANE)
    game.phases = [replace(phase, dynamics=find_dynamics(dynamics)) for phase in game.phases]
    before = [p.detach().clone() for p in game.parameters()]
    play(set_up(game, two_moons(200), batch_size=8), 2)
    after = list(game.parameters())
    assert all(p.isfinite().all() and not torch.equal(p, q) for p, q in zip(after, before, strict=True))


def test_r1_is_a_term_where_it_has_a_weight():
    assert not MLPGAN().build(MLPGANConfig(penalty_weight=0), PLANE).penalties
    (penalty,) = PacGAN().build(PacGANConfig(penalty_weight=0.5, pack=2), PLANE).penalties
    assert (penalty.name, penalty.weight, penalty.every) == ("r1", 0.5, 1)


@pytest.mark.parametrize("recipe", [MLPGAN, VAE, RealNVP, FlowGAN, KernelDensity])
@pytest.mark.parametrize("spec", [PLANE, PICTURE])
def test_samples_have_the_shape_of_the_data(recipe, spec):
    sampler = recipe().build(recipe.Config(), spec).sampler().eval()
    samples = sampler.sample(5, Key.of(0))
    assert samples.shape == (5, *spec["shape"])
    if len(spec["shape"]) == 3:
        assert samples.min() >= 0 and samples.max() <= 1


@pytest.mark.parametrize("recipe", [MLPGAN, VAE, RealNVP, FlowGAN])
def test_labels_that_a_source_does_not_have_are_refused(recipe):
    with refused(ConfigError, "model.conditional", "components"):
        recipe().build(recipe.Config(conditional=True), PLANE)


def test_what_a_recipe_cannot_do_is_said():
    with refused(ConfigError, "pacgan", fix="mlpgan"):
        PacGAN().build(PacGANConfig(), PICTURE)
    with refused(ConfigError, 2, fix="kde"):
        RealNVP().build(RealNVPConfig(), Spec({"shape": [1]}))


def trained(recipe, config, rows, steps=150):
    torch.manual_seed(0)
    game = recipe().build(config, Spec({"shape": [rows.shape[1]], "train_examples": len(rows)}))
    play(set_up(game, rows, batch_size=64), steps)
    return game.sampler().eval()


def two_moons(n=2000):
    """Rows with a hole, a curve and two scales, off the origin."""
    angle = math.pi * Key.of("moon").uniform(n)
    rows = torch.stack([5 + 3 * angle.cos(), 0.5 * angle.sin()], dim=1)
    return rows + 0.1 * (Key.of("noise")).normal(n, 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "config"), [(RealNVP, RealNVPConfig(width=16)), (KernelDensity, KernelConfig(centres=500))]
)
def test_a_trained_density_integrates_to_one_in_the_datas_own_units(recipe, config):
    """In float64: the couplings', the kernels' and the representation's determinants together."""
    sampler = trained(recipe, config, two_moons()).double()
    x, y = torch.linspace(-3, 13, 500).double(), torch.linspace(-3, 4, 500).double()
    area = float((x[1] - x[0]) * (y[1] - y[0]))
    total = sampler.log_prob(Batch(torch.cartesian_prod(x, y))).exp().sum() * area
    assert total.item() == pytest.approx(1, abs=0.003)


def test_a_flow_inverts_itself():
    sampler = trained(RealNVP, RealNVPConfig(width=16), two_moons()).double()
    latents = sampler.latents(200, Key.of("there")).double()
    back = sampler.invert(Batch(sampler.render(latents)))
    torch.testing.assert_close(back, latents, rtol=1e-8, atol=1e-8)
    data = two_moons(50).double()
    torch.testing.assert_close(sampler.render(sampler.invert(Batch(data))), data, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("size", [2, 3, 7])
def test_the_determinant_of_a_flow_is_that_of_its_jacobian(size):
    torch.manual_seed(1)
    flow = build_real_nvp(size, 6, 16, 2, classes=0).double()
    for parameter in flow.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    points = torch.randn(4, size, dtype=torch.float64)
    jacobians = torch.func.vmap(torch.func.jacrev(lambda x: flow.encode(x[None])[0][0]))(points)
    torch.testing.assert_close(flow.encode(points)[1], torch.linalg.slogdet(jacobians).logabsdet)
    assert (jacobians != 0).all(0).double().mean() > 0.9  # every coordinate is mixed with the others


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_a_flow_gan_is_mlpgans_judge_and_realnvps_flow(weight):
    game = FlowGAN().build(FlowGANConfig(likelihood_weight=weight), PLANE)
    assert parameters(game.generator) == parameters(RealNVP().build(RealNVPConfig(), PLANE).model)
    assert parameters(game.discriminator) == parameters(MLPGAN().build(MLPGANConfig(), PLANE).discriminator)
    assert game.likelihood_weight == weight and game.prior.size == 2 and game.ema is not None
    assert [move.player for move in game.phases[0].moves] == ["discriminator", "generator"]
    sampler = game.sampler().eval()
    assert sampler.log_prob(Batch(two_moons(7))).shape == (7,) and sampler.lower_bound is False


def test_a_kernel_density_is_scipys():
    """On a line, where scipy's bandwidth is a factor on the standard deviation."""
    rows, h = two_moons(300)[:, :1].double(), 0.2
    model = GaussianKernelDensity(300, 1, 1).double()
    model.centres.copy_(rows)
    model.bandwidth.fill_(h)
    points = two_moons(40)[:, :1].double() + 0.1
    theirs = scipy.stats.gaussian_kde(rows.T, bw_method=h / rows.std().item())
    torch.testing.assert_close(model.log_prob(points), torch.from_numpy(theirs.logpdf(points.T)))


def test_the_bandwidth_is_about_the_best_one_for_a_gaussian():
    """For N(0, I) in the plane the error is least at n^(-1/6); the likelihood is highest about there."""
    rows = Key.of("gauss").normal(4000, 2)
    model = GaussianKernelDensity(2000, 1000, 2)
    assert model.fit({"train": TensorView(rows)}, Key.of("fit")) is True
    assert 0.6 * 2000 ** (-1 / 6) < model.bandwidth.item() < 1.6 * 2000 ** (-1 / 6)
    chosen = model.log_prob(Key.of("new").normal(1000, 2)).mean()
    model.bandwidth.mul_(5)
    assert model.log_prob(Key.of("new").normal(1000, 2)).mean() < chosen


def test_a_kernel_samples_its_own_density():
    model = GaussianKernelDensity(3, 1, 1)
    model.centres.copy_(torch.tensor([[-10.0], [0.0], [10.0]]))
    model.bandwidth.fill_(0.5)
    samples = model.sample(6000, Key.of("own"))
    nearest = (samples / 10).round()
    assert scipy.stats.chisquare([(nearest == k).sum().item() for k in (-1, 0, 1)]).pvalue > 1e-3
    assert (samples - 10 * nearest).std().item() == pytest.approx(0.5, rel=0.05)


def test_the_representation_has_one_scale_and_its_determinant():
    rows = two_moons()
    representation = StandardisedRepresentation((2,))
    representation.fit(TensorView(rows))
    encoded = representation.encode(Batch(rows)).data
    torch.testing.assert_close(representation.decode(encoded), rows)
    ratio = (encoded - encoded[:1])[1:] / (rows - rows[:1])[1:]
    torch.testing.assert_close(ratio, ratio[:1, :1].expand_as(ratio), rtol=1e-3, atol=1e-3)
    log_det = representation.log_det(Batch(rows[:3]))
    torch.testing.assert_close(log_det, 2 * ratio[0, 0].log().expand(3), rtol=1e-4, atol=1e-4)


def test_pictures_get_a_density_by_a_grain_of_one_grey_level():
    representation = StandardisedRepresentation((1, 8, 8))
    levels = torch.randint(0, 65, (20, 1, 8, 8))
    encoded = representation.encode(Batch(levels / 64)).data
    back = ((encoded + 1) / 2 * 65).floor().long()
    assert torch.equal(back.view_as(levels), levels)
    assert representation.log_det(Batch(levels / 64)) is None


def test_mlpgan_takes_its_options():
    config = MLPGANConfig(
        width=16, depth=2, latent_dim=3, loss="hinge", discriminator_steps=3, ema_halflife=0
    )
    game = MLPGAN().build(config, PLANE)
    assert [move.player for move in game.phases[0].moves] == ["discriminator"] * 3 + ["generator"]
    assert parameters(game.generator) == [(16, 3), (16,), (16, 16), (16,), (2, 16), (2,)]
    assert game.ema is None and not game.loss.logit_is_log_odds
    rate = game.players["generator"].optimizer.lr
    assert rate(0.0) == pytest.approx(2e-3) and rate(1.0) == pytest.approx(2e-4)


def test_a_label_moves_the_samples_and_the_judgement():
    spec = Spec({**PLANE.fields, "classes": ["a", "b", "c"], "class_shares": [0.5, 0.25, 0.25]})
    for recipe in (MLPGAN, VAE, RealNVP, FlowGAN):
        game = recipe().build(recipe.Config(conditional=True, ema_halflife=0.0), spec)
        flow = getattr(game, {RealNVP: "model", FlowGAN: "generator"}.get(recipe, ""), None)
        if flow is not None:
            torch.nn.init.normal_(flow.bijections[0].network.body[-1].weight)
        sampler = game.sampler().eval()
        first, second = (sampler.sample(4, Key.of(0), torch.full((4,), label)) for label in (0, 2))
        assert sampler.conditional and not torch.allclose(first, second)


def test_vae_config_is_its_networks():
    game = VAE().build(VAEConfig(width=8, depth=1, latent_dim=3), PLANE)
    assert parameters(game.model.encoder) == [(8, 2), (8,), (6, 8), (6,)]
    assert parameters(game.model.decoder) == [(8, 3), (8,), (2, 8), (2,)]


@pytest.mark.parametrize("penalty", ["none", "r1", "r2", "r1+r2", "wgan-gp"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "sgd"])
@pytest.mark.parametrize("recipe", [MLPGAN, PacGAN, FlowGAN])
def test_every_optimizer_plays_every_penalty(recipe, optimizer, penalty):
    torch.manual_seed(0)
    arguments = {"pack": 2, "batch_size": 8} if recipe is PacGAN else {"width": 4}
    config = recipe.Config(
        optimizer=optimizer, penalty=penalty, penalty_weight=0.1, penalty_every=2, **arguments
    )
    game = recipe().build(config, PLANE)
    play(set_up(game, two_moons(50), batch_size=8), 2)
    assert all(p.isfinite().all() for p in game.parameters())


@pytest.mark.parametrize("loss", ["wasserstein", "hinge", "relativistic"])
def test_pacgan_plays_other_losses(loss):
    game = PacGAN().build(PacGANConfig(pack=2, batch_size=8, loss=loss), PLANE)
    play(set_up(game, two_moons(50), batch_size=8), 2)
    assert all(p.isfinite().all() for p in game.parameters())


def test_a_model_folder_with_an_unknown_key_is_refused_by_that_key(tmp_path):
    settings = [
        "data.train_examples=100",
        "data.validation_examples=20",
        "model.width=4",
        "validation.samples=16",
    ]
    run = gancore.train("synthetic", steps=2, out=tmp_path / "a", overrides=settings, progress="none")
    file = run.model / "config.json"
    content = json.loads(file.read_text())
    content["model"]["gamma"] = content["model"].pop("penalty_weight")
    file.write_bytes(encode_json(content))
    with refused(gancore.CheckpointError, "model.gamma"):
        gancore.load(run.model)
