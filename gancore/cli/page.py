"""``gancore app``: a page on this machine to play with a model."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from gancore.cli.options import DataRootOption, DeviceOption, RunOrModelArgument
from gancore.console import print_line, progress_printer
from gancore.runtime.signals import Interrupted, signal_exit_code


def app(
    run_or_model: RunOrModelArgument,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 7860,
    host: Annotated[
        str,
        typer.Option(help="Address to listen on; by default only this machine reaches the page."),
    ] = "127.0.0.1",
    space: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write what a hosted page needs (a Hugging Face Space) into DIR, and end."
        ),
    ] = None,
    device: DeviceOption = "auto",
    data_root: DataRootOption = None,
) -> None:
    """Play with a model on a page in the browser; needs the extra `gancore[app]`. Ctrl-C ends it."""
    if space is not None:
        from gancore.app.space import write_space

        for file in write_space(run_or_model, space, progress_printer(False)):
            print_line(file)
        return
    from gancore.app.launch import open_page

    try:
        open_page(
            run_or_model,
            host=host,
            port=port,
            device=device,
            data_root=data_root,
            announce=_announce,
            warn=lambda line: print_line(f"warning: {line}", to_stderr=True),
        )
    except Interrupted as stop:
        _leave(signal_exit_code(stop.number))


def _announce(line: str) -> None:
    print_line(f"{line} (Ctrl-C ends it)" if line.startswith("http") else line)
    sys.stdout.flush()


def _leave(code: int) -> None:
    """End the program at once: samples that are being made would otherwise be waited for."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
