"""Ways to look at a trained model: grids of labels, ways between samples, truncation, neighbours, films."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from gancore_image.domain import ImageDomain
from gancore_image.export import to_bytes
from PIL import Image
from refusals import refused

import gancore
from gancore import ConfigError, Source
from gancore.cli import main
from gancore.metrics.distances import nearest
from gancore.metrics.memorization import NEIGHBOURS, CopyTest, copy_test
from gancore.random import Key, RowRange

TINY = {"data": "digits", "steps": 4, "device": "cpu", "progress": "none"}
SMALL = ["data.image_size=16", "model.batch_size=8", "logging.preview_samples=5", "validation.samples=16"]
DCGAN_LITE = [
    *SMALL,
    "model.width=4",
    "model.latent_dim=8",
    "logging.preview_every=1",
    "model.conditional=true",
]
OTHERS = {
    "dcgan": ["model.width=2", "model.latent_dim=8"],
    "glow": ["model.width=4", "model.couplings=1"],
    "imagevae": ["model.width=4", "model.latent_dim=3"],
    "pixelcnn": ["model.width=4", "model.layers=2", "model.components=2"],
}


@pytest.fixture(scope="module", autouse=True)
def one_thread_and_a_cache_of_its_own(tmp_path_factory):
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANCORE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A conditional run of four steps, with a preview of each."""
    folder = tmp_path_factory.mktemp("runs") / "lite"
    gancore.train("image", recipe="dcgan-lite", overrides=DCGAN_LITE, out=folder, **TINY)
    return folder


@pytest.fixture(scope="module")
def others(tmp_path_factory) -> dict[str, Path]:
    """By recipe, without labels."""
    folders = {name: tmp_path_factory.mktemp("runs") / name for name in OTHERS}
    for name, settings in OTHERS.items():
        gancore.train("image", recipe=name, overrides=[*SMALL, *settings], out=folders[name], **TINY)
    return folders


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def levels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


class TestAFolderThatHoldsOtherSamples:
    def test_is_refused_and_left_as_it_is(self, run, tmp_path):
        gancore.generate(run, n=4, out=tmp_path)
        before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
        with pytest.raises(ConfigError) as error:
            gancore.generate(run, n=2, seed=1, out=tmp_path)
        assert str(tmp_path) in error.value.message and "--overwrite" in error.value.fix
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before

    def test_is_replaced_by_force_with_nothing_left_over_and_what_is_no_sample_stays(self, run, tmp_path):
        gancore.generate(run, n=4, out=tmp_path)
        (tmp_path / "notes.txt").write_text("mine")
        said = []
        written = gancore.generate(run, n=2, seed=1, out=tmp_path, overwrite=True, announce=said.append)
        assert {*tmp_path.iterdir()} == {*written, tmp_path / "notes.txt"}
        assert "5 files" in said[0]

    def test_is_refused_by_neighbours_too(self, run, tmp_path):
        gancore.generate(run, n=1, out=tmp_path)
        with pytest.raises(ConfigError, match="other samples"):
            gancore.neighbours(run, n=1, out=tmp_path)


class TestEachLabel:
    def test_a_row_of_the_grid_is_what_its_label_alone_gives(self, run, tmp_path):
        files = gancore.generate(run, n=3, each_label=True, seed=5, out=tmp_path / "all")
        assert [file.name for file in files[:4]] == [
            "0001-01-0.png",
            "0001-02-0.png",
            "0001-03-0.png",
            "0002-01-1.png",
        ]
        assert len(files) == 31 and size(tmp_path / "all" / "overview.png") == (3 * 66 + 2, 10 * 78 + 2)
        for row in (1, 8):
            gancore.generate(run, n=3, label=str(row - 1), seed=5, out=tmp_path / f"{row}")
            for place in (1, 2, 3):
                alone = tmp_path / f"{row}" / f"000{place}-{row - 1}.png"
                assert (
                    alone.read_bytes()
                    == (tmp_path / "all" / f"{row:04d}-0{place}-{row - 1}.png").read_bytes()
                )

    @pytest.mark.slow
    def test_a_model_without_labels_has_none(self, others, tmp_path):
        with refused(ConfigError, "labels", fix="--each-label"):
            gancore.generate(others["glow"], each_label=True, out=tmp_path / "x")
        assert not (tmp_path / "x").exists()

    def test_one_label_and_each_label_are_two_questions(self, run):
        with refused(ConfigError, 3, fix="--each-label"):
            gancore.generate(run, label="3", each_label=True)


