"""The kit: checks that a plugin keeps the contract, the same under pytest and on the command line."""

from gancore.testing.check import Check, CheckFailure, CheckResult, SkipCheck
from gancore.testing.conformance import DomainConformance, PluginConformance
from gancore.testing.kit import CHECKS, ConformanceKit

__all__ = [
    "CHECKS",
    "Check",
    "CheckFailure",
    "CheckResult",
    "ConformanceKit",
    "DomainConformance",
    "PluginConformance",
    "SkipCheck",
]
