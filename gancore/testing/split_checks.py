"""Checks of what stands in the splits: contents that they share, and labels that slipped to other rows."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

import torch
from torch import Tensor

from gancore.domain import View
from gancore.evaluation.principal import flat
from gancore.runtime.randomness import Key, Rows
from gancore.testing.bench import SPLITS, DomainBench
from gancore.testing.check import Breach, NotApplicable
from gancore.trees import Tree, cut_rows, leaves

MOST_ROWS = 4096
"""Rows of a view that are compared; of a larger one so many are drawn."""
SHARED = 0.05
"""Share of a split's rows beyond which contents that stand in another split as well are no chance."""
TOGETHER = 64
LABELLED_ROWS = 1024
SHIFTS = (-3, -2, -1, 1, 2, 3)
SIGMAS = 4.0


def keeps_splits_apart(bench: DomainBench) -> None:
    """No split holds more rows of another's contents, byte for byte, than that one holds twice itself.

    Rows are taken with one and the same draw, so that random crops of one row are equal too. Data of
    few different rows repeat themselves, within a split as between splits: that much is allowed, and 5 %.
    """
    held = {split: [(_contents(view), len(view)) for view in bench.views(split).values()] for split in SPLITS}
    for one, other in itertools.permutations(SPLITS, 2):
        for (rows, _), (others, size) in itertools.product(held[one], held[other]):
            _require_apart(one, rows, other, others, size)


@dataclass(frozen=True)
class OneDraw(Key):
    """Gives every row of a batch one and the same draw."""

    def __truediv__(self, word: int | str) -> OneDraw:
        return OneDraw((*self.path, word), self.device)

    def to(self, device: torch.device | str) -> OneDraw:
        return OneDraw(self.path, torch.device(device))

    def cut(self, rows: Rows | None) -> OneDraw:
        return self

    def _rows(
        self, shape: tuple[int, ...], draw: Callable[[tuple[int, ...], torch.Generator], Tensor]
    ) -> Tensor:
        if not shape:
            return draw(shape, self.generator())
        return draw((1, *shape[1:]), self.generator()).expand(shape).clone()


def _contents(view: View) -> Counter[bytes]:
    """How often each row's bytes occur among the rows that are looked at."""
    indices = Key.of("kit", "contents").permutation(len(view))[:MOST_ROWS]
    found: Counter[bytes] = Counter()
    for part in torch.split(indices, TOGETHER):
        data = view.take(part, OneDraw.of("kit", "contents")).data
        found.update(_digest(cut_rows(data, row, row + 1)) for row in range(len(part)))
    return found


def _digest(row: Tree) -> bytes:
    made = blake2b(digest_size=16)
    for leaf in leaves(row):
        made.update(repr((tuple(leaf.shape), leaf.dtype)).encode())
        made.update(leaf.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return made.digest()


def _require_apart(one: str, rows: Counter[bytes], other: str, others: Counter[bytes], size: int) -> None:
    """Rows of ``one`` that stand in ``other`` are no more than rows of ``other`` that stand there twice.

    ``size``: how many rows the view has that ``others`` are of.
    """
    n, m = rows.total(), others.total()
    shared = sum(count for content, count in rows.items() if content in others)
    twice = sum(count for count in others.values() if count > 1)
    usual = twice / m
    spread = math.sqrt(usual * (1 - usual) * (1 / n + 1 / m))
    covered = m / size  # of a large split some rows are looked at
    if shared > 1 and shared / n - usual > max(SHARED * covered, SIGMAS * spread):
        raise Breach(
            f"{shared} of {n} rows of {one} that were looked at stand in {other} as well "
            f"({twice} of the {m} of {other} stand there twice)",
            "divide rows by content (gancore.data.splits) before they are cut, repeated or augmented: "
            "else valid and test measure what was learnt by heart",
        )


def keeps_labels_at_their_rows(bench: DomainBench) -> None:
    """Labels do not fit the rows beside theirs better: a column of labels that slipped by up to 3 rows would.

    Seen by the labels of each row's nearest row of train, in the order in which train holds them. Where that
    is not the order of the files (rows are shuffled before they are numbered), or labels stand in long
    runs, or are not told by distances of values, nothing can be seen, and the check holds.
    """
    view = bench.view("train")
    indices = torch.arange(min(len(view), LABELLED_ROWS))
    batch = view.take(indices, Key.of("kit", "labels").cut(Rows.all(len(indices))))
    labels = batch.condition
    if not bench.data.spec.get("classes") or not isinstance(labels, Tensor) or labels.dim() != 1:
        raise NotApplicable("the tiny data have no classes, a number for each row")
    nearest = _nearest(flat(batch.data))
    own = _agreement(labels, nearest)
    for shift in SHIFTS:
        gain = _agreement(labels.roll(shift), nearest) - own
        slipped = gain.mean() / (gain.std() / math.sqrt(len(gain))).clamp_min(1e-12)
        if len(gain) > 1 and float(slipped) > SIGMAS and float(gain.mean()) > SHARED:
            share, own_share = float((own + gain).mean()), float(own.mean())
            raise Breach(
                f"labels of the row {abs(shift)} {'before' if shift > 0 else 'behind'} fit train better: the "
                f"nearest row has the same one {share:.0%} of the time, with the rows' own {own_share:.0%}",
                "look at how labels are read: a heading, an index column, rows left out of one of two lists",
            )


def _nearest(x: Tensor) -> Tensor:
    """Of each row the number of the nearest other one, (rows,)."""
    x = x.float()
    x = (x - x.mean(0)) / x.std(0).clamp_min(1e-6)
    return torch.cdist(x, x).fill_diagonal_(math.inf).argmin(1)


def _agreement(labels: Tensor, nearest: Tensor) -> Tensor:
    return (labels == labels[nearest]).double()
