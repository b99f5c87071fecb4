"""Decode kinds of files that libsndfile cannot read, with the program ``ffmpeg`` where it is installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gancore.data import SkipItem
from gancore.text import count_noun, escape_unprintable

DEMUXERS = {".m4a": "mov", ".aac": "aac", ".wma": "asf"}
"""The demuxer by suffix. It is forced, because others (playlists) open further files."""
DECODE_TIMEOUT_SECONDS = 600.0


def decodable_suffixes() -> frozenset[str]:
    """The suffixes that can be decoded here; none without the program."""
    return frozenset(DEMUXERS if shutil.which("ffmpeg") else ())


def missing_decoder_lines(others: Mapping[str, int]) -> list[str]:
    """Summary line of files, counted by suffix, that would be read if the program were installed."""
    count = sum(n for suffix, n in others.items() if suffix in DEMUXERS)
    if not count:
        return []
    return [f"ffmpeg: not installed; with it {count_noun(count, 'file')} more could be read"]


@contextmanager
def decoded(path: Path, max_seconds: float) -> Iterator[Path]:
    """A temporary WAV file with the first audio stream of ``path``: float32, its own rate and channels.

    ``max_seconds``: what follows is not decoded.

    Raises:
        SkipItem: the program cannot decode the file, is not installed, or takes longer than
            DECODE_TIMEOUT_SECONDS.
    """
    with tempfile.TemporaryDirectory(prefix="gancore-") as folder:
        wav = Path(folder) / "decoded.wav"
        command = ["ffmpeg", "-nostdin", "-v", "error", "-xerror", "-protocol_whitelist", "file"]
        command += ["-f", DEMUXERS[path.suffix.lower()], "-i", f"file:{path.absolute()}"]
        command += ["-map", "0:a:0", "-t", f"{max_seconds:g}", "-c:a", "pcm_f32le", "-rf64", "auto", str(wav)]
        try:
            done = subprocess.run(
                command, capture_output=True, stdin=subprocess.DEVNULL, timeout=DECODE_TIMEOUT_SECONDS
            )
        except FileNotFoundError:
            raise SkipItem("it is read with the program ffmpeg, which is not installed") from None
        except subprocess.TimeoutExpired:
            raise SkipItem(f"ffmpeg takes longer than {DECODE_TIMEOUT_SECONDS:g} s") from None
        if done.returncode:
            raise SkipItem(f"it is not readable audio (ffmpeg: {_last_line(done.stderr)})")
        yield wav


def _last_line(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").strip().splitlines()
    return escape_unprintable(lines[-1].rpartition("] ")[2][:200]) if lines else "no message"
