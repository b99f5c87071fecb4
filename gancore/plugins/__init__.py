"""Plugins: found in metadata, loaded one by one in isolation, looked up by name. Imports no torch."""

from gancore.plugins.plugin import PluginInfo
from gancore.plugins.registry import PluginRegistry, plugins

__all__ = ["PluginInfo", "PluginRegistry", "plugins"]
