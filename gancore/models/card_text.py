"""Reads the card of a model and lays it out for a terminal. Imports no torch."""

from __future__ import annotations

import io
from pathlib import Path

from gancore.errors import CheckpointError
from gancore.files import read_regular
from gancore.model_lookup import find_model
from gancore.models.card import SAMPLES_PICTURE
from gancore.text import escape_control

WIDTH = 80
MAX_CARD_BYTES = 1 << 20


def read_card(model: str | Path) -> str:
    """The text of README.md of a named model, a run or a model folder.

    Raises:
        GancoreError: there is no such model, or its card is missing, too large or not text.
    """
    file = find_model(model) / "README.md"
    try:
        return read_regular(file.resolve(), MAX_CARD_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise CheckpointError(f"the card {file} cannot be read: {reason}", "fetch the model again") from error


def render_card(card: str) -> list[str]:
    """The lines of a card, at most 80 characters each, without its front matter."""
    from rich.console import Console
    from rich.markdown import Markdown

    text = card
    if card.startswith("---\n"):
        text = card.partition("\n---\n")[2] or card
    text = text.replace(SAMPLES_PICTURE, "In the picture `samples.png` beside the card.")
    console = Console(
        file=io.StringIO(), width=WIDTH, color_system=None, force_terminal=False, legacy_windows=False
    )
    with console.capture() as capture:
        console.print(Markdown(escape_control(text), hyperlinks=False))
    return [line.rstrip() for line in capture.get().splitlines()]
