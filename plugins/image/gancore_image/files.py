"""Image files in a folder or a zip archive: which there are, what their headers say, and their pixels.

A file that cannot be used is :class:`SkipItem` with a reason; the other files are read all the same.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Protocol

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from gancore.data import (
    Announce,
    FileInspector,
    FolderListing,
    InspectedFile,
    SkipItem,
    SkippedItem,
    build_inventory,
    count_other_suffixes,
    file_stat_key,
    first_skipped,
    is_hidden,
    list_files,
)
from gancore.errors import DataError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "PPM")
SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".ppm", ".pgm"}
)
MAX_PIXELS = 1 << 26
"""67 million: 8,192 by 8,192."""
MAX_BYTES = 1 << 29

_SIXTEEN_BITS = frozenset({"I", "I;16", "I;16L", "I;16B"})
_GREY, _ALPHA = frozenset({"1", "L", "LA", "La"}), frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The transposition that undoes each EXIF orientation."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    width: int
    height: int
    animated: bool


def read_header(content: bytes) -> ImageHeader:
    """The header of a file with this content.

    Raises:
        SkipItem: empty, not an image of a known format, or too many pixels.
    """
    with _open(content) as image:
        animated = image.format != "MPO" and bool(getattr(image, "is_animated", False))
        return ImageHeader(image.width, image.height, animated)


def decode(content: bytes) -> Image.Image:
    """The image, upright, of mode L, LA, RGB or RGBA; the first frame of an animation.

    16 bits become 8 by rounding v / 257; CMYK and palettes become RGB; colour profiles are not applied.

    Raises:
        SkipItem: as :func:`read_header`, or its pixels are cut short or damaged.
    """
    with _open(content) as image:
        with _decode_errors("it is damaged or truncated"):
            image.load()
            standard = _to_standard_mode(image)
        orientation = _orientation(image)  # loads too: called earlier it would hide an error
        return standard.transpose(_TURNS[orientation]) if orientation in _TURNS else standard


@contextmanager
def _open(content: bytes) -> Iterator[ImageFile.ImageFile]:
    if not content:
        raise SkipItem("it is empty (0 bytes)")
    with warnings.catch_warnings():  # PIL warns at its own limit, below ours
        warnings.simplefilter("ignore")
        with _decode_errors("it is not a readable image"):
            image = Image.open(io.BytesIO(content), formats=FORMATS)
        with image:
            if image.width * image.height > MAX_PIXELS:
                raise SkipItem(
                    f"it has {image.width:,} x {image.height:,} pixels, over {MAX_PIXELS:,} in all"
                )
            yield image


@contextmanager
def _decode_errors(reason: str) -> Iterator[None]:
    """Turn whatever PIL's decoders raise into SkipItem."""
    try:
        yield
    except SkipItem:
        raise
    except UnidentifiedImageError:
        raise SkipItem(f"it is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file") from None
    except Image.DecompressionBombError:
        raise SkipItem(f"it has more than {MAX_PIXELS:,} pixels") from None
    except Exception as error:
        message = str(error).strip().rstrip(".")
        raise SkipItem(f"{reason} ({message or type(error).__name__})") from None


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation; 1, upright, if it is missing or invalid."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF does not spoil the image
        return 1


