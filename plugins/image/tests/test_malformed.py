"""Forty files that are no usable images, and archives: each is refused by name, its neighbours are kept."""

from __future__ import annotations

import errno
import gzip
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gancore_image.config import ImageConfig
from gancore_image.dataset import open_images
from PIL import Image
from refusals import refused

from gancore.cli import main
from gancore.data.sources import Source
from gancore.errors import DataError


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "cache"))


def pixels(height: int = 40, width: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def saved(suffix: str, array: np.ndarray | None = None, **form) -> bytes:
    buffer = io.BytesIO()
    formats = {"jpg": "JPEG", "png": "PNG", "gif": "GIF", "bmp": "BMP", "webp": "WEBP"}
    Image.fromarray(pixels() if array is None else array).save(buffer, formats[suffix], **form)
    return buffer.getvalue()


def cut(content: bytes, share: float) -> bytes:
    return content[: int(len(content) * share)]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes, depth: int = 8, colour: int = 0) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def bmp(width: int, height: int, bits: int = 24) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(head), 0, 0, 54) + head


def flipped(content: bytes, start: int, count: int = 64) -> bytes:
    return content[:start] + bytes(255 - b for b in content[start : start + count]) + content[start + count :]


FILES: dict[str, tuple[bytes, str]] = {
    "empty.png": (b"", "empty (0 bytes)"),
    "empty.jpg": (b"", "empty (0 bytes)"),
    "text.png": (b"this is no image\n" * 20, "not a PNG"),
    "page.jpg": (b"<!DOCTYPE html><html><body>404</body></html>", "not a PNG"),
    "zeros.jpg": (bytes(5000), "not a PNG"),
    "one-byte.gif": (b"G", "not a PNG"),
    "script.svg.png": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a PNG"),
    "sound.jpg": (b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(40), "not a PNG"),
    "archive.png": (b"PK\x03\x04" + bytes(60), "not a PNG"),
    "pickle.bmp": (b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00.", "not a PNG"),
    "tiff.png": (b"II*\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00", "not a PNG"),
    "magic.png": (b"\x89PNG\r\n\x1a\n", "not a "),
    "magic.jpg": (b"\xff\xd8\xff", "not a "),
    "magic.gif": (b"GIF89a", "not a "),
    "magic.bmp": (b"BM", "not a "),
    "magic.webp": (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "not a "),
    "cut.png": (cut(saved("png"), 0.5), "truncated"),
    "cut-late.png": (cut(saved("png"), 0.9), "truncated"),
    "cut-head.png": (saved("png")[:20], "not a "),
    "cut.jpg": (cut(saved("jpg"), 0.6), "truncated"),
    "cut-head.jpg": (saved("jpg")[:40], "not a "),
    "cut.gif": (cut(saved("gif"), 0.6), "truncated"),
    "cut.bmp": (cut(saved("bmp"), 0.7), "truncated"),
    "cut.webp": (cut(saved("webp", lossless=True), 0.5), "readable image"),
    "flipped.png": (flipped(saved("png"), 60), "damaged"),
    "flipped.webp": (flipped(saved("webp", lossless=True), 30, 400), "damaged"),
    "no-data.png": (png(40, 40, b""), "truncated"),
    "short-data.png": (png(40, 40, zlib.compress(pixels().tobytes())[:900]), "truncated"),
    "no-zlib.png": (png(40, 40, b"\x00" * 100), "damaged"),
    "depth-3.png": (png(40, 40, zlib.compress(bytes(41 * 40)), depth=3), "not a "),
    "width-0.png": (png(0, 40, zlib.compress(b"")), "not a PNG"),
    "bomb.png": (png(60_000, 60_000, zlib.compress(bytes(1000), 9), depth=1), "pixels"),
    "bomb-near.png": (png(12_000, 7_000, zlib.compress(bytes(1000), 9)), "12,000 x 7,000 pixels"),
    "bomb.bmp": (bmp(40_000, 40_000), "pixels"),
    "bomb.gif": (b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0, 0, 0) + b";", "not a PNG"),
    "negative.bmp": (bmp(-40, 40), "pixels"),
    "bits-7.bmp": (bmp(40, 40, bits=7), "readable image"),
    "dot.png": (saved("png", pixels(1, 1)), "1x1, smaller than data.min_image_size 8"),
    "line.jpg": (saved("jpg", pixels(5, 900)), "900x5, smaller than data.min_image_size 8"),
    "no-frames.gif": (b"GIF89a" + struct.pack("<HHBBB", 40, 40, 0, 0, 0) + b";", "not a PNG"),
}


