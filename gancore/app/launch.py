"""Opens the page of a model: checks what it needs, loads the model, and serves it until a signal."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from gancore.app.server import address, bind, disable_telemetry, is_loopback, running
from gancore.errors import ConfigError, GancoreError
from gancore.model_lookup import find_model, load
from gancore.progress import Announce, silent
from gancore.run_folder import RunFolder

if TYPE_CHECKING:
    import gradio

PORT = 7860


def require_gradio() -> None:
    """Raises ConfigError if the extra ``app`` is not installed."""
    if importlib.util.find_spec("gradio") is None:
        raise ConfigError("the page needs Gradio, which is not installed", 'pip install "gancore[app]"')


def open_page(
    model: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    device: str = "auto",
    data_root: Path | None = None,
    announce: Announce = silent,
    warn: Announce = silent,
) -> None:
    """Serve the page of a model until a signal interrupts it, which is raised.

    Args:
        model: a run folder, a model folder, or the name of a model.
        host: the address to listen on; other than loopback, everyone who reaches it can use the page.
        port: the port; 0 takes a free one.
        device: as in :func:`gancore.load`.
        data_root: a folder with named data sets, for domains that compare samples with the training data.
        announce: gets the address once the page answers.
        warn: gets a line about a host that others reach.

    Raises:
        GancoreError: Gradio is missing, the port is taken, or the model cannot be opened.
    """
    require_gradio()
    place = find_model(model, announce)
    bound = bind(host, port)
    folder = Path(tempfile.mkdtemp(prefix="gancore-app-"))
    try:
        page = make_page(place, str(model), folder, device, data_root)
        if not is_loopback(host):
            warn(f"{host} is open to everyone who can reach this machine; the page has no password")
        with running(page, bound, host) as ended:
            announce(address(bound))
            ended.wait()
        raise GancoreError("the server of the page ended", "start it again")
    finally:
        bound.close()
        shutil.rmtree(folder, ignore_errors=True)


def make_page(
    place: Path, name: str, folder: Path, device: str = "auto", data_root: Path | None = None
) -> gradio.Blocks:
    """The page of the model in ``place``, which users call ``name``; temporary files are in ``folder``."""
    disable_telemetry(folder)
    from gancore.app.card import card_of
    from gancore.app.controls import Controls
    from gancore.app.drawing import Artist
    from gancore.app.page import build_page

    model = load(place, device)
    controls = Controls.of(model)
    run = RunFolder(place.absolute().parent)
    artist = Artist(model, name, folder, run if run.read_status() else None, data_root)
    return build_page(artist, controls, card_of(place))
