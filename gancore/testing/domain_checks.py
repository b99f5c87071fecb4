"""Checks of a domain on its tiny data: splits, batches, conditions, files, previews and diagnostics."""

from __future__ import annotations

import contextlib
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from gancore.config import Section
from gancore.config_layers import CORE_SECTIONS
from gancore.data.dataset import Batch, View, validate_spec
from gancore.data.splits import SPLITS
from gancore.domain import Diagnostic
from gancore.errors import CheckpointError, ConfigError
from gancore.plugins import plugins
from gancore.random import Key, RowRange
from gancore.samples import Samples
from gancore.testing.check import (
    CheckFailure,
    SkipCheck,
    describe_tree,
    global_seed,
    tree_all_finite,
    tree_signature,
    trees_equal,
)
from gancore.testing.fixtures import DomainFixture
from gancore.testing.metric_checks import MEASURED, noise, repeated
from gancore.text import suggestion
from gancore.trees import tree_leaves, tree_map, tree_slice

ROWS = 6
PURE = "take all random numbers of get_batch from its key (key / 'name'), with one row of them for each row"


def documents_its_keys(fixture: DomainFixture) -> None:
    """Every key of the data section has a default that is valid, and a description."""
    check_section(fixture.domain.Config, "data")


def check_section(kind: type[Section], name: str) -> None:
    """Raise CheckFailure if a field has no description, no default, or a default that is not valid."""
    for key, field in kind.model_fields.items():
        if not (field.description or "").strip():
            raise CheckFailure(
                f"{name}.{key} ({kind.__name__}) has no description",
                "write Field(default, description=...): --print-config prints it",
            )
        if field.is_required():
            raise CheckFailure(f"{name}.{key} ({kind.__name__}) has no default", "give it a valid default")
        default = field.get_default(call_default_factory=True)
        if isinstance(default, Section):
            check_section(type(default), f"{name}.{key}")
    try:
        kind.model_validate(kind().model_dump(mode="json"))
    except ValueError as error:
        raise CheckFailure(f"the defaults of {kind.__name__} are not valid: {error}", "fix them") from error


def tiny_config_is_valid(fixture: DomainFixture) -> None:
    """tiny_config() has known sections and keys only; at least one recipe has each key of ``model``."""
    recipes = [
        plugins().load_recipe(fixture.domain, name)[1] for name in plugins().recipe_entries(fixture.domain)
    ]
    known = {
        "data": set(fixture.domain.Config.model_fields),
        "model": {key for recipe in recipes for key in recipe.Config.model_fields},
        **{name: set(section.model_fields) for name, section in CORE_SECTIONS.items()},
    }
    for section, values in fixture.tiny_config.items():
        if section not in known or not isinstance(values, Mapping):
            raise CheckFailure(
                f"tiny_config() has {section!r}: {values!r}", f"give mappings by section: {', '.join(known)}"
            )
        for key in values:
            if key not in known[section]:
                raise CheckFailure(
                    f"tiny_config() has the unknown key {section}.{key}", suggestion(key, known[section])
                )


def opens(fixture: DomainFixture) -> None:
    """The tiny source opens: train, valid and test have finite rows of one shape and no item in common."""
    outlines = {}
    for split in SPLITS:
        for name, view in fixture.views(split).items():
            if len(view) == 0:
                raise CheckFailure(f"{split} has no rows", "put rows into every split")
            batch = _take(view, Key.of("kit"))
            if not tree_all_finite(batch.data):
                raise CheckFailure(f"{split} has values that are not finite", "leave out such rows in open")
            outlines[split, name] = (
                tree_signature(batch.data),
                tree_signature(batch.condition),
                describe_tree(batch.data),
            )
    first, *others = outlines.items()
    for (split, _), kind in others:
        if len(fixture.views("train")) == 1 and kind[:2] != first[1][:2]:
            raise CheckFailure(
                f"{split} has rows of {kind[2]}, train of {first[1][2]}", "prepare all splits in the same way"
            )
    _require_disjoint(fixture.data.splits)


