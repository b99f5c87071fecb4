"""Where series come from: tide gauges that are computed, and other people's tables."""

import io

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from gancore import DataError
from gancore.data import read_regular

CHANNELS, HOURS = ["level (m)", "pressure (hPa)", "temperature (degC)"], 17_532
# M2, S2, N2, K2 and K1, O1, P1, Q1: periods in hours, and amplitudes over that of M2 and of K1 in the
# equilibrium tide (Cartwright and Edden 1973). The first four rise twice a day, the others once.
PERIODS = 12.4206012, 12, 12.65834751, 11.96723606, 23.93447213, 25.81933871, 24.06588766, 26.86835
SHARES = 1, 0.466, 0.191, 0.127, 1, 0.710, 0.331, 0.136


def weather(rng, days, deviation):
    """Smooth noise, (HOURS): autoregressive of second order, both roots at exp(-1 / (24 days))."""
    root = np.exp(-1 / (24 * days))
    noise = lfilter([1], [1, -2 * root, root**2], rng.standard_normal(HOURS + 2000))[2000:]
    return deviation * noise * ((1 - root**2) ** 3 / (1 + root**2)) ** 0.5


def gauge(number):
    """A gauge, (HOURS, 3): a tide of its own amplitudes and lags, surge, seasons, days and weather."""
    rng, hour = np.random.default_rng(number), np.arange(HOURS)
    amplitudes = np.repeat(rng.lognormal(np.log([0.8, 0.3]), 0.6), 4) * SHARES * rng.lognormal(0, 0.15, 8)
    tide = np.cos(2 * np.pi * hour[:, None] / PERIODS - rng.uniform(0, 2 * np.pi, 8)) @ amplitudes
    year, day = np.cos(2 * np.pi * (hour - 4800) / 8766), np.cos(2 * np.pi * (hour - 15) / 24)
    seasons = rng.normal(11, 3) + rng.uniform(4, 8) * year + rng.uniform(1, 4) * day
    pressure, surge, air = weather(rng, 1.0, 9.0), weather(rng, 0.4, 0.08), weather(rng, 1.5, 2.5)
    # the inverse barometer: 1 hPa more presses the water down by 1 cm
    return np.stack([tide + surge - 0.00995 * pressure, 1013 + pressure, seasons + air], axis=1)


def read_tables(path, config):
    """Names of the columns of all files, the rows (rows, columns) of each file, and what is left out."""
    notes, files = [], sorted(path.rglob("*.[ct]sv")) if path.is_dir() else [path]
    tables = [read_table(file, config, notes) for file in files]
    shared = [name for name in (tables or [{}])[0] if all(name in table for table in tables)]
    notes += sorted({f"left out: {n}: not in all files" for t in tables for n in t if n not in shared})
    if not shared:
        raise DataError(f"{path}: the tables share no column", "; ".join(notes) or "give .csv or .tsv files")
    return shared, [table[shared].to_numpy(dtype=float) for table in tables], notes


def read_table(path, config, notes):
    """The columns of numbers that vary. A word, a torn line and a long gap are NaN."""
    text = read_regular(path, 2**30).decode("utf-8-sig", errors="replace")
    lines = [line for line in text.splitlines() if line.strip(" ;,\t") and line[0] != "#"] or ["(empty)"]
    mark = next((mark for mark in ";\t" if mark in lines[0]), ",")
    torn = {"on_bad_lines": lambda row: [""], "engine": "python", "index_col": False}
    words = pd.read_csv(io.StringIO("\n".join(lines)), sep=mark, dtype=str, na_filter=False, **torn)
    words = words.apply(lambda column: column.fillna("").str.strip()).rename(columns=str.strip)
    table = words if mark == "," else words.apply(lambda column: column.str.replace(",", "."))
    table = table.apply(pd.to_numeric, errors="coerce").astype(float).replace(config.missing, np.nan)
    for name in words:
        is_text = (table[name].isna() & (words[name] != "")).mean() > 0.5
        if is_text or not table[name].diff().std() > 0:
            notes.append(f"left out: {name} of {path.name}: {'no numbers' if is_text else 'constant steps'}")
            del table[name]
    return table.interpolate(limit=config.max_gap, limit_area="inside")
