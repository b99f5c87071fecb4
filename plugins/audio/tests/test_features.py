"""Features: what each is made of, what it says where something is missing, and that nothing is fetched."""

from __future__ import annotations

import hashlib
import math
import pickle
from pathlib import Path

import pytest
import torch
from gancore_audio.classifier import ClassifierConfig, ClassifierFeatures, SoundClassifierRecipe
from gancore_audio.dataset import AudioConfig, data_from_arrays
from gancore_audio.domain import AudioDomain
from gancore_audio.features import (
    WEIGHTS_VARIABLE,
    CrepeFeatures,
    LogMelFeatures,
    VGGish,
    VGGishFeatures,
    load_vggish,
    log_mel_patches,
    mel_filters,
)
from gancore_audio.percussion import SAMPLE_RATE_HZ, synthesize
from refusals import refused
from scipy import signal
from torch import Tensor

from gancore import ConfigError, Data, FeatureContext, Spec
from gancore.games import TrainedClassifier
from gancore.models.model import Model, build_game
from gancore.random import Key
from gancore.training.loop import play
from gancore.training.setup import set_up

SPEC = Spec({"sample_rate_hz": 8000, "length": 1024})


@pytest.fixture(scope="module")
def data() -> Data:
    clips = [(name, kind, clip) for name, kind, clip in synthesize(24, 1) if kind in ("clap", "pluck_low")]
    return data_from_arrays(clips, SAMPLE_RATE_HZ, AudioConfig(sample_rate_hz=8000, length=1024))


class Bench:
    """A workbench whose judge is trained in memory."""

    def __init__(self, data: Data, folder: Path, steps: int = 30, seed: int = 0) -> None:
        self.messages: list[str] = []
        self.requests: list[str] = []
        self.data, self.steps, self.seed = data, steps, seed
        self.bench = FeatureContext(data, folder, self.judge, self.messages.append)

    def judge(self, recipe: str, settings) -> Model:
        self.requests.append(recipe)
        game = build_game(
            SoundClassifierRecipe(), ClassifierConfig(width=4, **settings), self.data.spec, self.seed
        )
        play(set_up(game, self.data.view("train"), batch_size=16, seed=self.seed), self.steps)
        return Model(game.sampler().eval(), self.data.spec, AudioDomain(), {}, torch.device("cpu"))


def ready(features, bench: Bench):
    features.prepare(bench.bench)
    return features


def everything(view) -> tuple[Tensor, Tensor]:
    batch = view.get_batch(torch.arange(len(view)), Key.of("accuracy"))
    return batch.data, batch.condition


# Which there are.


def test_a_classifier_comes_first_where_there_are_labels_and_log_mel_where_there_are_none():
    audio = AudioDomain()
    assert list(audio.feature_extractors_for(Spec({"classes": ["a", "b"]}))) == [
        "classifier",
        "log-mel",
        "crepe",
        "vggish",
    ]
    for bare in (Spec({}), Spec({"classes": ["alone"]})):
        assert next(iter(audio.feature_extractors_for(bare))) == "log-mel"
    assert [entry.name for entry in audio.feature_extractors.values() if entry.classifier] == ["classifier"]


def test_sounds_can_be_longer_where_recipes_can_make_them():
    spec = Spec({"sample_rate_hz": 8000, "length": 1024, "classes": ["a"]})
    assert (
        AudioDomain().scale_spec(spec, 4)["length"] == 4096
        and AudioDomain().scale_spec(spec, 0.25)["length"] == 256
    )
    assert AudioDomain().scale_spec(spec, 4)["classes"] == ["a"]
    assert AudioDomain().scale_spec(spec, 1 / 3) is None and AudioDomain().scale_spec(spec, 1 / 128) is None


# The classifier.


