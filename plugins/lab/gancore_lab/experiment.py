"""An experiment: a question, settings, a prediction, and checks of measured numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from gancore.errors import ConfigError
from gancore.text import short_repr, suggestion
from gancore.training import parse_value

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Relation = Literal["=", "<", ">", "beside"]


@dataclass(frozen=True)
class Check:
    """One measured number and its prediction.

    The relation ``=`` predicts the number within ``tolerance``; ``<`` and ``>`` predict that it is below or
    above. ``beside`` is no prediction: the check never fails, and ``predicted`` may be a published number for
    the same settings.
    """

    name: str
    measured: float
    relation: Relation = "beside"
    predicted: float | None = None
    tolerance: float = 0.0
    note: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the prediction holds; None if there is none. It never holds for a NaN."""
        if self.relation == "beside" or self.predicted is None:
            return None
        if self.relation == "=":
            return abs(self.measured - self.predicted) <= self.tolerance
        return self.measured < self.predicted if self.relation == "<" else self.measured > self.predicted

    @property
    def difference(self) -> float | None:
        """|measured - predicted| for the relation ``=``; otherwise None."""
        if self.relation != "=" or self.predicted is None:
            return None
        return abs(self.measured - self.predicted)

    def only_if(self, valid: bool, reason: str) -> Check:
        """This check if the prediction is valid for the settings; otherwise the number with the reason."""
        return self if valid else Check(self.name, self.measured, note=reason)


@dataclass(frozen=True)
class ExperimentResult:
    """The result of an experiment.

    ``plot_data`` are the data of the plot; ``notes`` are remarks; ``extra_settings`` are numbers that follow
    from the settings, such as a number of parameters; ``extra`` are other measured values, for the JSON.
    """

    checks: Sequence[Check]
    plot_data: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    extra_settings: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def decided(self) -> list[Check]:
        """The checks that have a prediction."""
        return [check for check in self.checks if check.holds is not None]

    @property
    def reproduced(self) -> bool:
        """Whether there are predictions and all of them hold."""
        return bool(self.decided) and all(check.holds for check in self.decided)


@dataclass(frozen=True)
class Experiment:
    """An experiment. ``run(settings, seed)`` returns an :class:`ExperimentResult`; ``plot`` draws it.

    ``settings`` are all numbers of the full version, ``quick_settings`` those that the quick one changes;
    ``descriptions`` says in a line what each is, for ``--print-config``; ``seconds`` is about what the quick
    and the full version take on one core.
    """

    question: str
    prediction: str
    source: str
    settings: Mapping[str, Any]
    run: Callable[[Mapping[str, Any], int], ExperimentResult]
    plot: Callable[[ExperimentResult], Figure]
    quick_settings: Mapping[str, Any] = field(default_factory=dict)
    descriptions: Mapping[str, str] = field(default_factory=dict)
    seconds: tuple[float, float] = (0.0, 0.0)

    def settings_for(self, quick: bool) -> dict[str, Any]:
        return {**self.settings, **(self.quick_settings if quick else {})}

    def as_given(self, settings: Mapping[str, Any], keys: Iterable[str]) -> bool:
        """Whether all of these settings are those of the full version, or all those of the quick one."""
        versions = (self.settings_for(quick) for quick in (False, True))
        return any(all(settings[key] == version[key] for key in keys) for version in versions)


def steps_for(settings: Mapping[str, Any], name: str) -> int:
    """The number of steps for the time ``settings[name]``: a step advances time by the learning rate."""
    result: int = max(1, round(settings[name] / settings["rate"]))
    return result


def override_settings(name: str, settings: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The settings of the experiment ``name`` with these ``"key=value"``, values in YAML.

    Raises:
        ConfigError: there is no such key, or the value has another type than the one that it replaces.
    """
    result = dict(settings)
    for text in overrides:
        key, equals, value = (part.strip() for part in text.partition("="))
        where = f"--set {short_repr(text)}"
        if not equals:
            raise ConfigError(f"{where} has not the form key=value", "write it as in --set rate=0.1")
        if key not in settings:
            raise ConfigError(f"{where}: {name} has no setting {key!r}", suggestion(key, settings))
        result[key] = _convert_like(settings[key], parse_value(value, where), where)
    return result


def _convert_like(old: Any, new: Any, where: str) -> Any:
    """Convert a value to the type of the old one: a list to a tuple, an integer to a float."""
    kind, given = _kind_of(old), _kind_of(new)
    if given != kind and (kind, given) != ("a number", "a whole number"):
        raise ConfigError(
            f"{where}: {short_repr(new)} is {given}", f"give {kind}, such as {short_repr(_as_lists(old))}"
        )
    if kind in ("a number", "a whole number") and not new >= 0:
        raise ConfigError(f"{where}: the number is below 0", "give 0 or more")
    if isinstance(old, Mapping):
        return {str(key): _as_tuple(value) for key, value in new.items()}
    return float(new) if isinstance(old, float) else _as_tuple(new)


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int):
        return "a whole number"
    if isinstance(value, float):
        return "a number" if math.isfinite(value) else "no finite number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, Sequence) else "nothing"


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value


def _as_lists(value: Any) -> Any:
    return [_as_lists(each) for each in value] if isinstance(value, list | tuple) else value
