"""Charts as SVG text: curves of training, and intervals beside anchors. Colours are classes of the page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from gancore.comparison.words import figure

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 480, 290, 64, 14, 12, 44
ROW, LABELS = 26, 120
KINDS = 8
"""Colours and marks before they begin again."""
WIDE = 8.0
"""Ratio of the largest to the smallest value from which an axis is logarithmic."""


@dataclass(frozen=True)
class Line:
    """One training: ``index`` is that of its recipe, and so its colour and mark."""

    label: str
    index: int
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """From values to places along ``start`` to ``stop``."""

    low: float
    high: float
    start: float
    stop: float
    logarithmic: bool = False

    @classmethod
    def over(
        cls,
        values: Sequence[float],
        start: float,
        stop: float,
        can_be_logarithmic: bool,
        from_zero: bool = False,
    ) -> Axis:
        """Over all values with a margin; logarithmic where they are positive and far apart."""
        low, high = (0.0 if from_zero else min(values)), max(values)
        if can_be_logarithmic and low > 0 and high / low > WIDE:
            return cls(low / 1.2, high * 1.2, start, stop, True)
        margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
        return cls(low if from_zero else low - margin, high + margin, start, stop)

    def __call__(self, value: float) -> float:
        low, high, value = (
            (math.log(x) for x in (self.low, self.high, value))
            if self.logarithmic
            else (self.low, self.high, value)
        )
        return self.start + (value - low) / (high - low) * (self.stop - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """Round values along the axis."""
        return self._decades() if self.logarithmic else self._round(count)

    def _round(self, count: int) -> list[float]:
        rough = (self.high - self.low) / count
        size = 10.0 ** math.floor(math.log10(rough))
        step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(number * step, 12) for number in range(first, last + 1)]

    def _decades(self) -> list[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        factors = (1,) if last - first > 2 else (1, 2, 5)
        every = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
        within = [value for value in every if self.low <= value <= self.high]
        return within[:: max(1, math.ceil(len(within) / 6))]


def curves(lines: Sequence[Line], across: str, up: str) -> str:
    """Values of every training against ``across``; empty where there are none."""
    points = [point for line in lines for point in line.points]
    if not points:
        return ""
    x = Axis.over([p[0] for p in points], LEFT, WIDTH - RIGHT, False, from_zero=True)
    y = Axis.over([p[1] for p in points], HEIGHT - BOTTOM, TOP, True)
    body = [*_grid(x, y), _axis_names(across, up)]
    for line in lines:
        places = [(x(a), y(b)) for a, b in line.points]
        body.append(f'<g class="c{line.index % KINDS}"><title>{escape(line.label)}</title>')
        body.append(f'<polyline class="line" points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in places)}"/>')
        body += [mark(line.index, a, b) for a, b in places]
        body.append("</g>")
    return _svg(HEIGHT, f"{up} against {across}, by training", body)


def _grid(x: Axis, y: Axis) -> Iterator[str]:
    for value in y.ticks():
        place = y(value)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{place:.1f}" y2="{place:.1f}"/>'
        yield _text(LEFT - 6, place + 4, _tick(value), "tick", "end")
    for value in x.ticks(4):
        place = x(value)
        yield f'<line class="grid" x1="{place:.1f}" x2="{place:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        yield _text(place, HEIGHT - BOTTOM + 16, _tick(value), "tick")


def _axis_names(across: str, up: str) -> str:
    upright = _text(-(TOP + HEIGHT - BOTTOM) / 2, 13, up, "name")
    level = _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, across, "name")
    return f'{level}<g transform="rotate(-90)">{upright}</g>'


def _text(x: float, y: float, text: str, kind: str, anchor: str = "middle") -> str:
    return f'<text class="{kind}" text-anchor="{anchor}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _tick(value: float) -> str:
    text = figure(value)
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


@dataclass(frozen=True)
class Row:
    """One recipe on one measure: (value, low, high) of each seed; bounds are None where there are none."""

    label: str
    index: int
    seeds: Sequence[tuple[float, float | None, float | None]]


def intervals(rows: Sequence[Row], anchors: Mapping[str, float], name: str) -> str:
    """Values with their 95 % intervals over samples, a line a seed; anchors that are near stand as lines."""
    numbers = [x for row in rows for seed in row.seeds for x in seed if x is not None and math.isfinite(x)]
    if not numbers:
        return ""
    near = _near(anchors, numbers)
    x = Axis.over([*numbers, *near.values()], LABELS, WIDTH - RIGHT, True)
    names, top = _anchor_names(near, x)
    bottom = top + 4 + ROW * len(rows)
    body = [*_across(x, top, bottom, name), *names]
    for value in near.values():
        body.append(
            f'<line class="anchor" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{top}" y2="{bottom}"/>'
        )
    for number, row in enumerate(rows):
        body += _row(row, x, top + 4 + ROW * number)
    return _svg(bottom + 40, f"{name}: intervals over samples", body)


def _anchor_names(near: Mapping[str, float], x: Axis) -> tuple[list[str], float]:
    """Above their lines, one below the other where they would meet; and where the rows may begin."""
    names, ends = [], [-math.inf] * max(1, len(near))
    for anchor, value in sorted(near.items(), key=lambda item: x(item[1])):
        place, width = x(value), 6.5 * len(anchor)
        left = min(max(place - width / 2, LABELS), WIDTH - RIGHT - width)
        line = next(number for number, end in enumerate(ends) if left > end + 4)
        ends[line] = left + width
        names.append(_text(left, 11 + 13 * line, anchor, "tick", "start"))
    used = sum(end > -math.inf for end in ends)
    return names, 3 + 13 * used


def _near(anchors: Mapping[str, float], numbers: Sequence[float]) -> dict[str, float]:
    """Those that do not push the models into a corner."""
    low, high = min(numbers), max(numbers)
    width = max(high - low, 0.05 * max(abs(low), abs(high)))
    positive = low > 0 and all(value > 0 for value in anchors.values())
    near = {}
    for anchor, value in anchors.items():
        far = max(low - value, value - high) > 3 * width
        if math.isfinite(value) and not (far and not (positive and low / 50 < value < high * 50)):
            near[anchor] = value
    return near


def _across(x: Axis, top: float, bottom: float, name: str) -> Iterator[str]:
    for value in x.ticks(5):
        place = x(value)
        yield f'<line class="grid" x1="{place:.1f}" x2="{place:.1f}" y1="{top}" y2="{bottom}"/>'
        yield _text(place, bottom + 15, _tick(value), "tick")
    yield _text((LABELS + WIDTH - RIGHT) / 2, bottom + 34, name, "name")


def _row(row: Row, x: Axis, top: float) -> Iterator[str]:
    middle = top + ROW / 2
    yield _text(LABELS - 10, middle + 4, _clipped(row.label), "label", "end")
    yield f'<g class="c{row.index % KINDS}">'
    step = min(7.0, (ROW - 8) / max(1, len(row.seeds)))
    for number, (value, low, high) in enumerate(row.seeds):
        if not math.isfinite(value):
            continue
        y = middle + (number - (len(row.seeds) - 1) / 2) * step
        if low is not None and high is not None and math.isfinite(low) and math.isfinite(high):
            yield f'<line class="interval" x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield mark(row.index, x(value), y)
    yield "</g>"


def _clipped(text: str, most: int = 16) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def mark(index: int, x: float, y: float, size: float = 3.6) -> str:
    """Circle, square, diamond, triangle, ... so that recipes are told apart without colours."""
    corners: tuple[Sequence[tuple[float, float]], ...] = (
        (),
        ((-1, -1), (1, -1), (1, 1), (-1, 1)),
        ((0, -1.4), (1.4, 0), (0, 1.4), (-1.4, 0)),
        ((0, -1.3), (1.3, 1), (-1.3, 1)),
        ((0, 1.3), (1.3, -1), (-1.3, -1)),
    )
    shape = corners[index % len(corners)]
    if not shape:
        return f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="{size}"/>'
    points = " ".join(f"{x + size * across:.1f},{y + size * down:.1f}" for across, down in shape)
    return f'<polygon class="mark" points="{points}"/>'


def key(index: int) -> str:
    """The mark of a recipe, for the legend and for headings."""
    drawn = mark(index, 7, 7, 4.4)
    return f'<svg class="key c{index % KINDS}" viewBox="0 0 14 14" aria-hidden="true">{drawn}</svg>'


def _svg(height: float, title: str, body: Sequence[str]) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"{''.join(body)}</svg>"
    )
