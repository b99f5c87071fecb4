"""The extras of gancore that install a plugin, as the metadata of its distribution declare them."""

from __future__ import annotations

from importlib import metadata


def install_command(plugin: str) -> str:
    """The command that installs the plugin of this name, if an extra of gancore has its name; else empty.

    No name is guessed: a distribution of a misspelt name may be anybody's.
    """
    from packaging.requirements import Requirement

    try:
        declared = metadata.requires("gancore") or []
    except metadata.PackageNotFoundError:  # gancore runs from a folder that is not installed
        return ""
    wanted = f"gancore-{plugin}"
    own = [need for need in map(Requirement, declared) if need.name == wanted and need.marker]
    applies = any(need.marker and need.marker.evaluate({"extra": plugin}) for need in own)
    return f'pip install "gancore[{plugin}]"' if applies else ""
