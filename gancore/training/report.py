"""What a run says of itself at a log step, and how that is put on one line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace

from gancore.errors import printable


@dataclass(frozen=True)
class Report:
    """What a run says of itself at a log step.

    ``scalars`` are named ``<player>/loss``, ``<player>/gradient_norm``, ``<player>/masked`` (share of
    updates that were skipped), ``D(real)``, ``D(fake)``, or as the game names them.
    """

    step: int
    total: int
    samples_per_second: float
    eta_seconds: float | None
    scalars: Mapping[str, float] = field(default_factory=dict)
    memory_megabytes: float | None = None
    phase: str = ""


@dataclass(frozen=True)
class Part:
    """A part of the line; those of high rank go first when the line is too long."""

    text: str
    rank: int
    alarm: bool = False


_KINDS = {"loss": ("loss", 0, 2), "D(real)": ("D(real)", 1, 5), "D(fake)": ("D(fake)", 1, 5)}
_KINDS["gradient_norm"] = ("gradient", 2, 6)
"""For each kind of scalar its label, its place on the line, and its rank."""


def report_parts(report: Report, eta_seconds: float | None = None) -> list[Part]:
    """The parts of a report in the order in which they stand on the line."""
    eta = report.eta_seconds if eta_seconds is None else eta_seconds
    parts = [
        Part(f"{report.step}/{report.total}", 0),
        Part(f"{100 * report.step // max(1, report.total)}%", 4),
        Part(f"ETA {format_seconds(eta)}", 1),
        Part(f"{format_number(report.samples_per_second)} samples/s", 3),
        *_scalar_parts(report.scalars),
    ]
    if report.memory_megabytes is not None:
        parts.append(Part(f"{report.memory_megabytes:.0f} MB", 7))
    if report.phase:
        parts.append(Part(report.phase, 8))
    return [replace(part, text=printable(part.text)) for part in parts]


def _scalar_parts(scalars: Mapping[str, float]) -> list[Part]:
    """Losses, D(real), D(fake), gradient norms, then the rest; what is wrong is not dropped."""
    short = _initials({name.rpartition("/")[0] for name in scalars})
    placed = []
    for name, value in scalars.items():
        player, _, kind = name.rpartition("/")
        if kind == "masked" and value == 0:
            continue
        label, place, rank = _KINDS.get(kind, (kind, 3, 9))
        alarm = kind == "masked" or not math.isfinite(value)
        text = f"{short[player]} {label} {format_number(value)}".strip()
        placed.append((place, Part(text, rank=1 if alarm else rank, alarm=alarm)))
    return [part for _, part in sorted(placed, key=lambda pair: pair[0])]


def _initials(players: Set[str]) -> dict[str, str]:
    """A player's capital where it alone begins so, else its name: ``discriminator/r1`` -> ``D r1``."""
    heads = {player.partition("/")[0] for player in players}
    firsts = [head[:1].upper() for head in heads]
    short = {head: head[:1].upper() if firsts.count(head[:1].upper()) == 1 else head for head in heads}
    return {player: " ".join([short[player.split("/")[0]], *player.split("/")[1:]]) for player in players}


def fit(parts: list[Part], width: int) -> list[Part]:
    """The parts that fit into ``width`` characters: the least important are dropped, the first never."""
    kept = list(parts)
    while len(kept) > 1 and sum(len(part.text) + 2 for part in kept) - 2 > width:
        worst = max(range(1, len(kept)), key=lambda index: (kept[index].rank, index))
        del kept[worst]
    return kept


def format_seconds(seconds: float | None) -> str:
    """``48s``, ``2m05s``, ``3h07m``, ``2d04h``; ``?`` when it is not known."""
    if seconds is None or not math.isfinite(seconds):
        return "?"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    minutes = whole // 60
    if minutes < 24 * 60:
        return f"{minutes // 60}h{minutes % 60:02d}m"
    return f"{minutes // 1440}d{minutes % 1440 // 60:02d}h"


def format_number(value: float) -> str:
    """Three to four significant digits: ``0.690``, ``12.3``, ``1234``, ``1.2e-05``; NaN and inf by name."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value) or value == 0:
        return f"{value:.0f}"
    if abs(value) < 1e-3 or abs(value) >= 1e6:
        return f"{value:.1e}"
    if abs(value) >= 99.95:
        return f"{value:.0f}"
    return f"{value:#.3g}"
