"""How samples are called, on files and in overviews: by number, place and label, the same in every domain."""

from __future__ import annotations

import re
import unicodedata

from gancore.domain import Samples
from gancore.texts import shortened


def sample_labels(samples: Samples) -> list[str]:
    """The class name of each sample; empty where the samples have no label."""
    if samples.condition is None:
        return [""] * len(samples)
    classes = samples.spec["classes"]
    return [str(classes[int(index)]) for index in samples.condition]


def sample_titles(samples: Samples) -> list[str]:
    """What is shown with each sample, in one short line: its title, else its label.

    Of samples side by side a label stands at the first of those in a row that share it.
    """
    if samples.titles:
        return [shortened(title) for title in samples.titles]
    labels = [shortened(label) for label in sample_labels(samples)]
    columns = samples.columns or 1
    return ["" if at % columns and label == labels[at - 1] else label for at, label in enumerate(labels)]


def sample_stems(samples: Samples) -> list[str]:
    """File names without ending: ``0001-<label>``; side by side ``0001-02-<label>``, row and column."""
    n, columns = len(samples), samples.columns
    stems = [_padded(number + 1, n, 4) for number in range(n)]
    if columns:
        places = (divmod(number, columns) for number in range(n))
        stems = [f"{_padded(row + 1, n // columns, 4)}-{_padded(at + 1, columns, 2)}" for row, at in places]
    labels = sample_labels(samples)
    return [
        stem + (f"-{safe_name(label)}" if label else "") for stem, label in zip(stems, labels, strict=True)
    ]


def _padded(number: int, most: int, width: int) -> str:
    return f"{number:0{max(width, len(str(most)))}d}"


def safe_name(label: str) -> str:
    """A label as part of a file name: letters of any script, marks, numbers, dash and underscore."""
    kept = "".join(c if _stands_in_names(c) else " " for c in unicodedata.normalize("NFC", label[:1000]))
    return re.sub(r"[ _]*[ ][ _]*", "_", kept).strip("_")[:40] or "label"


def _stands_in_names(character: str) -> bool:
    """Marks are no part of a word to ``re``, but letters of many scripts are not readable without."""
    return character in "-_" or character.isalnum() or unicodedata.category(character)[0] == "M"


def shown_in_overview(samples: Samples, most: int, most_side_by_side: int) -> int:
    """How many of the samples an overview shows; of those side by side whole rows, one at least."""
    columns = samples.columns
    if not columns:
        return min(len(samples), most)
    return min(len(samples), max(1, most_side_by_side // columns) * columns)