def test_there_are_forty():
    assert len(FILES) == 40


@pytest.fixture(params=["folder", "archive"])
def place(request, tmp_path):
    """Ten good images among the bad files."""
    content = {f"good-{seed}.png": saved("png", pixels(seed=seed)) for seed in range(10)}
    content |= {name: data for name, (data, _) in FILES.items()}
    if request.param == "archive":
        with zipfile.ZipFile(tmp_path / "bad.zip", "w") as bundle:
            for name, data in content.items():
                bundle.writestr(name, data)
        return tmp_path / "bad.zip"
    (tmp_path / "bad").mkdir()
    for name, data in content.items():
        (tmp_path / "bad" / name).write_bytes(data)
    return tmp_path / "bad"


def reasons(data) -> dict[str, str]:
    lines = [line.strip() for line in data.summary if line.startswith("  ") and ": " in line]
    return dict(line.split(": ", 1) for line in lines)


def test_each_is_refused_by_name_and_nothing_else_is_lost(place, monkeypatch):
    monkeypatch.setattr("gancore.data.inventory.LISTED", 100)
    data = open_images(Source(place.name, place), ImageConfig())
    result = reasons(data)
    assert result.keys() == FILES.keys()
    for name, (_, reason) in FILES.items():
        assert reason in result[name], f"{name}: {result[name]}"
        assert len(result[name]) < 200 and "\n" not in result[name]
    kept = {name for names in data.splits.values() for name in names}
    assert kept == {f"good-{seed}.png" for seed in range(10)}


def test_the_rest_of_a_long_list_stands_in_a_file(place):
    *_, last = open_images(Source(place.name, place), ImageConfig()).summary
    assert last.startswith("  and 20 more, all in ")
    listed = Path(last.split(" all in ")[1]).read_text().splitlines()
    assert {line.split("\t")[0] for line in listed} == FILES.keys()


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    """SkipItem here, since the administrator may read all."""
    read = Path.read_bytes

    def refuse(path):
        if path.name == "0.png":
            raise PermissionError(errno.EACCES, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    for seed in range(4):
        (tmp_path / f"{seed}.png").write_bytes(saved("png", pixels(seed=seed)))
    assert "cannot be read" in reasons(open_images(Source("x", tmp_path), ImageConfig()))["0.png"]


def test_a_folder_and_a_pipe_named_like_images_are_passed_by(tmp_path):
    for seed in range(4):
        (tmp_path / f"{seed}.png").write_bytes(saved("png", pixels(seed=seed)))
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    result = reasons(open_images(Source("x", tmp_path), ImageConfig()))
    assert result.keys() == {"pipe.png", "gone.png"}
    assert result["pipe.png"] == "it is not a file" and "cannot be read" in result["gone.png"]


# Archives whose members are not what they say.


def zipped(path, members: dict[str, bytes], change: Callable[[zipfile.ZipInfo], None] = lambda info: None):
    good = {f"{seed}.png": saved("png", pixels(seed=seed)) for seed in range(4)}
    with zipfile.ZipFile(path, "w") as bundle:
        for name, data in (good | members).items():
            info = zipfile.ZipInfo(name)
            if name in members:
                change(info)
            bundle.writestr(info, data)
    return path


def link(info: zipfile.ZipInfo) -> None:
    info.external_attr = 0o120777 << 16


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("../../evil.png", lambda info: None, "leads out of the archive"),
        ("/etc/evil.png", lambda info: None, "leads out of the archive"),
        ("C:\\evil.png", lambda info: None, "leads out of the archive"),
        ("link.png", link, "it is a link"),
    ],
)
def test_members_that_point_elsewhere_are_refused_alone(tmp_path, name, change, reason):
    place = zipped(tmp_path / "a.zip", {name: saved("png")}, change)
    data = open_images(Source("a", place), ImageConfig())
    (result,) = reasons(data).values()
    assert reason in result and sum(map(len, data.splits.values())) == 4


