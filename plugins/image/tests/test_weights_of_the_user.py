"""FID's Inception-v3, and DINOv2, on files of weights: what they compute, and what is refused."""

from __future__ import annotations

import hashlib
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torch_fidelity
from gancore_image import dinov2, inception
from gancore_image.dinov2 import DINOv2, DINOv2Features, load_dinov2
from gancore_image.domain import ImageDomain
from gancore_image.inception import InceptionFeatures, load_inception
from gancore_image.network_input import flatten_alpha
from PIL import Image
from refusals import refused
from torch import Tensor, nn
from torch_fidelity import feature_extractor_inceptionv3
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torchvision import transforms

from gancore import ConfigError, FeatureContext, Spec
from gancore.metrics.frechet import frechet_distance
from gancore.random import Key

SPEC = Spec({})


def pictures(n: int, channels: int = 3, side: int = 24, name: str = "pictures") -> Tensor:
    """Smooth ones of 8-bit levels."""
    coarse = Key.of(name).uniform(n, channels, 6, 6, low=-1.0, high=1.0)
    fine = nn.functional.interpolate(coarse, (side, side), mode="bilinear")
    return ((fine + 1) * 127.5).round() / 127.5 - 1


def drawn(shapes: dict[str, torch.Size], scale: float = 2.0) -> dict[str, Tensor]:
    """Weights of variance scale / fan-in, gains and variances about 1, biases about 0."""
    state = {}
    for name, shape in shapes.items():
        values = Key.of("weights", name).normal(*shape)
        if name.endswith("num_batches_tracked"):
            values = torch.zeros(shape, dtype=torch.int64)
        elif len(shape) > 1 and "token" not in name and "embed" not in name.split(".")[0]:
            values = values * (scale / math.prod(shape[1:])) ** 0.5
        elif name.endswith((".weight", "running_var", "gamma")):
            values = (0.1 * values).exp()
        else:
            values = 0.1 * values
        state[name] = values
    return state


class Harmful:
    def __reduce__(self):
        return (print, ("this must never run",))


def is_refused(load, file: Path, named: str) -> None:
    with refused(ConfigError, file, *named.split()) as caught:
        load(file)
    assert "\n" not in str(caught.value) and caught.value.fix


def junk(folder: Path) -> dict[str, str]:
    (folder / "text.pth").write_text("no weights")
    (folder / "text.safetensors").write_text("no weights")
    (folder / "empty.pth").write_bytes(b"")
    (folder / "harmful.pth").write_bytes(pickle.dumps(Harmful(), protocol=2))
    unsafe = "weights safely"
    return {
        "text.pth": unsafe,
        "text.safetensors": unsafe,
        "empty.pth": unsafe,
        "harmful.pth": unsafe,
        "missing.pth": "read",
    }


@pytest.mark.parametrize(
    ("features", "variable"), [(InceptionFeatures, "GANCORE_INCEPTION"), (DINOv2Features, "GANCORE_DINOV2")]
)
def test_without_a_file_they_say_what_is_missing(features, variable, monkeypatch):
    monkeypatch.delenv("GANCORE_INCEPTION", raising=False)
    monkeypatch.delenv("GANCORE_DINOV2", raising=False)
    with refused(ConfigError, "weights", fix=variable):
        features().prepare(FeatureContext(None, Path(), train_recipe=None))


def test_they_can_be_asked_for_and_are_no_defaults():
    for spec in (SPEC, Spec({"classes": ["a", "b"]})):
        assert list(ImageDomain().feature_extractors_for(spec))[-2:] == ["inception-v3", "dinov2"]


# Inception-v3.


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A file of the published layout with random weights, whose sha256 is taken for that of FID's."""
    with pytest.MonkeyPatch.context() as patch, torch.device("meta"):
        patch.setattr(feature_extractor_inceptionv3, "load_state_dict_from_url", lambda *a, **k: {})
        patch.setattr(nn.Module, "load_state_dict", lambda self, state: None)
        net = torch_fidelity.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    file = tmp_path_factory.mktemp("weights") / "pt_inception.pth"
    torch.save(drawn({name: tensor.shape for name, tensor in net.state_dict().items()}), file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inception, "SHA256", hashlib.sha256(file.read_bytes()).hexdigest())
        patch.setenv(inception.WEIGHTS_VARIABLE, str(file))
        yield file