def _require_disjoint(splits: Mapping[str, Any]) -> None:
    held: dict[str, str] = {}
    for split, names in splits.items():
        for name in names:
            if held.setdefault(name, split) != split:
                raise CheckFailure(
                    f"{name!r} is in both {held[name]} and {split}",
                    "put related items into one split: otherwise valid measures memorised training data",
                )


def opens_reproducibly(fixture: DomainFixture) -> None:
    """Opening twice gives the same data, whatever was drawn in between: a resumed run needs it."""
    with global_seed(1):
        again = fixture.open()
    if again.fingerprint != fixture.data.fingerprint:
        raise CheckFailure(
            "the data have another fingerprint when they are opened again",
            "compute it from content and settings only",
        )
    for split in SPLITS:
        own, other = fixture.view(split), again.view(split)
        if len(own) != len(other) or not trees_equal(
            _take(own, Key.of(1)).data, _take(other, Key.of(1)).data
        ):
            raise CheckFailure(
                f"{split} has other rows when the data are opened again",
                "split and order rows by their content, or with gancore.data.splits, not at random",
            )


def spec_is_json(fixture: DomainFixture) -> None:
    """The spec has JSON values and named tensors and reads back unchanged: models are built from it alone."""
    spec = fixture.data.spec
    for name, value in spec.fields.items():
        try:
            back = json.loads(json.dumps(value))
        except (TypeError, ValueError) as error:
            raise CheckFailure(
                f"spec[{name!r}] is not JSON: {error}", "store numbers, text and lists, or tensors"
            ) from None
        if back != value or type(back) is not type(value):
            raise CheckFailure(
                f"spec[{name!r}] is {value!r} and reads back as {back!r}",
                "use lists instead of tuples and strings as keys",
            )
    for name, tensor in spec.tensors.items():
        if not isinstance(tensor, Tensor):
            raise CheckFailure(f"spec.tensors[{name!r}] is {type(tensor).__name__}", "store a tensor")
    try:
        validate_spec(fixture.domain.Schema, spec.fields, "the spec")
    except CheckpointError as error:
        raise CheckFailure(
            error.message, "make the spec and Domain.Schema, which describes it, agree"
        ) from None


def batches_depend_on_key_only(fixture: DomainFixture) -> None:
    """get_batch(indices, key) is a pure function: equal arguments give equal batches."""
    for split in SPLITS:
        for view in fixture.views(split).values():
            batch = _take(view, Key.of("kit"))
            with global_seed(1):
                again = _take(view, Key.of("kit"))
            if trees_equal([batch.data, batch.condition], [again.data, again.condition]):
                continue
            with global_seed(1):
                reproducible = trees_equal(again.data, _take(view, Key.of("kit")).data)
            cause = "it draws from a global generator" if reproducible else "it depends on earlier calls"
            raise CheckFailure(
                f"get_batch gives other {split} rows for the same indices and key: {cause}", PURE
            )


def batches_rows_independently(fixture: DomainFixture) -> None:
    """A row of a batch depends on its own index and key only: rows of a part equal those of the whole."""
    for split in SPLITS:
        for view in fixture.views(split).values():
            _require_independent_rows(view, split)


def _require_independent_rows(view: View, split: str) -> None:
    joined = _take(view, Key.of("kit"))
    if len(joined) != ROWS:
        raise CheckFailure(
            f"get_batch gives {len(joined)} {split} rows for {ROWS} indices", "return one row for each index"
        )
    for start, stop in ((0, 2), (2, ROWS)):
        part = _take(view, Key.of("kit"), start, stop)
        if not trees_equal(part.data, tree_slice(joined.data, start, stop)):
            raise CheckFailure(
                f"{split} rows {start} to {stop}, read alone, differ from those of the global batch", PURE
            )
    other = (torch.arange(ROWS) + 1) % len(view)
    other[0] = 0
    mixed = view.get_batch(other, Key.of("kit").with_rows(RowRange.all(ROWS)))
    if not trees_equal(tree_slice(mixed.data, 0, 1), tree_slice(joined.data, 0, 1)):
        raise CheckFailure(f"a {split} row changes with the other rows of its batch", PURE)


