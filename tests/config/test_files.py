"""Configuration files that cannot be read: one line with file and line, nothing executed."""

import os

import pytest
from refusals import refused

from gancore.config_layers import resolve_config
from gancore.config_yaml import MAX_CONFIG_BYTES, read_settings
from gancore.errors import ConfigError


@pytest.fixture
def complaint(tmp_path):
    def read(content: bytes | str) -> str:
        path = tmp_path / "run.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(ConfigError) as caught:
            read_settings(path)
        text = str(caught.value)
        assert len(text.splitlines()) == 1
        return text.replace(str(path), "FILE")

    return read


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("train:\n  seed: 1\n  seed: 2\n", "FILE, line 3: 'seed' is given twice"),
        ("train: {seed: 1}\ntrain: {steps: 2}\n", "FILE, line 2: 'train' is given twice"),
        ("train:\n\tseed: 1\n", "FILE, line 2: not YAML: a tab"),
        ("train: {seed: 1\n", "FILE, line 2: not YAML"),
        ("a: b: c\n", "FILE, line 1: not YAML"),
        ("- 1\n- 2\n", "FILE, line 1: not a mapping of keys to values"),
        ("just words\n", "FILE, line 1: not a mapping of keys to values"),
        ("a: 1\n---\nb: 2\n", "FILE, line 2: not YAML"),
        (
            "a: 1\nb: !!python/name:os.system\n",
            "FILE, line 2: the tag !!python/name:os.system is not allowed",
        ),
        ("a: !!python/object/apply:os.system ['touch hit']\n", "the tag !!python/object/apply:os.system"),
        ("a: !custom {b: 1}\n", "FILE, line 1: the tag !custom is not allowed"),
        ("a: !!set {b}\n", "the tag !!set is not allowed"),
        ("a: !!int x\n", "FILE, line 1: 'x' cannot be read"),
        ("a: &x [1]\nb: *x\n", "FILE, line 2: not YAML: aliases"),
        ("a: &x [*x]\n", "aliases"),
        ("? [1, 2]\n: 3\n", "a key that is not text"),
        ('a: "\\UFFFFFFFF"\n', "FILE, line 1: not YAML: an escape beyond Unicode"),
        (b"train:\n  seed: \xff\n", "FILE, line 2: not UTF-8 text"),
        (b"a: 1\nb: \x00\n", "FILE, line 2: a character that YAML does not allow"),
        ("[" * 3_000, "nested too deeply"),
        ("".join(f"{' ' * n}a:\n" for n in range(40)), "nested too deeply"),
        (b"# " + b"x" * MAX_CONFIG_BYTES, "larger than 1 MiB"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_by_line(complaint, content, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said in complaint(content)
    assert not (tmp_path / "hit").exists()


def test_what_is_no_file(tmp_path):
    with refused(ConfigError, tmp_path / "nowhere.yaml", fix="YAML"):
        read_settings(tmp_path / "nowhere.yaml")
    with refused(ConfigError, tmp_path, fix="YAML"):
        read_settings(tmp_path)
    with refused(ConfigError, "path", fix="YAML"):
        read_settings(tmp_path / "a\0b")


@pytest.mark.skipif(os.geteuid() == 0, reason="needs a user whom modes bind; run without root")
def test_a_file_that_may_not_be_read(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("a: 1")
    path.chmod(0)
    with refused(ConfigError, path, fix="readable"):
        read_settings(path)


def test_values_are_what_they_look_like(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(
        "﻿a: 1e-4\nb: 010\nc: no\nd: 12:30\ne: 2020-01-01\nf: 0x10\ng: .5\nh: ~\ni: -3\nj: {}\nk:\n  <<: x\n"
    )
    values = {".".join(setting.path): setting.value for setting in read_settings(path)}
    assert values == {
        "a": 1e-4,
        "b": 10,
        "c": "no",
        "d": "12:30",
        "e": "2020-01-01",
        "f": "0x10",
        "g": 0.5,
        "h": None,
        "i": -3,
        "j": {},
        "k.<<": "x",
    }


def test_an_empty_file_says_nothing(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("# nothing\n")
    assert read_settings(path) == []


def test_a_dotted_key_is_answered_with_the_nested_form(tmp_path):
    file = tmp_path / "run.yaml"
    for content, nested in (("train.seed: 4\n", "train: {seed: ...}"), ("train: {a.b: 4}\n", "a: {b: ...}")):
        file.write_text(f"domain: toy\n{content}")
        with pytest.raises(ConfigError) as error:
            resolve_config(config=file)
        assert nested in error.value.fix