@pytest.fixture(scope="module")
def fid(published) -> InceptionFeatures:
    features = InceptionFeatures()
    features.prepare(FeatureContext(None, Path(), train_recipe=None))
    return features


@pytest.mark.slow
def test_features_are_those_of_torch_fidelity_on_the_same_bytes(published, fid):
    samples = pictures(2)
    theirs = torch_fidelity.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(published))
    levels = ((samples + 1) * 127.5).round().to(torch.uint8)
    features = fid.embed(samples, SPEC)
    assert features.shape == (2, 2048) and features.std(0).mean() > 1e-3
    torch.testing.assert_close(features, theirs(levels)[0], atol=1e-6, rtol=1e-5)


def test_grey_pictures_are_seen_as_colour(fid):
    grey = pictures(1, 1)
    assert torch.equal(fid.embed(grey, SPEC), fid.embed(grey.repeat(1, 3, 1, 1), SPEC))


@pytest.mark.slow
def test_the_distance_on_them_is_called_fid_and_is_torch_fidelity_s(fid):
    """On some of the columns, so that few pictures give covariances of full rank."""
    real, fake = (fid.embed(pictures(5, name=name), SPEC)[:, ::683] for name in ("real", "fake"))
    theirs = fid_statistics_to_metric(*map(fid_features_to_statistics, (real, fake)), verbose=False)
    assert fid.frechet_name == "FID"
    assert frechet_distance(real, fake) == pytest.approx(theirs["frechet_inception_distance"], rel=1e-6)


class Shown(torch.utils.data.Dataset):
    def __init__(self, samples: Tensor) -> None:
        self.levels = flatten_alpha(samples).to(torch.uint8)

    def __len__(self) -> int:
        return len(self.levels)

    def __getitem__(self, index: int) -> Tensor:
        return self.levels[index]


@pytest.mark.long
def test_fid_is_what_torch_fidelity_calculates_from_the_same_pictures(published, fid):
    real, fake = pictures(48, name="real"), pictures(48, name="fake").square()
    result = torch_fidelity.calculate_metrics(
        input1=Shown(fake),
        input2=Shown(real),
        fid=True,
        feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=str(published),
        batch_size=16,
        cuda=False,
        cache=False,
        verbose=False,
    )
    ours = frechet_distance(fid.embed(real, SPEC), fid.embed(fake, SPEC))
    print(ours, result)
    assert ours == pytest.approx(result["frechet_inception_distance"], rel=1e-6)


def test_the_published_file_is_told_by_its_whole_hash(fid, published):
    messages: list[str] = []
    fid.prepare(FeatureContext(None, Path(), train_recipe=None, announce=messages.append))
    digest = hashlib.sha256(published.read_bytes()).hexdigest()
    assert messages == [f"inception-v3: weights of pt_inception.pth, sha256 {digest}, as published"]
    assert len(fid.digest) == 64


def test_another_file_is_not_fid_s_and_is_refused(published, tmp_path):
    state = torch.load(published, weights_only=True)
    state["fc.bias"] += 1
    torch.save(state, tmp_path / "other.pth")
    expected = junk(tmp_path) | {"other.pth": "FID sha256"}
    for name, named in expected.items():
        is_refused(load_inception, tmp_path / name, named)


def test_a_harmful_file_is_never_run(tmp_path, capsys):
    junk(tmp_path)
    for load in (load_inception, load_dinov2):
        is_refused(load, tmp_path / "harmful.pth", "weights safely")
    assert "never run" not in capsys.readouterr().out


def test_the_global_generator_stays_where_it_was(published):
    before = torch.get_rng_state()
    load_inception(published)
    assert torch.equal(torch.get_rng_state(), before)


# DINOv2.

WIDTH, DEPTH, GRID = 128, 2, 37


