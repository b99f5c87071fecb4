"""Ways to plant a fault in the scaffold's plugin, and to ask one check of the kit what it says of it."""

from __future__ import annotations

from broken_plugins import TAKE
from kit_site import NAME, Change, Site

from gancore.testing import CHECKS, CheckResult, ConformanceKit
from gancore.testing.check import run_check

LABELLED = [
    # rows in no order, each with the class of its phase
    Change("domain.py", TAKE, "return Batch(self.windows[indices].to(key.device), self.labels[indices])"),
    Change(
        "domain.py",
        "self.windows = series.unfold(0, length, 1)",
        "self.windows = series.unfold(0, length, 1)\n"
        "        self.windows = self.windows[torch.arange(len(self.windows)) * 7919 % len(self.windows)]\n"
        "        self.labels = 1 * (self.windows[:, 0] > 0) + 2 * (self.windows[:, 3] > 0)",
    ),
    Change("domain.py", '"length": config.length}', '"length": config.length, "classes": list("abcd")}'),
]
"""The domain has four classes."""


def found(site: Site, check: str, *changes: Change, subject: str = NAME) -> CheckResult:
    """What the kit's check of this name says of the scaffold's plugin so changed."""
    site.install(*changes)
    kit = ConformanceKit.for_name(NAME)
    kinds = {"domain": lambda: kit.domain(NAME), "recipe": lambda: kit.recipes[subject]}
    (wanted,) = (each for each in CHECKS if each.name == check)
    return run_check(wanted, kinds[wanted.scope]())
