"""Charts as SVG text: training curves and intervals with controls. Colours are CSS classes of the page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from gancore.comparison.formatting import format_number

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 480, 290, 64, 14, 12, 44
ROW_HEIGHT, LABEL_WIDTH = 26, 120
STYLES = 8
"""Number of colours."""
LOG_RATIO = 8.0
"""The axis is logarithmic if the largest value divided by the smallest exceeds this."""


@dataclass(frozen=True)
class Line:
    """The curve of one trial; ``index``, the number of its recipe, selects colour and marker."""

    label: str
    index: int
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """Maps values to positions between ``start`` and ``stop``."""

    low: float
    high: float
    start: float
    stop: float
    logarithmic: bool = False

    @classmethod
    def spanning(
        cls,
        values: Sequence[float],
        start: float,
        stop: float,
        can_be_logarithmic: bool,
        from_zero: bool = False,
    ) -> Axis:
        """An axis over all values with a margin; logarithmic if they are positive and far apart."""
        low, high = (0.0 if from_zero else min(values)), max(values)
        if can_be_logarithmic and low > 0 and high / low > LOG_RATIO:
            return cls(low / 1.2, high * 1.2, start, stop, True)
        margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
        return cls(low if from_zero else low - margin, high + margin, start, stop)

    def position(self, value: float) -> float:
        low, high, value = (
            (math.log(x) for x in (self.low, self.high, value))
            if self.logarithmic
            else (self.low, self.high, value)
        )
        return self.start + (value - low) / (high - low) * (self.stop - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """Round values along the axis."""
        return self._log_ticks() if self.logarithmic else self._linear_ticks(count)

    def _linear_ticks(self, count: int) -> list[float]:
        rough = (self.high - self.low) / count
        size = 10.0 ** math.floor(math.log10(rough))
        step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(number * step, 12) for number in range(first, last + 1)]

    def _log_ticks(self) -> list[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        factors = (1,) if last - first > 2 else (1, 2, 5)
        every = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
        within = [value for value in every if self.low <= value <= self.high]
        return within[:: max(1, math.ceil(len(within) / 6))]


@dataclass(frozen=True)
class Border:
    """Where a part of the x axis begins, and its name."""

    x: float
    name: str


def line_chart(lines: Sequence[Line], x_label: str, y_label: str, borders: Sequence[Border] = ()) -> str:
    """A chart of the values of every trial against ``x_label``; empty text if there are no values."""
    points = [point for line in lines for point in line.points]
    if not points:
        return ""
    x = Axis.spanning([p[0] for p in points], LEFT, WIDTH - RIGHT, False, from_zero=True)
    y = Axis.spanning([p[1] for p in points], HEIGHT - BOTTOM, TOP, True)
    body = [*_grid(x, y), _axis_names(x_label, y_label)]
    for border in borders:
        body.append(_vertical("anchor", x.position(border.x), TOP, HEIGHT - BOTTOM))
        body.append(_text(x.position(border.x) + 4, TOP + 10, _truncated(border.name), "tick", "start"))
    for line in lines:
        positions = [(x.position(a), y.position(b)) for a, b in line.points]
        body.append(f'<g class="c{line.index % STYLES}"><title>{escape(line.label)}</title>')
        body.append(f'<polyline class="line" points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in positions)}"/>')
        body += [marker(line.index, a, b) for a, b in positions]
        body.append("</g>")
    return _svg(HEIGHT, f"{y_label} against {x_label}, by training", body)


def _grid(x: Axis, y: Axis) -> Iterator[str]:
    for value in y.ticks():
        level = y.position(value)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{level:.1f}" y2="{level:.1f}"/>'
        yield _text(LEFT - 6, level + 4, _tick(value), "tick", "end")
    for value in x.ticks(4):
        position = x.position(value)
        yield _vertical("grid", position, TOP, HEIGHT - BOTTOM)
        yield _text(position, HEIGHT - BOTTOM + 16, _tick(value), "tick")


def _axis_names(x_label: str, y_label: str) -> str:
    upright = _text(-(TOP + HEIGHT - BOTTOM) / 2, 13, y_label, "name")
    level = _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_label, "name")
    return f'{level}<g transform="rotate(-90)">{upright}</g>'


def _vertical(kind: str, x: float, top: float, bottom: float) -> str:
    return f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>'


def _text(x: float, y: float, text: str, kind: str, anchor: str = "middle") -> str:
    return f'<text class="{kind}" text-anchor="{anchor}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _tick(value: float) -> str:
    text = format_number(value)
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


@dataclass(frozen=True)
class Row:
    """One recipe by one metric: (value, low, high) of each seed; bounds are None without an interval."""

    label: str
    index: int
    seeds: Sequence[tuple[float, float | None, float | None]]


def interval_chart(rows: Sequence[Row], controls: Mapping[str, float], title: str) -> str:
    """A chart of values with 95 % intervals over samples, one line for each seed, and of the controls."""
    numbers = [x for row in rows for seed in row.seeds for x in seed if x is not None and math.isfinite(x)]
    if not numbers:
        return ""
    in_range = _controls_in_range(controls, numbers)
    x = Axis.spanning([*numbers, *in_range.values()], LABEL_WIDTH, WIDTH - RIGHT, True)
    names, top = _control_labels(in_range, x)
    bottom = top + 4 + ROW_HEIGHT * len(rows)
    body = [*_x_axis(x, top, bottom, title), *names]
    body += [_vertical("anchor", x.position(value), top, bottom) for value in in_range.values()]
    for number, row in enumerate(rows):
        body += _interval_row(row, x, top + 4 + ROW_HEIGHT * number)
    return _svg(bottom + 40, f"{title}: intervals over samples", body)


def _control_labels(in_range: Mapping[str, float], x: Axis) -> tuple[list[str], float]:
    """Labels of the controls, stacked if they would overlap, and the y position at which the rows start."""
    names, ends = [], [-math.inf] * max(1, len(in_range))
    for control, value in sorted(in_range.items(), key=lambda item: x.position(item[1])):
        position, width = x.position(value), 6.5 * len(control)
        left = min(max(position - width / 2, LABEL_WIDTH), WIDTH - RIGHT - width)
        line = next(number for number, end in enumerate(ends) if left > end + 4)
        ends[line] = left + width
        names.append(_text(left, 11 + 13 * line, control, "tick", "start"))
    used = sum(end > -math.inf for end in ends)
    return names, 3 + 13 * used


def _controls_in_range(controls: Mapping[str, float], numbers: Sequence[float]) -> dict[str, float]:
    """The controls that are close enough to the values to keep the chart readable."""
    low, high = min(numbers), max(numbers)
    width = max(high - low, 0.05 * max(abs(low), abs(high)))
    positive = low > 0 and all(value > 0 for value in controls.values())
    in_range = {}
    for control, value in controls.items():
        far = max(low - value, value - high) > 3 * width
        if math.isfinite(value) and not (far and not (positive and low / 50 < value < high * 50)):
            in_range[control] = value
    return in_range


def _x_axis(x: Axis, top: float, bottom: float, title: str) -> Iterator[str]:
    for value in x.ticks(5):
        position = x.position(value)
        yield _vertical("grid", position, top, bottom)
        yield _text(position, bottom + 15, _tick(value), "tick")
    yield _text((LABEL_WIDTH + WIDTH - RIGHT) / 2, bottom + 34, title, "name")


def _interval_row(row: Row, x: Axis, top: float) -> Iterator[str]:
    middle = top + ROW_HEIGHT / 2
    yield _text(LABEL_WIDTH - 10, middle + 4, _truncated(row.label), "label", "end")
    yield f'<g class="c{row.index % STYLES}">'
    step = min(7.0, (ROW_HEIGHT - 8) / max(1, len(row.seeds)))
    for number, (value, low, high) in enumerate(row.seeds):
        if not math.isfinite(value):
            continue
        y = middle + (number - (len(row.seeds) - 1) / 2) * step
        if low is not None and high is not None and math.isfinite(low) and math.isfinite(high):
            ends = f'x1="{x.position(low):.1f}" x2="{x.position(high):.1f}"'
            yield f'<line class="interval" {ends} y1="{y:.1f}" y2="{y:.1f}"/>'
        yield marker(row.index, x.position(value), y)
    yield "</g>"


@dataclass(frozen=True)
class Point:
    """(value, low, high) across and upwards, with a label beside it; bounds are None if there are none."""

    x: tuple[float, float | None, float | None]
    y: tuple[float, float | None, float | None]
    label: str = ""

    def numbers(self, axis: Literal["x", "y"]) -> list[float]:
        """The finite ones."""
        return [one for one in getattr(self, axis) if one is not None and math.isfinite(one)]


@dataclass(frozen=True)
class PointLine:
    """The points of one trial in their order; ``index`` is that of its recipe."""

    label: str
    index: int
    points: Sequence[Point]


def points_chart(
    lines: Sequence[PointLine],
    controls: Mapping[str, tuple[float, float]],
    axis_names: tuple[str, str],
    reversed_axes: tuple[bool, bool],
) -> str:
    """Points with intervals both ways, joined in their order; controls in range are crosses with names.

    ``reversed_axes``: smaller values are to the right, or above. Empty without finite points.
    """
    points = [point for line in lines for point in line.points if point.numbers("x") and point.numbers("y")]
    if not points:
        return ""
    columns = [[number for point in points for number in point.numbers(axis)] for axis in ("x", "y")]
    shown = {name: pair for name, pair in controls.items() if all(map(_is_near, pair, columns))}
    x, y = (
        Axis.spanning([*column, *(pair[number] for pair in shown.values())], start, stop, False)
        for number, (column, (start, stop)) in enumerate(
            zip(columns, _ends(reversed_axes, HEIGHT - BOTTOM), strict=True)
        )
    )
    body = [*_grid(x, y), _axis_names(*axis_names)]
    body += [part for line in lines for part in _point_line(line, x, y)]
    for name, (across, up) in shown.items():
        body += _cross(name, x.position(across), y.position(up))
    return _svg(HEIGHT, f"{axis_names[1]} against {axis_names[0]}", body)


def _is_near(value: float, numbers: Sequence[float]) -> bool:
    """Whether a linear axis can show the value and leave the numbers readable."""
    low, high = min(numbers), max(numbers)
    return math.isfinite(value) and max(low - value, value - high) <= (high - low or abs(high))


def _ends(reversed_axes: tuple[bool, bool], bottom: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where both axes begin and end."""
    across, up = (LEFT, WIDTH - RIGHT), (bottom, TOP)
    return across[::-1] if reversed_axes[0] else across, up[::-1] if reversed_axes[1] else up


