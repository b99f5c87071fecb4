"""What a comparison finds before its first training: the data, the machine, the versions."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from gancore import __version__, api
from gancore.comparison.asked import REAL, Asked
from gancore.comparison.choosing import choice
from gancore.comparison.folder import ComparisonFolder, Entrant, read_json, write_json
from gancore.comparison.showing import write_beside
from gancore.comparison.tradeoffs import Subject
from gancore.config import RunConfig
from gancore.data.sources import resolve
from gancore.domain import Data, Domain, Samples, Spec, View
from gancore.errors import ConfigError, DataError, nearest, printable
from gancore.evaluation.catalogue import features_for, measures_for, resolve_measures
from gancore.models.model import build_game
from gancore.models.sampling import to_cpu
from gancore.plugins import plugins
from gancore.runtime.device import resolve_device
from gancore.runtime.randomness import Key, Rows

LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn")


def open_data(folder: ComparisonFolder, asked: Asked, everyone: Sequence[Entrant], root: Path | None) -> None:
    """Open what all are trained on, note what it is, and write some rows of test beside the samples to come.

    Raises:
        DataError: they cannot be read, or are not those that the comparison began with.
        ConfigError: ``--select`` names no measure that can choose among these here.
    """
    domain = plugins().domain(asked.domain)
    source, licence, data = _opened(domain, everyone[0].config, root)
    if before := read_json(folder.about):
        if before["data"]["fingerprint"] != data.fingerprint:
            raise DataError(
                "the data changed since this comparison began", "restore them, or begin a new one"
            )
        return
    _check_measures(asked, domain, data.spec)
    shown = min(domain.shown(data.spec), len(_view(data.test)))
    found = {
        "data": _facts(data, source, licence),
        "headline": domain.headline,
        **choice(asked, domain, data.spec, _view(data.valid), everyone),
        "shown": shown,
        "machine": machine(asked.device),
        "versions": versions(),
    }
    _write_real(folder, domain, data, shown, asked.evaluation_seed)
    write_json(folder.about, found)


def _opened(domain: Domain, config: RunConfig, root: Path | None) -> tuple[str, str, Data]:
    source = resolve(config.data.source, domain.sources, root, _say)
    data = domain.open(replace(source, announce=_say), config.data)
    for name in ("train", "valid", "test"):
        if not len(_view(getattr(data, name))):
            raise DataError(f"no row is left for {name}", "add data, or loosen what data.* leaves out")
    return source.name, source.entry.licence if source.entry else "", data


def _say(line: str) -> None:
    print(printable(line), flush=True)


def _view(views: View | Mapping[str, View]) -> View:
    return next(iter(views.values())) if isinstance(views, Mapping) else views


def _facts(data: Data, source: str, licence: str) -> dict[str, Any]:
    named = {split: list(names) for split, names in data.splits.items()}
    return {
        "source": source,
        "licence": licence,
        "fingerprint": data.fingerprint,
        "contract": list(data.contract),
        "rows": {name: len(_view(getattr(data, name))) for name in ("train", "valid", "test")},
        "splits_sha256": hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest(),
        "classes": list(data.spec.get("classes") or []),
    }


def _check_measures(asked: Asked, domain: Domain, spec: Spec) -> None:
    """Now, and not when all is trained. Raises ConfigError on a name of no measure or no features here."""
    resolve_measures(measures_for(domain, spec, _say), asked.measures, _say)
    known = features_for(domain, spec, _say)
    if asked.features is not None and asked.features not in known:
        message = f"no features {asked.features!r} for these data"
        raise ConfigError(message, nearest(asked.features, known))


def _write_real(folder: ComparisonFolder, domain: Domain, data: Data, shown: int, seed: int) -> None:
    """Rows of test, drawn and not chosen."""
    view, key = _view(data.test), Key.of("shown", seed)
    rows = (key / "rows").permutation(len(view))[:shown]
    batch = view.take(rows, (key / "take").cut(Rows.all(shown)))
    samples = Samples(to_cpu(batch.data), data.spec, to_cpu(batch.condition))
    write_beside(folder.samples(REAL), domain, samples, seed, data.fingerprint)


def subject_of(folder: ComparisonFolder, asked: Asked, entrant: Entrant, root: Path | None) -> Subject:
    """A trained model with its game built anew, and the data that it was trained on."""
    model = api.load(folder.run(entrant).path, asked.device)
    _, recipe = plugins().recipe(model.domain, entrant.recipe)
    game = build_game(recipe, entrant.config.model, model.spec, entrant.seed)
    _, _, data = _opened(model.domain, entrant.config, root)
    return Subject(model, game, recipe, entrant.config.model, data)


def machine(device: str) -> str:
    """``CPU, 2 threads``, or the name of the accelerator."""
    found = resolve_device(device)
    if found.type == "cuda":
        return f"{torch.cuda.get_device_name(found)}, {torch.get_num_threads()} CPU threads"
    threads = torch.get_num_threads()
    name = "CPU" if found.type == "cpu" else found.type.upper()
    return f"{name}, {threads} thread{'s' * (threads > 1)} of {os.cpu_count()} cores"


def versions() -> dict[str, str]:
    """Of gancore, of the plugins that took part, and of what computes."""
    told = {"gancore": __version__, "python": platform.python_version()}
    told |= {name: metadata.version(name) for name in LIBRARIES}
    plugged = (plugin for plugin in plugins().listing() if plugin.distribution)
    return told | {plugin.distribution: plugin.version for plugin in plugged}
