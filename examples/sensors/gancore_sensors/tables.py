"""Other people's tables: a measurement a line, a channel a column."""

import io

import numpy as np
import pandas as pd

from gancore import DataError
from gancore.data import list_files, read_regular


def read_tables(path, config):
    """Names of the columns of all files, the rows (rows, columns) of each file, and what is left out."""
    names = [n for n in list_files(path).names if n.lower().endswith((".csv", ".tsv", ".txt"))]
    notes, files = [], [path / name for name in names] if path.is_dir() else [path]
    tables = [read_table(file, config, notes) for file in files]
    every = dict.fromkeys(name for table in tables for name in table)
    shared = [name for name in every if all(name in table for table in tables)]
    notes += [f"left out: {name}: not in all files" for name in every if name not in shared]
    if not shared:
        raise DataError(f"no column of numbers in all {len(files)} tables of {path}", "; ".join(notes))
    return shared, [table[shared].to_numpy(dtype=float) for table in tables], notes


def read_table(path, config, notes):
    """The columns of numbers that vary. A word, a torn line and a long gap are NaN."""
    text = read_regular(path, 2**30).decode("utf-8-sig", errors="replace")
    mark = next((mark for mark in ";\t" if text.count(mark) > text.count("\n") / 2), ",")
    torn = {"on_bad_lines": lambda row: [""], "engine": "python", "index_col": False}
    words = pd.read_csv(io.StringIO(text), sep=mark, dtype=str, comment="#", na_filter=False, **torn)
    words = words.apply(lambda column: column.fillna("").str.strip()).rename(columns=str.strip)
    table = words if mark == "," else words.apply(lambda column: column.str.replace(",", "."))
    table = table.apply(pd.to_numeric, errors="coerce").replace([np.inf, -np.inf, *config.missing], np.nan)
    for name in words:
        is_text = (table[name].isna() & (words[name] != "")).mean() > 0.5
        if is_text or not table[name].diff().std() > 0:
            notes.append(f"left out: {name} of {path.name}: {'no numbers' if is_text else 'constant steps'}")
            del table[name]
    gaps = table.apply(lambda column: column.isna().groupby(column.notna().cumsum()).transform("sum"))
    return table.interpolate(limit_area="inside").where(table.notna() | (gaps <= config.max_gap))
