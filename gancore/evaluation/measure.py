"""The contract of a measure: a number about samples, with an interval that is valid for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from gancore.evaluation.evidence import Evidence

Need = Literal["features", "log_posteriors", "condition", "train", "log_prob", "judge"]
"""What a measure needs beside samples; where it is not to be had, the measure is left out, and says so."""

Anchor = Literal["noise", "collapse", "shrunk", "widened", "points"]
"""Known-bad sets. ``noise`` keeps each coordinate's marginal alone, ``collapse`` repeats a few real rows;
``shrunk`` has features halfway to their mean, ``widened`` twice as far from it, ``points`` close to those of
a few real rows.
"""


Kind = Literal["distance", "fidelity", "diversity", "memory"]
"""What a measure asks: how far the two laws are apart, whether samples look real, whether they are as diverse
as real rows, whether they are copies of train.
"""


class Interval(NamedTuple):
    """A 95 % interval over samples, and how it was made."""

    low: float
    high: float
    method: str


@dataclass(frozen=True)
class Measure:
    """``compute`` gives the value; ``interval`` bounds it from the same evidence.

    ``better`` None: neither end is. ``ideal``: the best value, where that is no end of the scale, as one half
    is of a two-sample test; what is nearer to it is better. ``doubt``: why this value, or its interval, is
    not to be trusted on this evidence, in a few words; empty where it is. ``blind``: anchors that the measure
    cannot tell from real data by its definition, as precision cannot see collapse. ``details``: what JSON and
    the report show beside the value (a curve, shares of classes). ``quick``: part of the default set.
    ``uses``: what it takes where that is to be had, and does without elsewhere.
    """

    compute: Callable[[Evidence], float]
    unit: str
    better: Literal["lower", "higher"] | None = "lower"
    interval: Callable[[Evidence], Interval] | None = None
    details: Callable[[Evidence], Mapping[str, Any]] | None = None
    needs: frozenset[Need] = frozenset()
    blind: frozenset[Anchor] = frozenset()
    quick: bool = True
    uses: frozenset[Need] = frozenset()
    kind: Kind = "distance"
    paired: bool = False
    """It sees as many samples as real rows."""
    most: int | None = None
    """It sees at most so many of each."""
    ideal: float | None = None
    doubt: Callable[[Evidence], str] | None = None

    def rows_seen(self, fake: int, real: int) -> tuple[int, int]:
        """How many of these samples and real rows it looks at."""
        if self.paired:
            fake = real = min(fake, real)
        return (fake, real) if self.most is None else (min(fake, self.most), min(real, self.most))

    @property
    def wants(self) -> frozenset[Need]:
        """What is made ready for it."""
        return self.needs | self.uses