def optional_members_agree(fixture: DomainFixture) -> None:
    """The optional members of a view, get_conditions and to(device), agree with get_batch."""
    view, indices = fixture.view("train"), torch.arange(ROWS) % len(fixture.view("train"))
    batch = _take(view, Key.of("kit"))
    if view.has_cheap_conditions and not trees_equal(view.get_conditions(indices), batch.condition):
        raise CheckFailure(
            "get_conditions(indices) differs from the conditions of get_batch", "return the same in both"
        )
    if math.isfinite(view.size_mb):
        if type(view).to is View.to:
            raise CheckFailure("the view defines size_mb without to(device)", "define both or neither")
        if not trees_equal(_take(view.to(torch.device("cpu")), Key.of("kit")).data, batch.data):
            raise CheckFailure(
                "the view on a device gives other rows than the view itself", "draw from the key in both"
            )


def makes_conditions(fixture: DomainFixture) -> None:
    """Labels become conditions like those of train; an unknown label is a ConfigError."""
    spec, domain, key = fixture.data.spec, fixture.domain, Key.of("kit")
    _require_refusal(fixture, "no such label of the kit")
    classes = spec.get("classes") or []
    if not classes:
        return
    own = _take(fixture.view("train"), key).condition
    if own is None:
        raise CheckFailure(
            "the spec has classes, and the batches have no condition", "give labels as the condition"
        )
    drawn = domain.make_condition(None, ROWS, spec, key.with_rows(RowRange.all(ROWS)))
    for label, made in (("", drawn), (classes[-1], domain.make_condition(str(classes[-1]), ROWS, spec, key))):
        if tree_signature(made) != tree_signature(own) or {len(leaf) for leaf in tree_leaves(made)} != {ROWS}:
            what = f"the condition of label {label!r}" if label else "a drawn condition"
            raise CheckFailure(
                f"{what} is {describe_tree(made)}, the condition of train {describe_tree(own)}",
                "return the same structure, shape and dtype",
            )
    part = domain.make_condition(None, 2, spec, key.with_rows(RowRange(2, 4, ROWS)))
    if not trees_equal(part, tree_slice(drawn, 2, 4)):
        raise CheckFailure(
            "some rows of a drawn condition differ from those of the whole", "draw from the key"
        )


def _require_refusal(fixture: DomainFixture, label: str) -> None:
    try:
        fixture.domain.make_condition(label, 1, fixture.data.spec, Key.of("kit"))
    except ConfigError:
        return
    raise CheckFailure(f"condition({label!r}, ...) accepts an unknown label", "raise ConfigError for it")


def _take(view: View, key: Key, start: int = 0, stop: int = ROWS) -> Batch:
    """Rows ``start`` to ``stop`` of one global batch."""
    indices = torch.arange(start, stop) % len(view)
    return view.get_batch(indices, key.with_rows(RowRange(start, stop, ROWS)))


def is_conditional(fixture: DomainFixture) -> None:
    """Raise SkipCheck if the tiny data have no classes."""
    if not fixture.data.spec.get("classes"):
        raise SkipCheck("the tiny data have no classes")


def returns_the_files_it_writes(fixture: DomainFixture) -> None:
    """write returns every file that it writes, complete and inside its folder, for one and more samples."""
    sizes = {}
    for n in (1, 5):
        for samples in _with_and_without_condition(fixture, n):
            sizes[len(samples)] = _written(fixture, samples)
            for name in fixture.domain.formats:
                _written(fixture, samples, [name])
    if len(sizes) > 1 and sizes[max(sizes)] <= sizes[1]:
        raise CheckFailure(
            f"the files of {max(sizes)} samples are no larger than that of one ({sizes[1]} bytes)",
            "write every sample",
        )


