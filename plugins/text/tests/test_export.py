"""Samples of text as files, pictures and TensorBoard logs, and the faults that are found in them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from gancore_text.diagnosis import diagnose, find_faults
from gancore_text.domain import TextDomain
from gancore_text.export import draw_texts, write_samples
from gancore_text.files import find_texts
from gancore_text.records import Columns, read_records
from gancore_text.representation import canonical, texts_of
from gancore_text.sources import SOURCES

from gancore.data.dataset import Spec
from gancore.data.sources import resolve_source
from gancore.random import Key
from gancore.samples import Samples

TEXTS = ["a man .", "two\nlines", "", "\u05e9\u05dc \u202e\u05d5", 'say "hi", \\n', "\x1b[31mred"]


def samples(texts=TEXTS, **spec):
    labels = torch.tensor([n % 2 for n in range(len(texts))]) if "classes" in spec else None
    return Samples(canonical(texts, 80), Spec({"usual_bytes": 40, **spec}), labels)


def test_a_text_is_a_line_and_json_has_it_as_it_is(tmp_path):
    paths = write_samples(samples(classes=["x", "y"]), tmp_path / "new" / "out")
    assert [path.name for path in paths] == ["samples.txt", "samples.jsonl"]
    lines = paths[0].read_text().split("\n")
    assert len(lines) == len(TEXTS) + 1 and lines[1] == "two lines" and lines[2] == ""
    rows = [json.loads(line) for line in paths[1].read_text().splitlines()]
    assert [row["text"] for row in rows] == TEXTS and [row["label"] for row in rows] == list("xyxyxy")


def test_texts_without_labels_have_no_field_for_one(tmp_path):
    rows = [json.loads(line) for line in write_samples(samples(), tmp_path)[1].read_text().splitlines()]
    assert all(row.keys() == {"text"} for row in rows)


def test_what_is_written_can_be_read_as_data(tmp_path):
    path = write_samples(samples(classes=["x", "y"]), tmp_path)[1]
    files = find_texts(path, lambda line: None)
    read = list(read_records(files.files[0], files.found[0].header, Columns(label="label")))
    assert [record.text for record in read] == TEXTS and [record.label for record in read] == list("xyxyxy")


def test_the_same_samples_give_the_same_bytes(tmp_path):
    first, second = (write_samples(samples(), tmp_path / name) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_a_folder_that_cannot_be_made_is_an_oserror(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        write_samples(samples(), tmp_path / "file" / "out")


def test_a_picture_wraps_long_texts_and_grows_with_them():
    short, long = draw_texts(["word"]), draw_texts(["word " * 15, "word " * 15])
    longer = draw_texts(TextDomain().text_lines(Samples(canonical(["word " * 300], 2000), Spec({}))))
    assert short.width == long.width == longer.width and short.height < long.height < longer.height
    ink = np.asarray(longer.convert("L")) < 128
    assert ink.any() and not ink[:, -10:].any() and not ink[:5].any()


def test_different_texts_give_different_pictures():
    pictures = [draw_texts([text]).tobytes() for text in ("one", "two", "мир", "سلام")]
    assert len(set(pictures)) == 4


def test_tensorboard_shows_texts_without_control_characters():
    logged = {}

    class Writer:
        def add_text(self, name, text, step):
            logged[name, step] = text

    TextDomain().log_to_tensorboard(samples(), Writer(), 7)
    (text,) = logged.values()
    assert ("samples", 7) in logged and "a man ." in text and "\x1b" not in text and "\u202e" not in text


def test_lines_are_printable_titled_and_a_few():
    lines = TextDomain().text_lines(samples(classes=["x", "y"]), 3)
    assert lines == ["[x] a man .", "[y] two lines", "[x] (empty)"]
    many = TextDomain().text_lines(samples(["word " * 16] * 40))
    assert len(many) == 16 and many[0] == ("word " * 16).strip()
    assert TextDomain().texts(samples()) == TEXTS


def test_each_fault_is_found_in_the_texts_that_have_it_and_nowhere_else():
    texts = ["same", "same", "same", "", " ", "x" * 41, "fine", "also fine"]
    found = {name: rows.nonzero().flatten().tolist() for name, rows in find_faults(texts, 40).items()}
    assert found == {"repeated": [0, 1, 2], "empty": [3, 4], "long": [5]}


def test_findings_say_how_many_and_what_to_do():
    found = diagnose(["same"] * 12 + [f"text {n}" for n in range(4)], 40)
    assert [finding.name for finding in found] == ["repeated"]
    assert found[0].message.startswith("12 of 16 samples") and found[0].fix
    assert {finding.name for finding in diagnose([""] * 4, 40)} == {"empty"}
    assert {finding.name for finding in diagnose(["x" * 60, "y" * 60], 40)} == {"long"}
    assert diagnose([], 40) == []


@pytest.mark.parametrize("name", ["python_reference", "markov"])
def test_real_texts_raise_no_alarm(name, tmp_path, monkeypatch):
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path))
    domain = TextDomain()
    data = domain.open(resolve_source(name, SOURCES, None, print), domain.Config())
    view = data.view("train")
    order = torch.randperm(len(view), generator=torch.Generator().manual_seed(0))[:640]
    for rows in order.split(64):
        batch = view.get_batch(rows, Key.of(0))
        assert domain.diagnose(Samples(batch.data, data.spec)) == []
    assert len(texts_of(view.get_batch(order[:3], Key.of(0)).data)) == 3