def small(width: int = WIDTH, depth: int = DEPTH) -> dict[str, Tensor]:
    with torch.device("meta"):
        net = DINOv2(width, depth, GRID**2)
    state = drawn({name: tensor.shape for name, tensor in net.state_dict().items()}, scale=1.0)
    return state | {"mask_token": torch.zeros(1, width)}


@pytest.fixture
def dino(tmp_path) -> DINOv2:
    torch.save(small(), tmp_path / "dinov2.pth")
    return load_dinov2(tmp_path / "dinov2.pth")[0]


@pytest.mark.parametrize(
    ("width", "depth", "parameters"), [(384, 12, 22_056_576), (768, 12, 86_580_480), (1024, 24, 304_368_640)]
)
def test_its_sizes_are_those_that_were_published(width, depth, parameters):
    with torch.device("meta"):
        net = DINOv2(width, depth, GRID**2)
    assert sum(p.numel() for p in net.parameters()) + width == parameters  # and the mask token
    names = set(net.state_dict())
    block = "norm1.weight norm2.bias attn.qkv.bias attn.proj.weight mlp.fc1.weight mlp.fc2.bias ls1.gamma"
    assert names >= {f"blocks.{depth - 1}.{name}" for name in block.split()}
    assert names >= {"cls_token", "pos_embed", "patch_embed.proj.weight", "norm.weight"}
    assert len(names) == 6 + 14 * depth


def by_torch(state: dict[str, Tensor], x: Tensor, positions: Tensor) -> Tensor:
    """The same by torch's own transformer, whose layers have no scales: they go into the last matrices."""
    patches = nn.functional.unfold(x, 14, stride=14).transpose(1, 2)
    kernel = state["patch_embed.proj.weight"].flatten(1)
    tokens = patches @ kernel.T + state["patch_embed.proj.bias"]
    tokens = torch.cat([state["cls_token"].expand(len(x), -1, -1), tokens], 1) + positions
    for number in range(DEPTH):
        own = {
            key.removeprefix(f"blocks.{number}."): value
            for key, value in state.items()
            if key.startswith(f"blocks.{number}.")
        }
        layer = nn.TransformerEncoderLayer(
            WIDTH, WIDTH // 64, 4 * WIDTH, 0.0, "gelu", 1e-6, batch_first=True, norm_first=True
        )
        g1, g2 = own["ls1.gamma"], own["ls2.gamma"]
        names = {
            "self_attn.in_proj_weight": own["attn.qkv.weight"],
            "self_attn.in_proj_bias": own["attn.qkv.bias"],
            "self_attn.out_proj.weight": g1[:, None] * own["attn.proj.weight"],
            "self_attn.out_proj.bias": g1 * own["attn.proj.bias"],
            "linear1.weight": own["mlp.fc1.weight"],
            "linear1.bias": own["mlp.fc1.bias"],
            "linear2.weight": g2[:, None] * own["mlp.fc2.weight"],
            "linear2.bias": g2 * own["mlp.fc2.bias"],
        }
        norms = {f"norm{i}.{part}": own[f"norm{i}.{part}"] for i in (1, 2) for part in ("weight", "bias")}
        layer.load_state_dict(names | norms)
        tokens = layer(tokens)
    return nn.functional.layer_norm(tokens, (WIDTH,), state["norm.weight"], state["norm.bias"], 1e-6)[:, 0]


@torch.no_grad()
def test_its_layers_are_those_of_torch_s_own_transformer(dino):
    x = Key.of("x").normal(2, 3, 70, 70)
    expected = by_torch(small(), x, dino.positions(5))
    assert expected.std(0).mean() > 0.1
    torch.testing.assert_close(dino(x), expected, atol=2e-5, rtol=2e-5)


def cubic(distance: np.ndarray) -> np.ndarray:
    """Keys 1981, with a = -3/4."""
    d, a = abs(distance), -0.75
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


