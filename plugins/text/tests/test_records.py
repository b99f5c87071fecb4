"""Rows and lines of people's own files: what is one text, and which files are refused, in one line."""

from __future__ import annotations

import csv
import gzip
import json
import os
import sys

import gancore_text.files
import pytest
from gancore_text.config import TextConfig
from gancore_text.dataset import open_text
from gancore_text.files import BYTES_OF_MEMORY, find_texts
from gancore_text.records import MAX_CHARACTERS, Columns, read_records
from gancore_text.representation import texts_of
from refusals import refused

from gancore.data.sources import Source
from gancore.data.splits import SPLITS
from gancore.errors import DataError
from gancore.random import Key


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "cache"))


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def records(path, **columns):
    files = find_texts(path, lambda line: None)
    return [
        record
        for file, found in zip(files.files, files.found, strict=True)
        for record in read_records(file, found.header, Columns(**columns))
    ]


def texts(path, **columns):
    return [record.text for record in records(path, **columns)]


def opened(path, **config):
    return open_text(Source(path.name, path), TextConfig(**config))


def stored(data):
    """All texts, sorted."""
    views = [data.view(split) for split in SPLITS]
    import torch

    return sorted(
        text for view in views for text in texts_of(view.get_batch(torch.arange(len(view)), Key.of(0)).data)
    )


# Lines


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_at_lf_crlf_and_cr_only(tmp_path, end):
    content = end.join(["a\u2029b", "c\u0085d\x0ce", "f\u2028"])
    assert texts(write(tmp_path / "a.txt", content)) == ["a\u2029b", "c\u0085d\x0ce", "f\u2028"]


def test_separators_within_a_line_are_kept(tmp_path):
    lines = ["a\u2029b", "one\u00a0two", "\u3000three", "four"]
    assert stored(opened(write(tmp_path / "a.txt", "\n".join(lines)))) == sorted(lines)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_byte_order_marks_are_no_part_of_the_text(tmp_path, encoding):
    mark = "\ufeff" if encoding.startswith("utf-16-") else ""
    assert texts(write(tmp_path / "a.csv", (mark + "text,id\nhé,1\n").encode(encoding))) == ["hé"]


def test_a_line_of_a_million_characters_is_left_out_and_the_others_kept(tmp_path):
    path = write(
        tmp_path / "a.txt", "\n".join(["one", "x" * 1_000_000, "two", "y" * (MAX_CHARACTERS + 9), "three"])
    )
    data = opened(path)
    assert stored(data) == ["one", "three", "two"]
    assert any("line 2" in line and "1 longer than" in line for line in data.summary)
    assert any("line 4" in line and f"{MAX_CHARACTERS:,}" in line for line in data.summary)


def test_the_text_after_an_overlong_line_keeps_its_line_number(tmp_path):
    path = write(tmp_path / "a.txt", "y" * (3 * MAX_CHARACTERS + 1) + "\nlast")
    assert [(r.number, r.text, bool(r.problem)) for r in records(path)] == [(1, "", True), (2, "last", False)]


def test_gzip_is_known_by_its_first_bytes_whatever_the_suffix(tmp_path):
    packed = gzip.compress(b"one\ntwo\n")
    for name in ("a.txt.gz", "b.txt", "c.csv.gz"):
        content = packed if name != "c.csv.gz" else gzip.compress(b"text\none\ntwo\n")
        assert texts(write(tmp_path / name, content)) == ["one", "two"]


# CSV


def test_quoted_line_breaks_belong_to_their_record(tmp_path):
    path = write(tmp_path / "a.csv", 'id,text\n1,"a\nb"\n2,c')
    assert [(r.number, r.text) for r in records(path)] == [(2, "a\nb"), (4, "c")]


@pytest.mark.parametrize("row", ['1,"a""\n2,b', '1,"a""\n2,"b"\n3,c'])
def test_a_quote_that_stays_open_is_named_by_its_line(tmp_path, row):
    with refused(DataError, 3, tmp_path / "a.csv", fix="quotes"):
        records(write(tmp_path / "a.csv", f"id,text\n0,fine\n{row}"))


def test_a_row_with_more_fields_than_the_heading_is_named(tmp_path):
    with refused(DataError, 3, "fields", fix=".txt"):
        records(write(tmp_path / "a.csv", "text\none\ntwo, three\n"))


@pytest.mark.parametrize(("name", "mark"), [("a.csv", ";"), ("a.csv", ","), ("a.tsv", "\t"), ("a.csv", "|")])
def test_the_delimiter_is_found(tmp_path, name, mark):
    path = write(tmp_path / name, f"id{mark}text{mark}kind\n1{mark}hello{mark}x\n")
    assert [(r.text, r.label) for r in records(path, label="kind")] == [("hello", "x")]


