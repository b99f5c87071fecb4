"""The kit: all checks in the order in which they run, and the fixtures of a plugin that they run on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gancore.entries import RecipeEntry
from gancore.errors import ConfigError, GancoreError, PluginError
from gancore.plugins import PluginInfo, plugins
from gancore.testing import (
    data_checks,
    domain_checks,
    feature_checks,
    game_checks,
    likelihood_checks,
    metric_checks,
    network_checks,
    part_checks,
    plugin_checks,
    sampling_checks,
    training_checks,
)
from gancore.testing.check import Check, CheckResult, Scope, run_check
from gancore.testing.fixtures import DomainFixture, RecipeFixture, RegisteredPlugin
from gancore.testing.part_fixtures import (
    DynamicsFixture,
    LoggerFixture,
    LossFixture,
    MetricFixture,
    PartFixture,
)
from gancore.text import suggestion

_FUNCTIONS: Mapping[Scope, tuple[Callable[[Any], None], ...]] = {
    "plugin": (
        plugin_checks.imports_light,
        plugin_checks.resolves_entries,
        plugin_checks.opens_models,
    ),
    "domain": (
        domain_checks.documents_its_keys,
        domain_checks.tiny_config_is_valid,
        domain_checks.opens,
        domain_checks.opens_reproducibly,
        data_checks.fingerprints_its_keys,
        domain_checks.spec_is_json,
        domain_checks.batches_depend_on_key_only,
        domain_checks.batches_rows_independently,
        data_checks.splits_are_disjoint,
        data_checks.labels_match_their_rows,
        domain_checks.optional_members_agree,
        domain_checks.makes_conditions,
        domain_checks.returns_the_files_it_writes,
        domain_checks.makes_previews,
        metric_checks.metrics_rank_real_data_first,
        domain_checks.diagnoses_no_real_data,
        feature_checks.embeds_rows_independently,
        metric_checks.intervals_contain_values,
    ),
    "recipe": (
        game_checks.configuration_round_trips,
        game_checks.builds,
        game_checks.has_declared_capabilities,
        network_checks.matches_shapes,
        network_checks.gives_finite_logits,
        network_checks.scores_rows_independently,
        game_checks.reaches_every_parameter,
        game_checks.differentiates_twice,
        game_checks.costs_are_pure,
        game_checks.micro_batches_add_up,
        sampling_checks.encodes_and_decodes,
        sampling_checks.log_det_matches_jacobian,
        sampling_checks.samples_depend_on_key_only,
        sampling_checks.interpolates,
        sampling_checks.gives_likelihoods,
        likelihood_checks.likelihood_sums_to_one,
        sampling_checks.gives_posteriors,
        sampling_checks.inverts,
        training_checks.trains,
        training_checks.run_equals_loop,
        training_checks.resumes,
        training_checks.trains_on_two_processes,
        training_checks.model_folder_round_trips,
        training_checks.trains_on_labels,
        network_checks.depends_on_labels,
        game_checks.trains_in_bf16,
    ),
    "loss": (
        part_checks.returns_one_value_per_row,
        part_checks.stays_finite,
        part_checks.gradients_have_right_signs,
        part_checks.couples_rows_as_declared,
        part_checks.gives_gradients,
        part_checks.resumes_with_the_loss,
    ),
    "dynamics": (
        part_checks.settings_round_trip,
        part_checks.converges_on_linear_game,
        part_checks.dynamics_micro_batches_add_up,
        part_checks.resumes_with_the_dynamics,
    ),
    "measure": (metric_checks.ranks_real_data_first, metric_checks.interval_contains_value),
    "logger": (part_checks.logs_a_run,),
}

CHECKS: tuple[Check, ...] = tuple(
    Check.from_function(scope, function) for scope, functions in _FUNCTIONS.items() for function in functions
)
"""All checks in order, for ``gancore plugins check`` and pytest."""

PREREQUISITES = ("resolves_entries", "opens", "builds")
"""Checks after whose failure the later checks of the subject are not run."""


@dataclass
class ConformanceKit:
    """Runs the checks of one plugin, of its domains, recipes, losses, dynamics, metrics and loggers."""

    plugin: RegisteredPlugin

    @classmethod
    def for_name(cls, name: str) -> ConformanceKit:
        """The kit of the plugin with this name, or of the plugin that has a domain with this name.

        Raises:
            PluginError: there is no such plugin, or it is not loaded.
        """
        plugins().load_all()
        found = {info.name: info for info in plugins().list_plugins()}
        info = found.get(name) or _plugin_of_domain(name)
        if info is None:
            raise PluginError(f"no plugin is named {name!r}", suggestion(name, found))
        if info.state == "disabled":
            raise PluginError(f"the plugin {name!r} ({info.distribution}) is {info.reason}", info.fix)
        return cls(RegisteredPlugin(info))

    @cached_property
    def domains(self) -> dict[str, DomainFixture]:
        """The domains of the plugin, by name."""
        names = [entry.name for hook, entry in self.plugin.entries if hook == "gancore_domains"]
        return {name: DomainFixture(plugins().load_domain(name)) for name in names}

    def domain(self, name: str) -> DomainFixture:
        """The domain of this name. Raises PluginError if the plugin does not have it."""
        if name not in self.domains:
            raise PluginError(
                f"the plugin {self.plugin.subject!r} has no domain {name!r}", suggestion(name, self.domains)
            )
        return self.domains[name]

    @cached_property
    def recipes(self) -> dict[str, RecipeFixture]:
        """The recipes of the plugin, for its own and for other domains, by ``domain/recipe``."""
        fixtures = [
            RecipeFixture(home, *plugins().load_recipe(home.domain, name))
            for home in self.domains.values()
            for name, entry in plugins().recipe_entries(home.domain).items()
            if self.plugin.owns(entry)
        ]
        for _, entry in self.plugin.entries:
            if isinstance(entry, RecipeEntry) and entry.domain not in self.domains:
                home = DomainFixture(plugins().load_domain(entry.domain))
                fixtures.append(RecipeFixture(home, *plugins().load_recipe(home.domain, entry.name)))
        return {fixture.subject: fixture for fixture in fixtures}

    @cached_property
    def parts(self) -> dict[str, PartFixture]:
        """The losses, dynamics, metrics and loggers that the plugin registers, by ``loss/name`` and so on."""
        kinds: dict[str, Callable[[Any], PartFixture]] = {
            "gancore_losses": LossFixture,
            "gancore_dynamics": DynamicsFixture,
            "gancore_metrics": MetricFixture,
            "gancore_loggers": LoggerFixture,
        }
        fixtures = [kinds[hook](entry) for hook, entry in self.plugin.entries if hook in kinds]
        return {fixture.subject: fixture for fixture in fixtures}

    def select_recipes(self, recipe: str | None) -> list[RecipeFixture]:
        """The recipes with this name; all recipes if it is None.

        Raises:
            ConfigError: no recipe has this name.
        """
        chosen = [fixture for fixture in self.recipes.values() if recipe in (None, fixture.entry.name)]
        if recipe is not None and not chosen:
            known = [fixture.entry.name for fixture in self.recipes.values()]
            raise ConfigError(
                f"the plugin {self.plugin.subject!r} has no recipe {recipe!r}", suggestion(recipe, known)
            )
        return chosen

    def run(self, recipe: str | None = None) -> Iterator[CheckResult]:
        """Run every check and yield its result. A failed prerequisite ends the checks of its subject."""
        gate = yield from _run_checks(self.plugin, "plugin")
        if not gate:
            return
        chosen = self.select_recipes(recipe)
        for home in self.domains.values():
            gate = yield from _run_checks(home, "domain")
            if not gate:
                return
        for fixture in chosen:
            yield from _run_checks(fixture, "recipe")
        for part in self.parts.values() if recipe is None else ():
            yield from _run_checks(part, part.scope)


def _run_checks(fixture: Any, scope: str) -> Generator[CheckResult, None, bool]:
    """Run the checks of one subject; return False if a prerequisite failed."""
    for check in CHECKS:
        if check.scope == scope:
            result = run_check(check, fixture)
            yield result
            if check.name in PREREQUISITES and result.state == "failed":
                return False
    return True


def _plugin_of_domain(domain: str) -> PluginInfo | None:
    for entry in plugins().entries("gancore_domains"):
        if entry.name == domain:
            return plugins().plugin_of(entry)
    return None


def summary_of(results: list[CheckResult]) -> str:
    counts = {
        state: sum(result.state == state for result in results) for state in ("ok", "failed", "skipped")
    }
    listed = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    return f"{len(results)} checks in {sum(result.seconds for result in results):.0f} s: {listed}"


def failure_of(plugin: str, results: list[CheckResult]) -> GancoreError | None:
    """An error that names the first failed check; None if no check failed."""
    failed = [result for result in results if result.state == "failed"]
    if not failed:
        return None
    first = failed[0]
    count = f"{len(failed)} of {len(results)} checks of {plugin!r} failed"
    return PluginError(f"{count}, first {first.check} of {first.subject}: {first.reason}", first.fix)
