"""Tables of an evaluation: figures that a domain puts side by side, beside the metrics. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from gancore.errors import GancoreError, describe_error
from gancore.text import escape_control

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from gancore.domain import Domain
    from gancore.evaluation.result import MetricResult
    from gancore.metrics.metric import MetricInputs
    from gancore.progress import Announce

MISSING = "\N{EN DASH}"
"""Text of a figure that is not known."""


@dataclass(frozen=True)
class TableRow:
    """A row of figures; None: not known. The row of the model itself has no name."""

    name: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class Table:
    """Figures side by side. ``note``: what they are, and of what, in a few lines.

    ``reference``: rows that do not depend on the model, such as that of the training data; of several models
    they are shown once. ``rows``: those of the model, its own first, then what it is to be read beside.
    """

    title: str
    note: str
    columns: Sequence[str]
    reference: Sequence[TableRow]
    rows: Sequence[TableRow]

    def __post_init__(self) -> None:
        if any(len(row.values) != len(self.columns) for row in (*self.reference, *self.rows)):
            raise ValueError(f"a row of the table {self.title!r} has not {len(self.columns)} values")

    def to_json(self) -> dict[str, Any]:
        rows = {name: [asdict(row) for row in getattr(self, name)] for name in ("reference", "rows")}
        return {"title": self.title, "note": self.note, "columns": list(self.columns), **rows}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Table:
        """Raises ValueError, TypeError or KeyError: it is no table."""
        title, note, columns = (content[name] for name in ("title", "note", "columns"))
        rows = [[_row(row) for row in content[name]] for name in ("reference", "rows")]
        if not all(isinstance(text, str) for text in (title, note, *columns)):
            raise TypeError("the texts of a table are no texts")
        return cls(title, note, tuple(columns), *map(tuple, rows))

    def named_rows(self, model: str) -> list[TableRow]:
        """All rows; that of the model has its name."""
        own = [TableRow(row.name or model, row.values) for row in self.rows]
        return [*self.reference, *own]


def _row(content: Mapping[str, Any]) -> TableRow:
    values = tuple(content["values"])
    if not isinstance(content["name"], str) or not all(
        isinstance(v, (int, float, type(None))) for v in values
    ):
        raise TypeError("a row of a table has other content than figures")
    return TableRow(content["name"], values)


def make_tables(
    domain: Domain, inputs: MetricInputs, results: Sequence[MetricResult], announce: Announce
) -> tuple[Table, ...]:
    """The domain's tables; those that fail are left out, and the reason is announced."""
    try:
        return tuple(domain.tables(inputs, results))
    except GancoreError as error:
        announce(f"tables of {domain.name} left out: {error}")
    except Exception as error:
        announce(f"tables of {domain.name} left out: {describe_error(error)}")
    return ()


def merge_tables(tables: Mapping[str, Sequence[Table]]) -> list[Table]:
    """One table for each title, with the rows of all models, whose names ``tables`` has.

    Its columns are those of the table that has most, then what others have besides.
    """
    by_title: dict[str, list[tuple[str, Table]]] = {}
    for model, several in tables.items():
        for table in several:
            by_title.setdefault(table.title, []).append((model, table))
    return [_merge(named) for named in by_title.values()]


def _merge(named: Sequence[tuple[str, Table]]) -> Table:
    widest = max((table for _, table in named), key=lambda table: len(table.columns))
    columns = list(dict.fromkeys([*widest.columns, *(name for _, one in named for name in one.columns)]))
    rows = [
        _with_columns(TableRow(row.name or model, row.values), table.columns, columns)
        for model, table in named
        for row in table.rows
    ]
    reference = [_with_columns(row, widest.columns, columns) for row in widest.reference]
    return Table(widest.title, widest.note, columns, reference, rows)


def _with_columns(row: TableRow, own: Sequence[str], columns: Sequence[str]) -> TableRow:
    values = dict(zip(own, row.values, strict=True))
    return TableRow(row.name, [values.get(column) for column in columns])


def to_markdown(table: Table, model: str) -> str:
    """A table with a line for each of its columns, under its title and above its note."""
    rows = table.named_rows(model)
    lines = [f"| | {' | '.join(row.name for row in rows)} |", f"|---|{'---|' * len(rows)}"]
    for at, column in enumerate(table.columns):
        lines.append(f"| {column} | {' | '.join(_figures(rows, at))} |")
    return "\n".join([f"### {table.title}", "", *lines, "", table.note])


def to_rich(table: Table, model: str) -> RichTable:
    """The same for a terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as RichTable
    from rich.text import Text

    rows = table.named_rows(model)
    made = RichTable(
        box=SIMPLE_HEAD, title=Text(escape_control(table.title)), title_justify="left", pad_edge=False
    )
    made.add_column("")
    for row in rows:
        made.add_column(Text(escape_control(row.name)), justify="right", overflow="fold")
    for at, column in enumerate(table.columns):
        made.add_row(*(Text(escape_control(text)) for text in (column, *_figures(rows, at))))
    return made


def _figures(rows: Sequence[TableRow], at: int) -> list[str]:
    return [format_figure(row.values[at]) for row in rows]


def format_figure(value: float | None) -> str:
    """Three significant figures, all of whole thousands; a dash for None."""
    if value is None or value != value:
        return MISSING
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"