def test_the_classifier_is_trained_on_the_same_source_and_knows_its_classes(data, tmp_path):
    bench = Bench(data, tmp_path)
    features = ready(ClassifierFeatures(), bench)
    assert bench.requests == ["classifier"] and list(features.classes) == ["clap", "pluck_low"]
    sounds, labels = everything(data.view("test"))
    right = features.log_posteriors(sounds, data.spec).argmax(1) == labels
    assert right.float().mean() > 0.9  # a clap is no string


def test_its_features_are_what_the_last_layer_sees(data, tmp_path):
    features = ready(ClassifierFeatures(), Bench(data, tmp_path))
    sounds, _ = everything(data.view("test"))
    seen = features.embed(sounds, data.spec)
    assert seen.shape == (len(sounds), 64) and seen.dtype is torch.float32
    assert isinstance(features.classifier, TrainedClassifier)
    by_hand = features.classifier.model.head(seen).log_softmax(1)
    assert torch.equal(by_hand, features.log_posteriors(sounds, data.spec))


def test_its_digest_is_that_of_its_weights(data, tmp_path):
    digests = [
        ready(ClassifierFeatures(), Bench(data, tmp_path, steps, seed)).digest
        for steps, seed in ((2, 0), (2, 0), (3, 0), (2, 1))
    ]
    assert digests[0] == digests[1] and len(set(digests)) == 3 and len(digests[0]) == 64


def test_it_refuses_sounds_of_another_rate(data, tmp_path):
    features = ready(ClassifierFeatures(), Bench(data, tmp_path, steps=1))
    with refused(ConfigError, 8000, 16000):
        features.embed(torch.zeros(1, 1, 1024), Spec({"sample_rate_hz": 16_000}))


# Log-mel moments.


def test_a_gain_moves_the_means_of_log_mel_and_no_deviation():
    sounds = 0.1 * Key.of("sounds").normal(5, 1, 2048)
    moved = LogMelFeatures().embed(2 * sounds, SPEC) - LogMelFeatures().embed(sounds, SPEC)
    assert moved.shape == (5, 64)
    assert torch.allclose(moved[:, :32], torch.tensor(20 * math.log10(2)), atol=1e-3)
    assert moved[:, 32:].abs().max() < 1e-3
    assert LogMelFeatures().digest == LogMelFeatures().digest


def test_crepe_s_embedding_tells_pitches_apart(tmp_path):
    angle = 2 * math.pi * torch.arange(4096) / 16_000
    sounds = torch.stack([torch.sin(angle * hz) for hz in (220.0, 221.0, 440.0)])[:, None]
    features = CrepeFeatures()
    features.prepare(FeatureContext(None, tmp_path, train_recipe=None))
    near, far, _ = torch.pdist(features.embed(sounds, Spec({"sample_rate_hz": 16_000}))).tolist()
    assert far > 5 * near > 0
    assert features.digest != LogMelFeatures().digest


# VGGish, from a file that the user has.


def test_its_mel_bands_are_triangles_straight_in_mel():
    """By the definition, bin by bin, to the rounding of mel in single precision."""
    filters = mel_filters()
    assert filters.shape == (257, 64)

    def mel(hz: float) -> float:
        return 1127 * math.log(1 + hz / 700)

    step = (mel(7500) - mel(125)) / 65
    for i in (0, 31, 63):
        middle = mel(125) + (i + 1) * step
        for k in range(257):
            expected = max(0.0, 1 - abs(mel(k * 8000 / 256) - middle) / step) if k else 0.0
            assert float(filters[k, i]) == pytest.approx(expected, abs=2e-5)


def test_its_patches_hold_the_log_of_magnitudes_as_another_library_has_them():
    sounds = 0.1 * Key.of("sounds").normal(2, 1, 16_000)
    patches = log_mel_patches(sounds, 16_000)
    assert patches.shape == (2, 1, 96, 64)
    hann = signal.get_window("hann", 400)
    _, _, spectrum = signal.stft(sounds[0, 0].numpy(), 1.0, hann, 400, 240, 512, boundary=None, padded=False)
    magnitudes = torch.from_numpy(abs(spectrum).T[:96] * hann.sum()).float()
    expected = torch.log(magnitudes @ mel_filters() + 0.01)
    torch.testing.assert_close(patches[0, 0], expected, atol=1e-4, rtol=1e-4)


