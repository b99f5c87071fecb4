"""Samples as a domain writes and shows them, with the names of their files."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from gancore.data.dataset import Spec
from gancore.text import shorten
from gancore.trees import Tree, tree_batch_size


@dataclass(frozen=True)
class Samples:
    """Canonical samples with what is needed to write and to show them.

    ``columns``: this many samples belong side by side (of one class; of one interpolation; a sample and its
    neighbours), then the next ones; 0: every sample stands alone. ``headings`` are shown in place of labels.
    ``remarks``: what a domain found about each sample, as that it is a copy of train; or none.
    """

    data: Tree
    spec: Spec
    condition: Tree = None
    columns: int = 0
    headings: Sequence[str] = ()
    remarks: Sequence[str] = ()

    def __len__(self) -> int:
        return tree_batch_size(self.data)

    def labels(self) -> list[str]:
        """The class name of each sample; empty strings if the samples have no labels."""
        if self.condition is None:
            return [""] * len(self)
        classes = self.spec["classes"]
        return [str(classes[int(index)]) for index in self.condition]

    def titles(self) -> list[str]:
        """The line shown with each sample: its heading, else its label.

        Of samples side by side only the first of adjacent ones with equal labels gets the label.
        """
        if self.headings:
            return [shorten(heading) for heading in self.headings]
        labels = [shorten(label) for label in self.labels()]
        columns = self.columns or 1
        return ["" if at % columns and label == labels[at - 1] else label for at, label in enumerate(labels)]

    def file_stems(self) -> list[str]:
        """File names without suffix: ``0001-<label>``; side by side ``0001-02-<label>``, row and column."""
        n, columns = len(self), self.columns
        stems = [_zero_padded(number + 1, n, 4) for number in range(n)]
        if columns:
            cells = (divmod(number, columns) for number in range(n))
            stems = [
                f"{_zero_padded(row + 1, n // columns, 4)}-{_zero_padded(column + 1, columns, 2)}"
                for row, column in cells
            ]
        return [
            stem + (f"-{file_name_part(label)}" if label else "")
            for stem, label in zip(stems, self.labels(), strict=True)
        ]

    def overview_count(self, most: int, most_side_by_side: int) -> int:
        """How many of the samples an overview shows; of samples side by side whole rows, at least one."""
        if not self.columns:
            return min(len(self), most)
        return min(len(self), max(1, most_side_by_side // self.columns) * self.columns)


def _zero_padded(number: int, largest: int, width: int) -> str:
    return f"{number:0{max(width, len(str(largest)))}d}"


def file_name_part(label: str) -> str:
    """A label as part of a file name: letters of any script, marks, numbers, dash and underscore."""
    kept = "".join(c if _is_word_character(c) else " " for c in unicodedata.normalize("NFC", label[:1000]))
    return re.sub(r"[ _]*[ ][ _]*", "_", kept).strip("_")[:40] or "label"


def _is_word_character(character: str) -> bool:
    """``re`` counts no marks as word characters, but many scripts cannot be read without them."""
    return character in "-_" or character.isalnum() or unicodedata.category(character)[0] == "M"