def test_reading_csv_leaves_the_limit_of_the_module_as_it_was(tmp_path):
    before = csv.field_size_limit()
    assert texts(write(tmp_path / "a.csv", "text\n" + "x" * 200_000)) == ["x" * 200_000]
    assert csv.field_size_limit() == before


# JSON lines


def test_a_column_of_nulls_at_first_is_still_one_of_strings(tmp_path):
    write(tmp_path / "d" / "1.jsonl", '{"text": null}\n')
    write(tmp_path / "d" / "2.jsonl", "".join(f'{{"text": "{word}"}}\n' for word in "abc"))
    data = opened(tmp_path / "d")
    assert stored(data) == ["a", "b", "c"] and any(
        "1 null" in line and "1.jsonl" in line for line in data.summary
    )


@pytest.mark.parametrize(
    "line",
    ["{", "[1]", "nonsense", '"text"', "[" * 200_000, '{"text": ' * 100_000, '{"text": 1' + "0" * 9_999],
)
def test_a_line_that_is_no_object_is_named(tmp_path, line):
    with refused(DataError, "line", 2, tmp_path / "a.jsonl") as error:
        records(write(tmp_path / "a.jsonl", f'{{"text": "fine"}}\n{line}\n'))
    assert "\n" not in str(error.value)


def test_half_of_a_surrogate_pair_is_left_out_and_named(tmp_path):
    lines = [json.dumps({"text": text}) for text in ("a\ud83d", "\U0001f600", "b", "c")]
    data = opened(write(tmp_path / "a.jsonl", "\n".join(lines)))
    assert (
        stored(data) == ["b", "c", "\U0001f600"]
        and "surrogate" in data.summary[-1]
        and "line 1" in data.summary[-1]
    )


def test_numbers_and_lists_are_no_texts_and_counted(tmp_path):
    lines = ['{"text": 3}', '{"text": ["x"]}', '{"text": "a"}', '{"text": "b"}', '{"text": "c"}']
    data = opened(write(tmp_path / "a.jsonl", "\n".join(lines)))
    assert stored(data) == ["a", "b", "c"] and "2 not text" in data.summary[-1]


# Columns and labels


def test_a_column_that_is_missing_is_named_with_those_that_exist(tmp_path):
    path = write(tmp_path / "a.csv", "title,words\nx,y\n")
    with refused(DataError, "text", fix="data.column"):
        records(path)
    with refused(DataError, "wordz", fix="words"):
        records(path, text="wordz")
    with refused(DataError, "kind", fix="data.label_column"):
        records(path, text="words", label="kind")


def test_lines_have_no_columns(tmp_path):
    path = write(tmp_path / "a.txt", "a\nb\nc\n")
    for key in ("column", "label_column"):
        with refused(DataError, path, fix=f"data.{key}"):
            opened(path, **{key: "x"})


def test_labels_become_conditions_at_their_rows(tmp_path):
    rows = [{"text": f"text {n}", "kind": n % 3} for n in range(60)] + [{"text": "none", "kind": None}]
    data = opened(write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows))), label_column="kind")
    assert data.spec["classes"] == ["0", "1", "2"] and abs(sum(data.spec["class_shares"]) - 1) < 1e-5
    assert "1 without a label" in data.summary[-1]
    import torch

    for split in SPLITS:
        view = data.view(split)
        batch = view.get_batch(torch.arange(len(view)), Key.of(0))
        numbers = [int(text.split()[1]) % 3 for text in texts_of(batch.data)]
        assert batch.condition.tolist() == numbers


def test_a_column_of_names_is_no_column_of_labels(tmp_path):
    rows = "".join(f"text {n},{n}\n" for n in range(1100))
    with refused(DataError, "id", "1,100", fix="labels"):
        opened(write(tmp_path / "a.csv", f"text,id\n{rows}"), label_column="id")


# Parquet


