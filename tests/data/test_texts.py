"""Labels and names from foreign files: one printable line each, and labels that differ keep differing."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused

from gancore.data.dataset import Spec
from gancore.data.labels import FileSet, LabelledDataConfig, folder_reader, read_labels
from gancore.domain import Domain
from gancore.errors import ConfigError
from gancore.files import atomic_write, decode_json, encode_json
from gancore.random import Key
from gancore.samples import Samples, file_name_part
from gancore.text import MAX_LABEL_LENGTH, clean_label, shorten

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=200)


@given(ANY_TEXT)
def test_any_text_becomes_a_label_that_can_be_stored_and_stays(text):
    label = clean_label(text)
    label.encode()
    assert len(label) <= MAX_LABEL_LENGTH and len(label.splitlines()) <= 1
    assert clean_label(label) == label


@pytest.mark.parametrize(
    ("text", "label"),
    [("big\ndog", "big dog"), (" cat ", "cat"), ("cafe\u0301", "caf\u00e9"), ("\x1b[31mred", "\\x1b[31mred")],
)
def test_labels_are_one_composed_printable_line(text, label):
    assert clean_label(text) == label


def test_long_labels_that_differ_at_their_end_stay_two():
    assert clean_label("a" * 100_000 + "b") != clean_label("a" * 100_000 + "c")


def test_labels_of_a_table_are_read_so(tmp_path):
    rows = [
        {"file_name": f"{i}.png", "label": label} for i, label in enumerate(["a\nb", "\udce9", "e\u0301"])
    ]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    files = FileSet([f"{i}.png" for i in range(3)], str(tmp_path), folder_reader(tmp_path))
    assert read_labels(files, LabelledDataConfig()).values == ["a b", "\\udce9", "\u00e9"]


@pytest.mark.parametrize("requested", ["caf\u00e9", "cafe\u0301", " caf\u00e9\n"])
def test_a_label_is_found_however_it_is_composed(requested):
    spec = Spec({"classes": ["tea", "caf\u00e9"]})
    assert Domain.make_condition(None, requested, 2, spec, Key.of(0)).tolist() == [1, 1]


def test_a_label_that_is_not_there_is_named_in_short():
    with refused(ConfigError, 1, fix="tea") as caught:
        Domain.make_condition(None, "x" * 100_000, 1, Spec({"classes": ["tea"]}), Key.of(0))
    assert len(str(caught.value)) < 300


@given(ANY_TEXT)
def test_any_title_can_be_drawn_and_any_label_can_stand_in_a_file_name(text):
    samples = Samples(torch.zeros(1, 2), Spec({}), headings=[text])
    assert samples.titles() == [shorten(text)]
    assert len(shorten(text)) <= 80 and shorten(text).encode().find(b"\n") < 0
    assert file_name_part(text).encode() and len(file_name_part(text)) <= 40


def test_marks_of_letters_stand_in_file_names():
    assert file_name_part("\u0939\u093f\u0928\u094d\u0926\u0940") == "\u0939\u093f\u0928\u094d\u0926\u0940"
    assert file_name_part("cafe\u0301") == "caf\u00e9"


def test_names_that_are_not_utf8_survive_json(tmp_path):
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    assert decode_json(encode_json({"name": name}), "x") == {"name": name}
    atomic_write(tmp_path / "card.md", f"of {name}")
    assert (tmp_path / "card.md").read_text() == "of caf\\udce9.png"
