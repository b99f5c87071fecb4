"""The logger: one run of Trackio for each run folder."""

from __future__ import annotations

import contextlib
import io
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import trackio
import yaml

from gancore import Samples
from gancore.data import atomic_write
from gancore_trackio import PROJECT

NAME_FILE = "trackio.txt"
"""In the run folder: the name of its run in Trackio, by which a resumed training continues it."""
OVERVIEW = "overview.png"


class TrackioLogger:
    """Logs to the project that :data:`gancore_trackio.PROJECT` names.

    Trackio itself reads where its data are: ``TRACKIO_DIR``, ``TRACKIO_SERVER_URL`` or ``TRACKIO_SPACE_ID``.
    """

    def __init__(self, run_folder: Path) -> None:
        with silent_stdout():
            self.run: Any = trackio.init(
                project=os.environ.get(PROJECT, "gancore"),
                name=name_of(run_folder),
                config=read_config(run_folder),
                resume="allow",
                embed=False,
            )

    def scalars(self, step: int, numbers: Mapping[str, float]) -> None:
        self.run.log(dict(numbers), step=step)

    def samples(self, step: int, samples: Samples, paths: Sequence[Path]) -> None:
        """The picture of all samples of a preview; other files stay in the run folder alone."""
        pictures = [path for path in paths if path.suffix == ".png"]
        shown = [path for path in pictures if path.name == OVERVIEW] or pictures[:1]
        for path in shown:
            self.run.log({"samples": trackio.Image(str(path), caption=f"step {step:,}")}, step=step)

    def close(self) -> None:
        with silent_stdout():
            finish: Callable[[], None] = trackio.finish  # that of a run is repeated when the program ends
            finish()


def silent_stdout() -> contextlib.AbstractContextManager[object]:
    """Trackio prints what it does; stdout is for the results of a command. Its warnings are still shown."""
    return contextlib.redirect_stdout(io.StringIO())


def name_of(run_folder: Path) -> str:
    """The folder's name and six random characters: folders of equal names are different runs."""
    file = run_folder / NAME_FILE
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        name = f"{run_folder.resolve().name}-{uuid.uuid4().hex[:6]}"
        atomic_write(file, name)
        return name


def read_config(run_folder: Path) -> dict[str, Any]:
    """The configuration of the run, with dots in the keys; empty if it is not written yet."""
    try:
        content = yaml.safe_load((run_folder / "config.yaml").read_text())
    except FileNotFoundError:
        return {}
    return flatten(content if isinstance(content, dict) else {})


def flatten(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in section.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
