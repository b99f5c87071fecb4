"""Model folders that a package ships: found and described without torch, from their config.json alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gancore.arguments import validate_arguments
from gancore.entries import PretrainedModelEntry
from gancore.errors import CheckpointError
from gancore.files import read_json_object

PUBLISHED = "published"
"""The key of config.json with what a published model says of itself."""
_CONFIG = "config.json"


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model folder without opening it; empty or 0 is unknown.

    ``size`` is that of its files in bytes. ``figure``: its main distance with its interval and the values of
    the controls, as text.
    """

    domain: str = ""
    recipe: str = ""
    data: str = ""
    size: int = 0
    summary: str = ""
    licence: str = ""
    figure: str = ""


def read_facts(folder: Path) -> ModelFacts:
    """The facts of a model folder. Values of another type than expected are unknown.

    Raises:
        CheckpointError, OSError: there is no config.json, or it cannot be read.
    """
    content = read_json_object((folder / _CONFIG).resolve())
    published, training = (_mapping(content.get(key)) for key in (PUBLISHED, "training"))
    return ModelFacts(
        domain=_text(content, "domain"),
        recipe=_text(content, "recipe"),
        data=_text(training, "source"),
        size=sum(path.stat().st_size for path in folder.iterdir() if path.is_file()),
        summary=_text(published, "summary"),
        licence=_text(published, "licence"),
        figure=_text(published, "figure"),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    return value if isinstance(value, str) else ""


@validate_arguments
def packaged_models(folder: str | Path) -> list[PretrainedModelEntry]:
    """Entries for the hook ``gancore_models``: one for each model folder in a folder of the package.

    The name of a model is its domain and the name of its folder, as ``tides/harbour``. Summary and licence
    are those with which it was published. A folder whose config.json cannot be read is left out. Imports no
    torch::

        @hookimpl
        def gancore_models():
            return packaged_models(Path(__file__).parent / "models")
    """
    root = Path(folder).absolute()
    found = []
    for place in sorted(path.parent for path in root.glob(f"*/{_CONFIG}")):
        try:
            facts = read_facts(place)
        except (CheckpointError, OSError):
            continue
        name = f"{facts.domain}/{place.name}"
        found.append(PretrainedModelEntry(name, str(place), facts.summary, facts.domain, facts.licence))
    return found
