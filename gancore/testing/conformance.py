"""The kit as a class that a plugin's tests subclass. pytest is not imported before a test runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from gancore.errors import GancoreError
from gancore.testing.check import Breach, Check, NotApplicable
from gancore.testing.checks import CHECKS
from gancore.testing.kit import Kit


class DomainConformance:
    """Holds a plugin to the contract. Subclass it in a pytest file, and name the domain::

        from gancore.testing import DomainConformance

        class TestTides(DomainConformance):
            domain = "tides"

    Each check is a test, ``test_trains[tides/dense]`` for each recipe. The checks are those of
    ``gancore plugins check``, on what ``Domain.tiny`` says.
    """

    domain: ClassVar[str] = ""
    _kit: ClassVar[Kit | None] = None

    @classmethod
    def kit(cls) -> Kit:
        """The kit that the tests of this class share, so that data are opened once."""
        if cls._kit is None:
            cls._kit = Kit.of(cls.domain)
        return cls._kit

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """One test for each recipe; where they cannot be listed, one that says why."""
        if "recipe" in metafunc.fixturenames:
            try:
                names = list(self.kit().recipes)
            except GancoreError:
                names = [""]
            metafunc.parametrize("recipe", names)

    @classmethod
    def teardown_class(cls) -> None:
        """What the benches hold may go."""
        cls._kit = None


def _make(check: Check, bench: Any) -> None:
    import pytest

    try:
        check.function(bench)
    except NotApplicable as reason:
        pytest.skip(str(reason))
    except Breach as breach:
        pytest.fail(
            f"{check.name} of {bench.subject}: {breach}\nIt must hold that: {check.holds}", pytrace=False
        )


def _test(check: Check) -> Callable[..., None]:
    def of_plugin(self: DomainConformance) -> None:
        _make(check, self.kit().plugin)

    def of_domain(self: DomainConformance) -> None:
        _make(check, self.kit().domain(self.domain))

    def of_recipe(self: DomainConformance, recipe: str) -> None:
        kit = self.kit()
        _make(check, kit.recipes[recipe] if recipe else next(iter(kit.recipes.values())))

    kinds: dict[str, Callable[..., None]] = {"plugin": of_plugin, "domain": of_domain, "recipe": of_recipe}
    test = kinds[check.scope]
    test.__name__, test.__doc__ = f"test_{check.name}", check.holds
    return test


for _check in CHECKS:
    setattr(DomainConformance, f"test_{_check.name}", _test(_check))