def marked(path, name: bytes, offset: int, patch: bytes) -> None:
    """Writes into the central entry of a member: ``offset`` bytes behind the entry's begin."""
    content = bytearray(path.read_bytes())
    at = content.rindex(name) - 46 + offset
    content[at : at + len(patch)] = patch
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("offset", "patch", "reason"),
    [
        (8, struct.pack("<H", 1), "it is encrypted"),
        (16, struct.pack("<I", 12345), "cannot be unpacked (Bad CRC"),
        (24, struct.pack("<I", 1 << 31), "2,048 MiB, more than 512"),
        (10, struct.pack("<H", 99), "unpacked"),
    ],
)
def test_members_that_cannot_be_unpacked_are_refused_alone(tmp_path, offset, patch, reason):
    place = zipped(tmp_path / "a.zip", {"odd.png": saved("png", pixels(seed=9))})
    marked(place, b"odd.png", offset, patch)
    data = open_images(Source("a", place), ImageConfig())
    assert reason in reasons(data)["odd.png"] and sum(map(len, data.splits.values())) == 4


def test_two_members_of_one_name_are_both_refused(tmp_path):
    place = zipped(tmp_path / "a.zip", {})
    with zipfile.ZipFile(place, "a") as bundle, pytest.warns(UserWarning, match="Duplicate"):
        bundle.writestr("0.png", saved("png", pixels(seed=9)))
    data = open_images(Source("a", place), ImageConfig())
    assert reasons(data) == {"0.png": "the archive holds 2 members of this name"}


@pytest.mark.parametrize(
    ("name", "content", "result"),
    [
        ("a.zip", b"no archive at all", "a.zip zip"),
        ("a.zip", b"", "a.zip zip"),
        ("a.zip", b"PK\x05\x06" + bytes(18), "images"),
        ("a.tar", b"no archive at all" * 100, "a.tar no tar file"),
        ("a.tar.gz", gzip.compress(b"x" * 2000, mtime=0)[:-20], "unpacked"),
        ("a.npz", b"", "a.npz npz"),
        ("a.png", b"", "a.png empty"),
        ("a.txt", b"hello", "images"),
        ("train-images-idx3-ubyte.gz", gzip.compress(b"\x00\x00\x08\x03", mtime=0)[:-4], "end-of-stream"),
    ],
)
def test_whole_sources_are_refused_in_one_line(tmp_path, capsys, name, content, result):
    (tmp_path / name).write_bytes(content)
    with refused(DataError, *result.split()):
        open_images(Source(name, tmp_path / name), ImageConfig())
    words = ["train", "--domain", "image", "--data", str(tmp_path / name), "--steps", "1"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 2
    *before, error = capsys.readouterr().err.strip().splitlines()
    assert error.startswith("error: ") and not any("error" in line or "Traceback" in line for line in before)
    assert not (tmp_path / "run").exists()


def test_an_empty_folder_says_what_it_should_hold(tmp_path):
    with refused(DataError, "images", fix=".bmp"):
        open_images(Source("x", tmp_path), ImageConfig())


def test_a_folder_of_bad_files_alone_names_some(tmp_path):
    for name, (data, _) in FILES.items():
        (tmp_path / name).write_bytes(data)
    with refused(DataError, 40, 37):
        open_images(Source("x", tmp_path), ImageConfig())