@torch.no_grad()
def test_positions_are_interpolated_at_the_published_scale(dino):
    """Centres at (i + 1/2) 37 / 16.1 - 1/2 of the grid, which ends at its edge."""
    matrix = np.zeros((16, GRID))
    for i in range(16):
        centre = (i + 0.5) * GRID / 16.1 - 0.5
        for place in range(math.floor(centre) - 1, math.floor(centre) + 3):
            matrix[i, min(max(place, 0), GRID - 1)] += cubic(np.array(centre - place))
    grid = dino.pos_embed[0, 1:].view(GRID, GRID, WIDTH).double().numpy()
    expected = np.einsum("ia,jb,abw->ijw", matrix, matrix, grid).reshape(256, WIDTH)
    positions = dino.positions(16)
    assert torch.equal(positions[:, 0], dino.pos_embed[:, 0]) and positions.shape == (1, 257, WIDTH)
    assert abs(positions[0, 1:].numpy() - expected).max() < 1e-5
    assert dino.positions(GRID) is dino.pos_embed


def test_pictures_are_shown_as_by_dgm_eval(dino):
    """There: Pillow's bicubic resize of the picture to 224, ImageNet's mean and deviation."""
    samples = pictures(2, side=32)
    chain = transforms.Compose(
        [
            transforms.Resize((224, 224), transforms.InterpolationMode.BICUBIC),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    images = [Image.fromarray(x.permute(1, 2, 0).byte().numpy()) for x in flatten_alpha(samples)]
    expected = torch.stack([chain(image) for image in images])
    away = (dinov2.preprocess(samples) - expected).abs()
    assert away.max() < 1.01 / 255 / 0.224 and (away > 1e-5).float().mean() < 1e-3


def test_a_file_of_the_published_layout_gives_its_features(tmp_path, monkeypatch):
    """Of S/14, each tensor one number over and over: a small file with the shapes of 88 MB."""
    shapes = {name: tensor.shape for name, tensor in small(384, 12).items()}
    file = tmp_path / "dinov2_vits14_pretrain.pth"
    torch.save({name: torch.full((1,), 1e-2).expand(shape) for name, shape in shapes.items()}, file)
    monkeypatch.setenv(dinov2.WEIGHTS_VARIABLE, str(file))
    messages: list[str] = []
    features = DINOv2Features()
    features.prepare(FeatureContext(None, tmp_path, train_recipe=None, announce=messages.append))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert messages == [f"dinov2: weights of {file.name}, sha256 {digest}, none of the published files"]
    seen = features.embed(pictures(1, 1), SPEC)
    assert seen.shape == (1, 384) and seen.isfinite().all() and features.frechet_name == "FD of dinov2"
    before = features.digest
    torch.save(small(384, 1), file)
    features.prepare(FeatureContext(None, tmp_path, train_recipe=None))
    assert features.digest != before and len(before) == 64


def test_what_holds_no_dinov2_of_these_sizes_is_refused(tmp_path):
    plain = small()
    torch.save(plain | {"register_tokens": torch.zeros(1, 4, WIDTH)}, tmp_path / "registers.pth")
    giant = {name.replace("fc1", "w12").replace("fc2", "w3"): value for name, value in plain.items()}
    torch.save(giant, tmp_path / "giant.pth")
    torch.save({"model": plain}, tmp_path / "nested.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save(plain | {"pos_embed": torch.zeros(1, 9, WIDTH)}, tmp_path / "grid.pth")
    expected = junk(tmp_path) | {
        "registers.pth": "register_tokens",
        "giant.pth": "blocks.0.mlp.fc1.weight",
        "nested.pth": "weights DINOv2",
        "list.pth": "weights DINOv2",
        "grid.pth": "weights DINOv2",
    }
    for name, named in expected.items():
        is_refused(load_dinov2, tmp_path / name, named)


def test_weights_as_safetensors_are_the_same(tmp_path, dino):
    from safetensors.torch import save_file

    save_file(small(), tmp_path / "dinov2.safetensors")
    x = Key.of("x").normal(1, 3, 28, 28)
    assert torch.equal(load_dinov2(tmp_path / "dinov2.safetensors")[0](x), dino(x))
