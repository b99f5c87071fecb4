"""The kit as classes that a plugin's tests subclass. pytest is imported only when a test runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from gancore.errors import GancoreError
from gancore.testing.check import Check, CheckFailure, SkipCheck
from gancore.testing.kit import CHECKS, ConformanceKit

PART_SCOPES = ("loss", "dynamics", "measure", "logger")
"""Scopes of the checks that need no domain."""


class PluginConformance:
    """Checks losses, dynamics, metrics and loggers of a plugin without a domain of its own::

        from gancore.testing import PluginConformance

        class TestMargin(PluginConformance):
            plugin = "margin"

    Each check is a test, ``test_stays_finite[loss/margin]`` for each loss.
    """

    plugin: ClassVar[str] = ""
    _parts_kit: ClassVar[ConformanceKit | None] = None

    @classmethod
    def kit(cls) -> ConformanceKit:
        """The kit that the tests of this class share."""
        if cls._parts_kit is None:
            cls._parts_kit = ConformanceKit.for_name(cls.plugin)
        return cls._parts_kit

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Make one test for each part."""
        for scope in PART_SCOPES:
            if scope in metafunc.fixturenames:
                try:
                    names = [name for name, part in self.kit().parts.items() if part.scope == scope]
                except GancoreError:
                    names = [""]
                metafunc.parametrize(scope, names)

    @classmethod
    def teardown_class(cls) -> None:
        """Releases the fixtures."""
        cls._parts_kit = None


class DomainConformance:
    """Checks that a domain keeps the contract. Subclass it in a pytest file and name the domain::

        from gancore.testing import DomainConformance

        class TestTides(DomainConformance):
            domain = "tides"

    Each check is a test, ``test_trains[tides/dense]`` for each recipe. The checks are those of
    ``gancore plugins check``, with ``Domain.tiny_config()``.
    """

    domain: ClassVar[str] = ""
    _kit: ClassVar[ConformanceKit | None] = None

    @classmethod
    def kit(cls) -> ConformanceKit:
        """The kit that the tests of this class share; the data are opened once."""
        if cls._kit is None:
            cls._kit = ConformanceKit.for_name(cls.domain)
        return cls._kit

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Make one test for each recipe; if recipes cannot be listed, one test that fails with the reason."""
        if "recipe" in metafunc.fixturenames:
            try:
                names = list(self.kit().recipes)
            except GancoreError:
                names = [""]
            metafunc.parametrize("recipe", names)

    @classmethod
    def teardown_class(cls) -> None:
        """Releases the fixtures."""
        cls._kit = None


def _make(check: Check, fixture: Any) -> None:
    import pytest

    try:
        check.function(fixture)
    except SkipCheck as reason:
        pytest.skip(str(reason))
    except CheckFailure as breach:
        pytest.fail(
            f"{check.name} of {fixture.subject}: {breach}\nThe check requires: {check.holds}", pytrace=False
        )


def _test(check: Check) -> Callable[..., None]:
    def of_plugin(self: DomainConformance | PluginConformance) -> None:
        _make(check, self.kit().plugin)

    def of_domain(self: DomainConformance) -> None:
        _make(check, self.kit().domain(self.domain))

    def of_recipe(self: DomainConformance, recipe: str) -> None:
        kit = self.kit()
        _make(check, kit.recipes[recipe] if recipe else next(iter(kit.recipes.values())))

    def of_loss(self: PluginConformance, loss: str) -> None:
        _make(check, self.kit().parts[loss])

    def of_dynamics(self: PluginConformance, dynamics: str) -> None:
        _make(check, self.kit().parts[dynamics])

    def of_measure(self: PluginConformance, measure: str) -> None:
        _make(check, self.kit().parts[measure])

    def of_logger(self: PluginConformance, logger: str) -> None:
        _make(check, self.kit().parts[logger])

    kinds: dict[str, Callable[..., None]] = {
        "plugin": of_plugin,
        "domain": of_domain,
        "recipe": of_recipe,
        "loss": of_loss,
        "dynamics": of_dynamics,
        "measure": of_measure,
        "logger": of_logger,
    }
    test = kinds[check.scope]
    test.__name__, test.__doc__ = f"test_{check.name}", check.holds
    return test


for _check in CHECKS:
    if _check.scope not in PART_SCOPES:
        setattr(DomainConformance, f"test_{_check.name}", _test(_check))
    if _check.scope in ("plugin", *PART_SCOPES):
        setattr(PluginConformance, f"test_{_check.name}", _test(_check))
