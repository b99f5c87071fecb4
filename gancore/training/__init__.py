"""One run: the loop, its state, checkpoints.

The public names, for plugins that train by themselves, are imported at first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gancore.lazy import attach

if TYPE_CHECKING:
    from gancore.config_layers import resolve_config
    from gancore.config_yaml import parse_value, settings_to_yaml
    from gancore.diagnostics import LOWER_LR, TRAIN_STEADIER, DiagnosticRule, apply_rules, require_finite
    from gancore.training.loop import play
    from gancore.training.setup import set_up
    from gancore.training.state import TrainState

__all__ = [
    "LOWER_LR",
    "TRAIN_STEADIER",
    "DiagnosticRule",
    "TrainState",
    "apply_rules",
    "parse_value",
    "play",
    "require_finite",
    "resolve_config",
    "set_up",
    "settings_to_yaml",
]

__getattr__, __dir__ = attach(__name__, __file__)
