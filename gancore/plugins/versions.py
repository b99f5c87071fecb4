"""Whether a plugin's distribution accepts this version of gancore, by the requirement in its metadata."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gancore.plugins.faults import Fault, PluginId, core_version

if TYPE_CHECKING:
    from packaging.requirements import Requirement


def find_version_fault(plugin: PluginId, requirements: Sequence[str]) -> Fault | None:
    """The fault of a distribution whose ``requirements`` (Requires-Dist) exclude this gancore.

    pip checks them when it installs the plugin, but not when it upgrades gancore later or is given --no-deps.
    The fix lets pip choose versions of both that fit each other.
    """
    from gancore import __version__

    for requirement in _core_requirements(requirements):
        if not requirement.specifier.contains(__version__, prereleases=True):
            return Fault(
                plugin,
                f"is incompatible: it requires gancore{requirement.specifier}, this is {core_version()}",
                f"pip install --upgrade gancore {plugin.distribution}",
                "incompatible",
            )
    return None


def _core_requirements(requirements: Sequence[str]) -> Iterator[Requirement]:
    """What is required of gancore itself on this Python; texts that pip could not read are left out."""
    texts = [text for text in requirements if text.lower().lstrip().startswith("gancore")]
    if not texts:
        return
    from packaging.requirements import InvalidRequirement, Requirement

    for text in texts:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if requirement.name.lower() == "gancore" and applies:
            yield requirement
