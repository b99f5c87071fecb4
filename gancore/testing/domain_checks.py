"""Checks of a domain on its tiny data: what it opens, and batches as pure functions of their key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gancore.config import Section, TrainSection, UpkeepSection
from gancore.domain import Batch, View
from gancore.errors import CheckpointError, ConfigError, nearest
from gancore.facts import check_facts
from gancore.plugins import plugins
from gancore.runtime.randomness import Key, Rows
from gancore.testing.bench import SPLITS, DomainBench
from gancore.testing.check import Breach, NotApplicable
from gancore.testing.compare import equal, finite, global_generators, outline, told
from gancore.trees import cut_rows, leaves

ROWS = 6
PURE = "draw whatever is random in take from its key (key / 'name'), row by row"


def describes_its_keys(bench: DomainBench) -> None:
    """Every key of the data section has a default that is valid, and a description."""
    check_section(bench.domain.Config, "data")


def check_section(kind: type[Section], name: str) -> None:
    """Raises Breach where a field has no description or no default, or a default that is not valid."""
    for key, field in kind.model_fields.items():
        if not (field.description or "").strip():
            raise Breach(
                f"{name}.{key} ({kind.__name__}) has no description",
                "write Field(default, description=...): people read it in --print-config",
            )
        if field.is_required():
            raise Breach(f"{name}.{key} ({kind.__name__}) has no default", "give it one that works")
        default = field.get_default(call_default_factory=True)
        if isinstance(default, Section):
            check_section(type(default), f"{name}.{key}")
    try:
        kind.model_validate(kind().model_dump(mode="json"))
    except ValueError as error:
        raise Breach(f"the defaults of {kind.__name__} are not valid: {error}", "mend them") from error


def says_what_is_tiny(bench: DomainBench) -> None:
    """tiny gives sections of a configuration, with keys that are known: of model, to one recipe at least."""
    recipes = [plugins().recipe(bench.domain, name)[1] for name in plugins().recipes(bench.domain)]
    known = {
        "data": set(bench.domain.Config.model_fields),
        "model": {key for recipe in recipes for key in recipe.Config.model_fields},
        "train": set(TrainSection.model_fields),
        "upkeep": set(UpkeepSection.model_fields),
    }
    for section, values in bench.tiny.items():
        if section not in known or not isinstance(values, Mapping):
            raise Breach(f"tiny has {section!r}: {values!r}", f"give mappings by section: {', '.join(known)}")
        for key in values:
            if key not in known[section]:
                raise Breach(f"tiny has {section}.{key}, which nobody knows", nearest(key, known[section]))


def opens(bench: DomainBench) -> None:
    """Its tiny source opens: train, valid and test hold rows of one kind, finite, and differ by name."""
    outlines = {}
    for split in SPLITS:
        for name, view in bench.views(split).items():
            if len(view) == 0:
                raise Breach(f"{split} has no rows", "give every split its share")
            batch = _take(view, Key.of("kit"))
            if not finite(batch.data):
                raise Breach(f"{split} holds values that are not finite", "leave such rows out in open")
            outlines[split, name] = outline(batch.data), outline(batch.condition), told(batch.data)
    first, *others = outlines.items()
    for (split, _), kind in others:
        if len(bench.views("train")) == 1 and kind[:2] != first[1][:2]:
            raise Breach(f"{split} holds {kind[2]}, train {first[1][2]}", "cut all splits alike")
    _require_disjoint(bench.data.splits)


def _require_disjoint(splits: Mapping[str, Any]) -> None:
    held: dict[str, str] = {}
    for split, names in splits.items():
        for name in names:
            if held.setdefault(name, split) != split:
                raise Breach(
                    f"{name!r} is in {held[name]} and in {split}",
                    "put what belongs together into one split: else valid measures what was learnt by heart",
                )


def opens_alike(bench: DomainBench) -> None:
    """Opened again, whatever was drawn in between, the data are the same: a resumed run sees no others."""
    with global_generators(1):
        again = bench.open()
    if again.fingerprint != bench.data.fingerprint:
        raise Breach("opened twice, the data have two fingerprints", "let it hang on content and settings")
    for split in SPLITS:
        view = getattr(again, split)
        other = next(iter(view.values())) if isinstance(view, Mapping) else view
        own = bench.view(split)
        if len(own) != len(other) or not equal(_take(own, Key.of(1)).data, _take(other, Key.of(1)).data):
            raise Breach(
                f"opened twice, {split} holds other rows",
                "split and order by what the rows are, or by gancore.data.splits, not by chance",
            )


def writes_its_spec(bench: DomainBench) -> None:
    """The spec is JSON and named tensors, and reads back as it was: models are built from it alone."""
    spec = bench.data.spec
    for name, value in spec.facts.items():
        try:
            back = json.loads(json.dumps(value))
        except (TypeError, ValueError) as error:
            raise Breach(
                f"spec[{name!r}] is no JSON: {error}", "keep numbers, text, lists; or tensors"
            ) from None
        if back != value or type(back) is not type(value):
            raise Breach(
                f"spec[{name!r}] reads back as {back!r}, not {value!r}",
                "write lists for tuples, text for keys",
            )
    for name, tensor in spec.tensors.items():
        if not isinstance(tensor, Tensor):
            raise Breach(f"spec.tensors[{name!r}] is {type(tensor).__name__}", "keep tensors there")
    try:
        check_facts(bench.domain.Facts, spec.facts, "the spec")
    except CheckpointError as error:
        raise Breach(error.message, "Domain.Facts says what a spec holds: let both say the same") from None


def keys_its_batches(bench: DomainBench) -> None:
    """take(indices, key) is a pure function: the same again, whatever was drawn in between."""
    for split in SPLITS:
        for view in bench.views(split).values():
            batch = _take(view, Key.of("kit"))
            with global_generators(1):
                again = _take(view, Key.of("kit"))
            if equal([batch.data, batch.condition], [again.data, again.condition]):
                continue
            with global_generators(1):
                alike = equal(again.data, _take(view, Key.of("kit")).data)
            cause = "it draws from a global generator" if alike else "it remembers what was asked before"
            raise Breach(f"take gives other {split} rows for the same indices and key: {cause}", PURE)


def keeps_rows_apart(bench: DomainBench) -> None:
    """A row of a batch hangs on its own index and draw alone: cut rows equal rows of the joined batch."""
    for split in SPLITS:
        for view in bench.views(split).values():
            _require_rows_apart(view, split)


def _require_rows_apart(view: View, split: str) -> None:
    joined = _take(view, Key.of("kit"))
    if len(joined) != ROWS:
        raise Breach(f"{ROWS} indices give {len(joined)} {split} rows", "return one row for each index")
    for start, stop in ((0, 2), (2, ROWS)):
        part = _take(view, Key.of("kit"), start, stop)
        if not equal(part.data, cut_rows(joined.data, start, stop)):
            raise Breach(f"{split} rows {start} to {stop} alone are not those of the joined batch", PURE)
    other = (torch.arange(ROWS) + 1) % len(view)
    other[0] = 0
    mixed = view.take(other, Key.of("kit").cut(Rows.all(ROWS)))
    if not equal(cut_rows(mixed.data, 0, 1), cut_rows(joined.data, 0, 1)):
        raise Breach(f"a {split} row changes with the other rows of its batch", PURE)


def offers_what_take_gives(bench: DomainBench) -> None:
    """What a view offers beside take agrees with it: conditions, and its data on the device."""
    view, indices = bench.view("train"), torch.arange(ROWS) % len(bench.view("train"))
    batch = _take(view, Key.of("kit"))
    if hasattr(view, "conditions") and not equal(view.conditions(indices), batch.condition):
        raise Breach("conditions(indices) differs from the condition that take gives", "return the same")
    if hasattr(view, "megabytes"):
        if not hasattr(view, "on"):
            raise Breach("the view has megabytes, and no on(device)", "offer both, or neither")
        if not equal(_take(view.on(torch.device("cpu")), Key.of("kit")).data, batch.data):
            raise Breach("the view on a device gives other rows than the view itself", "draw both alike")


def conditions(bench: DomainBench) -> None:
    """Labels become conditions like those of train; a label that is not there is a ConfigError."""
    spec, domain, key = bench.data.spec, bench.domain, Key.of("kit")
    _require_refusal(bench, "no such label of the kit")
    classes = spec.get("classes") or []
    if not classes:
        return
    own = _take(bench.view("train"), key).condition
    if own is None:
        raise Breach("the spec has classes, but the batches have no condition", "give the rows' labels")
    drawn = domain.condition(None, ROWS, spec, key.cut(Rows.all(ROWS)))
    for label, made in (("", drawn), (classes[-1], domain.condition(str(classes[-1]), ROWS, spec, key))):
        if outline(made) != outline(own) or {len(leaf) for leaf in leaves(made)} != {ROWS}:
            what = f"the condition of label {label!r}" if label else "a drawn condition"
            raise Breach(f"{what} is {told(made)}, that of train {told(own)}", "make them alike")
    part = domain.condition(None, 2, spec, key.cut(Rows(2, 4, ROWS)))
    if not equal(part, cut_rows(drawn, 2, 4)):
        raise Breach("cut rows of a drawn condition are not those of the joined one", "draw from the key")


def _require_refusal(bench: DomainBench, label: str) -> None:
    try:
        bench.domain.condition(label, 1, bench.data.spec, Key.of("kit"))
    except ConfigError:
        return
    raise Breach(f"condition({label!r}, ...) is accepted", "raise ConfigError for a label that is not there")


def _take(view: View, key: Key, start: int = 0, stop: int = ROWS) -> Batch:
    """The rows of one and the same joined batch, from ``start`` to ``stop``."""
    indices = torch.arange(start, stop) % len(view)
    return view.take(indices, key.cut(Rows(start, stop, ROWS)))


def is_conditional(bench: DomainBench) -> None:
    """Raises NotApplicable where the tiny data have no classes."""
    if not bench.data.spec.get("classes"):
        raise NotApplicable("the tiny data have no classes")
