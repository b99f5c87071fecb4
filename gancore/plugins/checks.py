"""What a registration hook may return: records of its kind, of this API, that can be found by their name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from itertools import islice

from gancore import records
from gancore.plugins.faults import Fault, Origin
from gancore.records import API, Entry

REGISTRATIONS: Mapping[str, type[Entry]] = {
    "gancore_domains": records.DomainEntry,
    "gancore_recipes": records.RecipeEntry,
    "gancore_losses": records.LossEntry,
    "gancore_remedies": records.RemedyEntry,
    "gancore_dynamics": records.DynamicsEntry,
    "gancore_measures": records.MeasureEntry,
    "gancore_features": records.FeaturesEntry,
    "gancore_models": records.ModelEntry,
    "gancore_loggers": records.LoggerEntry,
    "gancore_experiments": records.ExperimentEntry,
    "gancore_cli": records.CommandEntry,
}
"""Registration hooks and the kind of record that each returns."""

MOST_RECORDS = 1000
"""That one hook of one plugin may return: a generator could go on for ever."""

REFERENCE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
"""``package.module:Object``"""


def sort_records(hook: str, returned: object, origin: Origin) -> tuple[list[Entry], list[Fault]]:
    """The good records that ``hook`` returned, and a fault for each other one."""
    kind = REGISTRATIONS[hook]
    if isinstance(returned, (str, Entry)) or not isinstance(returned, Iterable):
        reason = f"returns {_article(returned)} from {hook}, which must return a list of {kind.__name__}"
        return [], [Fault(origin, reason, origin.remedy())]
    found = list(islice(returned, MOST_RECORDS + 1))
    if len(found) > MOST_RECORDS:
        reason = f"returns more than {MOST_RECORDS:,} records from {hook}, and all of them are left out"
        return [], [Fault(origin, reason, origin.remedy())]
    good, faults = [], []
    for record in found:
        fault = check_record(record, kind, hook, origin)
        if fault is not None:
            faults.append(fault)
        elif isinstance(record, Entry):
            good.append(record)
    return good, faults


def check_record(record: object, kind: type[Entry], where: str, origin: Origin) -> Fault | None:
    """What is wrong with a record, if anything is. Nothing is imported."""
    if not isinstance(record, kind):
        reason = f"returns {_article(record)} from {where}, which takes {kind.__name__} only"
        return Fault(origin, reason, origin.remedy())
    if record.api != API:
        reason = f"is incompatible: {record.name!r} needs API {record.api}, this gancore has {API}"
        fix = "pip install --upgrade " + (
            "gancore" if _newer(record.api) else origin.distribution or "gancore"
        )
        return Fault(origin, reason, fix, "incompatible", subject=str(record.name))
    flaw = _flaw(record, where)
    if flaw:
        reason = f"returns a {kind.__name__} from {where} {flaw}"
        return Fault(origin, reason, origin.remedy(), subject=str(record.name))
    return None


def _newer(api: object) -> bool:
    return not isinstance(api, int) or api > API


def _flaw(record: Entry, where: str) -> str:
    if not isinstance(record.name, str) or not record.name or record.name != record.name.strip():
        return f"whose name is {record.name!r}"
    if not isinstance(record.factory, str) or not record.factory:
        return f"named {record.name!r} whose factory is {record.factory!r}"
    if isinstance(record, records.ModelEntry):
        return _flaw_of_model(record)
    if not REFERENCE.fullmatch(record.factory):
        return f"named {record.name!r} whose factory {record.factory!r} is not 'package.module:Object'"
    if where == "gancore_recipes" and not getattr(record, "domain", ""):
        return f"named {record.name!r} that names no domain"
    return ""


def is_url(factory: str) -> bool:
    return "://" in factory


def _flaw_of_model(record: records.ModelEntry) -> str:
    """Nothing is looked for: the folder or the archive may be large, or far."""
    if not is_url(record.factory):
        absolute = os.path.isabs(record.factory)
        return (
            "" if absolute else f"named {record.name!r} whose factory {record.factory!r} is no absolute path"
        )
    if not record.factory.startswith(("https://", "http://")):
        return f"named {record.name!r} whose factory {record.factory!r} is no http:// or https:// address"
    known = isinstance(record.sha256, str) and re.fullmatch("[0-9a-f]{64}", record.sha256)
    return (
        "" if known else f"named {record.name!r} without the sha256 of its archive, 64 hexadecimal characters"
    )


def _article(thing: object) -> str:
    if thing is None:
        return "nothing"
    name = type(thing).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