class TestWays:
    def test_a_row_goes_from_one_sample_to_the_next_under_one_label(self, run, tmp_path):
        files = gancore.generate(run, n=3, interpolate=6, seed=2, out=tmp_path / "way")
        plain = gancore.generate(run, n=6, seed=2, out=tmp_path / "plain")
        assert len(files) == 19 and size(files[-1]) == (6 * 66 + 2, 3 * 78 + 2)
        labels = [[file.stem.split("-")[2] for file in files[row * 6 : row * 6 + 6]] for row in range(3)]
        for row in range(3):
            start = plain[2 * row]
            assert labels[row] == [start.stem.split("-")[1]] * 6
            assert np.abs(levels(files[6 * row]) - levels(start)).max() <= 1

    def test_of_each_label_ways_lead_between_the_same_latents(self, run):
        model = gancore.load(run, "cpu")
        made = model.interpolate_each_label(2, 4, seed=3)
        assert made.columns == 4 and made.condition.tolist() == [c for c in range(10) for _ in range(8)]
        alone = model.interpolate(2, 4, seed=3, label="7")
        assert torch.equal(made.data[56:64], alone.data)

    def test_a_variational_autoencoder_has_ways_too(self, others):
        model = gancore.load(others["imagevae"], "cpu")
        made = model.interpolate(2, 5, seed=1)
        steps = (made.data.view(2, 5, -1).diff(dim=1)).abs().amax(-1)
        assert made.columns == 5 and bool((steps > 0).all())

    def test_a_model_without_latents_says_so(self, others):
        with refused(ConfigError, "latents", fix="--interpolate"):
            gancore.generate(others["pixelcnn"], n=1, interpolate=3)


class TestTruncation:
    def test_no_threshold_and_an_infinite_one_give_the_same_bytes(self, run, tmp_path, capsys):
        for words in ([], ["--truncation", "inf"], ["--truncation", "0.5"]):
            out = tmp_path / "-".join(["out", *words[1:]])
            assert main(["generate", str(run), "-n", "4", "--out", str(out), *words]) == 0
        plain, infinite, half = (
            [file.read_bytes() for file in sorted((tmp_path / name).glob("*.png"))]
            for name in ("out", "out-inf", "out-0.5")
        )
        assert plain == infinite and not set(plain) & set(half)

    def test_samples_draw_together_as_it_falls(self, run, others):
        for folder, label in ((run, "4"), (others["glow"], None)):
            model = gancore.load(folder, "cpu")
            spread = [
                float(model.sample(32, label=label, truncation=psi).data.std(0).mean())
                for psi in (1e-4, 0.3, 1.0, None)
            ]
            assert spread[0] < 1e-3 and spread == sorted(spread)

    @pytest.mark.parametrize(("recipe", "why"), [("dcgan", "are not normal"), ("pixelcnn", "no latents")])
    def test_what_cannot_be_truncated_is_refused_in_one_line(self, others, recipe, why, capsys):
        assert main(["generate", str(others[recipe]), "--truncation", "0.7", "--out", "never"]) == 2
        output = capsys.readouterr().err.splitlines()
        assert len(output) == 1 and why in output[0] and "leave out --truncation" in output[0]
        assert not Path("never").exists()


class TestNeighbours:
    def test_each_sample_stands_beside_the_train_images_nearest_to_it(self, run, tmp_path, capsys):
        words = ["neighbours", str(run), "-n", "4", "-k", "3", "--out", str(tmp_path), "--device", "cpu"]
        assert main(words) == 0
        assert capsys.readouterr().out.startswith("no sign of copies: 0 of 4 samples")
        assert size(tmp_path / "overview.png") == (4 * 66 + 2, 4 * 78 + 2)
        content = json.loads((tmp_path / "neighbours.json").read_text())
        assert (content["features"]["name"], content["source"], content["train"]) == (
            "coordinates",
            "digits",
            1418,
        )
        train = to_bytes(digits("train"))
        for number, sample in enumerate(content["samples"], start=1):
            shown = [levels(file) for file in sorted(tmp_path.glob(f"{number:04d}-*.png"))]
            away = np.sqrt(((train[:, 0] / 127.5 - shown[0] / 127.5) ** 2).sum((1, 2)))
            assert np.allclose(np.sort(away)[:3], sample["distances"], atol=0.05)
            for row, image in zip(sample["rows"], shown[1:], strict=True):
                assert np.array_equal(image, train[row, 0])

    def test_a_model_given_away_finds_a_named_source_but_no_folder_of_somebody(self, run, tmp_path, capsys):
        (tmp_path / "mine").mkdir()
        for number, pixels in enumerate(to_bytes(digits("test"))[:40]):
            Image.fromarray(pixels[0]).save(tmp_path / "mine" / f"{number}.png")
        settings = [*SMALL, "model.width=2", "model.latent_dim=4", "data.labels=none"]
        arguments = {**TINY, "data": tmp_path / "mine", "steps": 1}
        gancore.train("image", recipe="dcgan-lite", overrides=settings, out=tmp_path / "run", **arguments)
        assert (
            main(["neighbours", str(tmp_path / "run"), "-n", "2", "-k", "1", "--out", str(tmp_path / "a")])
            == 0
        )
        (tmp_path / "run" / "model").rename(tmp_path / "shared")
        capsys.readouterr()
        assert main(["neighbours", str(tmp_path / "shared"), "--out", str(tmp_path / "b")]) == 2
        assert capsys.readouterr().err.splitlines()[-1] == (
            "error: the model does not name its training data; give the data with --data"
        )


