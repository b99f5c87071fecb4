"""From texts to splits: what is left out, windows, overlap, fingerprints, and the named data sets."""

from __future__ import annotations

import pytest
import torch
from gancore_text.config import TextConfig, TextSchema
from gancore_text.dataset import open_text
from gancore_text.reference import reference_sentences
from gancore_text.representation import texts_of
from gancore_text.sources import SOURCES
from needs import data_root
from refusals import refused

from gancore.data.dataset import validate_spec
from gancore.data.sources import Source, resolve_source
from gancore.data.splits import SPLITS
from gancore.errors import DataError
from gancore.random import Key


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "cache"))


def opened(path, **config):
    return open_text(Source(path.name, path), TextConfig(**config))


def named(name, **config):
    entry = SOURCES[name]
    data = open_text(
        resolve_source(name, SOURCES, data_root(entry.folder or name), print), TextConfig(**config)
    )
    validate_spec(TextSchema, data.spec.fields, "model")
    return data


def texts(data, split):
    view = data.view(split)
    return texts_of(view.get_batch(torch.arange(len(view)), Key.of(0)).data)


def write(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_equal_texts_are_in_one_split_and_counted(tmp_path):
    data = opened(write(tmp_path / "a.txt", [f"text {n % 50}" for n in range(100)]))
    held = {split: set(texts(data, split)) for split in SPLITS}
    assert sum(map(len, held.values())) == len(set.union(*held.values())) == 50
    assert any("repeated: 50 texts" in line for line in data.summary)


def test_new_texts_move_no_others_to_another_split(tmp_path):
    before = opened(write(tmp_path / "a.txt", [f"text {n}" for n in range(100)]))
    after = opened(write(tmp_path / "a.txt", [f"text {n}" for n in range(130)]))
    assert all(set(texts(before, split)) <= set(texts(after, split)) for split in SPLITS)


@pytest.mark.parametrize("folders", [True, False])
def test_official_splits_are_kept_and_their_overlap_is_left_out_of_train(tmp_path, folders):
    names = {split: f"{split}/a.txt" if folders else f"{split}.txt" for split in SPLITS}
    write(tmp_path / "d" / names["train"], ["hi", "both", *(f"train {n}" for n in range(20))])
    write(tmp_path / "d" / names["valid"], ["hi", "valid"])
    write(tmp_path / "d" / names["test"], ["hi", "both", "test"])
    data = opened(tmp_path / "d")
    assert texts(data, "test") == ["hi", "both", "test"] and texts(data, "valid") == ["valid"]
    assert texts(data, "train") == [f"train {n}" for n in range(20)]
    told = "\n".join(data.summary)
    assert "1 of valid that are also in test" in told and "of train that are also in test" in told
    assert data.view("test").get_origins(torch.tensor([2]), Key.of(0)) == [f"{names['test']}, line 3"]


def test_splits_that_hold_the_same_texts_are_refused(tmp_path):
    for split in SPLITS:
        write(tmp_path / "d" / f"{split}.txt", ["a", "b"])
    with refused(DataError, "train", "test"):
        opened(tmp_path / "d")


def test_several_files_are_one_set_and_name_their_lines(tmp_path):
    for name in "ab":
        write(tmp_path / "d" / f"{name}.txt", [f"{name} {n}" for n in range(20)])
    data = opened(tmp_path / "d")
    assert "40 texts of 2 files" in data.summary[0]
    origins = {
        text: data.view(split).get_origins(torch.tensor([row]), Key.of(0))[0]
        for split in SPLITS
        for row, text in enumerate(texts(data, split))
    }
    assert origins["b 7"] == "b.txt, line 8"


def test_too_few_texts_and_windows_are_refused(tmp_path):
    with refused(DataError, 2, fix=3):
        opened(write(tmp_path / "a.txt", ["a", "b"]))
    with refused(DataError, 2, fix="data.window"):
        opened(tmp_path / "a.txt", unit="window", window=2)


def test_windows_of_a_text_do_not_overlap_and_follow_one_another(tmp_path):
    whole = "".join(f"{n:04}\n" for n in range(1000))
    (tmp_path / "a.txt").write_text(whole)
    data = opened(tmp_path / "a.txt", unit="window", window=48)
    parts = [texts(data, split) for split in SPLITS]
    joined = "".join(text for part in parts for text in part)
    assert joined == whole[: len(joined)] and len(whole) - len(joined) < 48
    assert [len(part) for part in parts] == [84, 10, 10]
    assert all(len(text) == 48 for part in parts for text in part)
    assert any("shorter than a window" in line for line in data.summary)


def test_windows_need_running_text(tmp_path):
    with refused(DataError, tmp_path / "a.csv", fix="data.unit"):
        opened(write(tmp_path / "a.csv", ["text", "a", "b"]), unit="window")


def test_long_texts_are_left_out_by_share_and_by_setting(tmp_path):
    path = write(tmp_path / "a.txt", ["x" * n for n in range(1, 201)])
    assert max(map(len, texts(opened(path), "train"))) <= 198
    assert "2 longer than 198" in opened(path).summary[-1]
    assert "150 longer than 50" in opened(path, max_characters=50).summary[-1]


def test_the_fingerprint_changes_with_texts_settings_and_tokenizer(tmp_path):
    from gancore_text.tokenizer import BPETokenizer

    path = write(tmp_path / "a.txt", [f"text {n}" for n in range(50)])
    first = opened(path).fingerprint
    assert opened(path).fingerprint == first
    assert opened(path, lowercase=True).fingerprint != first
    assert opened(path, unit="window", window=8).fingerprint != first
    (tmp_path / "tokenizer.json").write_text(BPETokenizer.train(["text"], 300))
    assert opened(path, tokenizer=str(tmp_path)).fingerprint != first
    write(path, [f"text {n}" for n in range(51)])
    assert opened(path).fingerprint != first


def test_the_built_in_sentences_are_english_without_marks():
    sentences = reference_sentences()
    assert len(sentences) > 800 and len(set(sentences)) == len(sentences)
    for sentence in sentences:
        assert sentence[0].isupper() and sentence[-1] in ".!?" and sentence.isascii()
        assert not set(sentence) & set("*`=<>[]{}|_\\")
        assert sentence.count('"') % 2 == 0 and len(sentence.split()) >= 4


def test_the_built_in_default_opens():
    data = open_text(resolve_source(None, SOURCES, None, print), TextConfig())
    assert "python_reference" in data.summary[0] and data.spec["licence"] == "PSF-2.0"
    validate_spec(TextSchema, data.spec.fields, "model")


def test_all_splits_of_captions_are_cut_from_the_train_file_and_the_test_file_is_a_set_of_its_own():
    captions, others = named("image_coco"), named("image_coco_test")
    ours = {text for split in SPLITS for text in texts(captions, split)}
    theirs = {text for split in SPLITS for text in texts(others, split)}
    count = {name: sum("bathroom" in text for text in held) for name, held in (("a", ours), ("b", theirs))}
    assert len(ours & theirs) < 10 and count["a"] > 1000 and count["b"] < 20
    assert len(captions.view("train")) > 7500


def test_news_has_the_test_file_of_texygen():
    data = named("emnlp2017_news")
    assert len(data.view("test")) > 9_900
    origins = data.view("test").get_origins(torch.arange(len(data.view("test"))), Key.of(0))
    assert all(origin.startswith("test_emnlp.txt") for origin in origins)
    assert not set(texts(data, "test")) & {*texts(data, "train"), *texts(data, "valid")}


def test_shakespeare_comes_in_windows_that_keep_their_lines():
    data = named("tiny_shakespeare")
    train = texts(data, "train")
    assert train[0].startswith("First Citizen:\nBefore we proceed") and len(train[0]) == 128
    assert len(data.spec["characters"]) == 65 and data.spec["usual_bytes"] == data.spec["max_bytes"] == 128


def test_long_texts_are_cut_if_asked_and_counted(tmp_path):
    """Equal beginnings are equal texts, so they are in one split."""
    file = write(tmp_path / "a.txt", [f"{n % 20:02} words that go on {n}" for n in range(40)])
    data = opened(file, max_characters=8, cut_long=True)
    held = {split: set(texts(data, split)) for split in SPLITS}
    assert set.union(*held.values()) == {f"{n:02} words" for n in range(20)}
    assert sum(map(len, held.values())) == 20
    assert any("40 longer than 8 characters, which are cut" in line for line in data.summary)
    assert len(texts(opened(file, max_characters=24), "train")) < 40  # by default they are left out
