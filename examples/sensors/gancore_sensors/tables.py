"""Other people's tables: a measurement a line, a channel a column."""

import csv

import numpy as np
import pandas as pd

from gancore import DataError
from gancore.data import list_files, read_regular


def read_tables(path, config, notes):
    """The rows (rows, columns) of each file, NaN where a number is missing, and the columns of all files."""
    names = [n for n in list_files(path).names if n.lower().endswith((".csv", ".tsv", ".txt"))]
    tables = [read_table(path / n, config, notes) for n in (names if path.is_dir() else [""])]
    every = dict.fromkeys(name for table in tables for name in table)
    shared = [name for name in every if all(name in table for table in tables)]
    notes += [f"left out: {name}: not in all files" for name in every if name not in shared]
    if not shared:
        raise DataError(f"no column of numbers in all {len(tables)} tables of {path}", "; ".join(notes))
    return [table[shared].to_numpy(dtype=float) for table in tables], shared


def read_table(path, config, notes):
    """The columns of numbers that vary. A torn line, a word and a long gap are NaN."""
    text = read_regular(path, 2**30).decode("utf-8-sig", errors="replace")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")] or [""]
    mark = next((mark for mark in ";\t" if mark in lines[0]), ",")
    head, *rows = ([cell.strip() for cell in row] for row in csv.reader(lines, delimiter=mark))
    head = [f"{name} {at + 1}" if name in head[:at] else name for at, name in enumerate(head)]
    whole = [row if len(row) == len(head) else [""] * len(head) for row in rows]
    words = pd.DataFrame(whole, columns=head, dtype=str)
    table = words if mark == "," else words.apply(lambda column: column.str.replace(",", "."))
    table = table.apply(pd.to_numeric, errors="coerce").replace([np.inf, -np.inf, *config.missing], np.nan)
    for name in words:
        is_text = (table[name].isna() & (words[name] != "")).mean() > 0.5
        if is_text or not table[name].diff().std() > 0:
            notes.append(f"left out: {name} of {path.name}: {'no numbers' if is_text else 'constant steps'}")
            del table[name]
    gaps = table.apply(lambda column: column.isna().groupby(column.notna().cumsum()).transform("sum"))
    return table.interpolate(limit_area="inside").where(table.notna() | (gaps <= config.max_gap))
