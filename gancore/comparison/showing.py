"""Samples as the files that people open, kept for the page: the first ones, chosen by nobody."""

from __future__ import annotations

import os
from pathlib import Path

from gancore.comparison.folder import INDEX, write_json
from gancore.domain import Domain, Samples
from gancore.errors import DataError
from gancore.files import aside_name, discard, put_in_place

PREVIEW = "preview.png"


def write_beside(folder: Path, domain: Domain, samples: Samples, seed: int, weights: str) -> None:
    """What ``Domain.write`` makes of them, a preview, and an index; the folder appears whole or not at all.

    Raises:
        DataError: a file that the domain wrote lies elsewhere.
    """
    aside = aside_name(folder)
    os.makedirs(aside)
    try:
        files = domain.write(samples, aside)
        strangers = [file for file in files if aside not in file.parents]
        if strangers:
            raise DataError(f"{domain.name} wrote {strangers[0].name} outside its folder", "tell its authors")
        preview = domain.preview(samples)
        if preview is not None:
            preview.convert("RGB").save(aside / PREVIEW)
        index = {
            "weights": weights,
            "seed": seed,
            "count": len(samples),
            "files": sorted(file.relative_to(aside).as_posix() for file in files),
            "preview": "" if preview is None else PREVIEW,
        }
        write_json(aside / INDEX, index)
        put_in_place(aside, folder)
    finally:
        if aside.exists():
            discard(aside)