def _point_line(line: PointLine, x: Axis, y: Axis) -> Iterator[str]:
    yield f'<g class="c{line.index % STYLES}"><title>{escape(line.label)}</title>'
    drawn = [point for point in line.points if math.isfinite(point.x[0]) and math.isfinite(point.y[0])]
    places = [(x.position(point.x[0]), y.position(point.y[0])) for point in drawn]
    yield f'<polyline class="line" points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in places)}"/>'
    for point, (a, b) in zip(drawn, places, strict=True):
        ends = [x.position(number) for number in point.numbers("x")]
        yield f'<line class="whisker" x1="{min(ends):.1f}" x2="{max(ends):.1f}" y1="{b:.1f}" y2="{b:.1f}"/>'
        ends = [y.position(number) for number in point.numbers("y")]
        yield f'<line class="whisker" x1="{a:.1f}" x2="{a:.1f}" y1="{min(ends):.1f}" y2="{max(ends):.1f}"/>'
        yield marker(line.index, a, b)
        if point.label:
            yield _text(a + 6, b - 6, point.label, "tick", "start")
    yield "</g>"


def _cross(name: str, a: float, b: float) -> Iterator[str]:
    yield f'<path class="cross" d="M{a - 5:.1f},{b:.1f}h10M{a:.1f},{b - 5:.1f}v10"/>'
    anchor = "end" if a > WIDTH / 2 else "start"
    yield _text(a - 7 if anchor == "end" else a + 7, b + 13, name, "tick", anchor)


def _truncated(text: str, most: int = 16) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def marker(index: int, x: float, y: float, size: float = 3.6) -> str:
    """The marker of a recipe (circle, square, ...), which distinguishes recipes without colours."""
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


def legend_marker(index: int) -> str:
    """The marker of a recipe, for the legend and for headings."""
    drawn = marker(index, 7, 7, 4.4)
    return f'<svg class="key c{index % STYLES}" viewBox="0 0 14 14" aria-hidden="true">{drawn}</svg>'


def _svg(height: float, title: str, body: Sequence[str]) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"{''.join(body)}</svg>"
    )
