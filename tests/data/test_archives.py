"""Archives that behave, and archives that do not."""

import io
import stat
import tarfile
import zipfile

import pytest
from refusals import refused

from gancore.data.archives import ArchiveLimits, unpack_archive
from gancore.errors import DataError


def tar_with(path, *members):
    """``members``: (name, bytes), or a TarInfo without content."""
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            tar.addfile(info, io.BytesIO(member[1]))
    return path


def zip_with(path, *members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in members:
            bundle.writestr(name, content)
    return path


def link(kind, name, target):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("make, name", [(tar_with, "a.tar.gz"), (zip_with, "a.zip")])
def test_members_land_in_the_folder(tmp_path, make, name):
    archive = make(tmp_path / name, ("top/one.txt", b"1"), ("top/deep/two.txt", b"2"))
    unpack_archive(archive, tmp_path / "out")
    assert (tmp_path / "out/top/one.txt").read_bytes() == b"1"
    assert (tmp_path / "out/top/deep/two.txt").read_bytes() == b"2"


@pytest.mark.parametrize("make, archive", [(tar_with, "a.tar.gz"), (zip_with, "a.zip")])
@pytest.mark.parametrize(
    "name",
    ["../evil", "top/../../evil", "/tmp/evil", "..\\evil", "C:\\evil", "\\tmp\\evil", "top\\..\\..\\evil"],
)
def test_members_that_leave_the_folder_are_refused(tmp_path, make, archive, name):
    with refused(DataError, "outside"):
        unpack_archive(make(tmp_path / archive, (name, b"x")), tmp_path / "out")
    assert not any(path.is_file() for path in (tmp_path / "out").rglob("*"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["../../secret", "/etc/passwd"])
def test_links_out_of_the_folder_are_refused(tmp_path, kind, target):
    archive = tar_with(tmp_path / "a.tar.gz", link(kind, "escape", target), ("escape/x", b"x"))
    with pytest.raises(DataError):
        unpack_archive(archive, tmp_path / "out")


@pytest.mark.parametrize(("kind", "target"), [(tarfile.SYMTYPE, "one"), (tarfile.LNKTYPE, "top/one")])
def test_links_to_files_of_the_archive_become_copies_which_count(tmp_path, kind, target):
    archive = tar_with(tmp_path / "a.tar.gz", ("top/one", b"1" * 1000), link(kind, "top/two", target))
    folder = unpack_archive(archive, tmp_path / "out")
    assert (folder / "top/two").read_bytes() == b"1" * 1000 and not (folder / "top/two").is_symlink()
    with refused(DataError, "bytes"):
        unpack_archive(archive, tmp_path / "again", ArchiveLimits(total_bytes=1500))


def test_links_in_a_zip_are_refused(tmp_path):
    info = zipfile.ZipInfo("escape")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with refused(DataError, "escape", "link"):
        unpack_archive(zip_with(tmp_path / "a.zip", (info, "/etc")), tmp_path / "out")


def test_device_files_are_refused(tmp_path):
    archive = tar_with(tmp_path / "a.tar.gz", link(tarfile.CHRTYPE, "device", ""))
    with pytest.raises(DataError):
        unpack_archive(archive, tmp_path / "out")


@pytest.mark.parametrize("make, name", [(tar_with, "a.tar.gz"), (zip_with, "a.zip")])
@pytest.mark.parametrize(
    "caps, why",
    [
        (ArchiveLimits(members=2), "members"),
        (ArchiveLimits(total_bytes=100_000), "bytes"),
        (ArchiveLimits(ratio=10, free_bytes=1000), 10),
    ],
)
def test_what_swells_beyond_the_caps_is_refused(tmp_path, make, name, caps, why):
    archive = make(tmp_path / name, *((f"zeros-{i}", bytes(100_000)) for i in range(5)))
    with refused(DataError, name, why):
        unpack_archive(archive, tmp_path / "out", caps)


@pytest.mark.parametrize("make, name", [(tar_with, "a.tar.gz"), (zip_with, "a.zip")])
def test_a_damaged_archive_is_one_clear_line(tmp_path, make, name):
    archive = make(tmp_path / name, ("one", bytes(range(256)) * 400))
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2])
    with refused(DataError, "unpacked"):
        unpack_archive(archive, tmp_path / "out")


def test_backslashes_part_folders_in_a_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as bundle:
        info = zipfile.ZipInfo("x")
        info.filename = "cat\\1.txt"
        bundle.writestr(info, b"meow")
    folder = unpack_archive(tmp_path / "a.zip", tmp_path / "out")
    assert (folder / "cat" / "1.txt").read_bytes() == b"meow"
