"""Checks of a plugin as a whole: its import is light, and all its entries resolve."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from gancore.entries import (
    Entry,
    FeatureExtractorEntry,
    MetricEntry,
    PretrainedModelEntry,
    RecipeEntry,
    SourceEntry,
)
from gancore.evaluation.features import FeatureExtractor
from gancore.games.adversarial import find_game
from gancore.games.losses import AdversarialLoss
from gancore.games.optimizers import find_optimizer
from gancore.games.penalties import find_penalty
from gancore.metrics.metric import Metric
from gancore.model_lookup import plugin_model_folder
from gancore.models.folder import read_model_folder
from gancore.models.model import load_model
from gancore.plugins import plugins
from gancore.plugins.plugin import is_url
from gancore.testing.check import CheckFailure, SkipCheck
from gancore.testing.fixtures import RegisteredPlugin

HEAVY = ("torch", "scipy", "matplotlib", "tensorboard", "pandas", "sklearn")
WATCHED = 3
"""The exit code of PROGRAM if the plugin imports a heavy module."""
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


def imports_light(fixture: RegisteredPlugin) -> None:
    """The module of the entry point imports no heavy package such as torch."""
    module = fixture.info.module
    if not fixture.info.distribution:
        raise SkipCheck("the running program registered the plugin: it has no entry point")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    program = [sys.executable, "-c", PROGRAM, module]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=120)
    if done.returncode == WATCHED:
        raise CheckFailure(
            f"importing {module} imports {done.stdout.strip()}, which makes every `gancore --help` slow",
            "name classes as strings in the entries, and import heavy packages in their modules",
        )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise CheckFailure(f"importing {module} fails: {last}", "fix the module of the entry point")


def resolves_entries(fixture: RegisteredPlugin) -> None:
    """Every entry is valid, has a unique name, and names an object of the right class.

    Models have a check of their own.
    """
    if fixture.info.reason:
        raise CheckFailure(f"the plugin {fixture.info.reason}", fixture.info.fix)
    if not fixture.entries and not fixture.info.observes:
        raise CheckFailure("the plugin registers nothing", "implement a hook, such as gancore_domains")
    for hook, entry in fixture.entries:
        resolve_entry(hook, entry)


def resolve_entry(hook: str, entry: Entry) -> None:
    """Load the object of an entry.

    Raises CheckFailure or PluginError if it is missing or of another class.
    """
    if isinstance(entry, PretrainedModelEntry):
        return  # a folder or a URL, which opens_models checks
    if hook == "gancore_domains":
        resolve_domain(entry.name)
    elif isinstance(entry, RecipeEntry):
        plugins().load_recipe(plugins().load_domain(entry.domain), entry.name)
    elif isinstance(entry, MetricEntry):
        _expect(entry, plugins().load_object(entry), Metric)
    elif isinstance(entry, FeatureExtractorEntry):
        plugins().load(entry, FeatureExtractor)
    elif hook == "gancore_losses":
        made = plugins().load_object(entry)
        _expect(entry, made if isinstance(made, AdversarialLoss) else made(), AdversarialLoss)
    elif hook == "gancore_penalties":
        find_penalty(entry.name, 1.0)
    elif hook == "gancore_optimizers":
        find_optimizer(entry.name, 1e-3, 0.5, 0.9)
    elif hook == "gancore_games":
        find_game(entry.name)
    else:
        plugins().load_object(entry)


def opens_models(fixture: RegisteredPlugin) -> None:
    """Every model has a licence, and its folder opens as a model of the domain in its entry.

    Not opened: archives, which would be downloaded, and models of domains that are not installed.
    """
    entries = [entry for _, entry in fixture.entries if isinstance(entry, PretrainedModelEntry)]
    unseen = []
    for entry in entries:
        try:
            opens_model(entry)
        except SkipCheck as reason:
            unseen.append(str(reason))
    if len(unseen) == len(entries):
        raise SkipCheck("; ".join(unseen) or "the plugin has no trained model")


def opens_model(entry: PretrainedModelEntry) -> None:
    """Open the folder of a model and compare it with its entry; an archive is not downloaded.

    Raises:
        GancoreError: the folder does not open.
        CheckFailure: the model is of another domain, or has no licence.
        SkipCheck: its domain is not installed.
    """
    if not entry.licence:
        raise CheckFailure(
            f"the model {entry.name!r} has no licence", "name the licence of its weights in the entry"
        )
    if is_url(entry.target):
        return
    folder = plugin_model_folder(entry)
    own = read_model_folder(folder).config["domain"]
    if own != entry.domain:
        message = f"the model {entry.name!r} has the domain {own!r}, its entry {entry.domain!r}"
        raise CheckFailure(message, f"write domain={own!r}")
    if own not in {record.name for record in plugins().entries("gancore_domains")}:
        raise SkipCheck(f"the domain {own!r} of the model {entry.name!r} is not installed")
    model = load_model(folder, "cpu")
    if model.sampler.can("sample"):
        model.sample(1)


def resolve_domain(name: str) -> None:
    """Load a domain and all its recipes, metrics, feature extractors and sources by name.

    Raises:
        CheckFailure: an entry has another class or another name, or there is no recipe.
        PluginError: an object cannot be loaded.
    """
    domain = plugins().load_domain(name)
    kinds: Mapping[str, type[Any]] = {
        "recipes": RecipeEntry,
        "metrics": MetricEntry,
        "feature_extractors": FeatureExtractorEntry,
        "sources": SourceEntry,
    }
    for attribute, kind in kinds.items():
        for key, entry in getattr(domain, attribute).items():
            where = f"{type(domain).__name__}.{attribute}"
            if not isinstance(entry, kind):
                raise CheckFailure(f"{where}[{key!r}] is {type(entry).__name__}", f"use a {kind.__name__}")
            if entry.name != key:
                raise CheckFailure(f"{where}[{key!r}] has the name {entry.name!r}", "use one name for both")
    if not domain.recipes:
        raise CheckFailure(f"{type(domain).__name__} has no recipe", "write one and add it to recipes")
    for recipe in domain.recipes:
        plugins().load_recipe(domain, recipe)
    for metric in domain.metrics.values():
        _expect(metric, plugins().load_object(metric), Metric)
    for extractor in domain.feature_extractors.values():
        plugins().load(extractor, FeatureExtractor)


def _expect(entry: Entry, found: Any, kind: type) -> None:
    if not isinstance(found, kind):
        raise CheckFailure(
            f"{entry.target!r} for {entry.name!r} is {type(found).__name__}, not a {kind.__name__}",
            f"make it a {kind.__name__}",
        )