def _to_standard_mode(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise SkipItem(
            "its levels are fractions, and their black and white are unknown; save it with 8 or 16 bits"
        )
    if image.mode in _SIXTEEN_BITS:
        return _to_8_bit(image)
    alpha = "A" if image.mode in _ALPHA or "transparency" in image.info else ""
    return image.convert(("L" if image.mode in _GREY else "RGB") + alpha)


def _to_8_bit(image: Image.Image) -> Image.Image:
    """16-bit grey to 8 bits; one level may be transparent."""
    levels = np.asarray(image).astype(np.int64).clip(0, 65_535)
    grey = Image.fromarray(np.rint(levels / 257).astype(np.uint8))
    transparent = image.info.get("transparency")
    if not isinstance(transparent, int):
        return grey
    grey.putalpha(Image.fromarray(np.where(levels == transparent, 0, 255).astype(np.uint8)))
    return grey


class ImageFiles(Protocol):
    """Files by their names (with /, sorted); ``refused`` names those that cannot be read."""

    path: Path
    names: list[str]
    refused: list[SkippedItem]

    def stat_key(self, name: str) -> list[int]:
        """Numbers that change when the file changes."""

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises SkipItem."""


class FolderFiles:
    """All files below a folder, or one file. Hidden files are ignored.

    Each folder is entered once, whatever links it has.
    """

    def __init__(self, path: Path) -> None:
        self.path = path if path.is_dir() else path.parent
        listing = list_files(path) if path.is_dir() else FolderListing([path.name], [])
        self.names, self.refused = listing.names, listing.skipped

    def stat_key(self, name: str) -> list[int]:
        try:
            status = (self.path / name).stat()
        except OSError as error:
            raise SkipItem(f"it cannot be read ({error.strerror})") from None
        if not stat.S_ISREG(status.st_mode):
            raise SkipItem("it is not a file")
        if status.st_size > MAX_BYTES:
            raise SkipItem(f"it takes {status.st_size >> 20:,} MiB, more than {MAX_BYTES >> 20}")
        return file_stat_key(status)

    def read(self, name: str) -> bytes:
        self.stat_key(name)
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise SkipItem(f"it cannot be read ({error.strerror})") from None


class ZipFiles:
    """The members of a zip archive, read without unpacking to disk. None may be larger than MAX_BYTES.

    If all members are in one folder of the archive, names begin below that folder. Backslashes also separate
    folders.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise DataError(
                f"{path} cannot be opened as a zip archive: {error}", "create the archive again"
            ) from None
        members = [member for member in self._archive.infolist() if not _name(member).endswith("/")]
        self.refused: list[SkippedItem] = []
        visible = [member for member in members if not _any_hidden(_name(member))]
        counts = Counter(_name(member) for member in visible)
        accepted = [member for member in visible if self._accept(member, counts[_name(member)])]
        prefix = _common_folder([_name(member) for member in accepted])
        self._members = {_name(member)[len(prefix) :]: member for member in accepted}
        self.names = sorted(self._members)

    def _accept(self, member: zipfile.ZipInfo, count: int) -> bool:
        reason = _reject_reason(member, count)
        if reason and (member.filename, reason) not in self.refused:
            self.refused.append((member.filename, reason))
        return not reason

    def stat_key(self, name: str) -> list[int]:
        member = self._members[name]
        return [member.file_size, member.CRC]

    def read(self, name: str) -> bytes:
        try:
            with self._archive.open(self._members[name]) as file:
                return file.read()  # at most the declared size, which _reject_reason has checked
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
            raise SkipItem(f"it cannot be unpacked ({error})") from None


def _name(member: zipfile.ZipInfo) -> str:
    """The name with / between folders; some programs on Windows write backslashes."""
    return member.filename.replace("\\", "/")


def _reject_reason(member: zipfile.ZipInfo, count: int) -> str:
    name = member.filename
    if any(
        p.is_absolute() or p.drive or ".." in p.parts for p in (PurePosixPath(name), PureWindowsPath(name))
    ):
        return "its name leads out of the archive"
    if count > 1:
        return f"the archive holds {count} members of this name"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "it is a link"
    if member.flag_bits & 1:
        return "it is encrypted"
    if member.file_size > MAX_BYTES:
        return f"it takes {member.file_size >> 20:,} MiB, more than {MAX_BYTES >> 20}"
    return ""


def _any_hidden(name: str) -> bool:
    return any(is_hidden(part) and part != ".." for part in PurePosixPath(name).parts)


def _common_folder(names: list[str]) -> str:
    """``photos/`` if every name begins with it; the folders below are the labels."""
    tops = {name.partition("/")[0] if "/" in name else "" for name in names}
    return f"{tops.pop()}/" if len(tops) == 1 and "" not in tops else ""


@dataclass(frozen=True)
class ImageInventory:
    """The images of ``files``."""

    files: ImageFiles
    found: Sequence[InspectedFile[ImageHeader]]
    skipped: Sequence[SkippedItem]
    other_suffixes: Counter[str]
    """Number of files that are not images, by suffix."""


def find_images(files: ImageFiles, announce: Announce) -> ImageInventory:
    """Every image of ``files``.

    Raises:
        DataError: there is none, or none can be used.
    """
    names = [name for name in files.names if _suffix(name) in SUFFIXES]
    other_suffixes = count_other_suffixes(files.names, SUFFIXES)
    inspected = build_inventory("image", files.path, names, _inspector(files), announce)
    skipped = [*files.refused, *inspected.skipped]
    if not inspected.found and not skipped:
        raise _no_images_error(files)
    if not inspected.found:
        raise DataError(
            f"none of the {len(skipped)} images in {files.path} can be used: {first_skipped(skipped)}",
            "give images that other programs can open",
        )
    return ImageInventory(files, inspected.found, skipped, other_suffixes)


def _no_images_error(files: ImageFiles) -> DataError:
    if arrays := [name for name in files.names if _suffix(name) == ".npy"]:
        how = "name it directly" if files.path.is_dir() else "unpack it, and name it directly"
        return DataError(
            f"no images in {files.path}, but {arrays[0]}",
            f"if that is an array of images, {how}: --data {files.path / arrays[0]}",
        )
    where = files.path / files.names[0] if len(files.names) == 1 else files.path
    return DataError(
        f"no images in {where}",
        f"give files that end in {', '.join(sorted(SUFFIXES))}, arrays (.npy, .npz, IDX), or an archive",
    )


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _inspector(files: ImageFiles) -> FileInspector[ImageHeader]:
    def read(name: str) -> tuple[ImageHeader, str]:
        content = files.read(name)
        return read_header(content), hashlib.sha256(content).hexdigest()[:32]

    return FileInspector(ImageHeader, files.stat_key, read)
