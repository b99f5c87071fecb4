"""Shards: the same items whether a folder, an archive, tar shards or tables; broken ones are named."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile

import fsspec
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import ipc, parquet
from refusals import refused
from tars import tar_bytes

from gancore.data import LabelledDataConfig, SkipItem
from gancore.data.data_files import DataFile, find_data_files
from gancore.data.item_files import ItemKind
from gancore.data.patterns import expand_braces
from gancore.data.shard_files import open_item_files, splits_of_files
from gancore.data.sources import Source, absolute_source, resolve_source
from gancore.data.tar_shards import index_tar, read_tar_samples
from gancore.errors import DataError

KIND = ItemKind(frozenset({".bin"}), ("thing", "blob"))
ITEMS = {f"{number:03d}": (f"content {number}".encode(), "ab"[number % 2]) for number in range(12)}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "cache"))


def table(names=tuple(ITEMS), **columns):
    """A table as the library datasets writes it: structures, and classes by number."""
    values = {
        "thing": [{"bytes": ITEMS[name][0], "path": f"{name}.bin"} for name in names],
        "label": ["ab".index(ITEMS[name][1]) for name in names],
    }
    features = {"label": {"names": ["a", "b"], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pyarrow.table({**values, **columns}).replace_schema_metadata(metadata)


def write(path, content: bytes):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def write_table(path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(content, path, row_group_size=3)


def samples(names=tuple(ITEMS)) -> dict[str, bytes]:
    return {
        f"{name}.{extension}": content
        for name in names
        for extension, content in (("cls", ITEMS[name][1].encode()), ("bin", ITEMS[name][0]))
    }


def lay_out(form: str, folder) -> None:
    names = tuple(ITEMS)
    if form == "folder":
        for name, (content, label) in ITEMS.items():
            write(folder / label / f"{name}.bin", content)
    elif form == "tar":
        for number in range(3):
            write(folder / f"train-{number:03d}.tar", tar_bytes(samples(names[number * 4 :][:4])))
    elif form == "tar of a folder":
        write(folder / "a.tar", tar_bytes({f"x/{v[1]}/{k}.bin": v[0] for k, v in ITEMS.items()}))
    elif form == "json":
        texts = {f"{k}.json": json.dumps({"label": v[1]}).encode() for k, v in ITEMS.items()}
        write(folder / "a.tar", tar_bytes({f"{k}.bin": v[0] for k, v in ITEMS.items()} | texts))
    elif form == "zip":
        with zipfile.ZipFile(folder / "a.zip", "w") as bundle:
            for name, (content, label) in ITEMS.items():
                bundle.writestr(f"{label}/{name}.bin", content)
    elif form == "parquet":
        for number in range(2):
            write_table(folder / f"train-{number:05d}-of-00002.parquet", table(names[number * 6 :][:6]))
    else:
        new = ipc.new_stream if form == "arrow" else ipc.new_file
        with new(folder / "data-00000-of-00001.arrow", table().schema) as sink:
            sink.write_table(table(), max_chunksize=5)


def open_items(path, kind=KIND, **section):
    if path.is_dir() and [child.suffix for child in path.iterdir()] == [".zip"]:
        path = path / "a.zip"
    return open_item_files(Source("s", path), kind, LabelledDataConfig(**section))


def contents(files) -> dict[str, bytes]:
    return {name: files.read(name) for name in files.names}


FORMS = ("folder", "zip", "tar", "tar of a folder", "json", "parquet", "arrow", "arrow file")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_the_same_items_and_labels(tmp_path, form):
    folder = tmp_path / "set"
    folder.mkdir()
    lay_out(form, folder)
    files = open_items(folder)
    labels = files.labels(files.names, LabelledDataConfig())
    found = {
        name.rpartition("/")[2].removesuffix(".bin"): (files.read(name), label)
        for name, label in zip(files.names, labels.values, strict=True)
    }
    assert found == ITEMS and not files.refused
    with files.as_path(files.names[3]) as path:
        assert path.suffix == ".bin" and path.read_bytes() == files.read(files.names[3])
    backwards = {name: files.read(name) for name in reversed(files.names)}
    assert backwards == contents(files)


def test_an_index_is_made_once_until_the_shard_is_replaced(tmp_path, monkeypatch):
    lay_out("tar", tmp_path / "set")
    first = open_items(tmp_path / "set")
    opened = []
    real = DataFile.open
    monkeypatch.setattr(DataFile, "open", lambda file: opened.append(file.name) or real(file))
    again = open_items(tmp_path / "set")
    assert again.names == first.names and opened == []
    write(tmp_path / "set" / "train-001.tar", tar_bytes({"z.bin": b"new"}))
    changed = open_items(tmp_path / "set")
    assert opened == ["train-001.tar"] and changed.read("train-001.tar/z.bin") == b"new"
    with refused(DataError, "train-001.tar"):
        first.read("train-001.tar/004.bin")


# Tar files


def index_of(path):
    return index_tar(DataFile.local(path), ("label", "cls"))


NAMES = st.text("abcé./ ", min_size=1, max_size=130).map(lambda text: f"x{text}y".replace("/.", "/d"))


@settings(max_examples=40, deadline=None)
@given(
    members=st.dictionaries(NAMES, st.binary(max_size=1500), min_size=1, max_size=6),
    cut=st.integers(0, 6000),
)
def test_members_are_where_tarfile_finds_them_and_a_torn_file_has_a_beginning(members, cut, tmp_path_factory):
    members = {name: content for name, content in members.items() if ".." not in name.split("/")}
    content, path = tar_bytes(members), tmp_path_factory.mktemp("t") / "a.tar"
    path.write_bytes(content)
    whole = index_of(path)
    read = {n: content[o : o + s] for n, o, s in zip(whole.names, whole.places, whole.sizes, strict=True)}
    with tarfile.open(path) as tar:
        assert read == {entry.name: tar.extractfile(entry).read() for entry in tar}
    path.write_bytes(content[:cut])
    try:
        torn = index_of(path)
    except SkipItem:
        return
    assert torn.names == whole.names[: len(torn.names)] and torn.places == whole.places[: len(torn.names)]
    assert len(torn.names) == len(whole.names) or torn.refused


def test_members_that_cannot_be_used_are_named_and_the_others_read(tmp_path):
    lines = {"../out.bin": b"1", "/root.bin": b"2", "c:/d.bin": b"3", ".hidden.bin": b"4", "good.bin": b"5"}
    file = io.BytesIO(tar_bytes(lines | {"bad.json": b"{", "name.cls": b"\xff", "name.bin": b"6"}))
    with tarfile.open(fileobj=file, mode="a") as tar:
        for name, kind, target in (
            ("hard.bin", tarfile.LNKTYPE, "good.bin"),
            ("soft.bin", tarfile.SYMTYPE, "/etc/passwd"),
            ("pipe.bin", tarfile.FIFOTYPE, ""),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, target
            tar.addfile(entry)
        for content in (b"7", b"8"):
            entry = tarfile.TarInfo("twice.bin")
            entry.size = 1
            tar.addfile(entry, io.BytesIO(content))
        odd = tarfile.TarInfo("caf\udce9.bin")
        tar.addfile(odd)
    files = open_items(write(tmp_path / "a.tar", file.getvalue()))
    assert contents(files) == {"good.bin": b"5", "name.bin": b"6", "hard.bin": b"5", "caf\udce9.bin": b""}
    refusals = {name.removeprefix("a.tar/") for name, _ in files.refused}
    links = {"soft.bin", "pipe.bin", "twice.bin"}
    assert refusals == {"../out.bin", "/root.bin", "c:/d.bin", "bad.json", "name.cls", *links}


def test_what_is_no_tar_file_or_compressed_is_one_reason(tmp_path):

    for name, content in (
        ("a", b""),
        ("b", b"no tar file" * 99),
        ("c", gzip.compress(tar_bytes({"x": b""}))),
    ):
        with pytest.raises(SkipItem):
            index_of(write(tmp_path / f"{name}.tar", content))


def test_a_large_member_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = write(tmp_path / "a.tar", tar_bytes({"small.bin": b"1", "large.bin": bytes(2000)}))
    monkeypatch.setattr("gancore.data.item_files.MAX_ITEM_BYTES", 1000)
    files = open_items(path)
    assert files.read("small.bin") == b"1"
    with pytest.raises(SkipItem):
        files.read("large.bin")


def test_samples_are_members_with_one_key(tmp_path):
    members = {"s/1.txt": b"a", "s/2.json": b"{}", "s/1.json": b"[]", "s/3.wav": b"", "s/4.txt": bytes(9)}
    file = DataFile.local(write(tmp_path / "a.tar", tar_bytes(members)))
    found = list(read_tar_samples(file, ("txt", "json"), max_bytes=5))
    assert found == [{"txt": b"a", "json": b"[]"}, {"json": b"{}"}, {"txt": None}]


def test_a_column_is_an_extension_of_members(tmp_path):
    members = {"1.left.bin": b"a", "1.right.bin": b"b", "2.left.bin": b"c"}
    kind = ItemKind(KIND.suffixes, column="left.bin")
    assert list(contents(open_items(write(tmp_path / "a.tar", tar_bytes(members)), kind)).values()) == [
        b"a",
        b"c",
    ]


# Tables


def test_cells_without_content_are_refused_alone(tmp_path):
    things = [{"bytes": b"1", "path": None}, None, {"bytes": None, "path": "/etc/passwd"}]
    write_table(tmp_path / "a.parquet", pyarrow.table({"thing": things, "label": ["x", "y", ""]}))
    files = open_items(tmp_path / "a.parquet")
    assert files.read(files.names[0]) == b"1"
    assert files.labels(files.names[:2], LabelledDataConfig()).values == ["x", "y"]
    for name in files.names[1:]:
        with pytest.raises(SkipItem):
            files.read(name)


@pytest.mark.parametrize(
    ("columns", "section", "key", "fix"),
    [
        ({"number": [1, 2]}, {}, "thing", ""),
        ({"thing": [1, 2]}, {}, "int64", ""),
        ({"thing": [b"1", b"2"], "label": [[1], [2]]}, {}, "label", "data.label_column"),
        ({"x": [b"1", b"2"], "y": [b"1", b"2"]}, {}, "thing", "data.column"),
    ],
)
def test_tables_of_other_types_are_refused_with_the_column(tmp_path, columns, section, key, fix):
    write_table(tmp_path / "a.parquet", pyarrow.table(columns))
    with refused(DataError, tmp_path / "a.parquet", key, fix=fix):
        open_items(tmp_path / "a.parquet")


def test_torn_and_empty_tables_are_named_and_the_others_used(tmp_path):
    folder = tmp_path / "set"
    write_table(folder / "a.parquet", table())
    write_table(folder / "b.parquet", table(()))
    write(folder / "c.parquet", (folder / "a.parquet").read_bytes()[:-9])
    write(folder / "d.tar", b"torn")
    files = open_items(folder)
    assert len(files.names) == len(ITEMS)
    assert [name for name, _ in files.refused] == ["b.parquet", "c.parquet", "d.tar"]


def test_a_label_column_that_no_shard_has_is_refused(tmp_path):
    lay_out("tar", tmp_path / "set")
    files = open_items(tmp_path / "set", label_column="kind")
    with refused(DataError, "kind", fix="data.label_column"):
        files.labels(files.names, LabelledDataConfig(label_column="kind"))


# Names of files


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a-{000..002}.tar", ["a-000.tar", "a-001.tar", "a-002.tar"]),
        ("{9..11}", ["9", "10", "11"]),
        ("{x,y}-{1..2}", ["x-1", "x-2", "y-1", "y-2"]),
        ("{3..1}", ["3", "2", "1"]),
        ("a{b}c", ["a{b}c"]),
    ],
)
def test_braces_are_those_of_a_shell(pattern, expected):
    assert expand_braces(pattern) == expected


def test_patterns_that_name_too_much_or_nothing_are_refused(tmp_path):
    with refused(DataError, "{0..999999}"):
        expand_braces("{0..999999}")
    write(tmp_path / "a-0.tar", b"")
    for pattern in ("a-{0..1}.tar", "b-*.tar", "b-{0..1}.tar"):
        with refused(DataError, pattern):
            find_data_files(str(tmp_path / pattern), (".tar",))


def test_splits_are_those_of_folders_or_of_names():
    assert splits_of_files(["train/0.tar", "validation/0.tar"]) == ["train", "valid"]
    assert splits_of_files(["data/train-0-of-1.parquet", "data/test-0-of-1.parquet"]) == ["train", "test"]
    assert splits_of_files(["train-0.tar", "extra-0.tar"]) == [None, None]
    assert splits_of_files(["test-0.tar"]) == [None]


def test_a_relative_pattern_is_made_absolute_and_a_url_is_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute_source("a-{0..1}.tar", {}) == str(tmp_path / "a-{0..1}.tar")
    for name in ("memory://x/*.tar", "hub:ada/rings", "nothing.tar"):
        assert absolute_source(name, {}) == name


# URLs


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    yield system
    system.rm("/shards", recursive=True)


def open_url(url):
    return open_item_files(Source("s", location=url), KIND, LabelledDataConfig())


def test_a_url_is_read_as_its_folder_and_noticed_when_replaced(tmp_path, memory):
    folder = tmp_path / "set"
    folder.mkdir()
    lay_out("tar", folder)
    lay_out("parquet", folder)
    memory.put(str(folder), "/shards", recursive=True)
    local = contents(open_items(folder))
    for url in ("memory://shards", "memory://shards/*", f"file://{folder}"):
        assert contents(open_url(url)) == local
    memory.pipe("/shards/train-000.tar", tar_bytes({"new.bin": b"new"}))
    assert open_url("memory://shards/train-{000..001}.tar").read("train-000.tar/new.bin") == b"new"


def test_urls_that_cannot_be_opened_are_refused_in_one_line(tmp_path, memory):
    memory.pipe("/shards/a.txt", b"")
    for url, word, fix in (
        ("s3://bucket/a.tar", "s3fs", ""),
        ("nothing://a/b.tar", "nothing", ""),
        ("memory://shards/no.tar", "no.tar", ""),
        ("memory://shards", ".tar", ""),
    ):
        with refused(DataError, url, word, fix=fix):
            open_url(url)


def test_a_domain_says_whether_it_reads_shards_and_others_are_not_asked_unnamed():
    for name in ("hub:ada/rings", "memory://a.tar", "a-{0..1}.tar"):
        with refused(DataError, name):
            resolve_source(name, {}, None, print)
    for name in ("hub:ada/rings", "s3://bucket/a.tar"):
        with refused(DataError, name, fix="--data"):
            resolve_source(name, {}, None, print, may_download=False, reads_shards=True)
