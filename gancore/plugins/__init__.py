"""Plugins: found in metadata, loaded one by one in isolation, looked up by name.

Imports no torch. The functions that commands of plugins print with are imported at first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gancore.lazy import attach
from gancore.plugins.plugin import PluginInfo
from gancore.plugins.registry import PluginRegistry, plugins

if TYPE_CHECKING:
    from gancore.console import (
        count_option,
        duration_option,
        format_duration,
        print_json,
        print_line,
        print_table,
    )

__all__ = [
    "PluginInfo",
    "PluginRegistry",
    "count_option",
    "duration_option",
    "format_duration",
    "plugins",
    "print_json",
    "print_line",
    "print_table",
]

__getattr__, __dir__ = attach(__name__, __file__)
