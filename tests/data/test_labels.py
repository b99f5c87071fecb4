"""Labels of files from folders, names and metadata files, and the class indices made of them."""

from __future__ import annotations

import json

import pytest
import torch
from pydantic import ValidationError
from refusals import refused

from gancore.data.dataset import Spec
from gancore.data.labels import (
    FileSet,
    LabelledDataConfig,
    class_fields,
    class_indices,
    folder_reader,
    num_classifier_classes,
    num_conditional_classes,
    read_labels,
)
from gancore.errors import ConfigError, DataError

IN_FOLDERS = ["dog/1.wav", "cat/deep/2.wav", "dog/3.wav"]
FLAT = ["7_anna_0.wav", "3_bert_1.wav"]


def labels(names, root, labels="auto", label_pattern=None, label_column=None):
    how = LabelledDataConfig(labels=labels, label_pattern=label_pattern, label_column=label_column)
    return read_labels(FileSet(names, str(root), folder_reader(root)), how).values


def test_the_first_sub_folder_is_the_label(tmp_path):
    assert labels(IN_FOLDERS, tmp_path) == ["dog", "cat", "dog"]


@pytest.mark.parametrize("names", [FLAT, [*IN_FOLDERS, "loose.wav"], ["only/1.wav", "only/2.wav"]])
def test_folders_that_do_not_divide_all_files_are_no_labels(tmp_path, names):
    assert labels(names, tmp_path) == [None] * len(names)


def test_asked_for_folders_leave_loose_files_without_a_label(tmp_path):
    assert labels([*IN_FOLDERS, "loose.wav"], tmp_path, labels="folder") == ["dog", "cat", "dog", None]


@pytest.mark.parametrize("pattern", [r"^(\d)_", r"^(\d)_(?P<other>\w+)", r"^(\d)_"])
def test_a_pattern_reads_the_file_name(tmp_path, pattern):
    assert labels(FLAT, tmp_path, label_pattern=pattern) == ["7", "3"]


def test_a_group_named_label_goes_before_the_first(tmp_path):
    assert labels(FLAT, tmp_path, label_pattern=r"^(\d)_(?P<label>[a-z]+)") == ["anna", "bert"]


def test_none_is_none(tmp_path):
    assert labels(IN_FOLDERS, tmp_path, labels="none") == [None] * 3