def test_without_pyarrow_parquet_is_refused_with_the_command_that_helps(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with refused(DataError, tmp_path / "a.parquet", fix="gancore[data]"):
        records(write(tmp_path / "a.parquet", b"PAR1 and so on"))


def test_parquet_gives_rows_labels_and_nulls(tmp_path):
    import pyarrow
    from pyarrow import parquet

    columns = {"text": ["a", None, "c"] * 1000, "kind": [0, 1, 2] * 1000}
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    found = records(tmp_path / "a.parquet", label="kind")
    assert [(r.number, r.text, r.label) for r in found[-3:]] == [
        (2998, "a", "0"),
        (2999, "", "1"),
        (3000, "c", "2"),
    ]
    assert [r.problem for r in found[:3]] == ["", "null", ""]
    with refused(DataError, "kind", "int64", fix="data.column"):
        records(tmp_path / "a.parquet", text="kind")
    content = (tmp_path / "a.parquet").read_bytes()
    assert len(records(write(tmp_path / "b.parquet.gz", gzip.compress(content)))) == 3000
    for name, damaged in (("cut", content[:200]), ("other", b"no parquet at all")):
        with refused(DataError, tmp_path / f"{name}.parquet"):
            records(write(tmp_path / f"{name}.parquet", damaged))


# What is no file of text


BAD = {
    "binary.txt": (bytes(range(256)) * 20, "binary"),
    "latin.txt": ("gut\nf\xfcr\n".encode("latin1"), "0xfc"),
    "wide.txt": ("hello\nworld\n".encode("utf-16-le"), "UTF-16LE"),
    "big.txt": ("hello\nworld\n".encode("utf-16-be"), "UTF-16BE"),
    "quad.txt": ("hello".encode("utf-32"), "UTF-32"),
    "empty.txt": (b"", "0"),
    "cut.txt.gz": (gzip.compress(b"hello " * 1000)[:-20], "gzip"),
    "half.txt": ("né".encode()[:-1], "0xc3"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_is_no_text_is_refused_in_one_line(tmp_path, name):
    content, reason = BAD[name]
    with refused(DataError, tmp_path / name, reason) as error:
        opened(write(tmp_path / name, content))
    assert "\n" not in str(error.value) and error.value.fix


def test_the_line_of_a_wrong_byte_is_named_beyond_the_first_chunk(tmp_path):
    content = b"a line of text\n" * 100_000 + b"f\xfcr\n"
    with refused(DataError, "100,001", "0xfc", fix="iconv"):
        opened(write(tmp_path / "a.txt", content))


def test_such_files_in_a_folder_are_named_and_the_others_used(tmp_path):
    for name, (content, _) in BAD.items():
        write(tmp_path / "d" / name, content)
    write(tmp_path / "d" / "good.txt", "one\ntwo\nthree\n")
    write(tmp_path / "d" / "picture.png", b"png")
    data = opened(tmp_path / "d")
    assert stored(data) == ["one", "three", "two"]
    for name, (_, reason) in BAD.items():
        assert any(f"{name}: it" in line and reason in line for line in data.summary)
    assert any("not used" in line and ".png" in line for line in data.summary)


def test_pipes_and_missing_permissions_do_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    with refused(DataError, tmp_path / "pipe.txt", "file"):
        opened(tmp_path / "pipe.txt")
    write(tmp_path / "good.txt", "one\ntwo\nthree\n")
    assert any("pipe.txt" in line for line in opened(tmp_path).summary)


@pytest.mark.parametrize("content", ["\n\n  \n\t\n", "x\n" * 5])
def test_nothing_left_is_refused_with_its_reasons(tmp_path, content):
    with refused(DataError, "a.txt", "line", 1, fix="data.min_characters"):
        opened(write(tmp_path / "a.txt", content), min_characters=2)


def test_nul_characters_are_removed_and_counted(tmp_path):
    data = opened(write(tmp_path / "a.csv", "text\na\x00b\nc\nd\n"))
    assert stored(data) == ["ab", "c", "d"]
    assert any("NUL" in line and "line 2" in line for line in data.summary)


def test_texts_of_all_scripts_are_stored_as_they_are(tmp_path):
    lines = [
        "مرحبا بالعالم",
        "שלום",
        "e\u0301 and é",
        "क्षि",
        "👩‍👩‍👧",
        "\u0149ot",
        "ﬁne",
        "\u202eturned\u202c",
    ]
    assert stored(opened(write(tmp_path / "a.txt", "\n".join(lines)))) == sorted(lines)


def test_a_file_that_does_not_fit_in_memory_is_refused_before_it_is_prepared(tmp_path, monkeypatch):
    memory = 10_000 * BYTES_OF_MEMORY
    monkeypatch.setattr(gancore_text.files, "total_memory_bytes", lambda: memory)
    lines = "".join(f"line {n}\n" for n in range(900))
    assert len(stored(opened(write(tmp_path / "fits.txt", lines)))) == 900
    monkeypatch.setattr(gancore_text.files, "total_memory_bytes", lambda: memory // 2)
    packed = gzip.compress(lines.encode())
    with refused(DataError, tmp_path / "packed.txt.gz", "MiB"):
        opened(write(tmp_path / "packed.txt.gz", packed))
    monkeypatch.setattr(gancore_text.files, "inspect", lambda path: pytest.fail("the file was read"))
    with refused(DataError, tmp_path / "large.txt", "MiB", fix="PART"):
        opened(write(tmp_path / "large.txt", lines))