def digits(split: str) -> torch.Tensor:
    domain = ImageDomain()
    source = Source("digits", None, domain.sources["digits"])
    view = domain.open(source, domain.Config(image_size=16)).view(split)
    return view.get_batch(torch.arange(len(view)), Key.of("all").with_rows(RowRange.all(len(view)))).data


@pytest.fixture(scope="module")
def verdict():
    train, valid = (digits(split).flatten(1) for split in ("train", "valid"))
    held_out = nearest(valid, train, NEIGHBOURS)[0]

    def verdict(images: torch.Tensor) -> CopyTest:
        distances, rows = nearest(images.flatten(1), train, NEIGHBOURS)
        return copy_test(distances, held_out, rows[:, 0])

    return verdict


class TestCopiesOfDigits:
    """On real images: what is in train, what is not, and what is only smooth."""

    def test_images_of_train_are_copies_be_they_noisy_darker_or_few(self, verdict):
        train = digits("train")
        chosen = train[Key.of("chosen").permutation(len(train))[:32]]
        noisy = chosen + 0.15 * Key.of("noise").normal(*chosen.shape)
        for images in (chosen, noisy, 0.9 * (chosen + 1) - 1):
            assert verdict(images).significant
        assert verdict(torch.cat([chosen, digits("test")[:128]])).significant

    def test_unseen_images_are_none(self, verdict):
        found = verdict(digits("test"))
        assert found.significant is False and found.n == 169

    def test_noise_hides_copies_from_plain_distances_alone(self, verdict):
        noisy = digits("train")[:32] + 0.15 * Key.of("noise").normal(32, 1, 16, 16)
        found = verdict(noisy)
        assert found.significant and found.nearer_share < 2 * found.level

    def test_means_of_unseen_images_that_are_alike_are_nearer_to_train_and_yet_none(self, verdict):
        """As a smooth model gives them: plain distances would call it memory."""
        unseen = torch.cat([digits("test"), digits("valid")])
        alike = nearest(digits("test").flatten(1), unseen.flatten(1), 5)[1]
        found = verdict(unseen[alike].mean(1))
        assert found.nearer_share > 2 * found.level and not found.significant


def test_neighbours_name_files_and_the_copies_that_hinder_the_test(tmp_path):
    """Images of train stand in valid too, under other bytes."""
    levels = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    for number, pixels in enumerate(levels):
        for split, quality in (("train", 1), ("valid", 9)):
            place = tmp_path / "data" / split / f"{number:02}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(place, compress_level=quality)
    settings = ["data.image_size=8", "model.width=2", "model.batch_size=4"]
    arguments = {"data": tmp_path / "data", "steps": 1, "device": "cpu", "progress": "none"}
    gancore.train("image", recipe="dcgan-lite", overrides=settings, out=tmp_path / "run", **arguments)
    found = gancore.neighbours(tmp_path / "run", n=3, k=2, out=tmp_path / "out", device="cpu")
    samples = json.loads((tmp_path / "out" / "neighbours.json").read_text())["samples"]
    assert [len(sample["names"]) for sample in samples] == [2, 2, 2]
    assert samples[0]["names"][0].startswith("train/")
    assert found.summary()[0].startswith(f"sample 1: {samples[0]['names'][0]}, ")
    assert found.copy_test.significant is None and len(found.copy_test.duplicates) > 30
    assert all(
        (Path(held_out).parent.name, Path(train).parent.name) == ("valid", "train")
        and Path(held_out).name == Path(train).name
        for held_out, train in found.copy_test.duplicates
    )
    assert found.copy_test.duplicates[0][0] in found.copy_test.summary()


def test_a_film_shows_every_preview(run, tmp_path, capsys):
    assert main(["animate", str(run), "--out", str(tmp_path / "film.gif"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == [1, 2, 3, 4]
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 4
        for number in range(4):
            film.seek(number)
            shown = np.asarray(film.convert("L"))
            overview = run / "samples" / f"step-00000000{number + 1}" / "overview.png"
            assert np.array_equal(shown[: size(overview)[1], : size(overview)[0]], levels(overview)[..., 0])
