"""Checks of a plugin as a whole: it is light, and what it registers is there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from gancore.evaluation.measure import Measure
from gancore.games.losses import AdversarialLoss
from gancore.loading import folder_of
from gancore.models.folder import load_model
from gancore.models.model import open_model
from gancore.models.sampling import generates
from gancore.plugins import plugins
from gancore.plugins.checks import is_url
from gancore.records import Entry, FeaturesEntry, MeasureEntry, ModelEntry, RecipeEntry, SourceEntry
from gancore.testing.bench import PluginBench
from gancore.testing.check import Breach, NotApplicable

HEAVY = ("torch", "scipy", "matplotlib", "tensorboard", "pandas", "sklearn")
WATCHED = 3
"""The exit code of the program below where something heavy is imported."""
PROGRAM = f"""
import os, sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in {HEAVY!r}:
            frame = sys._getframe(1)
            while frame.f_back and frame.f_code.co_filename.startswith("<frozen"):
                frame = frame.f_back
            print(name, f"({{frame.f_code.co_filename}}:{{frame.f_lineno}})", flush=True)
            os._exit({WATCHED})

sys.meta_path.insert(0, Watch())
__import__(sys.argv[1])
"""


def imports_light(bench: PluginBench) -> None:
    """The module that the entry point names imports nothing heavy."""
    module = bench.info.module
    if not bench.info.distribution:
        raise NotApplicable("the running program registered it; no entry point names a module")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    program = [sys.executable, "-c", PROGRAM, module]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=120)
    if done.returncode == WATCHED:
        raise Breach(
            f"importing {module} imports {done.stdout.strip()}: every `gancore --help` would wait for it",
            "name classes as strings in the records, and import them in the modules that those name",
        )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Breach(f"importing {module} fails: {last}", "mend the module that the entry point names")


def resolves_records(bench: PluginBench) -> None:
    """Every record is good, under its own name, and names an object of its kind.

    Models have a check of their own.
    """
    if bench.info.reason:
        raise Breach(f"the plugin {bench.info.reason}", bench.info.fix)
    if not bench.records and not bench.info.observes:
        raise Breach("the plugin registers nothing", "write a hook, such as gancore_domains")
    for hook, entry in bench.records:
        resolve_record(hook, entry)


def resolve_record(hook: str, entry: Entry) -> None:
    """Raises Breach or PluginError where the object that a record names is missing, or of another kind."""
    if isinstance(entry, ModelEntry):
        return  # a folder or an address: opens_models
    if hook == "gancore_domains":
        resolve_domain(entry.name)
    elif isinstance(entry, RecipeEntry):
        plugins().recipe(plugins().domain(entry.domain), entry.name)
    elif isinstance(entry, MeasureEntry):
        _expect(entry, plugins().resolve(entry), Measure)
    elif isinstance(entry, FeaturesEntry):
        plugins().features(entry)
    elif hook == "gancore_losses":
        made = plugins().resolve(entry)
        _expect(entry, made if isinstance(made, AdversarialLoss) else made(), AdversarialLoss)
    else:
        plugins().resolve(entry)


def opens_models(bench: PluginBench) -> None:
    """Every model has a licence, and its folder opens here as one of the domain that its record says.

    Not looked at are archives, which would be downloaded, and models of a domain that is not installed.
    """
    entries = [entry for _, entry in bench.records if isinstance(entry, ModelEntry)]
    unseen = []
    for entry in entries:
        try:
            opens_model(entry)
        except NotApplicable as reason:
            unseen.append(str(reason))
    if len(unseen) == len(entries):
        raise NotApplicable("; ".join(unseen) or "it brings no trained model")


def opens_model(entry: ModelEntry) -> None:
    """A model's folder opens here, and makes what the record says; an archive is not downloaded for it.

    Raises:
        GancoreError: it does not open.
        Breach: it is of another domain, or without a licence.
        NotApplicable: its domain is not installed.
    """
    if not entry.licence:
        raise Breach(f"the model {entry.name!r} has no licence", "name that of its weights in the record")
    if is_url(entry.factory):
        return
    folder = folder_of(entry)
    own = load_model(folder).config["domain"]
    if own != entry.domain:
        told = f"the model {entry.name!r} is of the domain {own!r}, its record says {entry.domain!r}"
        raise Breach(told, f"write domain={own!r}")
    if own not in {record.name for record in plugins().records("gancore_domains")}:
        raise NotApplicable(f"the domain {own!r} of the model {entry.name!r} is not installed")
    model = open_model(folder, "cpu")
    if generates(model.sampler):
        model.sample(1)


def resolve_domain(name: str) -> None:
    """The domain with its own recipes, measures and sources, each under its name."""
    domain = plugins().domain(name)
    kinds: Mapping[str, type[Any]] = {
        "recipes": RecipeEntry,
        "measures": MeasureEntry,
        "features": FeaturesEntry,
        "sources": SourceEntry,
    }
    for table, kind in kinds.items():
        for key, entry in getattr(domain, table).items():
            where = f"{type(domain).__name__}.{table}"
            if not isinstance(entry, kind):
                raise Breach(f"{where}[{key!r}] is {type(entry).__name__}", f"write a {kind.__name__} there")
            if entry.name != key:
                raise Breach(f"{where}[{key!r}] calls itself {entry.name!r}", "give both the same name")
    if not domain.recipes:
        raise Breach(f"{type(domain).__name__} has no recipe", "write one, and name it in recipes")
    for recipe in domain.recipes:
        plugins().recipe(domain, recipe)
    for measure in domain.measures.values():
        _expect(measure, plugins().resolve(measure), Measure)
    for features in domain.features.values():
        plugins().features(features)


def _expect(entry: Entry, found: Any, kind: type) -> None:
    if not isinstance(found, kind):
        raise Breach(
            f"{entry.factory!r} for {entry.name!r} is {type(found).__name__}, no {kind.__name__}",
            f"make it a {kind.__name__}",
        )