def _written(fixture: DomainFixture, samples: Samples, formats: Sequence[str] = ()) -> int:
    """Write the samples and return the size of all files in bytes."""
    domain = fixture.domain
    with tempfile.TemporaryDirectory(prefix="gancore-check-") as place, contextlib.chdir(place):
        folder = Path(place).resolve() / "run" / "samples"
        files = domain.write_formats(samples, folder, formats) if formats else domain.write(samples, folder)
        paths = [Path(path) for path in files]
        found = {path.resolve() for path in Path(place).resolve().rglob("*") if path.is_file()}
        named = {path.resolve() for path in paths}
        if not paths:
            raise CheckFailure(
                f"write returns no file for {len(samples)} samples", "return every file written"
            )
        for path in sorted(named):
            if not path.is_file():
                raise CheckFailure(
                    f"write returns {path.name}, which it does not write", "return the files written only"
                )
            if not path.is_relative_to(folder):
                raise CheckFailure(
                    f"write puts {path.name} outside its folder", "write into the folder that it gets"
                )
            if path.stat().st_size == 0:
                raise CheckFailure(f"write makes an empty file {path.name}", "write the sample into it")
        if extra := sorted(found - named):
            raise CheckFailure(
                f"write makes {extra[0].name} and does not return it", "return every file written"
            )
        return sum(path.stat().st_size for path in named)


def makes_previews(fixture: DomainFixture) -> None:
    """For one or more samples, preview gives a picture of PIL or None, texts a text for each or None;
    log_to_tensorboard accepts samples.
    """
    for n in (1, 5):
        for samples in _with_and_without_condition(fixture, n):
            _check_texts(fixture.domain.texts(samples), n)
            picture = fixture.domain.preview(samples)
            if picture is None:
                continue
            if not (hasattr(picture, "convert") and min(getattr(picture, "size", (0, 0))) > 0):
                raise CheckFailure(
                    f"preview returns {type(picture).__name__}", "return a PIL picture, or None"
                )
    fixture.domain.log_to_tensorboard(fixture.samples(2), cast(Any, _Writer()), 0)


def _check_texts(texts: object, n: int) -> None:
    is_list = isinstance(texts, list) and all(isinstance(text, str) for text in texts)
    if texts is not None and not (is_list and isinstance(texts, list) and len(texts) == n):
        found = f"{len(texts)} texts" if isinstance(texts, list) and is_list else f"a {type(texts).__name__}"
        raise CheckFailure(f"texts returns {found} of {n} samples", "return a list of a text each, or None")


class _Writer:
    """A writer with the methods of TensorBoard's SummaryWriter, which do nothing."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("add_"):
            raise AttributeError(name)
        return lambda *given, **named: None


def diagnoses_no_real_data(fixture: DomainFixture) -> None:
    """diagnose returns diagnostics with a message and a fix, and none for real data."""
    real = fixture.samples(MEASURED)
    found = fixture.domain.diagnose(real)
    if found:
        raise CheckFailure(
            f"diagnose finds {found[0].name!r} in real data: {found[0].message}",
            "raise the threshold above the value of real data",
        )
    for data in (noise(real.data), repeated(real.data), tree_map(torch.zeros_like, real.data)):
        for diagnostic in fixture.domain.diagnose(Samples(data, real.spec, real.condition)):
            texts = (
                (diagnostic.name, diagnostic.message, diagnostic.fix)
                if isinstance(diagnostic, Diagnostic)
                else ("",)
            )
            if not all(isinstance(text, str) and text.strip() for text in texts):
                raise CheckFailure(
                    f"diagnose returns {diagnostic!r}", "return Diagnostics with name, message and fix"
                )


def _with_and_without_condition(fixture: DomainFixture, n: int) -> list[Samples]:
    real = fixture.samples(n)
    bare = Samples(real.data, real.spec)
    return [bare] if real.condition is None else [bare, real]
