"""The user's own tokenizer: its definition, read from a file, and what it does to the texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from gancore.data import read_regular
from gancore.errors import DataError
from gancore.text import escape_unprintable, short_repr
from gancore_text.config import MAX_DEFINITION_BYTES
from gancore_text.tokenizer import LocalTokenizer, load_definition

MAX_CHANGED = 0.05
"""A tokenizer that changes a larger share of the texts is refused."""
_FIX = "give a tokenizer.json of the library tokenizers, or a folder that save_pretrained wrote"


def read_tokenizer(given: str) -> str:
    """The definition in a ``tokenizer.json``, or in the folder that holds one, without clean-up of spaces.

    Raises:
        DataError: there is none, or it cannot be read.
    """
    path = Path(given)
    path = path / "tokenizer.json" if path.is_dir() else path
    shown = escape_unprintable(str(path))
    try:
        definition = json.loads(read_regular(path.resolve(), MAX_DEFINITION_BYTES))
        decoder = definition.get("decoder") if isinstance(definition, dict) else None
        if isinstance(decoder, dict) and "cleanup" in decoder:
            decoder["cleanup"] = False  # it would remove the space before punctuation
        text = json.dumps(definition, ensure_ascii=False, sort_keys=True)
        load_definition(text)
    except OSError as error:
        raise DataError(f"data.tokenizer: {shown} cannot be read: {error.strerror}", _FIX) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"data.tokenizer: {shown} defines no tokenizer: {error}", _FIX) from None
    return text


def check_tokenizer(given: str, tokenizer: LocalTokenizer, texts: Sequence[str]) -> int:
    """How many texts it does not give back. Raises DataError: more than MAX_CHANGED of them."""
    changed = [text for text in texts if tokenizer.unknown(text)]
    if len(changed) > MAX_CHANGED * len(texts):
        returned = short_repr(tokenizer.returned(changed[0]), 80)
        raise DataError(
            f"data.tokenizer {escape_unprintable(given)} changes {len(changed):,} of {len(texts):,} texts: "
            f"{short_repr(changed[0], 80)} becomes {returned}",
            "give a tokenizer that keeps every character, or set data.lowercase=true if it has no capitals",
        )
    return len(changed)
