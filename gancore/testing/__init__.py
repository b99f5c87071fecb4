"""The kit that holds every plugin to the contract: the same checks under pytest and on the command line."""

from gancore.testing.check import Breach, Check, NotApplicable, Result
from gancore.testing.checks import CHECKS
from gancore.testing.conformance import DomainConformance, PluginConformance
from gancore.testing.kit import Kit

__all__ = [
    "CHECKS",
    "Breach",
    "Check",
    "DomainConformance",
    "Kit",
    "NotApplicable",
    "PluginConformance",
    "Result",
]
