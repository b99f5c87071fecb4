"""Samples that a domain writes and shows, with the names of their files."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from gancore.data.dataset import Spec
from gancore.text import shorten
from gancore.trees import Tree, tree_batch_size, tree_slice


@dataclass(frozen=True)
class Samples:
    """Canonical samples, with what is needed to write and show them.

    ``columns`` is the number of samples in a row of an overview (those of one class or one interpolation, or
    a sample and its neighbours); 0 for independent samples. ``headings`` are shown instead of labels.
    ``remarks``: what the domain found about each sample, such as that it is a copy of train; or none.
    ``html`` shows them in a notebook: pictures, players or texts.
    """

    data: Tree
    spec: Spec
    condition: Tree = None
    columns: int = 0
    headings: Sequence[str] = ()
    remarks: Sequence[str] = ()
    html: Callable[[Samples], str] | None = field(default=None, repr=False, compare=False)

    def _repr_html_(self) -> str | None:
        """For a notebook; None, and so the plain repr, without ``html``."""
        return None if self.html is None else self.html(self)

    def __len__(self) -> int:
        return tree_batch_size(self.data)

    def slice(self, start: int, stop: int) -> Samples:
        """Samples ``start`` to ``stop``."""
        return replace(
            self,
            data=tree_slice(self.data, start, stop),
            condition=tree_slice(self.condition, start, stop),
            headings=self.headings[start:stop],
            remarks=self.remarks[start:stop],
        )

    def labels(self) -> list[str]:
        """The class name of each sample; empty strings if the samples have no labels."""
        if self.condition is None:
            return [""] * len(self)
        classes = self.spec["classes"]
        return [str(classes[int(index)]) for index in self.condition]

    def titles(self) -> list[str]:
        """The title of each sample: its heading or its label.

        In a row of samples, only the first of neighbouring samples with equal labels has the label.
        """
        if self.headings:
            return [shorten(heading) for heading in self.headings]
        labels = [shorten(label) for label in self.labels()]
        columns = self.columns or 1
        return ["" if at % columns and label == labels[at - 1] else label for at, label in enumerate(labels)]

    def annotations(self) -> list[str]:
        """Title and remark of each sample, as far as it has them."""
        remarks = self.remarks or [""] * len(self)
        pairs = zip(self.titles(), remarks, strict=True)
        return [", ".join(part for part in pair if part) for pair in pairs]

    def file_stems(self) -> list[str]:
        """File names without suffix: ``0001-<label>``; with columns ``0001-02-<label>`` (row, column)."""
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
        """The number of samples in an overview; with columns, of whole rows, at least one row."""
        if not self.columns:
            return min(len(self), most)
        return min(len(self), max(1, most_side_by_side // self.columns) * self.columns)


def _zero_padded(number: int, largest: int, width: int) -> str:
    return f"{number:0{max(width, len(str(largest)))}d}"


def file_name_part(label: str) -> str:
    """A label as part of a file name: letters and marks of any script, numbers, dashes and underscores."""
    kept = "".join(c if _is_word_character(c) else " " for c in unicodedata.normalize("NFC", label[:1000]))
    return re.sub(r"[ _]*[ ][ _]*", "_", kept).strip("_")[:40] or "label"


def _is_word_character(character: str) -> bool:
    """Whether a character is kept. Marks are: ``re`` does not match them, and many scripts need them."""
    return character in "-_" or character.isalnum() or unicodedata.category(character)[0] == "M"
