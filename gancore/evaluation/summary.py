"""An evaluation in a few lines of plain words, each at most 80 columns wide; imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gancore.evaluation.reading import TRUSTED, Evaluation, Reading

MOST, WIDTH, LABEL = 8, 80, 10
SHOWN = 2
"""Measures of diversity that are shown with their figures."""
WEAK = 0.9
"""A classifier that is right on fewer rows is noted."""


def summary(evaluation: Evaluation) -> list[str]:
    """At most eight lines: how good, how diverse, copies or not, what to distrust, what to do next."""
    taken = [reading for reading in evaluation if not reading.skipped]
    if not taken:
        return []
    about = evaluation.about
    beside = f"{about.get('n_real', 0):,} rows of {about.get('split', '')} of {about.get('source', '')}"
    lines = [f"{evaluation.model}: {about.get('n', 0):,} samples beside {beside}"]
    lines += [_line("good", _good(taken)), _line("diverse", _diverse(taken)), _line("copies", _copies(taken))]
    lines += [_line("distrust", _distrusted(taken)), *(_line("note", note) for note in _notes(taken, about))]
    return [cut(line) for line in (*lines[: MOST - 1], _line("next", _advice(taken)))]


def cut(line: str) -> str:
    """A line that is too long without its last words."""
    return line if len(line) <= WIDTH else line[: line.rfind(" ", 0, WIDTH - 3)] + " ..."


def _line(label: str, text: str) -> str:
    return f"{label + ':':{LABEL}}{text}"


def firm(readings: Sequence[Reading], *kinds: str) -> list[Reading]:
    """Those of these kinds that are trusted and bounded and have a better end."""
    return [r for r in readings if r.kind in kinds and r.trusted and r.better and r.low is not None]


def chief(readings: Sequence[Reading]) -> Reading | None:
    """The first distance that is trusted and blind to nothing."""
    return next((reading for reading in firm(readings, "distance") if reading.trust == TRUSTED), None)


def noise_by(readings: Sequence[Reading]) -> list[str]:
    """Measures that find the samples no better than noise; none where they are fewer than half of those that
    see noise, and the chief one is not among them.
    """
    seeing = [r for r in firm(readings, "distance", "fidelity", "diversity") if "noise" in r.seen]
    saying = [reading for reading in seeing if reading.no_better_than("noise")]
    enough = 2 * len(saying) > len(seeing) or chief(readings) in saying
    return [reading.measure for reading in saying] if enough else []


def collapse_by(readings: Sequence[Reading]) -> list[str]:
    """Measures of diversity that find the samples no better than a few rows over and over; none where they
    are fewer than half of those that see that.
    """
    seeing = [reading for reading in firm(readings, "diversity") if "collapse" in reading.seen]
    saying = [reading.measure for reading in seeing if reading.no_better_than("collapse")]
    return saying if 2 * len(saying) > len(seeing) else []


def standing(reading: Reading, told: bool | None) -> str:
    """Where a value is between noise, or else a collapse, and real rows, in words.

    ``told``: whether any distance tells the samples from real rows.
    """
    bad = [anchor for anchor in ("noise", "collapse") if anchor in reading.seen]
    worse = [anchor for anchor in bad if reading.no_better_than(anchor)]
    if worse:
        return f"no better than {'noise' if worse[0] == 'noise' else 'a collapse'}"
    if told is False:
        return "cannot be told from real rows"
    closed = reading.closed
    if closed is None:
        return "worse than real rows" if told else "not compared with real rows"
    return f"{100 * closed:.0f} % of the way to real"


def told_from_real(readings: Sequence[Reading]) -> bool | None:
    """Whether a distance finds the samples worse than real rows, at 95 % for all; None: that is not known."""
    distances = firm(readings, "distance")
    told = [reading.worse_than_real(len(distances)) for reading in distances]
    known = [worse for worse in told if worse is not None]
    return any(known) if known else None


def _good(readings: Sequence[Reading]) -> str:
    reading = chief(readings)
    if reading is None:
        return "not known: no distance can be trusted on these data"
    return f"{_figures(reading)}: {standing(reading, told_from_real(readings))}"


def _figures(reading: Reading) -> str:
    """``frechet 118 (real 16.0, noise 1,399)``, all at one number of rows."""
    value = reading.value if reading.matched is None else reading.matched
    ends = [
        f"{name} {number(reading.anchors[name])}" for name in ("real", reading.bad) if name in reading.anchors
    ]
    return f"{reading.measure} {number(value)}" + (f" ({', '.join(ends)})" if ends else "")


def _diverse(readings: Sequence[Reading]) -> str:
    found = firm(readings, "diversity")
    if not found:
        return "not known: no measure of diversity can be trusted on these data"
    figures = ", ".join(f"{r.measure} {_pair(r)}" for r in found[:SHOWN])
    if collapse_by(readings):
        return f"collapsed: {figures}"
    less = any(reading.worse_than_real(len(found)) for reading in found)
    return f"{'less than real' if less else 'as real rows'}: {figures}"


def _pair(reading: Reading) -> str:
    value = reading.value if reading.matched is None else reading.matched
    real = reading.anchors.get("real")
    return number(value) + ("" if real is None else f" of {number(real)}")


def copied(readings: Sequence[Reading]) -> Reading | None:
    """The measure of copies, where it was taken."""
    return next((r for r in readings if r.kind == "memory" and r.better == "lower"), None)


def copies_by(readings: Sequence[Reading]) -> list[str]:
    """The measure of copies, where it finds some."""
    reading = copied(readings)
    found = reading is not None and reading.trusted and reading.low is not None and reading.low > 0
    return [reading.measure] if reading and found else []


def _copies(readings: Sequence[Reading]) -> str:
    reading = copied(readings)
    if reading is None or not reading.trusted or reading.value is None:
        return "not known" + (f": {reading.trust.removeprefix('no: ')}" if reading else "")
    bounds = f"{100 * (reading.low or 0):.2g} to {100 * (reading.high or 0):.2g} % of the samples"
    return f"{'samples copy train' if copies_by(readings) else 'no sign of them'}: {bounds}"


def _distrusted(readings: Sequence[Reading]) -> str:
    names = [r.measure for r in readings if not r.trusted and r.better]
    if not names:
        return f"nothing: all {len(readings)} measures order their anchors"
    return f"{len(names)} of {len(readings)} measures: {', '.join(names)}"


def _notes(readings: Sequence[Reading], about: Mapping[str, Any]) -> Iterator[str]:
    """What makes figures less than they seem; the gravest first."""
    if about.get("note"):
        yield str(about["note"])
    n, n_real = about.get("n", 0), about.get("n_real", 0)
    if n > n_real:
        yield f"only {n_real:,} rows for {n:,} samples: many measures depend on both numbers"
    told = (about.get("classifier") or {}).get("accuracy")
    if told and told["high"] < WEAK:
        yield f"the classifier is {accuracy(told, about['split'])}"


def _advice(readings: Sequence[Reading]) -> str:
    if not any(reading.anchors for reading in readings):
        return "give more data: there are no held-out rows to compare with"
    if noise_by(readings):
        return "train longer, or another recipe: nothing is learnt yet"
    if collapse_by(readings):
        return "train with another recipe or more regularisation: it repeats itself"
    if copies_by(readings):
        return "gancore neighbours MODEL shows what is copied; train less, or on more"
    if told_from_real(readings) is False:
        return "look and listen: these figures cannot tell it from real rows"
    return "train longer, and compare recipes: gancore compare"


def number(value: float | None) -> str:
    """Three significant figures, ``1,399`` from a thousand on."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


def accuracy(told: Mapping[str, Any], split: str) -> str:
    """``right on 98.7 % of 302 rows of test (96.6 to 99.6)``"""
    value, low, high = (100 * told[name] for name in ("value", "low", "high"))
    return f"right on {value:.1f} % of {told['n']:,} rows of {split} ({low:.1f} to {high:.1f})"