@pytest.mark.parametrize("name", ["metadata.csv", "index.csv"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_table_is_found_by_itself(tmp_path, name, mark):
    (tmp_path / name).write_text(mark + 'file,class\n7_anna_0.wav,"seven, spoken"\n', encoding="utf-8")
    assert labels(FLAT, tmp_path, "metadata") == ["seven, spoken", None]


def test_a_table_that_labels_some_files_alone_costs_no_files(tmp_path):
    (tmp_path / "metadata.csv").write_text("file_name,label\n7_anna_0.wav,a\n")
    files = FileSet(FLAT, str(tmp_path), folder_reader(tmp_path))
    found = read_labels(files, LabelledDataConfig())
    assert found.values == [None, None] and found.source == ""
    assert "1 of 2" in found.summary_line([]) and "data.labels=metadata" in found.summary_line([])
    assert read_labels(files, LabelledDataConfig(labels="metadata")).values == ["a", None]


SPELLINGS = {
    "semicolons": b"file_name;label\r\n7_anna_0.wav;a, b\r\n3_bert_1.wav;c\r\n",
    "tabs": b"file_name\tlabel\n7_anna_0.wav\ta, b\n3_bert_1.wav\tc\n",
    "spaces": b'file_name, label\n7_anna_0.wav, "a, b"\n3_bert_1.wav, c\n',
    "capitals": b'File_Name,Label\n7_anna_0.wav,"a, b"\n3_bert_1.wav,c\n',
    "wide": 'file_name,label\n7_anna_0.wav,"a, b"\n3_bert_1.wav,c\n'.encode("utf-16"),
    "windows": b'file_name,label\n.\\7_anna_0.wav,"a, b"\n.\\3_bert_1.wav,c\n',
    "quotes": b'"file_name","label"\n"7_anna_0.wav","a, b"\n"3_bert_1.wav","c"\n',
}


@pytest.mark.parametrize("content", SPELLINGS.values(), ids=SPELLINGS)
def test_tables_are_read_as_spreadsheets_write_them(tmp_path, content):
    (tmp_path / "metadata.csv").write_bytes(content)
    assert labels(FLAT, tmp_path) == ["a, b", "c"]


@pytest.mark.parametrize("folder", ["test", "validation", "train"])
def test_classes_below_a_lone_folder_of_a_split_are_labels(tmp_path, folder):
    assert labels([f"{folder}/{name}" for name in IN_FOLDERS], tmp_path) == ["dog", "cat", "dog"]


def test_a_composed_name_of_a_table_is_found_on_a_disk_that_decomposes(tmp_path):
    (tmp_path / "metadata.csv").write_text("file,label\ncaf\u00e9.wav,a\n", encoding="utf-8")
    assert labels(["cafe\u0301.wav"], tmp_path) == ["a"]


@pytest.mark.parametrize("value", [["a"], {"b": 1}])
def test_labels_of_a_wrong_type_are_named_by_their_line(tmp_path, value):
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": FLAT[0], "label": value}))
    with refused(DataError, "metadata.jsonl", 1, "label", fix="text"):
        labels(FLAT, tmp_path)


def test_deeply_nested_json_is_named_by_its_line(tmp_path):
    (tmp_path / "metadata.jsonl").write_text("[" * 200_000)
    with refused(DataError, "metadata.jsonl", 1):
        labels(FLAT, tmp_path)


def test_json_lines_with_a_column_of_ones_choice(tmp_path):
    rows = [
        {"file_name": "3_bert_1.wav", "speaker": "bert", "label": 3},
        {"file_name": "other.wav", "speaker": "x"},
    ]
    (tmp_path / "metadata.jsonl").write_text("\n\n".join(map(json.dumps, rows)))
    assert labels(FLAT, tmp_path, label_column="speaker") == [None, "bert"]
    assert labels(FLAT, tmp_path, "metadata") == [None, "3"]


@pytest.mark.parametrize(
    "content, result, fix",
    [
        ("file_name,sort\n7_anna_0.wav,a\n", "sorte", "sort"),
        ("name,label\n7_anna_0.wav,a\n", "file_name", "name"),
        ("", "rows", ""),
        ("file_name,label\nelsewhere.wav,a\n", "label", "data.labels"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path, content, result, fix):
    (tmp_path / "metadata.csv").write_text(content)
    with refused(DataError, result, fix=fix):
        labels(FLAT, tmp_path, labels="metadata", label_column="sorte" if "sort" in content else None)


@pytest.mark.parametrize("line, result", [("{oops", "JSON"), ("[1]", "object")])
def test_lines_that_are_not_json_objects_are_named(tmp_path, line, result):
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.wav", "label": "a"}\n' + line)
    with refused(DataError, "metadata.jsonl", 2, result):
        labels(FLAT, tmp_path, labels="metadata")


def test_a_table_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "metadata.csv").write_bytes(b"file,label\n\xff\xfe,a\n")
    with refused(DataError, "metadata.csv", fix="UTF-8"):
        labels(FLAT, tmp_path)


def test_what_is_missing_is_said(tmp_path):
    with refused(DataError, "metadata", fix="data.labels"):
        labels(FLAT, tmp_path, labels="metadata")
    with refused(ConfigError, "data.label_pattern", fix="data.label_pattern"):
        labels(FLAT, tmp_path, labels="pattern")
    with refused(DataError, tmp_path, fix="data.labels"):
        labels(FLAT, tmp_path, labels="folder")


@pytest.mark.parametrize(
    "pattern, result", [("(", "expression"), (r"\d", "group"), ("(a{99999999999})", "expression")]
)
def test_a_pattern_that_cannot_be_is_refused(pattern, result):
    with refused(ValidationError, "label_pattern", result):
        LabelledDataConfig(label_pattern=pattern)


def test_a_pattern_that_would_not_end_is_given_up_and_its_name_told(tmp_path, monkeypatch):
    monkeypatch.setattr("gancore.data.labels.MIN_TIMEOUT_SECONDS", 0.2)
    slow = "a" * 60 + "!.wav"
    with refused(ConfigError, "data.label_pattern", slow, fix="data.label_pattern"):
        labels(["a.wav", slow], tmp_path, label_pattern=r"^((a+)+)\.wav$")
    assert labels(FLAT, tmp_path, label_pattern=r"^(\d)_") == ["7", "3"]


NAMES = ["dog", "cat", "cow"]


def test_labels_are_numbered_in_the_order_of_the_classes():
    numbers = class_indices(["cow", "dog", "cow", "cat"], NAMES)
    assert numbers.tolist() == [2, 0, 2, 1] and numbers.dtype == torch.int64
    assert class_indices([], NAMES).dtype == torch.int64


def test_without_classes_nothing_is_numbered_and_nothing_told():
    assert class_indices([None, None], []) is None and class_fields([], None) == {}


def test_shares_are_those_of_train_and_a_class_without_a_row_has_none():
    facts = class_fields(NAMES, torch.tensor([0, 1, 0, 0]))
    assert facts == {"classes": NAMES, "class_shares": [0.75, 0.25, 0.0]}


def test_networks_are_told_the_labels_only_where_a_recipe_is_conditional():
    spec = Spec({"classes": NAMES})
    assert num_conditional_classes(True, spec) == 3 and num_conditional_classes(False, spec) == 0
    assert num_conditional_classes(False, Spec({})) == 0


@pytest.mark.parametrize("facts", [{}, {"classes": []}, {"classes": None}])
def test_a_conditional_recipe_needs_labels(facts):
    with refused(ConfigError, "labels", fix="data.labels"):
        num_conditional_classes(True, Spec(facts))


@pytest.mark.parametrize("count", [0, 1])
def test_a_judge_needs_two_labels(count):
    assert num_classifier_classes(Spec({"classes": NAMES})) == 3
    with refused(ConfigError, "classifier", count, fix="data.labels"):
        num_classifier_classes(Spec({"classes": NAMES[:count]}))
