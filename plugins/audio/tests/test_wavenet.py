"""WaveNet on waveforms: a proper density, samples that are codes, a network as told."""

import math

import pytest
import torch
from gancore_audio.mu_law import LEVELS, MuLaw, cell_edges, compand, encode, expand, quantisation_cells
from gancore_audio.wavenet import WaveNet, WaveNetConfig
from refusals import refused

from gancore import Batch, ConfigError, Spec
from gancore.random import Key
from gancore.training.loop import play
from gancore.training.setup import set_up

TINY = {"width": 4, "skip_channels": 8, "blocks": 1, "layers": 3}


def sampler(length, classes=0, **options):
    torch.manual_seed(0)
    spec = {"length": length, "sample_rate_hz": 8000}
    if classes:
        spec |= {"classes": [str(c) for c in range(classes)], "class_shares": [1 / classes] * classes}
    game = WaveNet().build(WaveNetConfig(**TINY, conditional=bool(classes), **options), Spec(spec))
    for parameter in game.model.trunk.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return game.sampler().eval()


def test_companding_is_that_of_the_standard_and_undoes_itself():
    """ITU-T G.711 with mu = 255: full scale stays, half of the codes are below 1/16 of it."""
    x = torch.linspace(-1, 1, 2001, dtype=torch.float64)
    torch.testing.assert_close(expand(compand(x)), x, rtol=1e-12, atol=1e-12)
    assert compand(torch.tensor(1.0)).item() == 1
    assert compand(torch.tensor(15 / 255)).item() == pytest.approx(0.5)


def test_every_code_comes_back_from_the_waveform_it_stands_for():
    every = torch.arange(LEVELS)[None]
    waveforms = MuLaw().decode(every)
    assert waveforms.shape == (1, 1, LEVELS) and torch.equal(MuLaw().encode(Batch(waveforms)).data, every)
    x = torch.linspace(-1, 1, 4001)[None, None]
    back = MuLaw().decode(MuLaw().encode(Batch(x)).data)
    assert 0.02 < (back - x).abs().max() < 0.0221
    assert encode(torch.tensor([-1.0, -1e-6, 0.0, 1.0])).tolist() == [0, 127, 128, 255]


def test_silence_comes_back_as_silence_that_nobody_hears():
    silence = MuLaw().decode(MuLaw().encode(Batch(torch.zeros(1, 1, 4))).data)
    assert 20 * math.log10(silence.abs().max().item()) < -80


def test_the_density_of_waveforms_integrates_to_one():
    """In float64 over the square [-1, 1]^2: it is constant in each of 256 x 256 cells."""
    model, borders = sampler(2).double(), cell_edges(torch.float64)
    assert borders[[0, -1]].tolist() == pytest.approx([-1, 1])
    width = borders.diff()
    early, late = (torch.cartesian_prod(*[borders[:-1] + at * width] * 2)[:, None] for at in (0.2, 0.9))
    with torch.no_grad():
        log_prob = model.log_prob(Batch(early))
        torch.testing.assert_close(model.log_prob(Batch(late[:2000])), log_prob[:2000])
    total = (log_prob.exp() * torch.outer(width, width).flatten()).sum()
    assert total.item() == pytest.approx(1, abs=1e-9)
    assert log_prob.std() > 1


def test_nats_of_waveforms_are_those_of_codes_and_their_cells():
    model = sampler(64).double()
    x = torch.rand(5, 1, 64, dtype=torch.float64) * 2 - 1
    of_codes = model.model.log_prob(encode(x[:, 0]))
    widths = quantisation_cells(x)[1].flatten(1)
    torch.testing.assert_close(model.log_prob(Batch(x)), of_codes - widths.log().sum(1))


def test_samples_are_waveforms_of_codes_and_follow_their_label():
    model = sampler(200, classes=3)
    assert model.conditional
    rows = [model.sample(4, Key.of("s"), torch.full((4,), label)) for label in (0, 2)]
    assert rows[0].shape == (4, 1, 200) and not torch.equal(*rows)
    torch.testing.assert_close(MuLaw().decode(MuLaw().encode(Batch(rows[0])).data), rows[0])


def test_the_network_is_the_papers_with_the_blocks_that_were_asked_for():
    game = WaveNet().build(WaveNetConfig(), Spec({"length": 4096, "sample_rate_hz": 8000}))
    trunk = game.model.trunk
    assert trunk.dilations == tuple(2**layer for layer in range(9)) * 2 and trunk.receptive_field == 1023
    assert [type(part).__name__ for part in game.model.head] == ["ReLU", "Linear", "ReLU", "Linear"]
    assert game.players["model"].clip_grad_norm == pytest.approx(WaveNetConfig().clip_grad_norm * 4096)
    rate = game.players["model"].optimizer.lr
    assert rate(0.0) < rate(0.05) > rate(0.5) > rate(1.0) > 0


def test_it_is_no_model_that_samples_in_parallel():
    from gancore_audio.domain import AudioDomain

    assert AudioDomain.recipes["wavenet"].capabilities == {"likelihood", "conditional", "temperature"}


def test_labels_that_the_data_do_not_have_are_refused():
    with refused(ConfigError, "model.conditional", fix="data.labels"):
        WaveNet().build(WaveNetConfig(conditional=True), Spec({"length": 64, "sample_rate_hz": 8000}))


def test_it_learns_the_entropy_of_a_process_that_is_known():
    """A random telegraph of two levels, whose sign turns with probability 0.1: log 2 nats for the first step,
    0.325 for each other, and for the density the width of the levels' cells.
    """
    key, flip, length = Key.of("telegraph"), 0.1, 64
    first, turns = (key / "first").uniform(3000, 1) < 0.5, (key / "turns").uniform(3000, length - 1) < flip
    signs = 1 - 2 * (torch.cat([first, turns], 1).cumsum(1) % 2)
    waveforms = 0.3 * signs[:, None].float()
    torch.manual_seed(0)
    game = WaveNet().build(
        WaveNetConfig(**TINY, lr=2e-2, batch_size=32), Spec({"length": length, "sample_rate_hz": 8000})
    )
    play(set_up(game, waveforms, batch_size=32), 150)
    entropy = -(flip * math.log(flip) + (1 - flip) * math.log(1 - flip))
    exact = (
        math.log(2)
        + (length - 1) * entropy
        + length * quantisation_cells(torch.tensor([0.3]))[1].log().item()
    )
    with torch.no_grad():
        found = -game.sampler().eval().log_prob(Batch(waveforms[:1000])).mean().item()
    assert -1.0 < found - exact < 2.5
    samples = game.sampler().eval().sample(64, Key.of("more"))
    near = (samples.abs() - 0.3).abs() < 0.01
    turned = (samples[..., 1:].sign() != samples[..., :-1].sign()).float().mean().item()
    assert near.float().mean() > 0.95 and turned == pytest.approx(flip, abs=0.03)
