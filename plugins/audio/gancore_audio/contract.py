"""The data contract: what was found, what was made of it, and what was left out, in plain lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from gancore.data.inventory import other_kinds_lines
from gancore.data.labels import Labels
from gancore.data.refusal import Refusal, refusal_lines
from gancore.data.splits import SPLITS, Split
from gancore.domain import Source
from gancore.texts import counted
from gancore_audio.cache import Cache
from gancore_audio.cutting import Window
from gancore_audio.windows import ClipView

TOLD = 0.005
"""The least share of nearly silent windows that is told."""


@dataclass(frozen=True)
class Account:
    """All that the contract tells of."""

    source: Source
    cache: Cache
    clips: Sequence[int]
    """Of each clip that is used its item of the cache; equal clips share one."""
    splits: Sequence[Split]
    lengths: Tensor
    views: Mapping[str, ClipView]
    classes: Sequence[str]
    labels: Labels
    skipped: Sequence[Refusal]
    others: Counter[str]
    rate_hz: int
    length: int
    window: Window


def data_contract(account: Account) -> list[str]:
    """Lines for the user: clips, seconds, rate, peak, labels, windows, padding, splits, what was skipped."""
    return [
        _what(account),
        _how(account),
        _level(account),
        account.labels.line(account.classes),
        _windows(account),
        *_cuts(account),
        _splits(account),
        *other_kinds_lines(account.others),
        *_skipped(account),
    ]


def _what(account: Account) -> str:
    seconds, count = int(account.lengths.sum()) / account.rate_hz, len(account.clips)
    distinct = len(set(account.clips))
    copies = f" ({distinct:,} distinct)" if distinct < count else ""
    licence = f", licence {account.source.entry.licence}" if account.source.entry else ""
    return f"data: {account.source.name}, {counted(count, 'clip')}{copies}, {_duration(seconds)}{licence}"


def _how(account: Account) -> str:
    kept = f"{account.cache.packed.megabytes:,.1f} MiB in the cache"
    return f"rate: {account.rate_hz:,} Hz, 1 channel (mean), int16, {kept}"


def _level(account: Account) -> str:
    peaks = 20 * np.log10(np.asarray(account.cache.table.peaks).clip(1e-9))
    loud = int((peaks > -0.01).sum())
    return (
        f"peak: median {np.median(peaks):.1f} dB, from {peaks.min():.1f} to {peaks.max():.1f} dB, "
        f"{counted(loud, 'clip')} at or above full scale; before preparation"
    )


def _windows(account: Account) -> str:
    fits = float((account.lengths <= account.length).float().mean())
    seconds = account.length / account.rate_hz
    return (
        f"windows: {account.length:,} samples ({seconds:.3g} s), {fits:.0%} of the clips fit in one; "
        f"padding {padding_share(account.views['train']):.0%}"
    )


def _cuts(account: Account) -> list[str]:
    """Where windows are cut from clips that are longer, and how many are nearly silent."""
    cuts = [view.cuts for view in account.views.values()]
    counts = ((c.longer, c.at_start, c.looked_at, c.quiet_starts) for c in cuts)
    longer, at_start, looked_at, quiet_starts = map(sum, zip(*counts, strict=True))
    if not longer:
        return []
    where = [f"{at_start:,} at their start"] if at_start else []
    where += [f"{longer - at_start:,} anywhere"] if at_start < longer else []
    told = [f"cuts: of {counted(longer, 'clip')} longer than a window {' and '.join(where)}"]
    share = account.views["train"].cuts.quiet
    of, about = (f" of the {looked_at:,} looked at", "about ") if looked_at < longer else ("", "")
    if account.window == "start" and quiet_starts:
        silent = f"{counted(quiet_starts, 'window')}{of} nearly silent"
        told.append(f"{silent}; data.window=auto cuts where something is heard")
    elif account.window == "random" and share >= TOLD:
        told.append(f"{about}{share:.0%} of the windows are nearly silent; data.window=auto leaves them out")
    elif account.window == "auto" and share >= TOLD and at_start < longer:
        told.append("near silence is left out")
    return ["; ".join(told)]


def padding_share(view: ClipView) -> float:
    """The mean share of a window that is filled up with zeros."""
    lengths = view.packed.lengths[view.cuts.clips].clamp(max=view.length)
    return 1.0 - float(lengths.double().mean()) / view.length


def _splits(account: Account) -> str:
    windows = {split: counted(len(account.views[split]), "window") for split in SPLITS}
    counts = (f"{account.splits.count(split):,} {split} ({windows[split]})" for split in SPLITS)
    return f"splits: {', '.join(counts)}"


def _skipped(account: Account) -> list[str]:
    silent = sum("silent" in reason for _, reason in account.skipped)
    heading = f"{len(account.skipped):,} files, {silent:,} of them silent"
    return refusal_lines(account.skipped, account.cache.folder, heading)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
