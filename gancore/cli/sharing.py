"""``gancore models push`` and ``pull``: share models through the Hugging Face hub."""

from __future__ import annotations

from typing import Annotated

import typer

from gancore.cli.options import JsonOption, QuietOption, RunOrModelArgument
from gancore.console import print_json, print_line, progress_printer


def push(
    run_or_model: RunOrModelArgument,
    name: Annotated[
        str, typer.Argument(metavar="hub:OWNER/NAME", help="The model, or the Space, on the hub.")
    ],
    private: Annotated[bool, typer.Option("--private", help="If it is new: only you see it.")] = False,
    space: Annotated[
        bool, typer.Option("--space", help="Send a page to play with the model, as a Space of the hub.")
    ] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Send a model folder to the Hugging Face hub, or a page of it."""
    from gancore import api

    send = api.push_space if space else api.push_model
    address = send(run_or_model, name, private=private, announce=progress_printer(quiet))
    if as_json:
        return print_json({"address": address})
    if not quiet:
        print_line(address)


def pull(
    name: Annotated[str, typer.Argument(metavar="hub:OWNER/NAME", help="The model on the hub.")],
    revision: Annotated[
        str | None, typer.Option(metavar="REV", help="A branch, a tag or a commit. Default: main.")
    ] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fetch a model from the Hugging Face hub into the cache of huggingface_hub, and check it."""
    from gancore import api

    folder = api.pull_model(name, revision=revision, announce=progress_printer(quiet))
    if as_json:
        return print_json({"folder": str(folder)})
    if not quiet:
        print_line(folder)