def test_short_sounds_fill_one_patch_and_long_ones_several():
    assert log_mel_patches(torch.zeros(1, 1, 4096), 8000).shape == (1, 1, 96, 64)
    assert log_mel_patches(torch.zeros(1, 1, 48_000), 16_000).shape == (1, 3, 96, 64)
    assert torch.allclose(log_mel_patches(torch.zeros(1, 1, 400), 8000), torch.tensor(math.log(0.01)))


def test_its_layers_are_those_that_were_published():
    with torch.device("meta"):
        net = VGGish()
    assert sum(p.numel() for p in net.parameters()) == 72_141_184
    names = list(net.state_dict())
    assert (
        names[0] == "features.0.weight" and "features.13.bias" in names and names[-1] == "embeddings.4.bias"
    )
    assert net(torch.empty(2, 96, 64, device="meta")).shape == (2, 128)


def test_maps_are_laid_out_channels_last():
    net = VGGish(width=2)
    patches = Key.of("patches").normal(3, 96, 64)
    with torch.no_grad():
        maps = net.features(patches[:, None])  # (3, 16, 6, 4)
        time, band, channel = 4, 3, 11
        net.embeddings = torch.nn.Linear(16 * 24, 1, bias=False)
        net.embeddings.weight.zero_()
        net.embeddings.weight[0, (time * 4 + band) * 16 + channel] = 1
        assert torch.equal(net(patches)[:, 0], maps[:, channel, time, band])


def weights_file(folder: Path, name: str = "vggish.pth") -> Path:
    """One number everywhere: a file of a few kilobytes with the shapes of 288 MB."""
    with torch.device("meta"):
        shapes = {key: tensor.shape for key, tensor in VGGish().state_dict().items()}
    torch.save({key: torch.full((1,), 1e-3).expand(shape) for key, shape in shapes.items()}, folder / name)
    return folder / name


def test_weights_of_a_file_are_loaded_with_their_hash(tmp_path, monkeypatch):
    file = weights_file(tmp_path)
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(file))
    messages: list[str] = []
    features = VGGishFeatures()
    features.prepare(FeatureContext(None, tmp_path, train_recipe=None, announce=messages.append))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert messages == [f"vggish: weights of vggish.pth, sha256 {digest}"]
    assert features.sha256 == digest and len(features.digest) == 64
    seen = features.embed(0.1 * Key.of("sounds").normal(2, 1, 4096), SPEC)
    assert seen.shape == (2, 128) and seen.isfinite().all()


class Harmful:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_what_is_no_weights_file_is_refused_in_one_line_and_never_run(tmp_path, capsys):
    small = tmp_path / "small.pth"
    torch.save({"features.0.weight": torch.zeros(1)}, small)
    (tmp_path / "text.pth").write_text("no weights")
    (tmp_path / "text.safetensors").write_text("no weights")
    (tmp_path / "list.pth").write_bytes(b"")
    (tmp_path / "harmful.pth").write_bytes(pickle.dumps(Harmful(), protocol=2))
    for name, named in {
        "small.pth": "features.0.weight",
        "text.pth": "weights safely",
        "text.safetensors": "weights safely",
        "list.pth": "weights safely",
        "harmful.pth": "weights safely",
        "missing.pth": "read",
    }.items():
        with refused(ConfigError, "GANCORE_VGGISH", tmp_path / name, *named.split()) as caught:
            load_vggish(tmp_path / name)
        assert "\n" not in str(caught.value) and caught.value.fix
    assert "never run" not in capsys.readouterr().out


def test_without_a_file_it_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.delenv(WEIGHTS_VARIABLE, raising=False)
    with refused(ConfigError, "vggish", fix="GANCORE_VGGISH"):
        VGGishFeatures().prepare(FeatureContext(None, tmp_path, train_recipe=None))
